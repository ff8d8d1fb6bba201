"""Whole runs with label noise, a validation split, or an output more: what they measure, keep and write."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests.helpers.training import (
    ALONE,
    TINY,
    StopAt,
    assert_same,
    coloured_sources,
    new_training,
    weights,
    write_cifar,
)
from train.data.labels.noise import LabelNoise
from train.data.loaders import val_loader
from train.data.sources import prepare_sources, read_sources
from train.files import checkpoint
from train.loop.epochs import Training, fit
from train.loop.held_out import evaluate
from train.loop.runner import train_recipe
from train.machine.run import Run
from train.machine.stop import Stop
from train.objectives import SelectiveTraining, SelfAdaptiveTraining
from train.recipe import Recipe

NOISY = replace(
    TINY,
    mix=None,
    augment=False,
    num_epochs=3,
    noise=LabelNoise(rate=0.4, to="other"),
    validation=16,
    objective=SelfAdaptiveTraining(start=1),
)


def run_in(tmp: Path, recipe: Recipe) -> tuple[Path, str]:
    root = write_cifar(tmp / "data", 100, 30)
    run = Run(root=str(root), folder=str(tmp / "runs"), device="cpu", num_threads=1)
    with open(tmp / "log", "w") as log:
        assert train_recipe("noisy", recipe, run, overrides=[], console=Console(file=log, width=120)) == 0
    return tmp / "runs" / "noisy", (tmp / "log").read_text()


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return run_in(tmp_path_factory.mktemp("noisy"), NOISY)


def test_the_run_s_folder_says_which_labels_were_changed(noisy: tuple[Path, str]) -> None:
    path, said = noisy
    plain = read_sources("cifar", str(path.parents[1] / "data"))
    changes = prepare_sources(NOISY, plain, None).changes
    assert changes is not None
    with open(path / "changed_labels.csv", newline="") as file:
        rows = {int(row["index"]): int(row["given"]) for row in csv.DictReader(file)}
    changed = changes.original != changes.given
    assert rows == {int(i): int(changes.given[i]) for i in changed.nonzero()[0]}
    assert f"{changed.mean():.2%} of the training labels changed" in said


def test_the_split_decides_and_the_test_images_are_reported(noisy: tuple[Path, str]) -> None:
    path, said = noisy
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()][1:]
    content = checkpoint.load(path / "last.pt")
    assert content["best"] == max(row["ema_accuracy"] for row in rows)
    assert [(row["held_out_images"], row["test_images"]) for row in rows] == [(16, 30)] * 3
    assert said.count("on the test images") == 4
    assert "84 images to train on, 16 held out, 4 classes, 30 test images" in said
    sources = prepare_sources(NOISY, read_sources("cifar", str(path.parents[1] / "data")), None)
    test = replace(sources, held_out=sources.also["test"], also={})
    loader = new_training(replace(NOISY, noise=LabelNoise(), validation=0), replace(test, prepared=False)).held_out
    model = checkpoint.load_model(path / "last.pt", average=False)
    found = evaluate(model, loader, "float32", ALONE, Stop())
    assert found["images"] == 30
    assert found["accuracy"] == pytest.approx(rows[-1]["test_accuracy"])
    for name in ("real", "corrupted"):
        assert f"training images, {name} labels" in said
        assert rows[-1][f"{name}_images"] == len(sources.also[name])


def test_a_network_that_memorises_is_told_from_one_that_does_not() -> None:
    """By the accuracy on wrong labels: a network that has learned the true classes is below chance there."""
    plain = replace(
        TINY,
        model="preact_resnet8_w16",
        mix=None,
        augment=False,
        ema_decay=None,
        lr=0.1,
        num_epochs=40,
        noise=LabelNoise(rate=0.3, to="other"),
    )
    found = {}
    for objective in (plain.objective, SelfAdaptiveTraining(start=2, momentum=0.7)):
        training = with_all(replace(plain, objective=objective))
        assert fit(training, lambda best: None, lambda row: None)
        row = training.state.history[-1]
        found[type(objective).__name__] = row["real_accuracy"], row["corrupted_accuracy"]
    real, corrupted = found["CrossEntropy"]
    assert min(real, corrupted) > 0.9
    real, corrupted = found["SelfAdaptiveTraining"]
    assert real > 0.7 > 0.35 > corrupted


def with_all(recipe: Recipe) -> Training:
    """A training that measures all that its sources ask for."""
    training = new_training(recipe)
    sources = prepare_sources(recipe, coloured_sources(), None)
    run = Run(num_threads=1)
    training.also = {name: val_loader(recipe, run, sources, ALONE, images) for name, images in sources.also.items()}
    return training


@pytest.mark.parametrize("step", [5, 8], ids=["mid-epoch", "end of an epoch"])
def test_an_output_more_trains_and_goes_on_exactly(step: int) -> None:
    recipe = replace(TINY, mix=None, objective=SelectiveTraining(start=1))
    whole, stopped, resumed = (new_training(recipe) for _ in range(3))
    assert whole.state.model[1].head.out_features == 5
    saved: list[dict[str, Any]] = []
    stopped.stop = StopAt(stopped.state, step)
    assert fit(whole, lambda best: None, lambda row: None)
    fit(stopped, lambda best: saved.append(stopped.state.to_checkpoint(stopped.train, ALONE)), lambda row: None)
    resumed.state.load_checkpoint(saved[-1], resumed.train, ALONE)
    assert fit(resumed, lambda best: None, lambda row: None)
    assert_same(weights(resumed.state), weights(whole.state))
    assert_same(resumed.state.objective.state_dict(), whole.state.objective.state_dict())


def test_an_output_more_is_no_answer() -> None:
    class Fixed(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([0.0, 0.0, 0.0, 1.0, 9.0]).expand(len(images), 5)

    training = new_training(replace(TINY, mix=None))
    found = evaluate(Fixed(), training.held_out, "float32", ALONE, Stop())
    labels = coloured_sources().held_out.labels
    assert found["accuracy"] == pytest.approx((labels == 3).mean())


def test_a_finished_run_with_other_noise_is_another_run(tmp_path: Path) -> None:
    root = write_cifar(tmp_path / "data", 100, 30)
    run = Run(root=str(root), folder=str(tmp_path / "runs"), device="cpu", num_threads=1)
    with open(tmp_path / "log", "w") as log:
        for rate in (0.4, 0.5):
            changed = replace(NOISY, num_epochs=1, noise=LabelNoise(rate=rate, to="other"))
            assert train_recipe("noisy", changed, run, overrides=[], console=Console(file=log)) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["noisy", "noisy-2"]
    first, second = (checkpoint.load(tmp_path / "runs" / name / "last.pt") for name in ("noisy", "noisy-2"))
    assert first["identity"]["images"] != second["identity"]["images"]
