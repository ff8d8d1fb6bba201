"""AugMix: its draws can be given, and what was drawn and is given makes the same view."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nvidia.dali import fn, pipeline_def

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
