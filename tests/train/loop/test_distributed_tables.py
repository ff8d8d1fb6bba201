"""Objectives that look beyond their own images: two processes compute what one does with the whole batch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.processes import torchrun
from tests.helpers.training import ALONE, assert_same, write_cifar
from train.machine.distributed import World, data_parallel
from train.objectives import NeighborConsistency, Objective, SelfAdaptiveTraining
from train.objectives.batch import Batch

COMPARED = {
    "targets": SelfAdaptiveTraining(start=1, momentum=0.6, reverse=0.3),
    "neighbours": NeighborConsistency(start=1, num_neighbors=6, gamma=2.0),
}


def objective_steps(objective: Objective, world: World) -> dict[str, Tensor]:
    """Four steps on 24 images that the processes share: weights and memory after them."""
    # Without batch norm, whose statistics each process takes of its own images.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).double()
    parallel = data_parallel(model, world)
    state = objective.setup(model, 24, 5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    torch.manual_seed(1)
    images, labels = torch.rand(24, 3, 8, 8).double(), torch.randint(5, (24,))
    for step in range(4):
        # Every step shares the images among the processes anew.
        index = torch.randperm(24, generator=torch.Generator().manual_seed(step))[world.rank :: world.size]
        batch = Batch(
            epoch=step, step=step, images=images[index], index=index.int(), targets=F.one_hot(labels[index], 5).double()
        )
        loss, _ = objective(parallel, batch, state)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {**model.state_dict(), **{f"state.{name}": value for name, value in state.state_dict().items()}}


# What one of the two does; it leaves what it found in a file of its own.
WORKER = """
import sys, torch
from dataclasses import replace
from tests.train.loop.test_distributed_tables import COMPARED, objective_steps
from tests.helpers.training import TINY
from train.data.loaders import train_loader, val_loader
from train.data.sources import prepare_sources, read_sources
from train.machine.distributed import open_world
from train.loop.epochs import Training, fit
from train.objectives import SelfAdaptiveTraining, SelfSupervisedTraining
from train.machine.run import Run
from train.loop.state import new_state

root, out = sys.argv[1:]


def loop_run(objective, world):
    recipe = replace(TINY, mix=None, objective=objective, num_epochs=2)
    run = Run(root=root, num_threads=1)
    sources = prepare_sources(recipe, read_sources("cifar", root), root)
    batches = train_loader(recipe, run, sources, world, recipe.objective.outputs)
    state = new_state(recipe, sources, world, len(batches))
    training = Training(recipe, state, batches, val_loader(recipe, run, sources, world), world)
    saved = []
    fit(training, lambda best: saved.append(state.to_checkpoint(batches, world)), lambda row: None)
    learned = {name: value.detach() for name, value in state.objective.named_parameters()}
    return {"model": state.model.state_dict(), "objective": saved[-1]["objective"], "learned": learned,
            "mine": state.objective.state_dict()}


with open_world("cpu") as world:
    results = {name: objective_steps(objective, world) for name, objective in COMPARED.items()}
    results["loop targets"] = loop_run(SelfAdaptiveTraining(start=0), world)
    results["loop heads"] = loop_run(SelfSupervisedTraining(hidden=8, size=4), world)
    torch.save(results, f"{out}/{world.rank}.pt")
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """What each of the two processes found."""
    tmp = tmp_path_factory.mktemp("tables")
    data = str(write_cifar(tmp / "data", 80, 23))
    (tmp / "worker.py").write_text(WORKER)
    done = torchrun(str(tmp / "worker.py"), data, str(tmp))
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(tmp / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("objective", COMPARED)
def test_two_processes_learn_what_one_does_with_the_whole_batch(
    results: list[dict[str, dict[str, Tensor]]], objective: str
) -> None:
    first, second = (result[objective] for result in results)
    assert_same(first, second)
    alone = objective_steps(COMPARED[objective], ALONE)
    for name, value in alone.items():
        torch.testing.assert_close(
            first[name], value, rtol=1e-9, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_every_process_has_the_whole_table_and_the_checkpoint_too(
    results: list[dict[str, dict[str, Tensor]]],
) -> None:
    for run in ("loop targets", "loop heads"):
        first, second = (result[run] for result in results)
        assert_same(first["model"], second["model"])
        assert_same(first["learned"], second["learned"])
        tables = [name for name in first["mine"] if name.endswith(("targets", "moved"))]
        assert len(tables) == 2
        for name in tables:
            assert torch.equal(first["mine"][name], second["mine"][name])
            assert torch.equal(first["objective"][name], first["mine"][name])
        moved = next(first["mine"][name] for name in tables if name.endswith("moved"))
        assert moved.shape == (80,)
        assert bool(moved.all())
