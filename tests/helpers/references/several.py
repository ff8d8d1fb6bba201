"""The methods with more than one partner."""

from collections.abc import Sequence

import numpy as np

from tests.helpers.references.pairs import Batch, randint


def cycle_partners(partner: Sequence[int], count: int) -> list[list[int]]:
    """Of each image the partner, the partner's partner, and so on: (count, N)."""
    found = []
    at = list(range(len(partner)))
    for _ in range(count):
        at = [int(partner[place]) for place in at]
        found.append(at)
    return found


def dirichlet_mixup(images: np.ndarray, targets: np.ndarray, partner: Sequence[int], weights: np.ndarray) -> Batch:
    """weights (N, k), rows of sum 1, the own image's first."""
    mixed_images, mixed_targets = np.zeros(images.shape), np.zeros(targets.shape)
    everybody = [range(len(images)), *cycle_partners(partner, weights.shape[1] - 1)]
    for n in range(len(images)):
        for k, images_of in enumerate(everybody):
            mixed_images[n] += weights[n, k] * images[images_of[n]]
            mixed_targets[n] += weights[n, k] * targets[images_of[n]]
    return mixed_images, mixed_targets


def kept(weights: np.ndarray) -> dict[str, np.ndarray]:
    """The draws kept1, kept2, ... that stand for these weights."""
    sums = weights.cumsum(1)
    return {f"kept{k}": sums[:, k - 1] / sums[:, k] for k in range(1, weights.shape[1])}


def mosaic(
    images: np.ndarray,
    targets: np.ndarray,
    partner: Sequence[int],
    point: Sequence[tuple[float, float]],
    places: Sequence[Sequence[tuple[float, float]]],
) -> Batch:
    """point (N, 2) shares of height and width; places (N, 4, 2): own, right of it, below it, across."""
    mixed_images, mixed_targets = np.zeros(images.shape), np.zeros(targets.shape)
    height, width = images.shape[2:]
    for n in range(len(images)):
        y, x = int(float(point[n][0]) * height + 0.5), int(float(point[n][1]) * width + 0.5)
        fields = [(0, 0, y, x), (0, x, y, width), (y, 0, height, x), (y, x, height, width)]
        shown = [n, *(others[n] for others in cycle_partners(partner, 3))]
        for (y0, x0, y1, x1), image, (top, left) in zip(fields, shown, places[n], strict=True):
            first = randint(0, height - (y1 - y0) + 1, top), randint(0, width - (x1 - x0) + 1, left)
            for i in range(y1 - y0):
                for j in range(x1 - x0):
                    mixed_images[n, :, y0 + i, x0 + j] = images[image, :, first[0] + i, first[1] + j]
                    mixed_targets[n] += targets[image] / (height * width)
    return mixed_images, mixed_targets
