"""Calibration: bins, errors and scores against hand-made cases and slow references."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from torch import Tensor

from mixdali import derive_seed
from tests.helpers.evaluations import Linear, classifier, grey_images, held_out
from tests.helpers.shifts import batches, brightness, memory, random_images
from train.evaluate.parts.attacks import Ascent, measure_pgd
from train.evaluate.parts.calibration import (
    calibration,
    fit_temperature,
    measure_attacked,
    measure_calibration,
    scaled,
)


def logits_of(*confidences: float) -> Tensor:
    """Two classes, the first with these probabilities."""
    return torch.tensor([[math.log(sure), math.log(1 - sure)] for sure in confidences], dtype=torch.float64)


def random_logits(count: int, num_classes: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, num_classes, dtype=torch.float64, generator=generator)
    return logits, torch.randint(num_classes, (count,), generator=generator)


def slow_error(logits: Tensor, labels: Tensor, num_bins: int) -> float:
    """Bin by bin, image by image, a bin from above its lower edge up to its upper one."""
    rows = logits.double().softmax(dim=1).tolist()
    total = 0.0
    for number in range(num_bins):
        low, high = number / num_bins, (number + 1) / num_bins
        sure, right = [], []
        for row, label in zip(rows, labels.tolist(), strict=True):
            if low < max(row) <= high:
                sure.append(max(row))
                right.append(float(row.index(max(row)) == label))
        if sure:
            total += len(sure) / len(rows) * abs(sum(sure) / len(sure) - sum(right) / len(right))
    return total


def test_a_case_worked_by_hand() -> None:
    # Confidences 0.9, 0.9, 0.6, 0.55; right, wrong, right, wrong. Bins of a tenth: (0.5, 0.6], (0.8, 0.9].
    found = calibration(logits_of(0.9, 0.9, 0.6, 0.55), torch.tensor([0, 1, 0, 1]), num_bins=10)
    assert found["accuracy"] == 0.5
    assert found["confidence"] == pytest.approx((0.9 + 0.9 + 0.6 + 0.55) / 4)
    assert found["ece"] == pytest.approx(2 / 4 * abs(0.9 - 0.5) + 2 / 4 * abs(0.575 - 0.5))
    assert found["nll"] == pytest.approx(-(math.log(0.9) + math.log(0.1) + math.log(0.6) + math.log(0.45)) / 4)
    assert found["brier"] == pytest.approx(2 * (0.1**2 + 0.9**2 + 0.4**2 + 0.55**2) / 4)


@given(st.integers(1, 60), st.integers(2, 7), st.integers(1, 20), st.integers(0, 10_000))
@settings(deadline=None, max_examples=60)
def test_the_error_is_that_of_a_slow_reference(count: int, num_classes: int, num_bins: int, seed: int) -> None:
    logits, labels = random_logits(count, num_classes, seed)
    found = calibration(logits, labels, num_bins)
    assert found["ece"] == pytest.approx(slow_error(logits, labels, num_bins), abs=1e-12)
    assert sum(one["count"] for one in found["bins"]) == count
    probabilities = logits.softmax(dim=1).numpy()
    assert found["nll"] == pytest.approx(log_loss(labels.numpy(), probabilities, labels=range(num_classes)), abs=1e-9)
    wanted = np.eye(num_classes)[labels.numpy()]
    assert found["brier"] == pytest.approx(((probabilities - wanted) ** 2).sum(axis=1).mean(), abs=1e-12)


def test_bins_of_equal_mass_hold_equally_many_images() -> None:
    # Sorted: 0.55 wrong, 0.6 right | 0.7 right, 0.9 wrong.
    found = calibration(logits_of(0.9, 0.6, 0.55, 0.7), torch.tensor([1, 0, 1, 0]), num_bins=2)
    assert found["ece_equal_mass"] == pytest.approx(0.5 * abs(0.575 - 0.5) + 0.5 * abs(0.8 - 0.5))


@given(st.permutations(range(12)))
@settings(deadline=None, max_examples=40)
def test_the_order_of_the_images_does_not_matter_even_with_ties(order: list[int]) -> None:
    logits = logits_of(*[0.8] * 7, *[0.6] * 5)
    labels = torch.tensor([0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 1, 0])
    here, there = calibration(logits, labels, 5), calibration(logits[order], labels[order], 5)
    assert here["ece_equal_mass"] == pytest.approx(there["ece_equal_mass"], abs=1e-12)
    assert here["ece"] == pytest.approx(there["ece"], abs=1e-12)


def test_one_image_is_enough_and_empty_bins_say_nothing() -> None:
    found = calibration(logits_of(0.75), torch.tensor([0]))
    assert found["ece"] == found["ece_equal_mass"] == pytest.approx(0.25)
    filled = [one for one in found["bins"] if one["count"]]
    assert [(one["low"] < 0.75 <= one["high"], one["accuracy"]) for one in filled] == [(True, 1.0)]
    assert {(one["confidence"], one["accuracy"]) for one in found["bins"] if not one["count"]} == {(None, None)}


def test_a_confidence_on_an_edge_is_in_the_lower_bin() -> None:
    found = calibration(torch.zeros(3, 4), torch.tensor([0, 1, 2]), num_bins=8)  # a quarter each
    assert [one["count"] for one in found["bins"]] == [0, 3, 0, 0, 0, 0, 0, 0]


def test_a_network_that_is_sure_and_right_has_no_error() -> None:
    found = calibration(torch.tensor([[1000.0, 0.0], [0.0, 1000.0]]), torch.tensor([0, 1]))
    assert (found["ece"], found["brier"], found["nll"], found["bins"][-1]["count"]) == (0, 0, 0, 2)


def test_sure_and_wrong_is_measured_without_infinity() -> None:
    found = calibration(torch.tensor([[1000.0, 0.0]]), torch.tensor([1]))
    assert (found["nll"], found["brier"], found["ece"]) == (1000, 2, 1)


def test_half_precision_is_no_coarser_than_its_logits() -> None:
    logits, labels = random_logits(50, 10, 3)
    half = logits.bfloat16()
    assert calibration(half, labels) == calibration(half.double(), labels)


def test_every_network_is_measured_on_all_images() -> None:
    images = random_images(30)
    labels = (images.mean(dim=(1, 2, 3)) > 0.5).long()
    networks = {"sharp": lambda x: 1000 * brightness(x), "wrong": lambda x: -1000 * brightness(x)}
    found = measure_calibration(networks, batches(images, labels, size=7), seed=0)
    assert (found["sharp"]["accuracy"], found["wrong"]["accuracy"]) == (1, 0)
    assert sum(one["count"] for one in found["wrong"]["bins"]) == 30


def test_a_temperature_makes_a_network_that_is_too_sure_as_sure_as_it_is_right() -> None:
    generator = torch.Generator().manual_seed(0)
    honest = 2 * torch.randn(4000, 10, generator=generator)
    labels = torch.multinomial(honest.softmax(dim=1), 1, generator=generator).squeeze(1)
    found = scaled(3 * honest, 3 * honest, labels, np.arange(4000), seed=0)
    assert found is not None
    assert found["temperature"] == pytest.approx(3, rel=0.05)
    assert (found["fitted_on"], found["measured_on"]) == (2000, 2000)
    assert found["before"]["ece"] > 0.2
    assert found["after"]["ece"] < 0.04
    assert found["after"]["nll"] < found["before"]["nll"]
    assert found["after"]["accuracy"] == found["before"]["accuracy"]


def test_what_sets_the_temperature_is_not_counted_and_does_not_hang_on_the_order() -> None:
    logits, labels = random_logits(60, 4, 1)
    index = np.arange(60)
    found = scaled(logits, logits, labels, index, seed=3)
    order = np.random.default_rng(0).permutation(60)
    again = scaled(logits[order], logits[order], labels[order], index[order], seed=3)
    assert found is not None
    assert again is not None
    assert again["temperature"] == pytest.approx(found["temperature"], rel=1e-6)
    draws = np.random.default_rng(derive_seed(3, "temperature")).random(60)
    fitted, rest = np.argsort(draws)[:30], np.argsort(draws)[30:]
    assert found["temperature"] == fit_temperature(logits[fitted], labels[fitted])
    assert found["before"]["accuracy"] == float((logits[rest].argmax(dim=1) == labels[rest]).double().mean())
    assert scaled(logits[:1], logits[:1], labels[:1], index[:1], seed=3) is None


def test_under_attack_the_images_are_those_of_the_attack() -> None:
    images, ascent = held_out(grey_images()), Ascent(eps=0.5 / 255, num_steps=5, restarts=2)
    networks, (known, remember) = {"n": classifier(Linear())}, memory()
    found = measure_attacked(networks, images, ascent, seed=0, remember=remember)["n"]
    attacked = measure_pgd(networks, images, ascent, seed=0)["n"]["accuracy"]
    assert found["accuracy"] == attacked < measure_calibration(networks, images, seed=0)["n"]["accuracy"]
    assert measure_attacked(networks, images, ascent, seed=0, remember=remember)["n"] == found
    assert len(known) == 3


@pytest.mark.parametrize(
    ("logits", "labels", "line"),
    [
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), "logits must be (images, classes)"),
        (torch.zeros(2, 1), torch.zeros(2, dtype=torch.long), "logits must be (images, classes)"),
        (torch.zeros(2, 3), torch.zeros(3, dtype=torch.long), "labels must be one for each of 2 rows"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), "labels must be 0 to 2"),
        (torch.zeros(2, 3), torch.tensor([-1, 0]), "got -1"),
        (torch.tensor([[0.0, math.nan]]), torch.tensor([0]), "logits must be finite"),
    ],
)
def test_what_cannot_be_measured_is_refused(logits: Tensor, labels: Tensor, line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(line)):
        calibration(logits, labels)
