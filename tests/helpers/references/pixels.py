"""The relatives that change pixels alone: erasing and noise."""

import math
from collections.abc import Sequence

import numpy as np

from tests.helpers.references.boxes import Box, around, inside
from tests.helpers.references.pairs import randint


def cutout_box(length: int, row: int, column: int, height: int, width: int) -> Box:
    return around(row, column, length, length, height, width)


def erased(images: np.ndarray, boxes: Sequence[Box], fill: np.ndarray) -> np.ndarray:
    """fill (N, C, H, W): what is shown in the boxes."""
    covered = images.copy()
    for n, c, y, x in np.ndindex(*images.shape):
        if inside(boxes[n], y, x):
            covered[n, c, y, x] = fill[n, c, y, x]
    return covered


def sides(area: float, aspect: float) -> tuple[int, int]:
    """Of Random Erasing's code: area in pixels, aspect is height by width."""
    return round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))


def fits(area: float, aspect: float, height: int, width: int) -> bool:
    erased_height, erased_width = sides(area, aspect)
    return erased_height < height and erased_width < width


def fitting_aspects(area: float, aspect: tuple[float, float], height: int, width: int) -> tuple[float, float]:
    """The first and the last of the aspects that the code accepts, found by halving from one that it does accept."""
    low, high = aspect
    accepted = next(a for a in np.geomspace(low, high, 999) if fits(area, a, height, width))
    ends = []
    for end in (low, high):
        good, bad = accepted, end
        if fits(area, end, height, width):
            good = end
        else:
            for _ in range(60):
                middle = (good + bad) / 2
                good, bad = (middle, bad) if fits(area, middle, height, width) else (good, middle)
        ends.append(good)
    return ends[0], ends[1]


def erasing_box(
    area: float, where: float, law: str, aspect: tuple[float, float], place: tuple[float, float], size: tuple[int, int]
) -> Box:
    """area in pixels; `where` in [0, 1) is the aspect's place among those that the code would accept."""
    height, width = size
    low, high = fitting_aspects(area, aspect, height, width)
    drawn = low * (high / low) ** where if law == "log" else low + where * (high - low)
    erased_height, erased_width = sides(area, drawn)
    y0 = randint(0, height - erased_height + 1, place[0])
    x0 = randint(0, width - erased_width + 1, place[1])
    return y0, x0, y0 + erased_height, x0 + erased_width


def noisy(
    images: np.ndarray,
    additive: np.ndarray,
    multiplicative: np.ndarray,
    g: np.ndarray,
    u: np.ndarray,
    levels: tuple[float, float],
) -> np.ndarray:
    """NFM's _noise: additive and multiplicative (N,) are the two draws of Beta(2, 5), g and u (N, C, H, W)."""
    out = np.empty(images.shape)
    for n in range(len(images)):
        add_noise = levels[0] * additive[n] * g[n]
        mult_noise = levels[1] * multiplicative[n] * (2 * u[n] - 1) + 1
        out[n] = mult_noise * images[n] + add_noise
    return out
