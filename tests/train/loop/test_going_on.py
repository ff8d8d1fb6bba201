"""A stopped run goes on: to the same bytes under the same circumstances, and otherwise in plain sight."""

from __future__ import annotations

import io
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests.helpers.training import ALONE, TINY, assert_same, new_training, write_cifar
from train.files import checkpoint
from train.loop.runner import train_recipe
from train.machine.run import Run

RECIPE = replace(TINY, num_epochs=2)
INEXACT = "no longer equal to the byte to the run that was not stopped"


class StopsAfter(io.StringIO):
    """A terminal at which somebody stops the command as soon as it says a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def write(self, text: str) -> int:
        if self.text in text:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().write(text)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_cifar(tmp_path_factory.mktemp("going on") / "data", 80, 20))


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(folder: Path, root: str, *, threads: int = 1, stop: str = "", recipe: Any = RECIPE, **run: Any) -> list[str]:
    """Train, or go on -> the lines it says."""
    said = StopsAfter(stop) if stop else io.StringIO()
    place = Run(**{"root": root, "folder": str(folder), "device": "cpu", "num_threads": 1, **run})
    with torch_threads(threads):
        code = train_recipe("tiny", recipe, place, overrides=[], console=Console(file=said, width=500))
    assert code == (128 + signal.SIGTERM if stop else 0)
    return said.getvalue().splitlines()


@pytest.fixture(scope="module")
def whole(root: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole")
    train(folder, root)
    return checkpoint.load(folder / "tiny" / "last.pt")


@pytest.fixture(scope="module")
def half(root: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was stopped after its first epoch."""
    folder = tmp_path_factory.mktemp("half")
    train(folder, root, stop="epoch 1/2")
    return folder / "tiny"


def weights(path: Path) -> dict[str, Any]:
    return checkpoint.load(path)["model"]


def test_under_the_same_circumstances_it_ends_with_the_same_bytes_and_says_nothing(
    tmp_path: Path, root: str, half: Path, whole: dict[str, Any]
) -> None:
    shutil.copytree(half, tmp_path / "tiny")
    # The threads of the pipeline change no byte.
    lines = train(tmp_path, root, num_threads=2, exact=True)
    assert any("goes on in" in line for line in lines)
    assert not any(INEXACT in line for line in lines)
    assert_same(weights(tmp_path / "tiny" / "last.pt"), whole["model"])


def test_with_another_number_of_threads_it_goes_on_and_says_so_or_is_refused(
    tmp_path: Path, root: str, half: Path
) -> None:
    shutil.copytree(half, tmp_path / "tiny")
    before = (tmp_path / "tiny" / "last.pt").read_bytes()
    with pytest.raises(ValueError, match=f"2 threads instead of 1: {INEXACT}; start it as it was before"):
        train(tmp_path, root, threads=2, exact=True)
    assert (tmp_path / "tiny" / "last.pt").read_bytes() == before
    lines = train(tmp_path, root, threads=2)
    assert f"goes on with 2 threads instead of 1: {INEXACT}" in lines
    content = checkpoint.load(tmp_path / "tiny" / "last.pt")
    assert content["finished"]
    assert content["changed"] == ["2 threads instead of 1"]
    assert [folder.name for folder in tmp_path.iterdir()] == ["tiny"]


@pytest.mark.parametrize("package", ["torch", "dali"])
def test_after_an_upgrade_it_goes_on_and_says_so(tmp_path: Path, root: str, half: Path, package: str) -> None:
    shutil.copytree(half, tmp_path / "tiny")
    path = tmp_path / "tiny" / "last.pt"
    content = checkpoint.load(path)
    content["identity"]["versions"][package] = "2.1.0"
    if package == "dali":
        content["ranks"][0]["loader"]["dali"] = "2.1.0"
    checkpoint.save(path, content)
    with pytest.raises(ValueError, match=rf"instead of 2\.1\.0: {INEXACT}"):
        train(tmp_path, root, exact=True)
    lines = train(tmp_path, root)
    assert any("instead of 2.1.0" in line and INEXACT in line for line in lines)
    assert any("images come in another order" in line for line in lines) == (package == "dali")
    assert checkpoint.load(path)["finished"]


def test_a_checkpoint_elsewhere_is_gone_on_with_to_the_same_bytes(
    tmp_path: Path, root: str, half: Path, whole: dict[str, Any]
) -> None:
    files = {path.name: path.read_bytes() for path in half.glob("*.*") if path.is_file()}
    lines = train(tmp_path / "new", root, resume=half, exact=True)
    assert f"goes on from {half / 'last.pt'} after epoch 1, step 0 and writes to {tmp_path / 'new/tiny'}" in lines
    new = tmp_path / "new" / "tiny"
    assert_same(weights(new / "last.pt"), whole["model"])
    assert checkpoint.load(new / "best.pt")["history"][-1]["ema_accuracy"] == whole["best"]
    assert len((new / "metrics.jsonl").read_text().splitlines()) == 1 + RECIPE.num_epochs
    assert files == {path.name: path.read_bytes() for path in half.glob("*.*") if path.is_file()}


def test_the_best_epoch_of_a_run_elsewhere_is_brought_along_or_missed_aloud(
    tmp_path: Path, root: str, half: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(half, old)
    # No later epoch is better than that.
    contents = {name: checkpoint.load(old / name) for name in ("last.pt", "best.pt")}
    for name, content in contents.items():
        content["best"] = content["history"][-1]["ema_accuracy"] = 2.0
        checkpoint.save(old / name, content)
    train(tmp_path / "with", root, resume=old)
    assert checkpoint.load(tmp_path / "with" / "tiny" / "best.pt")["epoch"] == 1
    contents["last.pt"]["history"].insert(0, {"epoch": 0, "ema_accuracy": 0.1})
    contents["last.pt"]["history"][-1]["ema_accuracy"] = 0.2
    checkpoint.save(old / "last.pt", contents["last.pt"])
    lines = train(tmp_path / "without", root, resume=old)
    assert any("has no best.pt beside it; one is written once an epoch is above 200.00%" in line for line in lines)
    assert not (tmp_path / "without" / "tiny" / "best.pt").exists()
    assert "best.pt" not in lines[-1]


def test_images_go_on_in_a_new_order_where_the_loader_s_state_does_not_fit() -> None:
    training = new_training()
    batches = iter(training.train)
    next(batches), next(batches)
    saved = training.state.to_checkpoint(training.train, ALONE)
    saved["ranks"][0]["loader"]["dali"] = "0"
    other = new_training()
    with pytest.raises(ValueError, match="of another loader: its dali"):
        other.state.load_checkpoint(saved, other.train, ALONE)
    assert not other.state.load_checkpoint(saved, other.train, ALONE, exact=False)
    # As many as were left of the epoch.
    assert len(list(other.train)) == len(other.train) - 2
    assert len(list(other.train)) == len(other.train)


def test_the_draws_of_another_device_are_begun_anew_and_alike_every_time() -> None:
    training = new_training()
    saved = training.state.to_checkpoint(training.train, ALONE)
    saved["ranks"][0] |= {"cuda": torch.zeros(16, dtype=torch.uint8), "generator": torch.zeros(16, dtype=torch.uint8)}
    drawn = []
    for _ in range(2):
        other = new_training(TINY)
        assert other.state.load_checkpoint(saved, other.train, ALONE, exact=False)
        drawn.append(torch.rand(4, generator=other.state.generator))
    assert torch.equal(*drawn)
    fresh = new_training(TINY)
    assert not torch.equal(drawn[0], torch.rand(4, generator=fresh.state.generator))
