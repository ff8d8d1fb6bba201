"""Given the same draws, erasing and noise do in every world what a slow loop over the pixels does."""

import numpy as np
import pytest

from mixdali import Cutout, MixUp, Noisy, RandomErasing
from tests.helpers.cases import COIN, PARTNER, PROB, Draws, N, between, drawn, floats, one, random_batch
from tests.helpers.references import boxes, masks, pairs, pixels
from tests.helpers.worlds import WORLDS


@pytest.fixture(params=[(7, 9), (8, 8)], ids=str)
def batch(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    return random_batch(request.param)


def erasing_boxes(draws: Draws, law: str, size: tuple[int, int]) -> list[boxes.Box]:
    found = []
    for d in (one(draws, n) for n in range(N)):
        area = between(0.05, 0.6, d["area"]) * size[0] * size[1]
        found.append(pixels.erasing_box(area, d["aspect"], law, (0.3, 1 / 0.3), (d["cy"], d["cx"]), size))
    return found


@pytest.mark.parametrize("value", [0.5, (0.1, 0.2, 0.9), "noise"], ids=str)
@pytest.mark.parametrize("law", ["uniform", "log"])
@pytest.mark.parametrize("world", WORLDS)
def test_random_erasing_is_its_reference(
    world: str, law: str, value: float | tuple[float, ...] | str, batch: pairs.Batch
) -> None:
    mix = RandomErasing(prob=PROB, area=(0.05, 0.6), law=law, value=value)
    draws = drawn(("area", "aspect", "cy", "cx"))
    found = erasing_boxes(draws, law, batch[0].shape[1:3])
    for left_alone in np.flatnonzero(COIN >= PROB):
        found[left_alone] = (0, 0, 0, 0)
    assert_erased(world, mix, batch, draws | {"coin": COIN}, found)


@pytest.mark.parametrize("length", [4, 5, 30])
@pytest.mark.parametrize("value", [0.0, "noise"])
@pytest.mark.parametrize("world", WORLDS)
def test_cutout_is_its_reference(world: str, value: float | str, length: int, batch: pairs.Batch) -> None:
    mix = Cutout(length=length, value=value)
    draws, size = drawn(("cy", "cx")), batch[0].shape[1:3]
    found = [
        pixels.cutout_box(length, *masks.centre(d["cy"], d["cx"], size), *size)
        for d in (one(draws, n) for n in range(N))
    ]
    assert_erased(world, mix, batch, draws, found)


def assert_erased(
    world: str, mix: Cutout | RandomErasing, batch: pairs.Batch, draws: Draws, found: list[boxes.Box]
) -> None:
    images = floats(batch[0])
    if mix.value == "noise":
        fill = np.random.default_rng(4).random(images.shape, np.float32)
        draws = draws | {"noise": fill}
    else:
        levels = mix.value if isinstance(mix.value, tuple) else (mix.value,)
        fill = np.broadcast_to(np.reshape(levels, (1, -1, 1, 1)), images.shape)
    mixed = WORLDS[world](mix, *batch, **draws)
    np.testing.assert_allclose(mixed.images, pixels.erased(images, found, fill), atol=1e-6)
    np.testing.assert_array_equal(mixed.targets, batch[1])


@pytest.mark.parametrize("size", [(7, 9), (8, 8)], ids=str)
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("world", WORLDS)
def test_noise_is_its_reference(world: str, clip: bool, size: tuple[int, int]) -> None:
    assert_noise_is_its_reference(world, size, Noisy(MixUp(), additive=0.4, multiplicative=0.3, clip=clip))


def assert_noise_is_its_reference(world: str, size: tuple[int, int], mix: Noisy) -> None:
    images, targets = random_batch(size)
    rng, shape = np.random.default_rng(5), floats(images).shape
    draws = {
        "mix.lam": rng.random(N, np.float32),
        "additive": rng.random(N, np.float32),
        "multiplicative": rng.random(N, np.float32),
        "g": rng.standard_normal(shape, np.float32),
        "u": rng.random(shape, np.float32),
    }
    mixed = WORLDS[world](mix, images, targets, partner=PARTNER, **draws)
    before = pairs.mixup(floats(images), targets, PARTNER, draws["mix.lam"])
    noise = [draws[name] for name in ("additive", "multiplicative", "g", "u")]
    expected = pixels.noisy(before[0], *noise, levels=(mix.additive, mix.multiplicative))
    np.testing.assert_allclose(mixed.images, np.clip(expected, 0, 1) if mix.clip else expected, atol=1e-6)
    np.testing.assert_allclose(mixed.targets, before[1], atol=1e-6)
