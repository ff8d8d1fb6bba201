"""The methods that weigh pixel by pixel."""

import math
from collections.abc import Sequence

import numpy as np

from tests.helpers.references.pairs import randint


def grid_holes(
    lam: float,
    cells: int,
    area: float,
    aspect: float,
    cy: float,
    cx: float,
    size: tuple[int, int],
) -> np.ndarray:
    """OpenMixup's rand_grid: (H, W), 1 in the holes. A part larger than the image is cut to it."""
    height, width = size
    cut_width = min(max(int(np.sqrt(int(height * width * area) / aspect)), 1), width)
    cut_height = min(max(int(cut_width * aspect), 1), height)
    top, left = int((height - cut_height) * cy), int((width - cut_width) * cx)
    patch = math.ceil(cut_width / cells)
    rows = math.ceil(cut_height / patch)
    hole = min(max(int(patch * np.sqrt(1 - lam)), 1), patch - 1)
    mask = np.zeros(size)
    for i in range(cells + 1):
        for j in range(rows + 1):
            x1, y1 = min(patch * i, cut_width), min(patch * j, cut_height)
            x2, y2 = min(x1 + hole, cut_width), min(y1 + hole, cut_height)
            mask[top + y1 : top + y2, left + x1 : left + x2] = 1
    return mask


def smooth_spot(spread: float, row: int, column: int, size: tuple[int, int]) -> np.ndarray:
    """SmoothMix: (H, W), exp(-d ** 2 / (2 sigma ** 2)); sigma is a share of the height.

    openmixup rolls the numbers 0 to 2 H - 1 by row - H / 2, keeps the middle H of them and measures from (2 H - 1) / 2,
    so pixel y is y - row + 1 / 2 away.
    """
    sigma = spread * size[0]
    spot = np.empty(size)
    for y, x in np.ndindex(size):
        spot[y, x] = math.exp(-((y - row + 0.5) ** 2 + (x - column + 0.5) ** 2) / (2 * sigma**2))
    return spot


def gmix_own(lam: float, row: int, column: int, size: tuple[int, int]) -> np.ndarray:
    """GMix: (H, W), the own image's weights; whose share is the smaller shows through the spot."""
    share = min(lam, 1 - lam)
    spot = np.empty(size)
    for y, x in np.ndindex(size):
        spot[y, x] = math.exp(-math.pi * ((y - row) ** 2 + (x - column) ** 2) / (share * size[0] * size[1]))
    return spot if lam < 0.5 else 1 - spot


def fmix_own(
    lam: float, noise: np.ndarray, up: bool, size: tuple[int, int], decay_power: float = 3, as_published: bool = False
) -> np.ndarray:
    """FMix: (H, W), 1 for the pixels that stay one's own. noise as `fmix_noise_shape` says."""
    straight = 1 if as_published else math.sqrt(2)
    cloud = sum_of_waves(spectrum_of(noise, size, decay_power, as_published), size, straight).reshape(-1)
    number = math.ceil(lam * cloud.size) if up else math.floor(lam * cloud.size)
    mask = np.zeros(cloud.size)
    for place in cloud.argsort()[::-1][:number]:
        mask[place] = 1
    return mask.reshape(size)


def frequencies(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The official fftfreqnd: along the width half of them, one too many where it is odd."""
    height, width = size
    return np.fft.fftfreq(height), np.fft.fftfreq(width)[: width // 2 + (2 if width % 2 else 1)]


def fmix_noise_shape(size: tuple[int, int]) -> tuple[int, int, int]:
    down, across = frequencies(size)
    return len(down), len(across), 2


def spectrum_of(noise: np.ndarray, size: tuple[int, int], decay_power: float, as_published: bool) -> np.ndarray:
    """Real and imaginary part stand in the noise's last axis; as published they are taken from its first."""
    scaled = np.empty_like(noise)
    for i, fy in enumerate(frequencies(size)[0]):
        for j, fx in enumerate(frequencies(size)[1]):
            scaled[i, j] = noise[i, j] / max(math.sqrt(fx * fx + fy * fy), 1 / max(size)) ** decay_power
    return scaled[0] + 1j * scaled[1] if as_published else scaled[..., 0] + 1j * scaled[..., 1]


def sum_of_waves(spectrum: np.ndarray, size: tuple[int, int], straight: float) -> np.ndarray:
    """A sum over the frequencies that are there and that count: a wave and its mirror image are twice one wave.

    Waves straight down, and those across of two pixels' length, are among them with their mirror images; they weigh
    `straight`: 1 is what irfft2(spectrum, size) takes them for, and sqrt(2) gives them the power of all others.
    """
    height, width = size
    field = np.zeros(size)
    rows, columns = min(spectrum.shape[0], height), min(spectrum.shape[1], width // 2 + 1)
    for y, x in np.ndindex(size):
        for i in range(rows):
            for j in range(columns):
                weight = straight if j == 0 or 2 * j == width else 2
                field[y, x] += weight * (spectrum[i, j] * np.exp(2j * np.pi * (i * y / height + j * x / width))).real
    return field / (height * width)


def centre(cy: float, cx: float, size: Sequence[int]) -> tuple[int, int]:
    return randint(0, size[0], cy), randint(0, size[1], cx)
