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

    def __init__(self, text: str, number: int) -> None:
        super().__init__()
        self.text, self.number = text, number

    def write(self, text: str) -> int:
        if self.text in text:
            os.kill(os.getpid(), self.number)
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


def train(
    folder: Path,
    root: str,
    *,
    threads: int = 1,
    stop: str = "",
    by: int = signal.SIGTERM,
    recipe: Any = RECIPE,
    **run: Any,
) -> list[str]:
    """Train, or go on -> the lines it says."""
    said = StopsAfter(stop, by) if stop else io.StringIO()
    place = Run(**{"root": root, "folder": str(folder), "device": "cpu", "num_threads": 1, **run})
    with torch_threads(threads):
        code = train_recipe("tiny", recipe, place, overrides=[], console=Console(file=said, width=500))
    assert code == (128 + by if stop else 0)
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


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


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


def test_once_a_finished_run_is_shown_and_without_its_folder_it_is_trained_anew(
    tmp_path: Path, root: str, half: Path, whole: dict[str, Any]
) -> None:
    shutil.copytree(half, tmp_path / "tiny")
    first = train(tmp_path, root, once=True)
    assert any("goes on in" in line for line in first)
    before = written(tmp_path / "tiny")
    # Threads and versions change bytes, not which run it is.
    for threads in (1, 2):
        lines = train(tmp_path, root, once=True, threads=threads)
        assert lines[0].startswith(f"{tmp_path / 'tiny'} is finished, and this is what it reached; delete the folder")
        assert set(lines[1:]) <= set(first)
        assert "last epoch" in "".join(lines)
    assert written(tmp_path / "tiny") == before
    assert [folder.name for folder in tmp_path.iterdir()] == ["tiny"]
    assert any("tiny-2 is new" in line for line in train(tmp_path, root))
    for folder in tmp_path.iterdir():
        shutil.rmtree(folder)
    train(tmp_path, root, once=True)
    assert_same(weights(tmp_path / "tiny" / "last.pt"), whole["model"])


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
        content["best"] = content["history"][-1]["ema_accuracy"] = 1.0
        checkpoint.save(old / name, content)
    train(tmp_path / "with", root, resume=old)
    assert checkpoint.load(tmp_path / "with" / "tiny" / "best.pt")["epoch"] == 1
    contents["last.pt"]["history"].insert(0, {"epoch": 0, "ema_accuracy": 0.1})
    contents["last.pt"]["history"][-1]["ema_accuracy"] = 0.2
    checkpoint.save(old / "last.pt", contents["last.pt"])
    lines = train(tmp_path / "without", root, resume=old)
    assert any("has no best.pt beside it; one is written once an epoch is above 100.00%" in line for line in lines)
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


@pytest.fixture(scope="module")
def often(root: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that saved in every step and was stopped in its second epoch."""
    folder = tmp_path_factory.mktemp("often")
    train(folder, root, stop="epoch 1/2", by=signal.SIGUSR1, save_every=1e-9, keep=3)
    return folder / "tiny"


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_the_last_checkpoints_are_of_one_step_after_the_other(often: Path) -> None:
    places = [(content["epoch"], content["epoch_step"]) for content in map(checkpoint.load, checkpoint.kept(often))]
    # Asked to stop when the first epoch was told: saved at its end, before that at the end of its steps, and within it.
    assert places == [(1, 0), (0, 5), (0, 4), (1, 0)]
    assert [path.name for path in checkpoint.kept(often)] == ["last.pt", "last-2.pt", "last-3.pt", "best.pt"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_damaged_checkpoints_are_named_and_the_newest_whole_one_is_gone_on_with_to_the_same_bytes(
    tmp_path: Path, root: str, often: Path, whole: dict[str, Any], number: int
) -> None:
    shutil.copytree(often, tmp_path / "tiny")
    (tmp_path / "tiny" / "best.pt").unlink()
    for path in checkpoint.kept(tmp_path / "tiny")[: number - 1]:
        damage(path)
    (tmp_path / "tiny" / "last-3.pt").rename(tmp_path / "tiny" / "last-9.pt")
    lines = train(tmp_path, root, exact=True, keep=3)
    start = ["last.pt", "last-2.pt", "last-9.pt"][number - 1]
    told = [line for line in lines if "is damaged" in line]
    assert len(told) == number - 1
    for line, name in zip(told, ["last.pt", "last-2.pt"], strict=False):
        assert f"{name} is damaged (its bytes are not those that were written) and is now {name}.damaged" in line
        assert line.endswith(f"goes on from {tmp_path / 'tiny' / start}, the newest that can be read")
        assert (tmp_path / "tiny" / f"{name}.damaged").is_file()
    assert_same(weights(tmp_path / "tiny" / "last.pt"), whole["model"])


def test_a_checkpoint_that_was_moved_away_leaves_those_before_it(
    tmp_path: Path, root: str, often: Path, whole: dict[str, Any]
) -> None:
    shutil.copytree(often, tmp_path / "tiny")
    (tmp_path / "tiny" / "last.pt").unlink()
    lines = train(tmp_path, root, exact=True)
    # The best one is of the end of the epoch, which is later.
    assert any(
        line.endswith(
            "holds no last.pt; goes on from " + str(tmp_path / "tiny/best.pt") + ", the newest that can be read"
        )
        for line in lines
    )
    assert_same(weights(tmp_path / "tiny" / "last.pt"), whole["model"])


def test_a_folder_without_a_whole_checkpoint_is_refused_in_one_line(tmp_path: Path, root: str, half: Path) -> None:
    shutil.copytree(half, tmp_path / "tiny")
    files = checkpoint.kept(tmp_path / "tiny")
    for path in files:
        damage(path)
    with pytest.raises(
        ValueError, match=r"^[^\n]*last\.pt cannot be read \([^\n]*, and neither can last-2\.pt and best\.pt; [^\n]*$"
    ):
        train(tmp_path, root)
    assert checkpoint.kept(tmp_path / "tiny") == files


def test_a_full_disk_stops_nothing_and_what_could_not_be_written_is_written_later(
    tmp_path: Path, root: str, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = checkpoint.save, list[str]()

    def save(path: Path, *arguments: Any, **settings: Any) -> None:
        calls.append(path.name)
        if 3 <= len(calls) <= 9:
            raise OSError(f"{path} cannot be written: No space left on device")
        write(path, *arguments, **settings)

    monkeypatch.setattr(checkpoint, "save", save)
    lines = train(tmp_path, root, save_every=1e-9)
    said = [line for line in lines if "written" in line]
    assert said == [
        f"{tmp_path / 'tiny/last.pt'} cannot be written: No space left on device; training goes on, and epoch 0, "
        "step 1 stays saved until there is room again",
        f"{tmp_path / 'tiny/last.pt'} is written again",
    ]
    assert calls[3:10].count("best.pt") > 1
    assert_same(weights(tmp_path / "tiny" / "last.pt"), whole["model"])
    assert checkpoint.load(tmp_path / "tiny" / "best.pt")["history"][-1]["ema_accuracy"] == whole["best"]


def test_a_disk_that_stays_full_ends_the_run_in_one_line_and_the_same_command_goes_on(
    tmp_path: Path, root: str, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace
    train(tmp_path, root, stop="writes to")

    def full(source: Any, target: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(
        OSError, match=r"^[^\n]*No space left on device; the same command goes on in [^\n]* after epoch 0, step 1$"
    ):
        train(tmp_path, root)
    assert not [path for path in (tmp_path / "tiny").iterdir() if path.name.endswith(".writing")]
    monkeypatch.setattr(os, "replace", real)
    train(tmp_path, root)
    assert_same(weights(tmp_path / "tiny" / "last.pt"), whole["model"])
    rows = (tmp_path / "tiny" / "metrics.jsonl").read_text().splitlines()
    assert len(rows) == 1 + RECIPE.num_epochs


def test_with_another_number_of_parts_the_same_batches_are_shared_out_anew(
    tmp_path: Path, root: str, often: Path
) -> None:
    """As with another number of processes, which share a batch as parts do."""
    shutil.copytree(often, tmp_path / "tiny")
    for name in ("last.pt", "best.pt"):
        (tmp_path / "tiny" / name).unlink()
    with pytest.raises(ValueError, match="2 parts of a batch instead of 1"):
        train(tmp_path, root, parts=2, exact=True)
    lines = train(tmp_path, root, parts=2)
    assert f"goes on with 2 parts of a batch instead of 1: {INEXACT}" in lines
    assert "from here, epoch 1, step 5, images come in another order" in lines
    content = checkpoint.load(tmp_path / "tiny" / "last.pt")
    assert (content["finished"], content["step"], content["parts"]) == (True, 10, 2)


def test_a_checkpoint_of_several_processes_is_gone_on_with_by_one() -> None:
    training = new_training()
    batches = iter(training.train)
    next(batches), next(batches)
    saved = training.state.to_checkpoint(training.train, ALONE) | {"epoch_step": 2, "step": 2}
    ranks = [saved["ranks"][0] | {"sums": {"loss": torch.tensor(total)}} for total in (3.0, 5.0)]
    other = new_training()
    assert not other.state.load_checkpoint({**saved, "ranks": ranks}, other.train, ALONE, exact=False)
    assert other.state.sums["loss"] == 4.0
    # As many as were left of the epoch, then whole ones.
    assert [len(list(other.train)) for _ in range(2)] == [len(other.train) - 2, len(other.train)]
    with pytest.raises(ValueError, match="another number of processes"):
        new_training().state.load_checkpoint({**saved, "ranks": ranks}, other.train, ALONE)
