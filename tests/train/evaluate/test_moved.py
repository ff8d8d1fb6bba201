"""Deformed images, moved weights, and errors where a network is surest: slow references and planted cases."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from mixdali import derive_seed
from pipelines.sources.source import Source
from tests.helpers.evaluations import Linear, classifier, grey_images, held_out, tensor_of
from tests.helpers.shifts import batches, brightness, memory, random_images
from train.certify.report import confidence_of_votes
from train.evaluate.parts.deformations import DEFORMATIONS, LEVELS, Deformation, deform, measure_deformations
from train.evaluate.parts.landscape import draw_direction, measure_landscape, moved
from train.evaluate.parts.risk import measure_selective, risk_coverage
from train.evaluate.pictures.inside import draw_landscape, draw_risk
from train.models import build_model


def slow_deform(image: np.ndarray, back: np.ndarray) -> np.ndarray:
    """(C, H, W), and the matrix from a place in the result to that in the image, x first, around the middle."""
    _, height, width = image.shape
    made = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            x, y = back @ np.array([column - (width - 1) / 2, row - (height - 1) / 2])
            x, y = x + (width - 1) / 2, y + (height - 1) / 2
            for i in (math.floor(y), math.floor(y) + 1):
                for j in (math.floor(x), math.floor(x) + 1):
                    if 0 <= i < height and 0 <= j < width:
                        made[:, row, column] += (1 - abs(y - i)) * (1 - abs(x - j)) * image[:, i, j]
    return made


@pytest.mark.parametrize(("kind", "level"), [("zoom_in", 0.4), ("zoom_out", 0.6), ("rotation", 80), ("shear", 28.6)])
def test_a_deformation_is_that_of_a_slow_loop(kind: Deformation, level: float) -> None:
    images, index = random_images(3, (7, 10)), torch.arange(3)
    found = deform(images, index, kind, level, seed=5)
    for place, image in enumerate(images.numpy().astype(np.float64)):
        angle = math.radians(level) * (
            2 * np.random.default_rng(derive_seed(5, "deformation", kind, place)).random() - 1
        )
        back = {
            "zoom_in": np.eye(2) * 0.6,
            "zoom_out": np.eye(2) * 1.6,
            "rotation": np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]),
            "shear": np.array([[1, math.tan(angle)], [0, 1]]),
        }[kind]
        np.testing.assert_allclose(found[place], slow_deform(image, back), atol=1e-4)


@pytest.mark.parametrize("kind", DEFORMATIONS)
def test_no_deformation_changes_nothing_and_each_follows_from_seed_and_index(kind: Deformation) -> None:
    images, index = random_images(4, (8, 12)), torch.arange(4)
    torch.testing.assert_close(deform(images, index, kind, 0, seed=0), images, atol=1e-5, rtol=0)
    level = LEVELS[kind][0]
    once = deform(images, index, kind, level, seed=0)
    torch.testing.assert_close(once[2:], deform(images[2:], index[2:], kind, level, seed=0))
    assert (once - images).abs().max() > 0.01
    if kind in ("rotation", "shear"):
        assert not torch.equal(once, deform(images, index, kind, level, seed=1))


def test_who_counts_brightness_is_right_of_nearer_images_and_sees_farther_ones_darken() -> None:
    images = torch.full((10, 3, 8, 8), 0.6)
    known, remember = memory()
    pieces = batches(images, torch.ones(10, dtype=torch.long))
    found = measure_deformations({"n": brightness}, pieces, seed=0, remember=remember)["n"]
    assert list(found) == list(DEFORMATIONS)
    assert set(found["zoom_in"].values()) == {1.0}
    assert set(found["zoom_out"].values()) == {0.0}
    assert len(known) == sum(map(len, LEVELS.values()))
    with pytest.raises(ValueError, match=r"level of zoom_in must be from 0 to 0\.99, got 1"):
        measure_deformations({"n": brightness}, pieces, seed=0, levels={"zoom_in": (1,)})


def trained_like() -> nn.Module:
    return build_model("preact_resnet8_w4", num_classes=4, mean=(0.4,) * 3, std=(0.2,) * 3, seed=0)


def test_the_filters_of_a_direction_are_as_long_as_those_of_the_weights() -> None:
    module = trained_like()
    direction = draw_direction(module, seed=0)
    parameters = dict(module.named_parameters())
    assert set(direction) == {name for name, one in parameters.items() if one.ndim > 1}
    for name, one in direction.items():
        torch.testing.assert_close(one.flatten(1).norm(dim=1), parameters[name].flatten(1).norm(dim=1))
    again, other = draw_direction(module, seed=0), draw_direction(module, seed=1)
    assert all(torch.equal(direction[name], again[name]) for name in direction)
    assert not any(torch.equal(direction[name], other[name]) for name in direction)


def test_the_weights_are_moved_and_come_back_to_the_bit_also_after_an_error() -> None:
    module = trained_like().requires_grad_(False)
    before, direction = copy.deepcopy(module.state_dict()), draw_direction(module, seed=0)

    def fail() -> None:
        with moved(module, direction, 0.3):
            expected = before["1.head.weight"] + 0.3 * direction["1.head.weight"]
            torch.testing.assert_close(module.state_dict()["1.head.weight"], expected)
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        fail()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


class Layer(nn.Module):
    """Logits by one linear layer."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.head = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        self.head.weight.data.copy_(weight)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(images.flatten(1))
        return out


def test_the_rise_is_what_a_slow_loop_finds_and_the_same_again() -> None:
    source = grey_images()
    module = Layer(Linear().weight)
    images, labels = tensor_of(source.items), torch.tensor(np.array(source.labels)).long()
    known, remember = memory()
    found = measure_landscape({"n": classifier(module)}, held_out(source), seed=3, remember=remember)["n"]

    def loss(weight: Tensor) -> float:
        return float(F.cross_entropy((images.flatten(1) @ weight.T).double(), labels))

    weight = module.head.weight.detach()
    assert found["loss"] == pytest.approx(loss(weight), rel=1e-5)
    rises = []
    for number in range(5):
        direction = draw_direction(module, derive_seed(3, "landscape", number))["head.weight"]
        rises.append((loss(weight + direction) + loss(weight - direction)) / 2 - loss(weight))
    assert found["rise"] == found["rises"]["1"] == pytest.approx(np.mean(rises), rel=1e-4)
    assert found["deviation"] == pytest.approx(np.std(rises, ddof=1), rel=1e-3)
    assert list(found["losses"]) == ["-1", "-0.5", "-0.25", "0", "0.25", "0.5", "1"]
    assert (found["losses"]["0"], found["images"], len(known)) == (found["loss"], 40, 31)
    assert torch.equal(module.head.weight, weight)


def test_a_flat_place_rises_less_than_a_steep_one_and_an_attack_lifts_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.evaluate.parts.landscape.NUM_DIRECTIONS", 2)
    source = grey_images(16)
    flat, steep = Layer(0.01 * Linear().weight), Layer(Linear().weight)
    networks = {"flat": classifier(flat), "steep": classifier(steep)}
    clean = measure_landscape(networks, held_out(source), seed=0)
    attacked = measure_landscape(networks, held_out(source), seed=0, eps=2 / 255)
    assert clean["flat"]["rise"] < 0.2 * clean["steep"]["rise"]
    for name in networks:
        assert attacked[name]["loss"] > clean[name]["loss"]


def slow_risk(scores: np.ndarray, wrong: np.ndarray) -> list[float]:
    order = np.argsort(scores)
    return [float(np.mean(wrong[order[:number]])) for number in range(1, len(order) + 1)]


def test_the_area_under_the_risk_is_the_mean_of_all_prefixes() -> None:
    rng = np.random.default_rng(0)
    scores, wrong = rng.random(50), rng.random(50) < 0.3
    found, expected = risk_coverage(scores, wrong), slow_risk(scores, wrong)
    assert found["aurc"] == pytest.approx(np.mean(expected))
    assert found["excess"] == pytest.approx(np.mean(expected) - np.mean(slow_risk(wrong * 1.0 + scores / 9, wrong)))
    assert found["risk"] == pytest.approx(
        {f"{share:g}": expected[round(share * 50) - 1] for share in (1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)}
    )
    assert found["curve"][-1] == pytest.approx(wrong.mean())


def test_scores_that_know_the_errors_have_no_excess_and_equal_ones_the_mean_risk() -> None:
    wrong = np.array([True, False, False, True])
    assert risk_coverage(wrong.astype(float), wrong, (0.5,))["risk"] == {"0.5": 0.0}
    assert risk_coverage(wrong.astype(float), wrong)["excess"] == 0
    for order in ([0, 1, 2, 3], [1, 2, 3, 0]):
        assert risk_coverage(np.zeros(4), wrong[order])["aurc"] == 0.5
    with pytest.raises(ValueError, match="at least one, got 0"):
        risk_coverage(np.zeros(0), np.zeros(0, bool))


def test_the_output_beside_the_classes_is_a_score_of_its_own() -> None:
    class Abstains(nn.Module):
        """Dark is class 0, bright 1, and the redder an image, the less it wants to say."""

        def forward(self, images: Tensor) -> Tensor:
            return torch.cat([brightness(images), images[:, :1].mean(dim=(2, 3))], dim=1)

    images = torch.rand(20, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = (images.mean(dim=(1, 2, 3)) > 0.5).long()
    flipped = torch.arange(20) % 5 == 0
    images[flipped, 0] = 1.0
    wrong = brightness(images).argmax(dim=1) != labels
    source = Source((255 * images).round().byte().permute(0, 2, 3, 1).contiguous().numpy(), labels.numpy())
    network = classifier(Abstains())
    object.__setattr__(network, "num_classes", 2)
    found = measure_selective({"n": network}, held_out(source, 2), 2)["n"]
    assert list(found) == ["softmax", "abstention"]
    assert (
        found["softmax"]["risk"]["1"] == found["abstention"]["risk"]["1"] == pytest.approx(float(wrong.double().mean()))
    )
    assert found["abstention"]["excess"] < found["softmax"]["excess"] + 1e-9
    plain = measure_selective({"n": classifier(Linear())}, held_out(grey_images()), 4)["n"]
    assert list(plain) == ["softmax"]


def test_the_smoothed_network_is_as_sure_as_the_share_of_its_votes() -> None:
    first = np.array([[9, 1], [2, 8], [6, 4]])
    then = np.array([[80, 20], [30, 70], [10, 90]])
    found = confidence_of_votes(np.stack([first, then], axis=1), np.array([0, 0, 0]))
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["confidence"] == pytest.approx((0.8 + 0.7 + 0.1) / 3)
    assert found["ece"] == pytest.approx((0.2 + 0.7 + 0.9) / 3)
    assert sum(one["count"] for one in found["bins"]) == 3


def test_pictures_of_moved_weights_and_of_risk(tmp_path: Path) -> None:
    networks, images = {"n": classifier(Layer(Linear().weight))}, held_out(grey_images())
    draw_landscape(tmp_path / "one.png", measure_landscape(networks, images, seed=0), "one")
    draw_risk(tmp_path / "two.png", measure_selective(networks, images, 4), "two")
    for name in ("one", "two"):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.size[0] > 300
