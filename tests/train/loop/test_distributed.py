"""Two processes train one network: each on its own images, all counted once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.helpers.processes import torchrun
from tests.helpers.training import assert_same, write_cifar
from train.files import checkpoint

ROOT = Path(__file__).parents[3]

# What one process of two does; it leaves what it saw and learned in a file of its own.
WORKER = """
import sys, torch
from dataclasses import replace
from tests.helpers.training import TINY
from train.data.loaders import train_loader, val_loader
from train.data.sources import read_sources
from train.machine.distributed import open_world
from train.loop.epochs import Training, fit
from train.machine.run import Run
from train.loop.state import new_state
from tests.train.loop.test_loop import Recorder

root, out = sys.argv[1:]
recipe = replace(TINY, objective=Recorder(writes=False), num_epochs=2)
run = Run(root=root, num_threads=1)
with open_world("cpu") as world:
    sources = read_sources("cifar", root)
    batches = train_loader(recipe, run, sources, world, recipe.objective.outputs)
    state = new_state(recipe, sources, world, len(batches))
    training = Training(recipe, state, batches, val_loader(recipe, run, sources, world), world)
    seen = []
    fit(training, lambda best: seen.append(state.objective.seen.clone()), lambda row: None)
    torch.save({"seen": seen, "model": state.model.state_dict(), "ema": state.ema.module.state_dict(),
                "history": state.history, "own": len(training.held_out)}, f"{out}/{world.rank}.pt")
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    # 80 images: 40 each; 23 held out, so that the shares differ.
    return str(write_cifar(tmp_path_factory.mktemp("distributed") / "data", 80, 23))


def test_two_processes_see_disjoint_images_and_learn_the_same(data: str, tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    done = torchrun(str(tmp_path / "worker.py"), data, str(tmp_path))
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    seen = first["seen"][0] + second["seen"][0]
    assert seen.max() == 1
    assert seen.sum() == 80
    assert first["seen"][0].sum() == second["seen"][0].sum() == 40
    for part in ("model", "ema"):
        for name, value in first[part].items():
            assert torch.equal(value, second[part][name]), name
    assert [row["held_out_images"] for row in first["history"]] == [23, 23]
    for mine, other in zip(first["history"], second["history"], strict=True):
        assert (mine["accuracy"], mine["loss"], mine["train_loss"]) == (
            other["accuracy"],
            other["loss"],
            other["train_loss"],
        )


def test_no_thread_of_the_group_is_left_when_it_ends(tmp_path: Path) -> None:
    """One that still wants Python while Python ends aborts the process."""
    (tmp_path / "worker.py").write_text(
        """
import os, sys, torch
from train.machine.distributed import data_parallel, open_world

def threads():
    return sorted(open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task"))

def work(world):
    model = data_parallel(torch.nn.Linear(2, 2), world)
    model(torch.ones(3, 2)).sum().backward()
    world.gather(world.rank)
    return threads()

before = threads()
with open_world("cpu") as world:
    during = work(world)
assert any("gloo" in name for name in during), during
assert not any("gloo" in name for name in threads()), (before, threads())
"""
    )
    done = torchrun(str(tmp_path / "worker.py"))
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_command_runs_under_torchrun(data: str, tmp_path: Path) -> None:
    words = ["-m", "train", "demo", "--root", data, "--folder", str(tmp_path), "--model", "preact_resnet8_w4"]
    words += ["--device", "cpu", "--num_threads", "1", "--num_epochs", "2"]
    done = torchrun(*words, "--batch_size", "16")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("epoch 2/2") == 1
    content = checkpoint.load(tmp_path / "demo" / "last.pt")
    assert (content["finished"], content["processes"], len(content["ranks"])) == (True, 2, 2)
    assert content["history"][-1]["held_out_images"] == 23
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]

    refused = torchrun(*words, "--batch_size", "15")
    assert refused.returncode != 0
    assert refused.stderr.count("error: batch_size 15 does not divide among 2 processes") == 1


def words(data: str, folder: Path, **settings: object) -> list[str]:
    named = {"root": data, "folder": folder, "model": "preact_resnet8_w4", "device": "cpu", "num_threads": 1}
    found = ["-m", "train", "demo"]
    return found + [text for name, value in {**named, **settings}.items() for text in (f"--{name}", str(value))]


@pytest.mark.long
def test_the_validation_of_a_run_is_the_same_in_one_to_four_processes(data: str, tmp_path: Path) -> None:
    """Each goes on with a run that was stopped when all its training was done, and its validation was not."""
    settings = {"num_epochs": 1, "batch_size": 24, "precision": "float32", "save_every": 1e-9}
    done = torchrun(*words(data, tmp_path / "first", **settings))
    assert done.returncode == 0, done.stderr[-3000:]
    start = tmp_path / "first" / "demo" / "last-2.pt"
    assert checkpoint.load(start)["epoch_step"] == 3
    rows = []
    for processes in range(1, 5):
        folder = tmp_path / str(processes)
        done = torchrun(*words(data, folder, resume=start, **settings), processes=processes)
        assert done.returncode == 0, done.stderr[-3000:]
        assert ("instead of 2: no longer equal" in done.stdout) == (processes != 2)
        row = checkpoint.load(folder / "demo" / "last.pt")["history"][0]
        rows.append(
            {name: value for name, value in row.items() if name not in ("images_per_second", "waiting", "seconds")}
        )
    assert rows[0]["held_out_images"] == 23
    assert all(row == rows[0] for row in rows), rows


@pytest.mark.long
def test_two_machines_train_as_two_processes_of_one_do(data: str, tmp_path: Path) -> None:
    """Two agents of torchrun that find each other, here on one machine; and two tasks of SLURM."""
    settings = {"num_epochs": 2, "batch_size": 16}
    assert torchrun(*words(data, tmp_path / "one", **settings)).returncode == 0
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    meet = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "two"]
    meet += ["--rdzv-endpoint", f"localhost:{free_port()}"]
    agents = [sys.executable, "-m", "torch.distributed.run", *meet, *words(data, tmp_path / "agents", **settings)]
    run_both(agents, [environment] * 2)
    tasks = {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}
    tasks |= {"SLURM_STEP_NODELIST": "localhost", "SLURM_NODEID": "0", "MASTER_PORT": str(free_port())}
    ranks = [{**environment, **tasks, "SLURM_PROCID": rank, "SLURM_LOCALID": rank} for rank in ("0", "1")]
    run_both([sys.executable, *words(data, tmp_path / "tasks", **settings)], ranks)
    expected = checkpoint.load(tmp_path / "one" / "demo" / "last.pt")
    for name in ("agents", "tasks"):
        assert [path.name for path in (tmp_path / name).iterdir()] == ["demo"]
        found = checkpoint.load(tmp_path / name / "demo" / "last.pt")
        assert found["processes"] == 2
        assert_same(found["model"], expected["model"])


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def run_both(command: list[str], environments: list[dict[str, str]]) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, cwd=ROOT, env=one, **pipes) for one in environments]  # type: ignore[call-overload]
    said = [process.communicate(timeout=200) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
