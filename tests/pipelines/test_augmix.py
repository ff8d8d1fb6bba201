"""AugMix: its draws can be given, and what was drawn and is given makes the same view."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nvidia.dali import fn, pipeline_def
from PIL import Image

from pipelines.augment.augmix import augmix, draw_augmix

N = 16
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 12, 10, 3), dtype=np.uint8)
FLOATS = IMAGES.transpose(0, 3, 1, 2) / 255


def views(make: Callable[[Any], Any]) -> list[np.ndarray]:
    """make: the nodes of images -> those of views."""

    @pipeline_def(batch_size=N, num_threads=2, device_id=None, enable_conditionals=True)
    def pipeline():
        return make(fn.external_source(source=lambda i: IMAGES, batch=True, layout="HWC"))

    return [np.array(output.as_array()) for output in pipeline().run()]


def test_what_was_drawn_and_is_given_makes_the_same_view() -> None:
    first, again = views(
        lambda images: (
            augmix(images, severity=3.0, seed=4),
            augmix(images, severity=3.0, seed=9, **draw_augmix(severity=3.0, seed=4)),
        )
    )
    np.testing.assert_array_equal(again, first)
    assert np.abs(first - FLOATS).max() > 0.2


def test_the_draws_say_what_is_shown() -> None:
    # the second chain alone, of one operation: solarize at its highest level inverts all
    given = {"own": 0, "weight1": 0.0, "weight2": 1.0, "1.depth": 1, "1.operation0": 4, "1.level0": 10}
    clean, inverted = views(
        lambda images: (
            augmix(images, severity=3.0, seed=4, own=1.0),
            augmix(images, severity=3.0, seed=4, **given),
        )
    )
    np.testing.assert_allclose(clean, FLOATS, atol=1e-6)
    np.testing.assert_allclose(inverted, 1 - FLOATS, atol=1e-6)


def by_pil(image: np.ndarray, operation: int, level: float, sign: int) -> np.ndarray:
    """rotate, shear_x, shear_y, translate_x, translate_y as google-research/augmix calls PIL for them."""
    picture, (height, width) = Image.fromarray(image), image.shape[:2]
    shear = sign * level * 0.3 / 10
    if operation == 3:
        return np.array(picture.rotate(sign * int(level * 30 / 10), resample=Image.Resampling.BILINEAR))
    across, down = (sign * int(level * side / 3 / 10) for side in (width, height))
    matrix = {
        5: (1, shear, 0, 0, 1, 0),
        6: (1, 0, 0, shear, 1, 0),
        7: (1, 0, across, 0, 1, 0),
        8: (1, 0, 0, 0, 1, down),
    }[operation]
    moved = picture.transform((width, height), Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR)
    return np.array(moved)


@pytest.mark.parametrize("operation", [3, 5, 6, 7, 8])
@pytest.mark.parametrize(("level", "sign"), [(4.7, 1), (9.3, -1)])
def test_an_image_that_is_moved_has_pil_s_border(operation: int, level: float, sign: int) -> None:
    given = {"own": 0, "weight1": 0.0, "weight2": 1.0, "1.depth": 1, "1.operation0": operation}
    (found,) = views(
        lambda images: (augmix(images, severity=10.0, seed=4, **given, **{"1.level0": level, "1.sign0": sign}),)
    )
    expected = np.stack([by_pil(image, operation, level, sign) for image in IMAGES]).transpose(0, 3, 1, 2)
    assert (expected == 0).mean() > 0.005
    # A pixel whose place lies within a rounding of the edge may fall to either side.
    apart = np.abs(255 * found - expected) > 1.01
    assert apart.mean() < 0.005


def test_wrong_draws_are_named() -> None:
    for name, wrong, message in (
        ("0.operation", 1, r"augmix has no draw 0\.operation; nearest: 0\.operation"),
        ("0.operation0", 9, r"draw 0\.operation0 must be a whole number from 0 to 8, got 9"),
        ("2.depth", 1.5, r"draw 2\.depth must be a whole number from 1 to 3, got 1\.5"),
        ("own", 1.5, r"draw own must be in \[0, 1\], got 1\.5"),
        ("1.level2", -1, r"draw 1\.level2 must be in \[0, 10\], got -1"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            views(lambda images, name=name, wrong=wrong: augmix(images, severity=3.0, seed=4, **{name: wrong}))
