"""The recipes that mix hidden values: they train on every kind of small network, overfit, and go on exactly."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.training import ALONE, StopAt, assert_same, coloured, coloured_sources, new_training, weights
from train.cli.main import find_recipe
from train.data.sources import Sources
from train.loop.epochs import fit, make_batch, train_step
from train.recipe import Recipe
from train.recipes import demo

ROOT = Path(__file__).parents[3]
# The variants whose objectives differ in what they remember or how they reach into the network. NoisyMix, whose views
# take seconds to build, is in test_recipes.py and test_noisy_feature_mixup.py.
KINDS = [
    ("verma2019manifold", "small"),
    ("zou2023mixupe", "exact"),
    ("lim2022noisy", "small"),
    ("venkataramanan2023multimix", "distilled"),
    ("venkataramanan2023multimix", "small_dense"),
]


def tiny(name: str, variant: str, model: str = "preact_resnet8_w4") -> Recipe:
    """The objective of a recipe on coloured images: a few short epochs."""
    return replace(
        demo.recipe,
        objective=find_recipe(name, variant)[1].objective,
        mix=None,
        model=model,
        num_epochs=3,
        batch_size=16,
        lr=0.1,
        ema_decay=0.8,
        precision="float32",
    )


@pytest.mark.parametrize("model", ["preact_resnet8_w4", "preact_resnet18_w4", "resnet18"])
@pytest.mark.parametrize(("name", "variant"), KINDS)
def test_three_steps_move_every_small_network(name: str, variant: str, model: str) -> None:
    recipe = replace(tiny(name, variant, model), batch_size=8)
    training = new_training(recipe, coloured_sources(count=32))
    before = [parameter.clone() for parameter in training.state.model.parameters()]
    for raw, _ in zip(training.train, range(3), strict=False):
        train_step(recipe, training.state, make_batch(raw, 0, training.state.step, ALONE.device), ALONE)
    after = list(training.state.model.parameters())
    assert all(bool(parameter.isfinite().all()) for parameter in after)
    assert sum(not bool((new == old).all()) for new, old in zip(after, before, strict=True)) > len(after) / 2


@pytest.mark.parametrize(("name", "variant"), KINDS)
def test_they_overfit_sixty_four_images(name: str, variant: str) -> None:
    recipe = tiny(name, variant, "preact_resnet8_w8")
    recipe = replace(recipe, augment=False, num_epochs=30, ema_decay=None, lr=0.05, weight_decay=0.0)
    training = new_training(recipe, Sources("cifar", coloured(64), coloured(64), 4))
    assert fit(training, lambda best: None, lambda row: None)
    assert training.state.history[-1]["accuracy"] > 0.95


@pytest.mark.parametrize(("name", "variant"), KINDS)
def test_a_run_that_was_stopped_ends_with_the_same_weights(name: str, variant: str) -> None:
    recipe = replace(tiny(name, variant), num_epochs=2, batch_size=8)
    whole, stopped, resumed = (new_training(recipe, coloured_sources(count=16)) for _ in range(3))
    assert fit(whole, lambda best: None, lambda row: None)
    stopped.stop = StopAt(stopped.state, 3)
    saved: list[dict[str, Any]] = []
    assert not fit(
        stopped, lambda best: saved.append(stopped.state.to_checkpoint(stopped.train, ALONE)), lambda row: None
    )
    assert saved[-1]["step"] == 3
    resumed.state.load_checkpoint(saved[-1], resumed.train, ALONE)
    assert fit(resumed, lambda best: None, lambda row: None)
    assert_same(weights(resumed.state), weights(whole.state))
    assert_same(resumed.state.objective.state_dict(), whole.state.objective.state_dict())


# What one process of two does: three steps of each objective on images of its own.
WORKER = """
import sys, torch
from tests.helpers.nets import make_batch, preact
from train.machine.distributed import data_parallel, open_world
from train.objectives import ManifoldMixup, MixupE, MultiMix, NoisyFeatureMixup

with open_world("cpu") as world:
    rank, layers, found = world.rank, [], {}
    for objective in (
        ManifoldMixup(),
        MixupE(version=1),
        NoisyFeatureMixup(stages=("input", "stage1", "stage2")),
        MultiMix(num_tuples=16, dense=True, chunk_size=64, input_prob=0, teacher_weight=0.5),
    ):
        model = preact()
        state = objective.setup(model, 100, 5)
        parallel = data_parallel(model, world)
        generator = torch.Generator().manual_seed(rank)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(6):
            batch = make_batch(seed=10 * step + rank)
            draws = objective.draw(batch, generator)
            if isinstance(objective, ManifoldMixup):
                layers.append(int(draws["layer"]))
            loss, _ = objective(parallel, batch, state, draws)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            objective.after_step(model, batch, state)
        found[type(objective).__name__] = dict(model.named_parameters())
        if hasattr(state, "teacher"):
            found["teacher"] = dict(state.teacher.named_parameters())
    torch.save({"layers": layers, "found": found}, f"{sys.argv[1]}/{rank}.pt")
"""


def test_processes_that_mix_at_different_layers_learn_the_same(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, str(tmp_path / "worker.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert first["layers"] != second["layers"]
    for name, parameters in first["found"].items():
        assert_same(second["found"][name], parameters)
