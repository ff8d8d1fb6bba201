"""One run from its recipe to its end: data, folder, training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from train.data.loaders import batches_per_run, check_hints, train_loader, val_loader
from train.data.sources import Sources, prepare_sources, read_sources
from train.files import checkpoint, manifest
from train.files.boards import installed
from train.files.folders import Claim, RunFolder, claim_folder
from train.files.plain import to_plain
from train.files.recipe_file import RecipeFile, own_names
from train.loop.epochs import Training, fit, score_name
from train.loop.memory import estimate_memory
from train.loop.saves import Saves
from train.loop.shown import announce, fit_and_show, show_finished, unless_disk_refuses
from train.loop.state import new_state
from train.loop.under_attack import fixed_images
from train.machine.circumstances import circumstances
from train.machine.command import say
from train.machine.distributed import World, open_world
from train.machine.lost import notice_lost
from train.machine.precision import resolve_precision, tf32
from train.machine.run import Run
from train.machine.stop import Stop, stop_on_signals
from train.objectives import Objective
from train.recipe import Recipe
from train.show.progress import Progress

INSTEAD = "--weights starts a new run from its weights"


def train_recipe(
    title: str, recipe: Recipe, run: Run, *, overrides: list[str], console: Console, file: RecipeFile | None = None
) -> int:
    """Train, or go on with the same run where it was stopped. Leaves checkpoints, numbers and pictures in its folder.

    Args:
        title: recipe and variant, such as "zhang2017mixup small"; with hyphens the default name of the run.
        overrides: what the recipe changes of the stored one, for people.
        file: the recipe file that defines parts of the recipe.

    Returns:
        The exit code: 0 if the run is finished, 128 plus the signal's number if one stopped it.

    Raises:
        ValueError, OSError: one line for the user.
    """
    if run.parts > 1 and type(recipe.objective).after_step is not Objective.after_step:
        name = type(recipe.objective).__name__
        raise ValueError(f"parts must be 1, got {run.parts}: {name} does something with the whole batch after a step")
    installed(run.boards)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        world = stack.enter_context(open_world(run.device))
        saves: Saves | None = None
        advise = lambda: "start the same command again" if saves is None else saves.advise()  # noqa: E731
        stack.enter_context(notice_lost(world, advise))
        stack.enter_context(tf32(recipe.tf32))
        stack.enter_context(torch.random.fork_rng([world.device.index] if world.device.type == "cuda" else []))
        auto = recipe.precision == "auto"
        recipe = replace(recipe, precision=resolve_precision(recipe.precision, world.device))
        read = read_sources(
            recipe.data,
            run.root,
            validation=recipe.validation or float(recipe.fold is not None),
            exclude=run.exclude,
            keep_empty=run.on_error == "skip",
        )
        sources = prepare_sources(recipe, read, run.root)
        facts = describe_run(recipe, sources, world, file, auto=auto, parts=run.parts)
        hint = check_hints(run, sources, world)
        folder = _enter_folder(stack, title, recipe, run, world, facts["identity"])
        if folder.finished:
            if world.is_main:
                show_finished(title, recipe, sources, folder, console)
            return 0
        facts |= folder.facts
        training = _build(recipe, run, sources, world, stop, file)
        notes = [*folder.notes, *([hint] if hint else [])]
        if folder.start is not None:
            notes += _go_on(training, folder)

        saves = Saves(training, folder, facts, run.keep, partial(say, console))
        if not folder.resumes:
            saves(False)
            if trouble := world.from_main(saves.trouble):
                raise trouble
        stack.enter_context(_advised(saves.advise))

        def train(record: Callable[[dict[str, float]], None]) -> bool:
            if fit(training, saves, record):
                return True
            # Perhaps only another process was asked to stop.
            stop.exit_code = max(world.gather(stop.exit_code if stop.requested else 0))
            return False

        if not world.is_main:
            return 0 if train(lambda row: None) else stop.exit_code
        announce(console, title, overrides, training, sources, folder)
        memory = estimate_memory(recipe, run, sources, training.state, world, batches_per_run(training.train))
        for note in (*memory.lines(), *notes):
            say(console, note)
        with unless_disk_refuses(folder.path / manifest.PLACE, console):
            manifest.add_start(folder.path, world, recipe.seed, memory.plain())
        finished = fit_and_show(training, train, title, run, sources, folder, facts, console)
        if saves.trouble is not None:
            raise saves.trouble
        if not finished:
            state = training.state
            say(
                console,
                f"Stopped in epoch {state.epoch + 1}, step {state.epoch_step}; saved in {folder.path}. "
                "The same command goes on from there.",
            )
        return 0 if finished else stop.exit_code


def describe_run(
    recipe: Recipe,
    sources: Sources,
    world: World,
    file: RecipeFile | None = None,
    *,
    auto: bool = False,
    parts: int = 1,
) -> dict[str, Any]:
    """What a checkpoint says about its run: the recipe, and all that must be the same to continue it exactly.

    auto   the machine chose the recipe's precision.
    parts  in which a step goes through its batch.
    """
    plain = to_plain(recipe)
    # A file that only puts known parts together is told by the recipe.
    own = file if own_names(plain) else None
    decisive = {name: value for name, value in plain.items() if name not in ("paper", "claim")}
    return {
        "recipe": plain,
        **({} if own is None else {"recipe_file": own.remembered()}),
        "classes": list(sources.classes),
        "processes": world.size,
        "identity": {
            **decisive,
            **({} if own is None else {"code": own.digest}),
            "images": sources.identity(),
            **(
                {}
                if recipe.weights is None
                else {"weights": checkpoint.digest_file(checkpoint.find(Path(recipe.weights)))}
            ),
            "processes": world.size,
            "parts": parts,
            "auto": ["precision"] if auto else [],
            **circumstances(world),
        },
    }


def _enter_folder(
    stack: ExitStack, title: str, recipe: Recipe, run: Run, world: World, identity: dict[str, Any]
) -> RunFolder:
    """Rank 0 claims the folder; the others learn which, or what is wrong with it."""
    answer: RunFolder | Exception | None = None
    if world.is_main:
        name = run.name or title.replace(" ", "-")
        claim = Claim(
            identity=identity,
            settings=recipe,
            exact=run.exact,
            resume=run.resume,
            once=run.once,
            instead=INSTEAD,
        )
        try:
            answer = stack.enter_context(claim_folder(Path(run.folder), name, claim, asked=run.name is not None))
        except (ValueError, OSError) as error:
            answer = error
    answer = world.from_main(answer)
    if isinstance(answer, RunFolder):
        return answer
    assert isinstance(answer, Exception)
    raise answer


def _go_on(training: Training, folder: RunFolder) -> list[str]:
    """Take the state of the folder's checkpoint. -> what to tell people."""
    assert folder.start is not None
    state, world, notes = training.state, training.world, list[str]()
    content = checkpoint.load(folder.start)
    same_images = state.load_checkpoint(content, training.train, world, exact=not folder.loose)
    if not same_images:
        notes.append(f"from here, epoch {state.epoch + 1}, step {state.epoch_step}, images come in another order")
    if world.is_main and not folder.resumes and not _bring_best(folder, content, score_name(training.recipe)):
        notes.append(f"{folder.start} has no best.pt beside it; one is written once an epoch is above {state.best:.2%}")
    return notes


def _bring_best(folder: RunFolder, content: dict[str, Any], score: str) -> bool:
    """Copy the best checkpoint of the run elsewhere, whose `content` is gone on with. -> False if it is lost."""
    assert folder.start is not None
    if not any(score in row for row in content["history"]):
        return True
    for path in (folder.start, folder.start.with_name("best.pt")):
        found = checkpoint.load(path) if path.is_file() else {"history": []}
        rows = found["history"]
        if rows and rows == content["history"][: len(rows)] and rows[-1].get(score) == content["best"]:
            checkpoint.save(folder.best, found)
            return True
    return False


def _build(recipe: Recipe, run: Run, sources: Sources, world: World, stop: Stop, file: RecipeFile | None) -> Training:
    batches = train_loader(recipe, run, sources, world, recipe.objective.outputs)
    lengths = world.gather(len(batches))
    if min(lengths) != max(lengths) or min(lengths) == 0:
        raise ValueError(
            f"{len(sources.train)} training images give the processes {lengths} batches an epoch; all need the same "
            f"number, at least one: change --batch_size {recipe.batch_size}"
        )
    num_steps = len(batches) // run.parts
    if not num_steps:
        raise ValueError(
            f"{len(sources.train)} training images do not fill the {run.parts} parts of a step; take fewer --parts"
        )
    own = None if file is None else file.names
    state = new_state(recipe, sources, world, num_steps, own, parts=run.parts)
    held_out = val_loader(recipe, run, sources, world)
    also = {
        name: val_loader(recipe, run, sources, world, images)
        for name, images in sources.also.items()
        if len(images) >= world.size
    }
    fixed = fixed_images(recipe, run, sources, world)
    return Training(recipe, state, batches, held_out, world, Progress(), stop, also, fixed, 60 * run.save_every)


@contextmanager
def _advised(advise: Callable[[], str]) -> Iterator[None]:
    """What the machine does not do any more, such as reading or writing, says how to go on too."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{error}; {advise()}") from error
