"""Images drawn from a Gaussian for each class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mixdali import derive_seed

if TYPE_CHECKING:
    from pipelines.sources.source import Source

# Drawn at once, to save memory.
ROWS = 500


def draw_gaussian(source: Source, num_images: int, seed: int) -> Source:
    """Images of all classes in turn, each drawn from a Gaussian fitted to the pixels of its class.

    The simplest source of Gowal, Rebuffi, Wiles, Stimberg, Calian and Mann, "Improving Robustness using Generated
    Data", NeurIPS 2021, arXiv:2110.09468. The mean and the whole covariance of all pixels are those of the class's
    images. A draw is the mean plus a random sum of the images' distances from it, each times its own Gaussian number
    over sqrt(n - 1): that has this covariance without one being computed, whatever the number of images. A class with
    fewer images than pixels has a flat Gaussian, whose draws lie among sums of its images. Levels are rounded and cut
    to 0 to 255.

    Args:
        source: images in memory.
        num_images: how many are drawn.
        seed: the same seed gives the same images.

    Raises:
        ValueError: files, or a class with fewer than two images.
    """
    from pipelines.sources.source import Source

    if not isinstance(source.items, np.ndarray):
        raise ValueError("a Gaussian is fitted to images in memory; for image files, name a folder of further ones")
    num_classes = len(source.classes) or int(source.labels.max()) + 1
    labels = np.arange(num_images) % num_classes
    drawn = np.empty((num_images, *source.items.shape[1:]), np.uint8)
    for label in range(min(num_classes, num_images)):
        own = source.items[source.labels == label]
        if len(own) < 2:
            name = source.classes[label] if source.classes else str(label)
            raise ValueError(f"a Gaussian needs 2 or more images of a class, class {name!r} has {len(own)}")
        _draw_class(own, drawn[label::num_classes], np.random.default_rng(derive_seed(seed, "gaussian", label)))
    return Source(drawn, labels, source.classes)


def _draw_class(own: np.ndarray, drawn: np.ndarray, rng: np.random.Generator) -> None:
    """Fill `drawn` (M, H, W, 3) uint8 from the Gaussian of `own` (n, H, W, 3)."""
    # In double precision a draw does not depend on how many threads sum it up.
    rows = own.reshape(len(own), -1).astype(np.float64)
    mean = rows.mean(axis=0)
    rows -= mean
    rows /= math.sqrt(len(own) - 1)
    for start in range(0, len(drawn), ROWS):
        part = drawn[start : start + ROWS]
        levels = rng.standard_normal((len(part), len(own))) @ rows + mean
        part[:] = levels.round().clip(0, 255).reshape(part.shape)
