"""The command `python -m train.bench`."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from dataclasses import replace

import torch

from pipelines.bench.header import header, lines
from train.bench.memory import Stretch, run_steps
from train.bench.steps import Cost, attack_of, compare_steps
from train.cli.main import choose_recipe, split_words
from train.cli.overrides import parse_overrides
from train.data.loaders import train_loader
from train.data.sources import prepare_sources, read_sources
from train.files.recipe_file import RecipeFile
from train.loop.epochs import make_batch
from train.loop.state import new_state
from train.machine.command import new_console, say
from train.machine.distributed import open_world
from train.machine.precision import resolve_precision
from train.machine.run import Run
from train.recipe import Recipe

PROGRAM = "train.bench"
SECONDS = 1.0  # of a round


def main(words: Sequence[str]) -> int:
    """Measure and print. Raises ValueError and others of one line for the user."""
    own, rest = _own_arguments().parse_known_args(words)
    if not rest or rest[0] in ("-h", "--help"):
        _own_arguments().print_help()
        return 0
    if own.steps < 2 or own.rounds < 1:
        raise ValueError(f"--steps must be 2 or more and --rounds 1 or more, got {own.steps} and {own.rounds}")
    names, fields = split_words(rest)
    chosen = choose_recipe(*names)
    recipe, run = parse_overrides(" ".join(names), chosen.summary, chosen.stored, fields, chosen.file)
    console = new_console()
    for line in lines(header(words, program=PROGRAM, versions={"torch": torch.__version__})):
        say(console, line)
    for line in measure(recipe, run, steps=own.steps, rounds=own.rounds, file=chosen.file):
        say(console, line)
    return 0


def measure(recipe: Recipe, run: Run, *, steps: int, rounds: int, file: RecipeFile | None = None) -> list[str]:
    """What was found, in lines for people. Nothing is written to disk. `file` is that of a recipe of one's own."""
    with open_world(run.device) as world:
        if world.size > 1:
            raise ValueError("train.bench measures one process, so start it without torchrun")
        recipe = replace(recipe, precision=resolve_precision(recipe.precision, world.device))
        sources = prepare_sources(
            recipe,
            read_sources(recipe.data, run.root, validation=recipe.validation or float(recipe.fold is not None)),
            run.root,
        )
        loader = train_loader(recipe, run, sources, world, recipe.objective.outputs)
        if not len(loader):
            raise ValueError(f"{len(sources.train)} training images do not fill a batch of {recipe.batch_size}")
        with torch.random.fork_rng([world.device.index] if world.device.type == "cuda" else []):
            state = new_state(recipe, sources, world, len(loader), None if file is None else file.names)
            stretch = run_steps(recipe, state, loader, world, steps)
            batch = make_batch(next(iter(loader)), state.epoch, state.step, world.device)
            network = copy.deepcopy(state.model)
            cost = compare_steps(recipe, state, network, batch, world, rounds=rounds, seconds=SECONDS)
    return [
        f"{recipe.model}, batches of {recipe.batch_size}, {recipe.precision}, {torch.get_num_threads()} threads",
        *_say_stretch(stretch),
        *_say_cost(cost, attack_of(recipe.objective)[0]),
    ]


def _say_stretch(stretch: Stretch) -> list[str]:
    return [
        f"{stretch.waiting:.2%} of the time of {stretch.steps:,} steps went into waiting for batches",
        f"{stretch.early:,.0f} MiB after a tenth of these steps, {stretch.late:,.0f} MiB after the last",
    ]


def _say_cost(cost: Cost, gradients: int) -> list[str]:
    step, passes = cost.medians
    ratio, spread = cost.ratio
    attack = f"{gradients} forward passes with gradients of the images, and " if gradients else ""
    return [
        f"{1e3 * passes:.2f} ms: {attack}one forward and one backward pass",
        f"{1e3 * step:.2f} ms: a step of the recipe, {ratio:.3f} ± {spread:.3f} times that, {len(cost.step)} rounds",
    ]


def _own_arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {PROGRAM} RECIPE [VARIANT]",
        description=(
            "What a training step costs beside the passes through the network that it consists of, how long steps "
            "wait for their batches, and whether memory grows. Takes every field of the recipe, as python -m train."
        ),
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("--steps", type=int, default=200, metavar="N", help="steps as a run makes them (200)")
    parser.add_argument("--rounds", type=int, default=11, metavar="N", help="of step and passes in turns (11)")
    return parser
