"""Images of which a part is covered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor

from mixdali import derive_seed
from mixdali.checks import fraction, one_of
from train.evaluate.parts.shifts import Batches, Networks, Remember, accuracies, by_level, forget

Place = Literal["centre", "random"]
PLACES: tuple[Place, ...] = ("centre", "random")

SHARES = (0.125, 0.25, 0.375, 0.5)


def measure_occlusion(
    networks: Networks,
    batches: Batches,
    *,
    seed: int,
    shares: Sequence[float] = SHARES,
    remember: Remember = forget,
) -> dict[str, Any]:
    """Accuracy on images with a black square.

    Args:
        seed: of the random places.
        shares: sides of the square over the shorter side of the image.
        remember: by place and share.

    Returns:
        For each network, by place ("centre", "random") and share ("0.25"): accuracy, 0 to 1.
    """
    for share in shares:
        fraction("share of an occlusion", share)

    def measure(place: Any, share: float) -> dict[str, Any]:
        return accuracies(networks, batches, lambda batch: occlude(batch.images, batch.index, place, share, seed))

    return by_level(networks, dict.fromkeys(PLACES, shares), measure, remember)


def occlude(images: Tensor, index: Tensor, place: Place, share: float, seed: int) -> Tensor:
    """Images (N, C, H, W) with a black square; a copy.

    share  side of the square over the shorter side of the image, 0 to 1, in whole pixels.
    place  centre: in the middle. random: anywhere inside, by the seed and the image's index.
    """
    one_of("place", place, PLACES)
    fraction("share of an occlusion", share)
    height, width = images.shape[2:]
    side = round(share * min(height, width))
    made = images.clone()
    for row, number in enumerate(index.tolist()):
        drawn = np.random.default_rng(derive_seed(seed, "occlusion", number)).random(2) if place == "random" else None
        top, left = (
            room // 2 if drawn is None else min(int(drawn[axis] * (room + 1)), room)
            for axis, room in enumerate((height - side, width - side))
        )
        made[row, :, top : top + side, left : left + side] = 0
    return made
