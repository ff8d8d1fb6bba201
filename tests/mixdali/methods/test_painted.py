"""Images painted with their own label: after mixing, the mean colour of an image must be its target."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from mixdali import Choose, CutMix, Mix, MixUp, Plan
from mixdali.draws import Draws
from mixdali.worlds import World
from tests.helpers.methods import METHODS
from tests.helpers.worlds import WORLDS, Mixed


def painted(number: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Image n is white in channel n and black in all others; its target is class n."""
    targets = np.eye(number, dtype=np.float32)
    images = np.broadcast_to(np.eye(number, dtype=np.uint8)[:, None, None] * 255, (number, height, width, number))
    return np.ascontiguousarray(images), targets


def assert_target_follows_pixels(world: str, mix: Mix, number: int, size: tuple[int, int]) -> Mixed:
    mixed = WORLDS[world](mix, *painted(number, *size), seed=number)
    np.testing.assert_allclose(mixed.images.mean((2, 3), dtype=np.float64), mixed.targets, atol=1e-6)
    np.testing.assert_allclose(mixed.targets.sum(1), 1, atol=1e-6)
    return mixed


@pytest.mark.parametrize(
    ("prob", "number", "size"),
    [
        (0, 3, (7, 9)),
        (0.3, 2, (16, 5)),
        (0.3, 8, (7, 9)),
        (1, 1, (7, 9)),
        (1, 2, (7, 9)),
        (1, 3, (16, 5)),
        (1, 8, (16, 5)),
    ],
)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("world", WORLDS)
def test_target_follows_the_pixels(world: str, method: str, prob: float, number: int, size: tuple[int, int]) -> None:
    mixed = assert_target_follows_pixels(world, replace(METHODS[method], prob=prob), number, size)
    assert mixed.images.dtype == mixed.targets.dtype == np.float32
    assert mixed.images.shape == (number, number, *size)
    assert mixed.images.min() >= 0
    assert mixed.images.max() <= 1


@dataclass(frozen=True, kw_only=True)
class LeftHalf(MixUp):
    """A method with a mask: the left three columns of 7 x 9 images weigh lam, the others nothing."""

    def plan(self, draws: Draws, world: World) -> Plan:
        plan = super().plan(draws, world)
        left = 1.0 * (world.row(1) < 3.0)
        mask = world.outer(0.0, 1.0 + 0.0 * world.row(0), world.each(plan.lam) * left)
        return replace(plan, lam=plan.lam * (1 / 3), weight=0.0 * plan.lam + 1.0, mask=mask)


@pytest.mark.parametrize("prob", [0, 0.5, 1])
@pytest.mark.parametrize("world", WORLDS)
def test_target_follows_the_pixels_of_a_choice_of_masks_boxes_and_neither(world: str, prob: float) -> None:
    mix = Choose([LeftHalf(), CutMix(), MixUp()], prob=prob)
    for number in (1, 3, 8):
        assert_target_follows_pixels(world, mix, number, (7, 9))
    assert_target_follows_pixels(world, LeftHalf(), 5, (7, 9))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("world", WORLDS)
def test_an_image_left_alone_is_untouched_to_the_bit(world: str, method: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 7, 9, 3), dtype=np.uint8)
    targets = np.random.default_rng(1).dirichlet(np.ones(4), 5).astype(np.float32)
    mixed = WORLDS[world](never(METHODS[method]), images, targets)
    np.testing.assert_array_equal(mixed.targets, targets)
    np.testing.assert_allclose(mixed.images, images.transpose(0, 3, 1, 2) / np.float32(255), atol=6e-8, rtol=0)
    np.testing.assert_array_equal(np.rint(mixed.images * 255).transpose(0, 2, 3, 1), images)


def never(mix: Mix) -> Mix:
    """prob=0, by the members of a choice and not by the choice itself."""
    if isinstance(mix, Choose):
        return replace(mix, mixes=[never(member) for member in mix.mixes])
    return replace(mix, prob=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("world", WORLDS)
def test_white_stays_white_and_never_passes_it(world: str, method: str) -> None:
    images = np.full((64, 4, 6, 3), 255, dtype=np.uint8)
    mixed = WORLDS[world](METHODS[method], images, np.eye(64, dtype=np.float32))
    assert mixed.images.max() == 1
    np.testing.assert_allclose(mixed.images, 1, atol=2e-7)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("method", METHODS)
def test_one_image_alone_passes_unmixed(world: str, method: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 7, 9, 3), dtype=np.uint8)
    mixed = WORLDS[world](METHODS[method], images, np.eye(1, 4, dtype=np.float32))
    np.testing.assert_allclose(mixed.targets, np.eye(1, 4), atol=1e-7)
    if "mosaic" in method or method in ("resizemix", "choose-all"):
        return  # parts of the one image, or the image made small, on itself: its target, but another picture
    np.testing.assert_array_equal(np.rint(mixed.images * 255).transpose(0, 2, 3, 1), images)
