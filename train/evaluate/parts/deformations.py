"""Images that are turned, sheared, or seen from nearer or farther."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mixdali import derive_seed
from mixdali.checks import one_of, require
from train.evaluate.parts.shifts import Batches, Networks, Remember, accuracies, by_level, forget

Deformation = Literal["rotation", "shear", "zoom_in", "zoom_out"]
DEFORMATIONS: tuple[Deformation, ...] = ("rotation", "shear", "zoom_in", "zoom_out")

LEVELS: Mapping[Deformation, Sequence[float]] = {
    "rotation": (20, 40, 60, 80),
    "shear": (28.6, 57.3),
    "zoom_in": (0.2, 0.4, 0.6),
    "zoom_out": (0.2, 0.4, 0.6),
}
LARGEST: Mapping[Deformation, float] = {"rotation": 180.0, "shear": 89.0, "zoom_in": 0.99, "zoom_out": 100.0}


def measure_deformations(
    networks: Networks,
    batches: Batches,
    *,
    seed: int,
    levels: Mapping[Deformation, Sequence[float]] = LEVELS,
    remember: Remember = forget,
) -> dict[str, Any]:
    """Accuracy on deformed images: the kinds of Manifold Mixup's table (arXiv:1806.05236), at levels of our choice.

    Args:
        seed: of the angles.
        levels: of each kind, as in `deform`.
        remember: by kind and level.

    Returns:
        For each network, by kind and level ("20", "0.4"): accuracy, 0 to 1.
    """
    for kind, values in levels.items():
        for level in values:
            check_deformation(kind, level)

    def measure(kind: Any, level: float) -> dict[str, Any]:
        return accuracies(networks, batches, lambda batch: deform(batch.images, batch.index, kind, level, seed))

    return by_level(networks, levels, measure, remember)


def deform(images: Tensor, index: Tensor, kind: Deformation, level: float, seed: int) -> Tensor:
    """Images (N, C, H, W) in [0, 1], deformed around their middle, bilinear, black beside the image; float32.

    An image's angle follows from the seed, its index and the kind, and grows with the level.

    kind   rotation, shear: by an angle uniform in [-level, level] degrees; shear moves rows sideways. zoom_in,
           zoom_out: 1 - level or 1 + level of each side is seen, in all images alike.
    index  (N,) int.
    """
    check_deformation(kind, level)
    maps = []
    for number in index.tolist():
        draw = 2 * np.random.default_rng(derive_seed(seed, "deformation", kind, number)).random() - 1
        angle = math.radians(level * draw)
        maps.append(
            {
                "rotation": [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]],
                "shear": [[1.0, math.tan(angle)], [0.0, 1.0]],
                "zoom_in": [[1 - level, 0.0], [0.0, 1 - level]],
                "zoom_out": [[1 + level, 0.0], [0.0, 1 + level]],
            }[kind]
        )
    height, width = images.shape[2:]
    # in pixels of one size; grids go from -1 to 1 along either side
    ratio = torch.tensor([[1.0, height / width], [width / height, 1.0]])
    theta = F.pad(torch.tensor(maps) * ratio, (0, 1)).to(images.device)
    work = images.float()
    grid = F.affine_grid(theta, list(work.shape), align_corners=False)
    return F.grid_sample(work, grid, mode="bilinear", padding_mode="zeros", align_corners=False).clamp(0, 1)


def check_deformation(kind: str, level: float) -> None:
    """ValueError unless there is such a deformation."""
    one_of("deformation", kind, DEFORMATIONS)
    largest = {str(name): value for name, value in LARGEST.items()}[kind]
    require(0 <= level <= largest, f"level of {kind}", level, f"must be from 0 to {largest:g}")
