"""Accuracies under attack: against what is known, against direct calls, and in pieces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.sources.files import read_cifar
from pipelines.sources.source import Source
from tests.helpers.evaluations import (
    ALONE,
    Linear,
    classifier,
    grey_images,
    held_out,
    package_network,
    tensor_of,
    weaken,
)
from tests.helpers.shifts import memory
from train.evaluate.parts import auto
from train.evaluate.parts.attacks import Ascent, measure_pgd
from train.evaluate.parts.auto import Ensemble

EPS: dict[Any, float] = {"Linf": 0.5 / 255, "L2": 0.025}


def known_robust(norm: str) -> list[int]:
    source = grey_images()
    images, labels = tensor_of(source.items), torch.tensor(np.array(source.labels)).long()
    found = (Linear().distances(images, labels, norm) > EPS[norm]).long().tolist()
    assert 0.2 < np.mean(found) < 0.8
    return found


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("num_steps", [20, 50])
def test_pgd_finds_the_robust_accuracy_of_a_linear_network(norm: Any, num_steps: int) -> None:
    ascent = Ascent(eps=EPS[norm], norm=norm, num_steps=num_steps, restarts=6)
    (found,) = measure_pgd({"n": classifier(Linear())}, held_out(grey_images()), ascent, seed=0).values()
    # Cross-entropy of several classes is not linear, so an attack may stop short where hardly anything is left.
    assert np.mean(np.array(found["robust"]) == known_robust(norm)) >= 0.97
    assert found["accuracy"] == np.mean(found["robust"])
    assert found["after"][0] == 0.9
    assert found["after"][-1] == found["accuracy"]
    assert found["after"] == sorted(found["after"], reverse=True)
    assert (found["step_size"], found["num_steps"], found["restarts"]) == (EPS[norm] / 4, num_steps, 6)


def test_pgd_does_not_depend_on_the_batches_and_goes_on_in_the_middle() -> None:
    networks = {"a": classifier(Linear()), "b": classifier(Linear(seed=1))}
    ascent = Ascent(eps=EPS["Linf"], num_steps=3, restarts=2)
    known, remember = memory()
    whole = measure_pgd(networks, held_out(grey_images()), ascent, seed=5, remember=remember)
    assert list(known) == ["a 0", "b 0", "a 1", "b 1", "a 2", "b 2"]
    assert measure_pgd(networks, held_out(grey_images(), batch_size=7), ascent, seed=5) == whole
    del known["b 1"], known["a 2"], known["b 2"]
    assert measure_pgd(networks, held_out(grey_images()), ascent, seed=5, remember=remember) == whole


class PassedBy(nn.Module):
    """Right on grey images and where they are eps brighter, where its loss is greatest; wrong half-way there."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        way = (images.mean(dim=(1, 2, 3)) - 128 / 255) / EPS["Linf"]
        at = torch.tensor([[1.0, 0, -9, -9], [0, 0.1, -9, -9], [0.1, 0, 0, 0]])
        first, second = way.clamp(0, 0.5)[:, None] * 2, (way - 0.5).clamp(0, 0.5)[:, None] * 2
        return at[0] + first * (at[1] - at[0]) + second * (at[2] - at[1])


def test_an_image_is_missed_where_any_image_on_the_way_is_missed() -> None:
    grey = Source(np.full((3, 8, 8, 3), 128, dtype=np.uint8), np.zeros(3, dtype=np.int64))
    ascent = Ascent(eps=EPS["Linf"], num_steps=6)
    (found,) = measure_pgd({"n": classifier(PassedBy())}, held_out(grey), ascent, seed=0).values()
    assert (found["after"], found["robust"]) == ([1.0, 0.0], [0, 0, 0])


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    make = auto.make_autoattack
    monkeypatch.setattr(auto, "make_autoattack", lambda *arguments: weaken(make(*arguments)))


def direct(
    network: Any, images: torch.Tensor, labels: torch.Tensor, eps: float, norm: str, size: int, *weaker: int
) -> list[int]:
    """What the package says, called as its authors call it."""
    package = pytest.importorskip("pyautoattack", reason="needs pyautoattack")
    attack = weaken(package.AutoAttack(network, eps=eps, norm=norm, seed=3, version="standard"), *weaker)
    with torch.random.fork_rng():
        _, guesses = attack.run_standard_evaluation(images, labels, batch_size=size)
    return (guesses == labels).long().tolist()


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_autoattack_is_the_package_called_directly(norm: Any) -> None:
    source, network = grey_images(), classifier(Linear())
    images, labels = tensor_of(source.items), torch.tensor(np.array(source.labels)).long()
    expected = direct(network, images, labels, EPS[norm], norm, 16)
    (found,) = auto.measure_autoattack(
        {"n": network}, held_out(source), Ensemble(eps=EPS[norm], norm=norm), seed=3
    ).values()
    assert found["robust"] == expected
    assert list(found["after"]) == ["clean", "apgd-ce", "apgd-t", "fab-t", "square"]
    assert list(found["after"].values()) == sorted(found["after"].values(), reverse=True)
    assert found["after"]["clean"] == 0.9
    assert np.mean(np.array(found["robust"]) == known_robust(norm)) >= 0.97
    assert found["package"].startswith("pyautoattack ")
    assert found["warnings"] == []


def test_autoattack_on_the_packages_own_network_and_real_images(
    shared_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = package_network()
    source = read_cifar(shared_data("cifar10/cifar-10-python.tar.xz"), "test").select(np.arange(5, 8))
    images, labels = tensor_of(source.items), torch.tensor(np.array(source.labels)).long()
    eps, weaker, make = 0.5 / 255, (2, 4, 1), auto.make_autoattack
    monkeypatch.setattr(auto, "make_autoattack", lambda *arguments: weaken(make(*arguments), *weaker))
    expected = direct(module, images, labels, eps, "Linf", 2, *weaker)
    (found,) = auto.measure_autoattack(
        {"n": classifier(module)}, held_out(source, 10, batch_size=2), Ensemble(eps=eps), seed=3
    ).values()
    assert found["robust"] == expected
    assert found["after"]["clean"] > found["accuracy"] > 0


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("left", [0, 1, 4, 6, 9])
def test_autoattack_that_was_stopped_goes_on_to_the_same_number(left: int) -> None:
    known, remember = memory()
    networks, images = {"n": classifier(Linear())}, held_out(grey_images(), batch_size=12)
    ensemble = Ensemble(eps=EPS["Linf"])
    whole = auto.measure_autoattack(networks, images, ensemble, seed=3, remember=remember)
    names = list(known)
    assert len(names) > 10
    for name in names[left:]:
        del known[name]
    # What was drawn meanwhile must not matter.
    torch.rand(3)
    assert auto.measure_autoattack(networks, images, ensemble, seed=3, remember=remember) == whole
    assert list(known) == names


@pytest.mark.usefixtures("few_steps")
def test_autoattack_leaves_the_global_randomness_as_it_was() -> None:
    before = torch.get_rng_state()
    auto.measure_autoattack({"n": classifier(Linear())}, held_out(grey_images(8)), Ensemble(eps=0.01), seed=3)
    assert torch.equal(torch.get_rng_state(), before)


class Random(nn.Module):
    """Answers otherwise each time."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return Linear()(images) + torch.randn(len(images), 4)


@pytest.mark.usefixtures("few_steps")
def test_what_the_package_warns_of_is_in_the_result() -> None:
    (found,) = auto.measure_autoattack(
        {"n": classifier(Random())}, held_out(grey_images(8)), Ensemble(eps=0.01), seed=3
    ).values()
    assert any("randomized defense" in text for text in found["warnings"])


def test_autoattack_needs_four_classes_and_tries_as_many_as_there_are(few_steps: None) -> None:
    ensemble, three = Ensemble(eps=0.01), {"n": classifier(Linear(3))}
    with pytest.raises(ValueError, match="at least 4 classes for the difference of logits ratio of apgd-t, got 3; use"):
        auto.measure_autoattack(three, held_out(grey_images(8, 3), 3), ensemble, seed=3)
    (found,) = auto.measure_autoattack({"n": classifier(Linear())}, held_out(grey_images(8)), ensemble, seed=3).values()
    assert found["targets"] == {"apgd-t": 3, "fab-t": 3}
    # What the message advises works.
    advised = Ensemble(eps=0.01, version="custom", attacks=("apgd-ce", "fab-t", "square"))
    (found,) = auto.measure_autoattack(three, held_out(grey_images(8, 3), 3), advised, seed=3).values()
    assert list(found["after"]) == ["clean", "apgd-ce", "fab-t", "square"]


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyautoattack", None)
    with pytest.raises(ImportError, match=r"AutoAttack needs its authors' package .*; pip install pyautoattack"):
        auto.measure_autoattack({}, held_out(grey_images(8)), Ensemble(eps=0.01), seed=3)
    assert auto.find_square(Linear(), 0.01, "Linf", 0, 10, ALONE.device) is None
