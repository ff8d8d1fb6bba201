"""`python -m train.bench`: what a step costs, how long it waits, and whether memory grows."""

import copy
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from train.bench.memory import held, run_steps
from train.bench.run import main
from train.bench.steps import Cost, attack_of, compare_steps
from train.data.loaders import train_loader
from train.data.sources import prepare_sources, read_sources
from train.loop.epochs import make_batch
from train.loop.state import new_state
from train.machine.distributed import World
from train.machine.run import Run
from train.recipes import baseline, lamb2022interpolated, madry2018towards, wong2020fast, wu2020adversarial

CPU = World(torch.device("cpu"))


def begin(recipe):
    """-> recipe, state and loader on the embedded digits."""
    recipe = replace(recipe, precision="float32", batch_size=32, num_images=96)
    sources = prepare_sources(recipe, read_sources(recipe.data, None), None)
    loader = train_loader(recipe, Run(device="cpu", num_threads=1), sources, CPU, recipe.objective.outputs)
    return recipe, new_state(recipe, sources, CPU, len(loader)), loader


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (baseline.small, (0, "eval")),
        (madry2018towards.small, (10, "eval")),
        (madry2018towards.recipe, (7, "train")),
        (wu2020adversarial.recipe, (10, wu2020adversarial.recipe.objective.objective.batch_norm)),
        (lamb2022interpolated.small, (10, "eval")),
        (wong2020fast.recipe, (1, wong2020fast.recipe.objective.batch_norm)),
    ],
)
def test_the_attack_of_a_recipe_is_found(recipe, expected):
    assert attack_of(recipe.objective) == expected


def test_the_passes_alone_are_as_many_as_the_attack_takes_and_one_more():
    recipe, state, loader = begin(madry2018towards.small)
    batch = make_batch(next(iter(loader)), 0, 0, CPU.device)
    network, modes = copy.deepcopy(state.model), []
    network.register_forward_pre_hook(lambda module, args: modes.append(module.training))
    before = [parameter.clone() for parameter in state.model.parameters()]
    cost = compare_steps(recipe, state, network, batch, CPU, rounds=2, seconds=1e-6)
    assert modes == ([False] * 10 + [True]) * (len(modes) // 11)
    assert len(cost.step) == len(cost.passes) == 2
    assert min(cost.step + cost.passes) > 0
    assert any(not torch.equal(a, b) for a, b in zip(before, state.model.parameters(), strict=True))


def test_a_step_that_does_more_costs_more():
    recipe, state, loader = begin(madry2018towards.small)
    batch = make_batch(next(iter(loader)), 0, 0, CPU.device)
    none = replace(recipe, objective=replace(recipe.objective, attack=replace(recipe.objective.attack, num_steps=0)))
    attacked = compare_steps(recipe, state, copy.deepcopy(state.model), batch, CPU, rounds=3, seconds=0.2)
    plain = compare_steps(none, state, copy.deepcopy(state.model), batch, CPU, rounds=3, seconds=0.2)
    assert attacked.medians[0] > 3 * plain.medians[0]
    assert attacked.medians[1] > 3 * plain.medians[1]
    assert 0.7 < attacked.ratio[0] < 1.6


def test_the_ratio_is_that_of_each_round():
    assert Cost((2.0, 30.0, 8.0), (1.0, 10.0, 2.0)).ratio == (3.0, 0.5)
    assert Cost((2.0,), (1.0,)).ratio == (2.0, 0.0)


def test_so_many_steps_are_taken_over_as_many_epochs_as_that_needs():
    recipe, state, loader = begin(baseline.small)
    stretch = run_steps(recipe, state, loader, CPU, steps=7)
    assert state.step == stretch.steps == 7
    assert state.epoch == 2
    assert 0 <= stretch.waiting < 1


# More than the 32 MiB below which the C library may hand out again what was freed before, unseen from outside.
ALWAYS_NEW = 2**24  # float32 numbers: 64 MiB


def test_memory_that_is_kept_is_seen():
    class Leaking(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.kept = inner, []

        def forward(self, images):
            if state.step % 5 == 4:
                self.kept.append(torch.ones(ALWAYS_NEW))
            return self.inner(images)

    recipe, state, loader = begin(baseline.small)
    state.parallel = Leaking(state.parallel)
    stretch = run_steps(recipe, state, loader, CPU, steps=40)
    assert len(state.parallel.kept) == 8
    assert stretch.late - stretch.early > 360


def test_what_a_process_holds_follows_what_it_allocates():
    before = held(CPU)
    kept = torch.ones(8 * ALWAYS_NEW)
    assert held(CPU) - before > 360
    del kept


def test_the_command_prints_what_it_found(capsys):
    fields = "--batch_size=32 --num_images=64 --device=cpu"
    assert main(["madry2018towards", "small", *fields.split(), "--steps", "4", "--rounds", "2"]) == 0
    said = capsys.readouterr().out
    assert "python -m train.bench madry2018towards small" in said
    assert "10 forward passes with gradients of the images" in said
    assert re.search(r"a step of the recipe, \d\.\d{3} ± \d\.\d{3} times that, 2 rounds", said)
    assert re.search(r"of the time of 4 steps went into waiting", said)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["baselin", "small"], "recipe 'baselin' is unknown"),
        (["baseline", "small", "--steps", "1"], "--steps must be 2 or more"),
        (["baseline", "small", "--lrr", "1"], "--lrr is no field"),
        (["baseline", "small", "--batch_size", "100000"], "100000"),
    ],
)
def test_mistakes_are_one_line(words, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        main([*words, "--device", "cpu"] if words[0] == "baseline" else words)
