"""How alike two images look."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE, WIDTH = 11, 1.5
"""The window, in pixels, and the deviation of its weights."""
CONSTANTS = (0.01**2, 0.03**2)


def ssim(images: Tensor, others: Tensor) -> Tensor:
    """(N, C, H, W) in [0, 1], twice -> (N,) the mean structural similarity, 1 for equal images.

    Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE
    Transactions on Image Processing 2004, with its Gaussian window and constants, where the window lies wholly inside;
    the mean of the channels. In at least float32.

    Raises:
        ValueError: images smaller than the window of 11 x 11 pixels.
    """
    if min(images.shape[2:]) < SIDE:
        raise ValueError(
            f"structural similarity needs images of {SIDE} x {SIDE} pixels or more, got {images.shape[2:]}"
        )
    work = torch.promote_types(images.dtype, torch.float32)
    first, second = images.to(work), others.to(work)
    parts = torch.cat([first, second, first * first, second * second, first * second])
    mean1, mean2, square1, square2, product = _windowed(parts).chunk(5)
    variance1, variance2 = square1 - mean1 * mean1, square2 - mean2 * mean2
    covariance = product - mean1 * mean2
    light, contrast = CONSTANTS
    above = (2 * mean1 * mean2 + light) * (2 * covariance + contrast)
    below = (mean1 * mean1 + mean2 * mean2 + light) * (variance1 + variance2 + contrast)
    return (above / below).mean(dim=(1, 2, 3))


def _windowed(values: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H - 10, W - 10): weighted means around each pixel."""
    places = torch.arange(SIDE, dtype=values.dtype, device=values.device) - SIDE // 2
    weights = torch.exp(-places * places / (2 * WIDTH**2))
    weights = weights / weights.sum()
    count, channels, height, width = values.shape
    rows = F.conv2d(values.reshape(count * channels, 1, height, width), weights.view(1, 1, -1, 1))
    return F.conv2d(rows, weights.view(1, 1, 1, -1)).unflatten(0, (count, channels)).squeeze(2)
