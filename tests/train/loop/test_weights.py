"""A run that starts from the weights of a file."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from tests.helpers.training import ALONE, TINY, assert_same, new_training, run_steps, write_cifar
from train.files import checkpoint
from train.loop.runner import train_recipe
from train.machine.run import Run
from train.models import build_model, start_from

STATISTICS = {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}


def network(num_classes=4, seed=0, name="preact_resnet8_w4"):
    return build_model(name, num_classes=num_classes, seed=seed, **STATISTICS)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    training = run_steps(TINY, 3)
    path = tmp_path / "last.pt"
    checkpoint.save(path, training.state.to_checkpoint(training.train, ALONE))
    return path


def test_a_run_starts_from_the_averaged_weights_of_another_and_so_does_its_average(saved: Path) -> None:
    training = new_training(replace(TINY, weights=str(saved), seed=5))
    expected = checkpoint.load(saved)["ema"]
    assert_same(training.state.model.state_dict(), expected)
    assert training.state.ema is not None
    assert_same(training.state.ema.module.state_dict(), expected)
    assert training.state.fresh == []


def test_without_an_average_the_raw_weights_are_taken(tmp_path: Path) -> None:
    training = new_training(replace(TINY, ema_decay=None))
    checkpoint.save(tmp_path / "last.pt", training.state.to_checkpoint(training.train, ALONE))
    model = network(seed=3)
    assert start_from(model, tmp_path / "last.pt") == []
    assert_same(model.state_dict(), training.state.model.state_dict())


@pytest.mark.parametrize("key", [None, "state_dict", "model"])
def test_a_state_dict_of_the_bare_network_is_taken_and_our_own_layer_normalises(
    key: str | None, tmp_path: Path
) -> None:
    donor = network(seed=7)
    state = donor[1].state_dict()
    torch.save(state if key is None else {key: state, "epoch": 3}, tmp_path / "weights.pth")
    model = build_model("preact_resnet8_w4", num_classes=4, seed=0, mean=(0.1,) * 3, std=(0.3,) * 3)
    assert start_from(model, tmp_path / "weights.pth") == []
    assert_same(model[1].state_dict(), state)
    assert model[0].mean.flatten().tolist() == pytest.approx([0.1] * 3)


def test_the_last_layer_begins_anew_where_the_classes_are_others(tmp_path: Path) -> None:
    donor, model, own = network(7, seed=1), network(4), network(4).state_dict()
    torch.save(donor.state_dict(), tmp_path / "weights.pth")
    kept = start_from(model, tmp_path / "weights.pth")
    assert len(kept) == 2
    for name, value in model.state_dict().items():
        assert torch.equal(value, own[name] if name in kept else donor.state_dict()[name])
    assert all(own[name].shape[0] == 4 and donor.state_dict()[name].shape[0] == 7 for name in kept)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    for name, message in {
        "preact_resnet14_w4": "holds the weights of another network: it lacks ",
        "preact_resnet8_w8": "holds the weights of another network: its ",
    }.items():
        torch.save(network(name=name).state_dict(), path)
        with pytest.raises(ValueError, match=re.escape(f"{path} {message}")):
            start_from(network(), path)
    state = network().state_dict()
    missing = state.popitem()[0]
    torch.save(state, path)
    with pytest.raises(ValueError, match=f"it lacks {re.escape(missing)}"):
        start_from(network(), path)


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with pytest.raises(FileNotFoundError, match=r"weights .*weights\.pth does not exist"):
        start_from(network(), path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read as a file of tensors"):
        start_from(network(), path)
    torch.save({"epoch": 3}, path)
    with pytest.raises(ValueError, match="holds no state_dict"):
        start_from(network(), path)


def test_a_run_says_where_it_starts_and_goes_on_only_from_the_same_file(tmp_path: Path) -> None:
    root, path, log = write_cifar(tmp_path / "data", 80, 23), tmp_path / "weights.pth", tmp_path / "log"
    recipe = replace(TINY, weights=str(path), num_epochs=1)
    run = Run(root=str(root), folder=str(tmp_path / "runs"), device="cpu", num_threads=1)

    def start() -> str:
        with open(log, "w") as file:
            assert train_recipe("tiny", recipe, run, overrides=[], console=Console(file=file, width=200)) == 0
        return log.read_text()

    with pytest.raises(FileNotFoundError, match="does not exist"):
        start()
    torch.save(network(seed=1).state_dict(), path)
    assert f"starts from {path}" in start()
    torch.save(network(num_classes=9, seed=1).state_dict(), path)
    said = start()
    assert "anew: 1." in said
    assert sorted(folder.name for folder in (tmp_path / "runs").iterdir()) == ["tiny", "tiny-2"]


def test_training_goes_on_from_the_weights_it_reached_and_not_from_the_file(saved: Path) -> None:
    recipe = replace(TINY, weights=str(saved), seed=5)
    straight, broken = run_steps(recipe, 5), run_steps(recipe, 5, stop=2)
    assert_same(broken.state.model.state_dict(), straight.state.model.state_dict())
    start = checkpoint.load(saved)["ema"]
    moved = [not np.array_equal(value, start[name]) for name, value in straight.state.model.state_dict().items()]
    assert any(moved)
