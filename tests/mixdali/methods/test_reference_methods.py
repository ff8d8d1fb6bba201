"""Given the same draws, every method does in every world what a slow loop over the pixels does."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mixdali import Choose, MixUp
from tests.helpers.cases import (
    ALMOST_ONE,
    CASES,
    COIN,
    PARTNER,
    PROB,
    N,
    assert_is_reference,
    drawn,
    floats,
    random_batch,
)
from tests.helpers.references import boxes, masks, pairs
from tests.helpers.worlds import WORLDS

SIZES = [(7, 9), (8, 8)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("world", WORLDS)
def test_every_method_is_its_reference(world: str, name: str, size: tuple[int, int]) -> None:
    assert_is_reference(world, CASES[name].mix, CASES[name], size)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("world", WORLDS)
def test_so_it_is_where_the_coin_says_so_and_elsewhere_nothing_changes(world: str, name: str) -> None:
    assert_is_reference(world, replace(CASES[name].mix, prob=PROB), CASES[name], (7, 9), coin=COIN)


@pytest.mark.parametrize("rule", ["same_class", "other_class"])
@pytest.mark.parametrize("labels", [[0, 1, 0, 0, 1], [2, 2, 2, 2, 2], [0, 1, 2, 3, 1]])
@pytest.mark.parametrize("world", WORLDS)
def test_partners_by_class_are_those_of_the_reference(world: str, labels: list[int], rule: str) -> None:
    """Also for soft targets, whose class is the largest, and for images that find no partner and stay as they are."""
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (N, 7, 9, 3), dtype=np.uint8)
    targets = (0.6 * np.eye(4)[labels] + 0.4 * rng.dirichlet(np.ones(4), N)).astype(np.float32)
    mate = np.array([0.0, 0.5, ALMOST_ONE, 0.2, 0.8], np.float32)
    lam = np.array([0.2, 0.4, 0.6, 0.1, 0.9], np.float32)
    mixed = WORLDS[world](MixUp(partner=rule), images, targets, mate=mate, lam=lam)
    partner = pairs.partners_by_class(np.array(labels), mate, rule)
    expected = pairs.mixup(floats(images), targets, np.array(partner), lam)
    assert mixed.plan.partner.tolist() == partner
    np.testing.assert_allclose(mixed.images, expected[0], atol=1e-6)
    np.testing.assert_allclose(mixed.targets, expected[1], atol=1e-6)


def test_partners_by_class_can_be_told_by_labels() -> None:
    labels = torch.tensor([0, 1, 0, 0, 1])
    for rule in ("same_class", "other_class"):
        draws = {"mate": torch.tensor([0.0, 0.5, 0.99, 0.2, 0.8])}
        one, other = (
            MixUp(partner=rule).draw(torch.zeros(5, 1, 2, 2), targets=targets, **draws)
            for targets in (labels, torch.eye(2)[labels])
        )
        assert one.partner.tolist() == other.partner.tolist()


MEMBERS = ["cutmix", "mosaic", "smoothmix", "resizemix", "hmix", "dirichlet"]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("world", WORLDS)
def test_a_choice_gives_each_image_what_its_member_would_have_given_it(world: str, size: tuple[int, int]) -> None:
    images, targets = random_batch(size)
    for i in (0, 3):
        members = MEMBERS[i : i + 3]
        draws = {f"{m}.{draw}": v for m, name in enumerate(members) for draw, v in drawn(CASES[name].shares).items()}
        choice = Choose([CASES[name].mix for name in members], weights=[1, 2, 1])
        pick = np.array([0.2, 0.3, 0.8, 0.25, 0.75], np.float32)
        mixed = WORLDS[world](choice, images, targets, partner=PARTNER, pick=pick, **draws)
        chosen = [0, 1, 2, 1, 2]
        assert mixed.plan.method.tolist() == chosen
        for n, member in enumerate(chosen):
            case = CASES[members[member]]
            expected = case.expected(floats(images), targets, drawn(case.shares))
            np.testing.assert_allclose(mixed.images[n], expected[0][n], atol=1e-6)
            np.testing.assert_allclose(mixed.targets[n], expected[1][n], atol=1e-6)


def test_the_reference_resizes_as_torch_does() -> None:
    image = torch.arange(7 * 9.0).reshape(1, 1, 7, 9)
    for size in ((1, 1), (3, 4), (5, 8), (7, 9)):
        ours = [
            [image[0, 0, boxes.nearest(y, size[0], 7), boxes.nearest(x, size[1], 9)] for x in range(size[1])]
            for y in range(size[0])
        ]
        theirs = torch.nn.functional.interpolate(image, size, mode="nearest-exact")
        assert ours == theirs[0, 0].tolist()


def test_the_reference_of_fmix_adds_waves_as_numpy_does() -> None:
    rng = np.random.default_rng(0)
    for size in ((7, 9), (8, 8), (5, 12)):
        for as_published in (False, True):
            noise = rng.standard_normal(masks.fmix_noise_shape(size))
            spectrum = masks.spectrum_of(noise, size, 3.0, as_published)
            np.testing.assert_allclose(masks.sum_of_waves(spectrum, size, 1), np.fft.irfft2(spectrum, size), atol=1e-12)
