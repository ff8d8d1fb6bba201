"""Random changes of what the discriminator sees, through which the generator gets its gradient.

Zhao, Liu, Lin, Zhu and Han, "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020,
arXiv:2006.10738: colour, translation and cutout, drawn for each image, real or not.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 0.125
"""How far images move, as a share of their side."""
HOLE = 0.5
"""Side of the hole, as a share of the image's."""


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """images (N, 3, H, W) in [-1, 1] -> the same shape, values about [-2, 2]; what comes in from outside is grey."""
    count = len(images)

    def uniform() -> Tensor:
        return torch.rand(count, 1, 1, 1, generator=generator, device=images.device)

    images = images + (uniform() - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = torch.lerp(grey, images, 2 * uniform())
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    images = torch.lerp(level, images, 0.5 + uniform())
    return _cut(_shift(images, generator), generator)


def _shift(images: Tensor, generator: torch.Generator) -> Tensor:
    count, channels, height, width = images.shape
    for axis, side in ((2, height), (3, width)):
        reach = round(SHIFT * side)
        by = torch.randint(2 * reach + 1, (count, 1), generator=generator, device=images.device)
        shape = [count, 1, 1, 1]
        shape[axis] = side
        places = (torch.arange(side, device=images.device) + by).view(shape)
        whole = [count, channels, height, width]
        padding = [reach, reach] if axis == 3 else [0, 0, reach, reach]
        images = F.pad(images, padding).gather(axis, places.expand(whole))
    return images


def _cut(images: Tensor, generator: torch.Generator) -> Tensor:
    kept = []
    for axis in (2, 3):
        side = images.shape[axis]
        length = round(HOLE * side)
        # Any middle inside the image, so that holes also hang over its edge.
        start = torch.randint(side + 1, (len(images), 1), generator=generator, device=images.device) - length // 2
        place = torch.arange(side, device=images.device)
        kept.append((place < start) | (place >= start + length))
    mask = kept[0][:, None, :, None] | kept[1][:, None, None, :]
    return images * mask
