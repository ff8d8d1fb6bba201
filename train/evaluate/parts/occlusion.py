"""Images of which a part is covered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mixdali import derive_seed
from mixdali.checks import fraction, one_of
from train.evaluate.parts.shifts import Batches, Networks, Remember, accuracies, by_level, forget

Place = Literal["centre", "border", "random"]
PLACES: tuple[Place, ...] = ("centre", "border", "random")

SHARES = (0.125, 0.25, 0.375, 0.5)


def measure_occlusion(
    networks: Networks,
    batches: Batches,
    *,
    seed: int,
    shares: Sequence[float] = SHARES,
    remember: Remember = forget,
) -> dict[str, Any]:
    """Accuracy on images with a black square, or a black border: centre and border are what CutMix (arXiv:1905.04899)
    calls center and boundary occlusion; it plots them over the size of the hole.

    Args:
        seed: of the random places.
        shares: as of `occlude`.
        remember: by place and share.

    Returns:
        For each network, by place ("centre", "border", "random") and share ("0.25"): accuracy, 0 to 1.
    """
    for share in shares:
        fraction("share of an occlusion", share)

    def measure(place: Any, share: float) -> dict[str, Any]:
        return accuracies(networks, batches, lambda batch: occlude(batch.images, batch.index, place, share, seed))

    return by_level(networks, dict.fromkeys(PLACES, shares), measure, remember)


def occlude(images: Tensor, index: Tensor, place: Place, share: float, seed: int) -> Tensor:
    """Images (N, C, H, W) with a black square or border; a copy.

    share  side of the square, or what the border takes of a side, both ends together, over the shorter side of the
           image: 0 to 1, in whole pixels.
    place  centre: a square in the middle. border: all but the middle. random: a square anywhere inside, by the seed and
           the image's index.
    """
    one_of("place", place, PLACES)
    fraction("share of an occlusion", share)
    height, width = images.shape[2:]
    side = round(share * min(height, width))
    if place == "border":
        return _middle_alone(images, side)
    made = images.clone()
    for row, number in enumerate(index.tolist()):
        drawn = np.random.default_rng(derive_seed(seed, "occlusion", number)).random(2) if place == "random" else None
        top, left = (
            room // 2 if drawn is None else min(int(drawn[axis] * (room + 1)), room)
            for axis, room in enumerate((height - side, width - side))
        )
        made[row, :, top : top + side, left : left + side] = 0
    return made


def _middle_alone(images: Tensor, taken: int) -> Tensor:
    """Black where the first and last rows and columns are, `taken` of each in all."""
    rows, columns = (slice(taken // 2, length - (taken - taken // 2)) for length in images.shape[2:])
    made = torch.zeros_like(images)
    made[:, :, rows, columns] = images[:, :, rows, columns]
    return made
