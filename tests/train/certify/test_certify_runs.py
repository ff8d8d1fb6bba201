"""The command that certifies: what it leaves, that it goes on where it was stopped, and what it refuses."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from tests.helpers.training import TINY, coloured, write_cifar
from train.certify import certificate
from train.certify.run import certify, main
from train.certify.settings import Arguments
from train.certify.votes import Voters
from train.files import checkpoint
from train.loop.runner import train_recipe
from train.machine.command import run_command
from train.machine.run import Run
from train.machine.stop import Stop, Stopped
from train.objectives import CrossEntropy, GaussianTraining, SelectiveTraining


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/ and the runs gaussian, plain and selective."""
    tmp = tmp_path_factory.mktemp("certify")
    root = str(write_cifar(tmp / "data", 80, 23))
    kinds = {"gaussian": GaussianTraining(sigma=0.2), "plain": CrossEntropy(), "selective": SelectiveTraining(start=1)}
    with open(tmp / "log", "w") as log:
        for name, objective in kinds.items():
            epochs = 6 if name == "gaussian" else 1
            recipe = replace(TINY, objective=objective, mix=None, num_epochs=epochs, lr=0.1)
            run = Run(root=root, folder=str(tmp / "runs"), name=name, device="cpu", num_threads=1)
            assert train_recipe(name, recipe, run, overrides=[], console=Console(file=log)) == 0
    return tmp


def asked(home: Path, folder: Path, **changes: Any) -> Arguments:
    settings: dict[str, Any] = {"n0": 50, "n": 400, "device": "cpu", "root": str(home / "data"), "folder": str(folder)}
    return Arguments(checkpoint=home / "runs" / "gaussian", **(settings | changes))


def run_quietly(arguments: Arguments) -> int:
    with open(os.devnull, "w") as nowhere:
        return certify(arguments, Console(file=nowhere))


def lines(folder: Path) -> list[list[str]]:
    return [line.split("\t") for line in (folder / "certificates.tsv").read_text().splitlines()]


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("certificates.tsv", "certificates.json")}


def test_the_command_leaves_lines_numbers_and_a_picture(home: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["--root", str(home / "data"), "--folder", str(tmp_path), "--n0", "50", "--n", "400", "--device", "cpu"]
    assert main([str(home / "runs" / "gaussian" / "last.pt"), *words]) == 0
    folder = tmp_path / "certify-gaussian"
    header, *rows = lines(folder)
    assert header == ["index", "label", "predicted", "radius", "correct"]
    assert [int(row[0]) for row in rows] == list(range(23))
    assert [int(row[1]) for row in rows] == coloured(23, seed=1).labels.tolist()
    summary = json.loads((folder / "certificates.json").read_text())
    assert (summary["sigma"], summary["images"], summary["of"]) == (0.2, 23, 23)
    radii, right = (np.array([float(row[column]) for row in rows]) for column in (3, 4))
    assert summary["average_certified_radius"] == pytest.approx((radii * right).mean())
    assert summary["average_certified_radius"] > 0.2
    assert summary["certified_accuracy"]["0.25"] == pytest.approx(((radii >= 0.25) & (right == 1)).mean())
    said = capsys.readouterr().out
    assert "average certified radius" in said
    assert "23 of 23 test images, noise of 0.2, 400 votes each" in said
    with Image.open(folder / "certificates.png") as picture:
        assert picture.size[0] > 600


def test_each_line_is_the_certificate_of_its_votes(home: Path, tmp_path: Path) -> None:
    assert run_quietly(asked(home, tmp_path, num_images=3)) == 0
    folder = tmp_path / "certify-gaussian"
    model = checkpoint.load_model(home / "runs" / "gaussian" / "last.pt")
    source = coloured(23, seed=1)
    for index, label, predicted, radius, correct in lines(folder)[1:]:
        image = torch.tensor(source.items[int(index)]).permute(2, 0, 1) / 255
        voters = Voters(model, 4, 0.2, 0, 200, "float32")
        votes = [voters.count(image, int(index), name, n, Stop()) for name, n in (("select", 50), ("estimate", 400))]
        expected = certificate(*votes, 0.001, 0.2)
        assert (int(predicted), float(radius)) == expected
        assert int(correct) == (expected[0] == int(label))


def test_a_certificate_depends_neither_on_the_other_images_nor_on_the_batches(home: Path, tmp_path: Path) -> None:
    settings: list[dict[str, Any]] = [{}, {"skip": 4}, {"num_images": 5}, {"batch_size": 64}]
    found: dict[int, set[tuple[str, ...]]] = {}
    for number, changes in enumerate(settings):
        assert run_quietly(asked(home, tmp_path / str(number), **changes)) == 0
        for row in lines(tmp_path / str(number) / "certify-gaussian")[1:]:
            found.setdefault(int(row[0]), set()).add(tuple(row))
    assert len(found) == 23
    assert all(len(rows) == 1 for rows in found.values())


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of batches of copies after which a run is stopped, if there is one."""
    left: list[int] = []

    def check(self: Stop) -> None:
        if left:
            left[0] -= 1
            if left[0] < 0:
                left.clear()
                self.requested = True
                raise Stopped

    monkeypatch.setattr(Stop, "check", check)
    return left


@pytest.mark.parametrize("after", [0, 1, 20, 36])
def test_a_run_that_was_stopped_ends_with_the_same_bytes(
    home: Path, tmp_path: Path, stopping: list[int], after: int
) -> None:
    assert run_quietly(asked(home, tmp_path / "whole")) == 0
    stopping.append(after)
    assert run_quietly(asked(home, tmp_path / "cut")) == 130
    assert json.loads((tmp_path / "cut" / "certify-gaussian" / "certificates.json").read_text())["images"] < 23
    assert run_quietly(asked(home, tmp_path / "cut")) == 0
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["certify-gaussian"]
    whole, cut = (results(tmp_path / name / "certify-gaussian") for name in ("whole", "cut"))
    assert whole == cut


@pytest.mark.parametrize("changes", [{"sigma": 0.3}, {"n": 500}, {"alpha": 0.01}, {"skip": 2}, {"seed": 1}], ids=str)
def test_another_question_is_not_answered_by_what_lies_there(
    home: Path, tmp_path: Path, stopping: list[int], changes: dict[str, Any]
) -> None:
    stopping.append(3)
    assert run_quietly(asked(home, tmp_path)) == 130
    before = results(tmp_path / "certify-gaussian")
    with pytest.raises(ValueError, match="holds another run"):
        run_quietly(asked(home, tmp_path, name="certify-gaussian", **changes))
    assert run_quietly(asked(home, tmp_path, **changes, num_images=2)) == 0
    assert (tmp_path / "certify-gaussian-2" / "certificates.tsv").is_file()
    assert results(tmp_path / "certify-gaussian") == before


def test_without_noise_in_training_sigma_must_be_given(home: Path, tmp_path: Path) -> None:
    plain = replace(asked(home, tmp_path), checkpoint=home / "runs" / "plain")
    with pytest.raises(ValueError, match=r"the network was trained by CrossEntropy, without noise .*; pass --sigma"):
        run_quietly(plain)
    assert run_quietly(replace(plain, sigma=0.1, num_images=1)) == 0


def test_other_classes_and_other_outputs_are_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"trained on the 4 classes a, b, c, \.\.\., the embedded digits has 10: "):
        run_quietly(asked(home, tmp_path, root=None))
    with pytest.raises(ValueError, match="has 5 outputs for 4 classes, so its largest output is not its class"):
        run_quietly(replace(asked(home, tmp_path, sigma=0.1), checkpoint=home / "runs" / "selective"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sigma", "0"], "sigma must be a number above 0, got 0.0"),
        (["--n", "0"], "n must be a whole number above 0, got 0"),
        (["--n0", "0"], "n0 must be a whole number above 0, got 0"),
        (["--alpha", "1"], "alpha must be in (0, 1): the chance that a certificate is wrong, got 1.0"),
        (["--skip", "0"], "skip must be a whole number above 0, got 0"),
        (["--num_images", "0"], "num_images must be a whole number above 0, got 0"),
        (["--batch_size", "0"], "batch_size must be a whole number above 0, got 0"),
        (["--seed", "-1"], "seed must be a whole number from 0 up, got -1"),
        (["--sigmaa", "1"], "--sigmaa is no argument of python -m train.certify"),
        ([], "nowhere.pt does not exist"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], message: str, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["train.certify", "nowhere.pt", *words])
    assert run_command(main) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert message in said
