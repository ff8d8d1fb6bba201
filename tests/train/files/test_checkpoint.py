"""Checkpoints and run folders: whole or not at all, never another's, and readable without running code."""

from __future__ import annotations

import fcntl
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests.helpers.training import ALONE, TINY, coloured_sources, new_training, write_cifar
from train.files import checkpoint
from train.files.folders import Claim, claim_folder
from train.loop.held_out import evaluate
from train.loop.runner import describe_run, train_recipe
from train.machine.run import Run
from train.machine.stop import Stop
from train.recipe import from_plain

RECIPE = replace(TINY, num_epochs=2)


def claim(runs: Path, name: str = "a", asked: bool = False, **changes: Any) -> tuple[str, bool]:
    identity = {**describe_run(RECIPE, coloured_sources(), ALONE)["identity"], **changes}
    with claim_folder(runs, name, Claim(identity=identity, settings=RECIPE), asked=asked) as folder:
        return folder.path.name, folder.resumes


def leave_run(path: Path, finished: bool) -> Path:
    path.mkdir(parents=True)
    facts = describe_run(RECIPE, coloured_sources(), ALONE)
    checkpoint.save(path / "last.pt", {**facts, "finished": finished})
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp = tmp_path_factory.mktemp("trained")
    root = write_cifar(tmp / "data", 80, 23)
    run = Run(root=str(root), folder=str(tmp / "runs"), device="cpu", num_threads=1)
    with open(tmp / "log", "w") as log:
        assert train_recipe("tiny", replace(TINY, lr=0.05), run, overrides=[], console=Console(file=log)) == 0
    return tmp / "runs" / "tiny"


def test_a_damaged_file_is_named(tmp_path: Path, trained: Path) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes((trained / "last.pt").read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"last\.pt is no readable checkpoint"):
        checkpoint.load(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"last\.pt is no readable checkpoint"):
        checkpoint.load(path)
    with pytest.raises(FileNotFoundError, match=r"best\.pt does not exist"):
        checkpoint.load(tmp_path / "best.pt")


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "broken in"),)

    torch.save({"format": 1, "x": Evil()}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="no readable checkpoint"):
        checkpoint.load(tmp_path / "last.pt")
    assert not (tmp_path / "broken in").exists()


def test_a_checkpoint_tells_its_whole_recipe(trained: Path) -> None:
    content = checkpoint.load(trained / "last.pt")
    assert from_plain(content["recipe"]) == replace(TINY, lr=0.05)
    assert content["classes"] == list("abcd")
    assert content["identity"]["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert content["finished"]


def test_the_best_checkpoint_is_as_good_as_it_says(trained: Path) -> None:
    content = checkpoint.load(trained / "best.pt")
    held_out = new_training(TINY, coloured_sources(80, 23)).held_out
    for average, name in ((True, "ema_accuracy"), (False, "accuracy")):
        model = checkpoint.load_model(trained / "best.pt", average=average)
        found = evaluate(model, held_out, "float32", ALONE, Stop())
        assert found["accuracy"] == pytest.approx(content["history"][-1][name])
    assert content["best"] == max(row["ema_accuracy"] for row in checkpoint.load(trained / "last.pt")["history"])


def test_a_new_run_takes_its_name_and_an_unfinished_one_goes_on(tmp_path: Path) -> None:
    assert claim(tmp_path) == ("a", False)
    assert claim(tmp_path) == ("a", False)
    leave_run(tmp_path / "b", finished=False)
    assert claim(tmp_path, "b") == ("b", True)


def test_a_finished_run_is_never_written_again(tmp_path: Path) -> None:
    leave_run(tmp_path / "a", finished=True)
    assert claim(tmp_path) == claim(tmp_path, asked=True) == ("a-2", False)
    leave_run(tmp_path / "a-3", finished=False)
    (tmp_path / "a-2" / "notes.txt").write_text("mine")
    assert claim(tmp_path) == ("a-3", True)


def test_another_recipe_gets_another_folder_or_the_difference(tmp_path: Path) -> None:
    leave_run(tmp_path / "a", finished=False)
    assert claim(tmp_path, lr=0.7) == ("a-2", False)
    with pytest.raises(ValueError, match=r"a holds another run \(lr 0\.2, now 0\.7; seed 0, now 4\); pass another"):
        claim(tmp_path, asked=True, lr=0.7, seed=4)


def test_other_data_are_another_run(tmp_path: Path) -> None:
    leave_run(tmp_path / "a", finished=False)
    images = coloured_sources(96).identity()
    with pytest.raises(ValueError, match=r"images\.num_images 64, now 96"):
        claim(tmp_path, asked=True, images=images)


def test_a_run_of_another_number_of_processes_goes_on_and_says_so_or_is_refused(tmp_path: Path) -> None:
    leave_run(tmp_path / "a", finished=False)
    facts = describe_run(RECIPE, coloured_sources(), ALONE)["identity"]
    for exact in (False, True):
        asked = Claim(identity={**facts, "processes": 2, "parts": 2}, settings=RECIPE, exact=exact)
        said = "goes on with 2 processes instead of 1 and 2 parts of a batch instead of 1: no longer equal to the byte"
        if exact:
            with pytest.raises(ValueError, match=said[7:57]), claim_folder(tmp_path, "a", asked, asked=True):
                pass
        else:
            with claim_folder(tmp_path, "a", asked, asked=False) as folder:
                assert (folder.resumes, folder.notes[0][: len(said)]) == (True, said)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.tex").write_text("mine")
    assert claim(tmp_path) == ("a-2", False)
    with pytest.raises(ValueError, match=r"a holds 'thesis\.tex' but no run"):
        claim(tmp_path, asked=True)
    assert (tmp_path / "a" / "thesis.tex").read_text() == "mine"


def test_two_processes_never_share_a_folder(tmp_path: Path) -> None:
    leave_run(tmp_path / "a", finished=False)
    with open(tmp_path / "a" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert claim(tmp_path) == ("a-2", False)
        with pytest.raises(ValueError, match="belongs to a run in another process"):
            claim(tmp_path, asked=True)
    assert claim(tmp_path) == ("a", True)
