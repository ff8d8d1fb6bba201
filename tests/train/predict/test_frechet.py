"""Frechet distances against another way to compute them, in planted cases, and by the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy.linalg import sqrtm

from tests.helpers.training import TINY, coloured, write_cifar
from train.loop.runner import train_recipe
from train.machine.run import Run
from train.predict.frechet import distances, frechet, main


def slow_frechet(one: np.ndarray, other: np.ndarray) -> float:
    first, second = np.cov(one.T), np.cov(other.T)
    apart = np.sum((one.mean(axis=0) - other.mean(axis=0)) ** 2)
    return float(apart + np.trace(first + second - 2 * np.real(sqrtm(first @ second))))


def test_the_distance_is_that_of_the_formula() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5)), 2 + rng.normal(size=(40, 5))
    assert frechet(one, other) == pytest.approx(slow_frechet(one, other), rel=1e-6)
    assert frechet(one, other) == pytest.approx(frechet(other, one), rel=1e-9)


def test_a_set_is_at_no_distance_from_itself_and_a_moved_one_at_the_square_of_the_move() -> None:
    one = np.random.default_rng(1).normal(size=(30, 4))
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet(one, one + np.array([3.0, 0, 4.0, 0])) == pytest.approx(25)
    assert frechet(3 * one, one) == pytest.approx(4 * np.trace(np.cov(one.T)) + 4 * np.sum(one.mean(axis=0) ** 2))
    with pytest.raises(ValueError, match="two images on either side, got 1 and 30"):
        frechet(one[:1], one)


def test_classes_that_are_swapped_are_seen_class_by_class_alone() -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(40) % 2
    features = rng.normal(size=(40, 3)) + 10 * labels[:, None]
    found = distances(features, labels, features, 1 - labels)
    assert found["all"] == pytest.approx(0, abs=1e-9)
    assert found["by_class"] == pytest.approx(300, rel=0.3)
    assert found["classes"] == 2
    assert distances(features, np.arange(40), features, np.arange(40))["by_class"] is None


def test_the_command_tells_a_near_set_from_a_far_one(tmp_path: Path, capsys: Any) -> None:
    root = str(write_cifar(tmp_path / "data", 80, 24))
    run = Run(root=root, folder=str(tmp_path / "runs"), name="one", device="cpu", num_threads=1)
    recipe = replace(TINY, mix=None, num_epochs=2, lr=0.1)
    with open(tmp_path / "log", "w") as log:
        assert train_recipe("one", recipe, run, overrides=[], console=Console(file=log)) == 0
    near = coloured(24, seed=5)
    rng = np.random.default_rng(0)
    far = rng.integers(0, 256, np.asarray(near.items).shape).astype(np.uint8)
    for name, images in (("near", np.asarray(near.items)), ("far", far)):
        np.savez(tmp_path / f"{name}.npz", image=images, label=np.array(near.labels))
    words = [str(tmp_path / "runs" / "one"), "--synthetic", *(str(tmp_path / f"{one}.npz") for one in ("near", "far"))]
    assert main([*words, "--root", root, "--folder", str(tmp_path / "frechet"), "--device", "cpu"]) == 0
    found = json.loads((tmp_path / "frechet" / "frechet.json").read_text())
    close, distant = (found["sets"][str(tmp_path / f"{one}.npz")] for one in ("near", "far"))
    for other in ("test", "training"):
        assert close[other]["all"] < distant[other]["all"]
        assert close[other]["by_class"] < distant[other]["by_class"]
    assert found["training"]["test"]["classes"] == 4
    assert found["images"]["test"] == found["images"]["training"] == 24
    assert "not Inception's: no FID of a paper" in capsys.readouterr().out
