"""Noise on the pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mixdali import derive_seed
from mixdali.checks import fraction, one_of, positive
from train.evaluate.parts.shifts import Batches, Networks, Remember, accuracies, by_level, forget

Noise = Literal["white", "uniform", "salt_and_pepper"]
NOISES: tuple[Noise, ...] = ("white", "uniform", "salt_and_pepper")

LEVELS: Mapping[Noise, Sequence[float]] = {
    "white": (0.02, 0.05, 0.1, 0.2),
    "uniform": (0.05, 0.1, 0.2, 0.4),
    "salt_and_pepper": (0.01, 0.02, 0.05, 0.1),
}
"""From hardly visible to strong."""


def measure_noise(
    networks: Networks,
    batches: Batches,
    *,
    seed: int,
    levels: Mapping[Noise, Sequence[float]] = LEVELS,
    remember: Remember = forget,
) -> dict[str, Any]:
    """Accuracy on images with noise.

    Args:
        seed: of the noise.
        levels: of each kind, as in `add_noise`.
        remember: by kind and level.

    Returns:
        For each network, by kind and level ("0.1"): accuracy, 0 to 1.
    """
    for kind, values in levels.items():
        for level in values:
            check_noise(kind, level)

    def measure(kind: Any, level: float) -> dict[str, Any]:
        return accuracies(networks, batches, lambda batch: add_noise(batch.images, batch.index, kind, level, seed))

    return by_level(networks, levels, measure, remember)


def add_noise(images: Tensor, index: Tensor, kind: Noise, level: float, seed: int) -> Tensor:
    """Images (N, C, H, W) in [0, 1] with noise, cut to [0, 1]; float32.

    An image's noise follows from the seed, its index and the kind, and at a higher level is the same noise, stronger.

    kind   white: normal, with deviation `level`, for every value of its own. uniform: in [-level, level], likewise.
           salt_and_pepper: a pixel becomes black with the chance level / 2, and white with the same.
    index  (N,) int.
    level  in units of images in [0, 1]; of salt_and_pepper at most 1.
    """
    check_noise(kind, level)
    made = []
    for image, number in zip(images.float().cpu(), index.tolist(), strict=True):
        rng = np.random.default_rng(derive_seed(seed, "noise", kind, number))
        if kind == "salt_and_pepper":
            draw = torch.from_numpy(rng.random(image.shape[1:]))
            made.append(image.masked_fill(draw < level / 2, 0.0).masked_fill(draw >= 1 - level / 2, 1.0))
            continue
        draw = rng.standard_normal(image.shape) if kind == "white" else rng.uniform(-1, 1, image.shape)
        made.append(image.add(torch.from_numpy(draw.astype(np.float32)), alpha=level).clamp(0, 1))
    return torch.stack(made).to(images.device)


def check_noise(kind: str, level: float) -> None:
    """ValueError unless there is such noise."""
    one_of("noise", kind, NOISES)
    if kind == "salt_and_pepper":
        fraction("level of salt_and_pepper", level)
    else:
        positive(f"level of {kind} noise", level)
