"""Doubts: silent on a network that hides nothing, and loud on those that do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.evaluations import Linear, classifier, grey_images, held_out
from tests.helpers.shifts import memory
from train.evaluate.parts import doubts
from train.evaluate.parts.doubts import measure_doubts

EPS: dict[Any, float] = {"Linf": 0.5 / 255, "L2": 0.025}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"STEPS": (2, 10, 20), "QUERIES": 60, "FEW": 1, "BATCH_SIZE": 20}.items():
        monkeypatch.setattr(doubts, name, value)


class Rounded(nn.Module):
    """The pixels in steps, which have no gradient."""

    def forward(self, images: Tensor) -> Tensor:
        return Linear()((images * 255).round() / 255)


class Saturated(nn.Module):
    """Logits so large that the softmax is 1 and has no gradient."""

    def forward(self, images: Tensor) -> Tensor:
        return 1e4 * Linear()(images)


class Random(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return Linear()(images) + 0.1 * torch.rand(len(images), 4)


class Rough(nn.Module):
    """Waves on the pixels: what a step sees is not what lies a few steps away."""

    def forward(self, images: Tensor) -> Tensor:
        return Linear()(images + 2e-4 * (images * 5e4).sin())


class Blind(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([images.mean(dim=(1, 2, 3)) + 1, *3 * [0 * images.mean(dim=(1, 2, 3))]], dim=1)


def failed(found: dict[str, Any]) -> set[str]:
    return {doubt["name"] for doubt in found["doubts"] if doubt["passed"] is False}


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_nothing_is_said_against_a_network_that_hides_nothing(norm: Any) -> None:
    pytest.importorskip("pyautoattack", reason="needs pyautoattack")
    (found,) = measure_doubts(
        {"n": classifier(Linear())}, held_out(grey_images()), eps=EPS[norm], norm=norm, seed=0
    ).values()
    assert failed(found) == set()
    assert all(doubt["passed"] for doubt in found["doubts"])
    assert found["passed"]
    assert found["images"] == 40
    curve = list(found["curve"].values())
    assert curve == sorted(curve, reverse=True)
    assert (curve[0], curve[-1]) == (0.9, 0.0)


@pytest.mark.parametrize(
    ("network", "names"),
    [
        (Rounded(), {"gradients", "noise against one step", "black box against white box"}),
        (Saturated(), {"gradients"}),
        (Random(), {"same answer twice"}),
        (Rough(), {"noise against one step"}),
        (Blind(), {"knows the images", "no bound"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_network_that_hides_its_gradients_is_doubted(network: nn.Module, names: set[str]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        (found,) = measure_doubts(
            {"n": classifier(network)}, held_out(grey_images()), eps=2 / 255, norm="Linf", seed=0
        ).values()
    assert names <= failed(found), [doubt["says"] for doubt in found["doubts"]]
    assert not found["passed"]


def test_a_black_box_that_beats_the_white_box_is_said_in_words() -> None:
    pytest.importorskip("pyautoattack", reason="needs pyautoattack")
    (found,) = measure_doubts(
        {"n": classifier(Rounded())}, held_out(grey_images()), eps=2 / 255, norm="Linf", seed=0
    ).values()
    (doubt,) = [doubt for doubt in found["doubts"] if doubt["name"] == "black box against white box"]
    assert doubt["passed"] is False
    assert doubt["says"].startswith("right after Square (60 queries) ")
    assert "an attack that sees no gradient fools it more often than one that does" in doubt["says"]
    first, second = doubt["numbers"].values()
    assert second > first + 0.1


def test_a_weaker_attack_may_do_better_by_an_image_or_two_in_a_hundred() -> None:
    judge = doubts._weaker_is_weaker
    assert judge("", {"weak": 0.500, "strong": 0.509}, 0.01, "").passed
    assert not judge("", {"weak": 0.500, "strong": 0.511}, 0.01, "").passed
    # Also where a third one lies between.
    assert not judge("", {"weak": 0.500, "middle": 0.506, "strong": 0.512}, 0.01, "").passed


def test_without_the_package_the_black_box_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyautoattack", None)
    (found,) = measure_doubts(
        {"n": classifier(Linear())}, held_out(grey_images(8)), eps=EPS["Linf"], norm="Linf", seed=0
    ).values()
    (doubt,) = [doubt for doubt in found["doubts"] if doubt["passed"] is None]
    assert doubt["says"] == "not checked; pip install pyautoattack for its Square attack"
    assert found["passed"]


def test_doubts_go_on_in_the_middle() -> None:
    known, remember = memory()
    settings: dict[str, Any] = {"eps": EPS["Linf"], "norm": "Linf", "seed": 0}
    networks, images = {"n": classifier(Linear())}, held_out(grey_images())
    whole = measure_doubts(networks, images, remember=remember, **settings)
    assert list(known) == ["n 0", "n 1"]
    del known["n 1"]
    assert measure_doubts(networks, images, remember=remember, **settings) == whole
    assert np.isclose(whole["n"]["doubts"][0]["numbers"]["accuracy"], 0.9)
