"""The methods that show the partner in a box."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from tests.helpers.references.pairs import Batch, randint, weighed

Box = tuple[int, int, int, int]  # y0, x0, y1, x1, half-open


def inside(box: Sequence[int], y: int, x: int) -> bool:
    y0, x0, y1, x1 = box
    return y0 <= y < y1 and x0 <= x < x1


def around(row: int, column: int, cut_height: int, cut_width: int, height: int, width: int) -> Box:
    """CutMix's rand_bbox once the centre is drawn: half a side to either hand, cut off at the border."""
    y0, y1 = max(row - cut_height // 2, 0), min(row + cut_height // 2, height)
    x0, x1 = max(column - cut_width // 2, 0), min(column + cut_width // 2, width)
    return y0, x0, y1, x1


def cutmix_box(lam: float, row: int, column: int, height: int, width: int) -> Box:
    ratio = np.sqrt(1.0 - lam)
    return around(row, column, int(height * ratio), int(width * ratio), height, width)


def cutmix(images: np.ndarray, targets: np.ndarray, partner: np.ndarray, boxes: Sequence[Sequence[int]]) -> Batch:
    return weighed(images, targets, partner, lambda n, y, x: 0.0 if inside(boxes[n], y, x) else 1.0)


def cutmix_inside_box(lam: float, cy: float, cx: float, height: int, width: int) -> Box:
    """CutMix's sides, at any place that holds them."""
    ratio = np.sqrt(1.0 - lam)
    cut_height, cut_width = int(height * ratio), int(width * ratio)
    y0, x0 = randint(0, height - cut_height + 1, cy), randint(0, width - cut_width + 1, cx)
    return y0, x0, y0 + cut_height, x0 + cut_width


def minmax_box(minmax: tuple[float, float], draws: tuple[float, float, float, float], height: int, width: int) -> Box:
    """timm's rand_bbox_minmax: four calls of randint, of height, width, top and left."""
    low, high = minmax
    cut_height = randint(int(height * low), int(height * high), draws[0])
    cut_width = randint(int(width * low), int(width * high), draws[1])
    y0, x0 = randint(0, height - cut_height, draws[2]), randint(0, width - cut_width, draws[3])
    return y0, x0, y0 + cut_height, x0 + cut_width


def resizemix_box(tau: float, row: int, column: int, height: int, width: int) -> Box:
    return around(row, column, int(height * tau), int(width * tau), height, width)


def nearest(place: int, shown: int, size: int) -> int:
    """Of `size` pixels the one that the centre of pixel `place` falls into, when all are shown on `shown` pixels."""
    return math.floor((place + Fraction(1, 2)) * Fraction(size, shown))


def resizemix(images: np.ndarray, targets: np.ndarray, partner: np.ndarray, boxes: Sequence[Box]) -> Batch:
    """The whole partner is resized to the box as it was cut off, and pasted there."""
    pasted = images.copy()
    height, width = images.shape[2:]
    for n, (y0, x0, y1, x1) in enumerate(boxes):
        for y in range(y0, y1):
            for x in range(x0, x1):
                source = nearest(y - y0, y1 - y0, height), nearest(x - x0, x1 - x0, width)
                pasted[n, :, y, x] = images[partner[n], :, source[0], source[1]]
    return pasted, cutmix(images, targets, partner, boxes)[1]


def hmix(images: np.ndarray, targets: np.ndarray, partner: np.ndarray, lam: np.ndarray, boxes: Sequence[Box]) -> Batch:
    """Mixup of the whole image with a weight that makes up for the box, and the box pasted on it."""
    height, width = images.shape[2:]

    def own(n: int, y: int, x: int) -> float:
        y0, x0, y1, x1 = boxes[n]
        cutmix_lam = 1 - (y1 - y0) * (x1 - x0) / (height * width)
        return 0.0 if inside(boxes[n], y, x) else float(lam[n]) / cutmix_lam

    return weighed(images, targets, partner, own)


def hmix_box(lam: float, ratio: float, row: int, column: int, height: int, width: int) -> Box:
    side = np.sqrt(1 - lam) * np.sqrt(ratio)
    return around(row, column, int(height * side), int(width * side), height, width)
