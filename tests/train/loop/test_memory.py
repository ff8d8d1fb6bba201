"""The memory that a run will take, by estimate: its parts against what is known of them, and the whole measured."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pipelines.sources.source import Source
from tests.helpers.training import ALONE, TINY, coloured_sources, new_training
from train.attacks import PGD
from train.files.manifest import add_start
from train.loop import memory
from train.loop.memory import Estimate, activations, estimate_memory, file_memory, state_per_weight
from train.machine.distributed import World
from train.machine.memory import free_on_host, held
from train.machine.run import Run
from train.objectives import TRADES
from train.optim import LAMB, SGD, AdamW

GIB = 2**30
ESTIMATE = Estimate(
    holds=GIB, host={"activations": 3 * GIB, "gradients": GIB}, device={}, free_on_host=5 * GIB, free_on_device=0
)


def test_activations_are_what_each_layer_keeps_of_each_image() -> None:
    # Of 8 x 8 pixels: 5 channels that the ReLU keeps its output in, which the next layer shares; 2 numbers come out.
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 2, 8), nn.Flatten())
    fixed, each = activations(network, (8, 8), "float32")
    assert (fixed, each) == (0, 4 * (5 * 64 + 2))


def test_to_look_changes_neither_the_network_nor_the_draws() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(144, 2))
    before, draws = {name: value.clone() for name, value in network.state_dict().items()}, torch.get_rng_state()
    activations(network.eval(), (8, 8), "float32")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), draws)
    assert not network.training


@pytest.mark.parametrize(
    ("optimizer", "times"), [(SGD(), 1), (SGD(momentum=0), 0), (AdamW(), 2), (LAMB(), 2)], ids=lambda one: str(one)[:20]
)
def test_an_optimiser_keeps_so_many_numbers_a_weight(optimizer: object, times: int) -> None:
    assert state_per_weight(optimizer, 0.1) == times  # type: ignore[arg-type]


def test_a_batch_of_files_is_decoded_by_its_share_and_read_ahead(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    for path in paths[:2]:
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path)
    Path(paths[2]).write_text("no image")
    files, pixels = file_memory(Source(paths, [0, 1, 0]), 10, 0.5, (8, 8))
    assert files == 2 * 10 * Path(paths[0]).stat().st_size
    assert pixels == 10 * 3 * (300 + 64)
    assert file_memory(coloured_sources().train, 10, 0.5, (8, 8)) == (0, 0)


def test_what_is_free_is_what_the_machine_or_the_group_has_left(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    job = groups / "slurm" / "job"
    (proc / "self").mkdir(parents=True)
    job.mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 4000 kB\nMemAvailable: 3000 kB\n")
    assert free_on_host(proc, groups) == 3000 * 1024
    (proc / "self" / "cgroup").write_text("0::/slurm/job\n")
    (job / "memory.max").write_text("max\n")
    (job / "memory.stat").write_text("anon 1\nfile 5\n")
    assert free_on_host(proc, groups) == 3000 * 1024
    (job.parent / "memory.max").write_text("2000000\n")
    (job.parent / "memory.stat").write_text("anon 500000\nfile 900000\n")
    assert free_on_host(proc, groups) == 1_500_000
    assert free_on_host() > 0
    assert held() > 2**20


def test_too_little_memory_is_told_before_the_start() -> None:
    assert ESTIMATE.fits
    (line,) = ESTIMATE.lines()
    assert line.startswith("memory by estimate: 4.0 GiB (activations 3.0 GiB, gradients 1.0 GiB), beside 1.0 GiB held")
    assert "5.0 GiB free; not counted: what kernels borrow for a moment" in line
    two = replace(ESTIMATE, processes=2)
    assert "in each of 2 processes" in two.lines()[0]
    on_gpu = replace(ESTIMATE, host={}, device={"activations": 9 * GIB}, free_on_device=8 * GIB)
    for one in (two, on_gpu):
        assert not one.fits
        assert one.lines()[-1].startswith("warning: that is more than there is; a smaller --batch_size")
    assert on_gpu.lines()[1].startswith("GPU memory by estimate: 9.0 GiB")


def test_a_gpu_holds_what_is_computed_and_the_host_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    training = new_training()
    monkeypatch.setattr(memory, "free_on_gpu", lambda device: GIB)
    found = estimate_memory(TINY, Run(), coloured_sources(), training.state, World(torch.device("cuda", 0)))
    assert found.device.keys() >= {"activations", "gradients", "optimiser", "batches ahead", "batch"}
    assert found.host.keys() == {"files and pixels"}
    assert found.fits
    on_cpu = estimate_memory(TINY, Run(), coloured_sources(), training.state, ALONE)
    assert on_cpu.device == {}
    assert on_cpu.host["activations"] == found.device["activations"]


def test_parts_prefetch_and_further_passes_are_told(tmp_path: Path) -> None:
    training, sources = new_training(), coloured_sources()
    whole = estimate_memory(TINY, Run(prefetch=4), sources, training.state, ALONE).host
    halves = estimate_memory(TINY, Run(parts=2), sources, training.state, ALONE).host
    assert whole["activations"] == pytest.approx(2 * halves["activations"], rel=0.01)
    assert whole["batches ahead"] > 2 * halves["batches ahead"]
    recipe = replace(TINY, mix=None, objective=TRADES(attack=PGD(eps=0.1, step_size=0.1, num_steps=1), beta=6))
    found = estimate_memory(recipe, Run(), sources, training.state, ALONE)
    assert found.left_out[-1] == "passes of TRADES beside the first"
    add_start(tmp_path, ALONE, 0, found.plain())
    stored = json.loads((tmp_path / "manifest.json").read_text())[0]["memory"]
    assert stored["host"] == found.host
    assert stored["not_counted"] == list(found.left_out)


class Refusing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise KeyError(f"{len(images)} images")


def test_a_network_that_takes_no_empty_images_ends_no_run() -> None:
    training = new_training()
    training.state.model = Refusing()
    found = estimate_memory(TINY, Run(), coloured_sources(), training.state, ALONE)
    assert "activations" not in found.host
    assert found.left_out[-1] == "activations ('2 images')"


# Trains, and prints what it held at the estimate, what the estimate was and what it held at most.
MEASURED = """
import json, resource, sys
from pathlib import Path
from train.cli.main import main

assert main(sys.argv[1:]) == 0
place = Path(sys.argv[sys.argv.index("--folder") + 1]) / "run" / "manifest.json"
memory = json.loads(place.read_text())[0]["memory"]
peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([memory["holds"], sum(memory["host"].values()), peak]))
"""


@pytest.mark.long
@pytest.mark.parametrize("kind", ["files", "memory"])
def test_a_run_takes_what_was_estimated_within_a_factor_of_two(tmp_path: Path, kind: str) -> None:
    words = ["imagenet_rn50", "small", "--schedule.warmup", "0", "--size", "96", "96", "--batch_size", "64"]
    if kind == "files":
        rng = np.random.default_rng(0)
        for number in range(160):
            path = tmp_path / "data" / ("train" if number < 128 else "val") / "ab"[number % 2] / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (160, 200, 3), dtype=np.uint8)).save(path)
        words += ["--root", str(tmp_path / "data")]
    else:
        words += ["--data", "cifar", "--num_images", "128", "--crop_area", "None"]
    words += ["--num_epochs", "1", "--precision", "float32", "--num_threads", "1", "--device", "cpu"]
    words += ["--folder", str(tmp_path / "runs"), "--name", "run"]
    done = subprocess.run([sys.executable, "-c", MEASURED, *words], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    holds, estimate, peak = json.loads(done.stdout.splitlines()[-1])
    assert estimate / 2 < peak - holds < 2 * estimate
