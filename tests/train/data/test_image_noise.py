"""Images whose pixels are replaced: their law, whose they are, and what a run sees of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.helpers.training import TINY, coloured_sources
from train.data.labels.noise import LabelNoise
from train.data.labels.pixels import ImageNoise, statistics
from train.data.sources import Sources, prepare_sources

COUNT = 600
IMAGES = np.random.default_rng(0).integers((20, 60, 90), (120, 200, 250), (COUNT, 8, 8, 3)).astype(np.uint8)
INDEX = np.arange(COUNT)
KINDS = ("gaussian", "random", "shuffled")


def apply(to: Any, rate: float = 0.5, index: np.ndarray = INDEX, seed: int = 0) -> np.ndarray:
    return ImageNoise(rate=rate, to=to).apply(IMAGES, index, seed)


def changed(images: np.ndarray, others: np.ndarray = IMAGES) -> np.ndarray:
    found: np.ndarray = (images != others).any(axis=(1, 2, 3))
    return found


def pixels(images: np.ndarray) -> np.ndarray:
    """(N, H W): each pixel as one number, sorted."""
    flat = images.reshape(len(images), -1, 3).astype(np.int64)
    return np.sort(flat @ np.array([65536, 256, 1]), axis=1)


@pytest.mark.parametrize("to", KINDS)
def test_as_many_images_are_replaced_as_it_says_and_the_same_ones_each_time(to: str) -> None:
    found = changed(apply(to))
    assert abs(found.mean() - 0.5) < 5 * 0.5 / COUNT**0.5
    assert (apply(to) == apply(to)).all()
    assert (apply(to) != apply(to, seed=1)).any()
    assert (apply(to, rate=0.0) == IMAGES).all()
    fewer = apply(to, rate=0.2)
    assert (fewer[changed(fewer)] == apply(to)[changed(fewer)]).all()


def test_gaussian_pixels_have_the_mean_and_the_deviation_of_the_data() -> None:
    drawn = apply("gaussian", rate=1.0).astype(float)
    mean, deviation = statistics(IMAGES)
    np.testing.assert_allclose(mean, IMAGES.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(deviation, IMAGES.std(axis=(0, 1, 2)))
    # Whole numbers are a half lower on average.
    np.testing.assert_allclose(drawn.mean(axis=(0, 1, 2)), mean - 0.5, atol=1)
    np.testing.assert_allclose(drawn.std(axis=(0, 1, 2)), deviation, atol=1.5)
    assert abs(np.corrcoef(drawn[:, 0, 0, 0], drawn[:, 0, 1, 0])[0, 1]) < 0.2


def test_random_and_shuffled_pixels_are_the_images_own_in_another_order() -> None:
    numbered = np.repeat(np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1), 3, axis=3).repeat(COUNT, axis=0)
    for to, alike in (("shuffled", True), ("random", False)):
        assert (pixels(apply(to, rate=1.0)) == pixels(IMAGES)).all()
        orders = ImageNoise(rate=1.0, to=to).apply(numbered, INDEX, 0)[..., 0].reshape(COUNT, -1)
        assert (len(np.unique(orders, axis=0)) == 1) == alike


@pytest.mark.parametrize("to", ["random", "shuffled"])
def test_what_is_replaced_depends_on_an_images_place_in_the_data(to: str) -> None:
    whole, chosen = apply(to), np.arange(COUNT)[5::7]
    part = ImageNoise(rate=0.5, to=to).apply(IMAGES[chosen], INDEX[chosen], 0)
    assert (part == whole[chosen]).all()


def prepared(**changes: Any) -> Sources:
    return prepare_sources(replace(TINY, **changes), coloured_sources(200), None)


def test_a_run_sees_other_training_images_under_the_same_labels_and_measures_them_apart() -> None:
    plain, noisy = prepared(), prepared(image_noise=ImageNoise(rate=0.4, to="gaussian"))
    assert isinstance(noisy.train.items, np.ndarray)
    assert isinstance(plain.train.items, np.ndarray)
    found = changed(noisy.train.items, plain.train.items)
    assert 0.25 < found.mean() < 0.55
    assert (noisy.train.labels == plain.train.labels).all()
    assert noisy.changes is None
    assert (noisy.held_out.items == plain.held_out.items).all()
    assert set(noisy.also["corrupted"].index) == set(noisy.train.index[found])
    assert set(noisy.also["real"].index) == set(noisy.train.index[~found])
    assert noisy.identity() != plain.identity()
    both = prepared(image_noise=ImageNoise(rate=0.4), noise=LabelNoise(rate=0.4, to="other"))
    assert both.changes is not None
    assert len(both.also["corrupted"]) > max(found.sum(), (both.changes.original != both.changes.given).sum())


def test_mistakes_are_one_line() -> None:
    with pytest.raises(ValueError, match=r"image_noise\.rate must be a number from 0 to 1, got 1\.5"):
        ImageNoise(rate=1.5)
    with pytest.raises(ValueError, match=r"image_noise\.to must be one of 'gaussian', 'random', 'shuffled', got 'x'"):
        ImageNoise(to="x")
    with pytest.raises(ValueError, match=r"image_noise\.rate must be 0 for image files, got 0\.4"):
        replace(TINY, data="imagenet", image_noise=ImageNoise(rate=0.4))
