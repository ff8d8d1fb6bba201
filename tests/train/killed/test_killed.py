"""A run in two processes, killed at random moments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.helpers.processes import ROOT
from train.files import checkpoint
from train.killed.run import Arguments, find_differences

SETTINGS = ["--kills", "2", "--num_epochs", "2", "--num_images", "256", "--save_seconds", "0.05", "--seed", "1"]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("killed") / "runs"
    command = [sys.executable, "-m", "train.killed", *SETTINGS, "--folder", str(folder)]
    return folder, subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=250)


def test_it_ends_with_the_bytes_and_the_images_of_the_one_left_alone(
    said: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = said
    assert done.returncode == 0, done.stdout + done.stderr
    assert "weights, averages, optimiser, numbers of every epoch and images of every step are the same" in done.stdout
    assert len((folder / "killed" / "seen-1.jsonl").read_text().splitlines()) >= 16


def test_whatever_differs_is_found(said: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = said
    asked = Arguments(folder=folder)
    assert find_differences(asked) == []
    path = folder / "killed" / "killed" / "last.pt"
    content = checkpoint.load(path)
    content["model"] = {name: torch.zeros_like(value) for name, value in content["model"].items()}
    content["history"][0]["accuracy"] = 2.0
    checkpoint.save(path, content)
    log = folder / "killed" / "seen-1.jsonl"
    log.write_text(log.read_text() + '{"epoch": 0, "step": 3, "index": [1, 2]}\n{"epoch": 0, "step"')
    assert find_differences(asked) == ["model of last.pt", "the numbers of an epoch", "rank 1, step 3: the images"]
