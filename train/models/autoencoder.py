"""A small convolutional autoencoder of images."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Autoencoder(nn.Module):
    """Images (N, 3, H, W) in [0, 1], of even sides -> nearly the same, not cut to [0, 1].

    One step down to half the resolution, a residual block there, and one step up.

    Args:
        width: channels at full resolution; twice as many at half.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.inner1 = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.inner2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.up = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.down(F.relu(self.first(images)))
        hidden = hidden + self.inner2(F.relu(self.inner1(F.relu(hidden))))
        return self.last(F.relu(F.pixel_shuffle(self.up(F.relu(hidden)), 2)))
