"""Images drawn from a Gaussian for each class have its moments."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.sources.source import Source
from tests.helpers.training import coloured
from train.data.streams.gaussian import draw_gaussian

ROOT = Path(__file__).parents[3]


def wavy(number: int, num_classes: int = 2, size: int = 4) -> Source:
    """Images whose neighbouring pixels go together, each class with a mean and waves of its own, far from 0 and 255."""
    rng = np.random.default_rng(0)
    labels = np.arange(number) % num_classes
    waves = rng.normal(size=(num_classes, 5, size * size * 3)) * 7
    means = rng.uniform(100, 150, size=(num_classes, size * size * 3))
    rows = means[labels] + np.einsum("nk,nkp->np", rng.normal(size=(number, 5)), waves[labels])
    return Source(rows.round().astype(np.uint8).reshape(number, size, size, 3), labels, tuple("ab"[:num_classes]))


def rows_of(source: Source, label: int) -> np.ndarray:
    assert isinstance(source.items, np.ndarray)
    return source.items[source.labels == label].reshape(int((source.labels == label).sum()), -1).astype(float)


@pytest.mark.parametrize("number", [400, 40], ids=["more images than pixels", "fewer"])
def test_means_and_covariances_are_those_of_the_class(number: int) -> None:
    source = wavy(number)
    drawn = draw_gaussian(source, 40_000, seed=0)
    for label in (0, 1):
        own, found = rows_of(source, label), rows_of(drawn, label)
        covariance = np.cov(own, rowvar=False)
        deviations = np.sqrt(np.diag(covariance))
        # Five deviations of a mean of 20,000 draws; half a level of rounding adds 1/12 to a variance.
        assert (np.abs(found.mean(axis=0) - own.mean(axis=0)) < 5 * deviations / np.sqrt(20_000)).all()
        error = np.cov(found, rowvar=False) - covariance - np.eye(own.shape[1]) / 12
        spread = np.sqrt((np.outer(deviations**2, deviations**2) + covariance**2) / 20_000)
        assert (np.abs(error) < 5.5 * spread + 0.02).all()
        # A pixel of a Gaussian is one by itself.
        standard = (found - own.mean(axis=0)) / deviations
        assert abs(np.mean(standard**4) - 3) < 0.2
    # The two classes differ by far more than that.
    gap = np.abs(np.cov(rows_of(source, 0), rowvar=False) - np.cov(rows_of(source, 1), rowvar=False))
    assert gap.max() > 50


def test_classes_take_turns_and_the_seed_decides() -> None:
    source = coloured(64)
    first, longer, other = (draw_gaussian(source, *args) for args in ((37, 0), (50, 0), (37, 1)))
    assert first.labels.tolist() == [n % 4 for n in range(37)]
    assert first.classes == source.classes
    np.testing.assert_array_equal(first.items, longer.items[:37])
    assert (first.items != other.items).mean() > 0.9
    assert isinstance(first.items, np.ndarray)
    assert len(np.unique(first.items.reshape(37, -1), axis=0)) == 37


def test_classes_draw_apart() -> None:
    images = wavy(40, num_classes=1).items
    assert isinstance(images, np.ndarray)
    twins = draw_gaussian(Source(np.repeat(images, 2, axis=0), np.arange(80) % 2, ("a", "b")), 40, seed=0)
    first, second = (rows_of(twins, label) for label in (0, 1))
    assert np.abs(first - second).mean() > 5


def test_levels_stay_between_black_and_white() -> None:
    rng = np.random.default_rng(0)
    source = Source(rng.choice(np.array([0, 255], np.uint8), (40, 4, 4, 3)), np.arange(40) % 2, ("a", "b"))
    drawn = draw_gaussian(source, 200, seed=0)
    assert isinstance(drawn.items, np.ndarray)
    assert drawn.items.dtype == np.uint8
    # What lies beyond is cut, not wrapped round: black and white become frequent.
    assert (drawn.items == 0).mean() > 0.1
    assert (drawn.items == 255).mean() > 0.1


def test_the_bytes_do_not_depend_on_the_number_of_threads() -> None:
    code = (
        "import sys, hashlib; from tests.helpers.training import coloured;"
        "from train.data.streams.gaussian import draw_gaussian;"
        "print(hashlib.sha256(draw_gaussian(coloured(2000), 400, 0).items.tobytes()).hexdigest())"
    )
    digests = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)
        digests.add(done.stdout)
    assert len(digests) == 1, done.stderr
    assert digests != {""}, done.stderr


def test_files_and_classes_of_one_image_are_refused() -> None:
    with pytest.raises(ValueError, match="a Gaussian is fitted to images in memory"):
        draw_gaussian(Source(["a.png", "b.png"], np.zeros(2, int), ("a",)), 5, 0)
    source = coloured(9)
    with pytest.raises(ValueError, match="needs 2 or more images of a class, class 'a' has 1"):
        draw_gaussian(source.select([0, 1, 2, 3, 5, 6, 7]), 5, 0)
