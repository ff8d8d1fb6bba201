"""Attacks are defined on images in [0, 1]; a stream that was normalised is refused."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# On a GPU the range of the images is looked at once in so many steps, for all steps since the last time.
STEPS_BETWEEN_LOOKS = 256

# Rounding of a conversion or a resize.
SLACK = 1e-6


def check_images(images: Tensor) -> None:
    """TypeError unless images are float, ValueError unless they are in [0, 1]. Waits for their device."""
    _check_type(images)
    if images.numel():
        _check_range(*images.detach().aminmax())


def check_stream(images: Tensor, state: nn.Module, *, every: int | None = None) -> None:
    """`check_images` for a training step: the first images of a process at once, and none of the later ones forgotten.

    Args:
        images: (N, ...) of this step.
        state: where the range seen so far is kept between steps; it does not become a part of its state_dict.
        every: so many steps lie between two looks. None: 1 on the CPU, where looking is free.
    """
    _check_type(images)
    every = every or (1 if images.device.type == "cpu" else STEPS_BETWEEN_LOOKS)
    low, high = images.detach().aminmax()
    if every == 1:
        _check_range(low, high)
        return
    memory: Any = state
    steps, lowest, highest = getattr(memory, "range_of_images", (0, low, high))
    lowest, highest = torch.minimum(lowest, low), torch.maximum(highest, high)
    memory.range_of_images = (steps + 1, lowest, highest)
    if steps % every == 0:
        _check_range(lowest, highest)


def _check_type(images: Tensor) -> None:
    if not images.is_floating_point():
        raise TypeError(f"an attack needs float images in [0, 1], got {images.dtype}; divide bytes by 255")


def _check_range(low: Tensor, high: Tensor) -> None:
    if not (low >= -SLACK and high <= 1 + SLACK):
        raise ValueError(
            f"an attack needs images in [0, 1], got values from {float(low):.3g} to {float(high):.3g}; "
            "let the model's first layer normalise, not the data"
        )
