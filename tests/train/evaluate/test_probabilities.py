"""Out-of-sample probabilities: each image by the one network that did not see it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from tests.helpers.evaluations import tensor_of
from tests.helpers.training import TINY, write_cifar
from train.data.labels.noise import LabelNoise
from train.data.sources import prepare_sources, read_sources
from train.evaluate.probabilities import main
from train.files import checkpoint
from train.loop.runner import train_recipe
from train.machine.run import Run

FOLDS, COUNT = 3, 80


def recipe(part: int, **changes: Any) -> Any:
    return replace(TINY, mix=None, num_epochs=1, fold=(part, FOLDS), noise=LabelNoise(rate=0.2), **changes)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/ and the runs 0, 1, 2, one a fold."""
    tmp = tmp_path_factory.mktemp("folds")
    root = str(write_cifar(tmp / "data", COUNT, 5))
    with open(tmp / "log", "w") as log:
        for part in range(FOLDS):
            run = Run(root=root, folder=str(tmp / "runs"), name=str(part), device="cpu", num_threads=1)
            assert train_recipe("tiny", recipe(part), run, overrides=[], console=Console(file=log)) == 0
    return tmp


def test_folds_share_no_image_and_leave_none_out_whatever_else_is_drawn(home: Path) -> None:
    sources = read_sources("cifar", str(home / "data"))
    held = []
    for part in range(FOLDS):
        prepared = prepare_sources(recipe(part), sources, str(home / "data"))
        assert not set(prepared.train.index.tolist()) & set(prepared.held_out.index.tolist())
        assert len(prepared.train) + len(prepared.held_out) == COUNT
        held.append(prepared.held_out.index.tolist())
    assert sorted(index for own in held for index in own) == list(range(COUNT))
    assert max(map(len, held)) - min(map(len, held)) <= 1
    few = prepare_sources(recipe(1, num_images=10), sources, str(home / "data"))
    assert (len(few.train), few.held_out.index.tolist()) == (10, held[1])


def command(home: Path, file: Path, *runs: Any) -> list[str]:
    return [
        str(file),
        *(str(home / "runs" / str(run)) for run in runs),
        "--root",
        str(home / "data"),
        "--device",
        "cpu",
    ]


def test_each_image_is_judged_by_the_network_that_did_not_see_it(home: Path, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "probabilities.npz"
    assert main(command(home, file, 2, 0, 1)) == 0
    assert "held out" in capsys.readouterr().out
    with np.load(file, allow_pickle=False) as content:
        found = dict(content)
    assert found["index"].tolist() == list(range(COUNT))
    assert found["probabilities"].shape == (COUNT, 4)
    np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1, atol=1e-5)
    sources = read_sources("cifar", str(home / "data"))
    for part in range(FOLDS):
        own = prepare_sources(recipe(part), sources, str(home / "data")).held_out
        model = checkpoint.load_model(home / "runs" / str(part) / "last.pt")
        with torch.no_grad():
            expected = model(tensor_of(own.items)).softmax(dim=1).numpy()
        np.testing.assert_allclose(found["probabilities"][own.index], expected, atol=1e-5)
        assert np.array_equal(found["labels"][own.index], own.labels)
    # The labels are those that were trained on, wrong ones too.
    assert 0 < (found["labels"] != sources.train.labels).mean() < 0.4
    with pytest.raises(FileExistsError, match="is there already"):
        main(command(home, file, 0, 1, 2))


def test_folds_that_are_missing_or_given_twice_are_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"26 of 80 training images are held out by none of these 2 runs; give all"):
        main(command(home, tmp_path / "p.npz", 0, 1))
    with pytest.raises(ValueError, match=r"image \d+ is held out by 2 runs \(27 such images\)"):
        main(command(home, tmp_path / "p.npz", 0, 0, 1, 2))
    with pytest.raises(ValueError, match=r"is the epoch that did best on the images it held out; give the run's last"):
        main(command(home, tmp_path / "p.npz", "0/best.pt"))
    with pytest.raises(ValueError, match=r"FILE must end in \.npz"):
        main(command(home, tmp_path / "p.csv", 0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": (3, 3)}, r"fold must be i and k, with 0 <= i < k and k above 1, got \(3, 3\)"),
        ({"fold": (0, 1)}, "fold must be i and k"),
        ({"fold": (0, 2), "validation": 0.1}, "validation must be 0 where a fold is held out, got 0.1"),
    ],
)
def test_a_fold_that_cannot_be_is_one_line(changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changes)
