"""Training images that no longer show what their labels say: their pixels replaced, by their places in the data set.

The three kinds are those of Zhang, Bengio, Hardt, Recht and Vinyals, "Understanding deep learning requires rethinking
generalization", ICLR 2017, arXiv:1611.03530, as in Self-Adaptive Training (arXiv:2002.10319).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mixdali import derive_seed
from mixdali.checks import fraction, one_of

Pixels = Literal["gaussian", "random", "shuffled"]

CHUNK = 1024
"""Images that are worked on at a time."""


@dataclass(frozen=True, kw_only=True)
class ImageNoise:
    """Replaces the pixels of some training images, once for the whole run; they keep their labels.

    Whether an image is replaced, and by what, depends on the seed, its index and its own pixels; what is replaced at
    one rate is among what is replaced at a higher one. The statistics of "gaussian" are those of all images given.
    """

    rate: float = 0.0
    """Chance of each image to be replaced, independently."""
    to: Pixels = "gaussian"
    """What it becomes. gaussian: independent normal numbers with each channel's mean and deviation over the training
    images, cut to 0 and 255. random: its own pixels in an order drawn for it. shuffled: its own pixels in one order,
    the same for all."""

    def __post_init__(self) -> None:
        fraction("image_noise.rate", self.rate)
        one_of("image_noise.to", self.to, get_args(Pixels))

    def chosen(self, index: np.ndarray, seed: int) -> np.ndarray:
        """index (N,), places in the full data set -> (N,) bool, which images are replaced."""
        if not len(index):
            return np.zeros(0, bool)
        chance: np.ndarray = np.random.default_rng(derive_seed(seed, "chance")).random(int(index.max()) + 1)
        return chance[index] < self.rate

    def apply(self, images: np.ndarray, index: np.ndarray, seed: int) -> np.ndarray:
        """images (N, H, W, 3) uint8 and index (N,), the places in the full data set -> a copy with some replaced."""
        result = images.copy()
        places = np.flatnonzero(self.chosen(index, seed))
        if not len(places):
            return result
        height, width = images.shape[1:3]
        if self.to == "shuffled":
            order = np.random.default_rng(derive_seed(seed, "order")).permutation(height * width)
            result[places] = images[places].reshape(len(places), -1, 3)[:, order].reshape(-1, height, width, 3)
            return result
        mean, deviation = statistics(images)
        for place in places.tolist():
            own = np.random.default_rng(derive_seed(seed, "image", int(index[place])))
            if self.to == "random":
                result[place] = own.permutation(images[place].reshape(-1, 3)).reshape(height, width, 3)
            else:
                drawn = own.normal(mean, deviation, (height, width, 3))
                result[place] = drawn.clip(0, 255).astype(np.uint8)
        return result


def statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W, 3) uint8 -> mean (3,) and deviation (3,) of each channel over all pixels, from 0 to 255."""
    count = images.shape[0] * images.shape[1] * images.shape[2]
    total, squares = np.zeros(3), np.zeros(3)
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK].astype(np.float64)
        total += part.sum(axis=(0, 1, 2))
        squares += np.square(part).sum(axis=(0, 1, 2))
    mean = total / count
    deviation: np.ndarray = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean, deviation
