"""The two networks: one draws images of a class, the other tells them from real ones.

In the manner of DCGAN (Radford et al., arXiv:1511.06434) with the class entering by conditional batch norm and by
projection (Miyato and Koyama, "cGANs with Projection Discriminator", ICLR 2018, arXiv:1802.05637). Images have values
in [-1, 1] here.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STAGES = 3
"""How often the resolution doubles, so that sides are multiples of 8."""


class ConditionalNorm(nn.Module):
    """Batch norm whose scale and shift belong to the class: hidden (N, C, H, W), labels (N,) -> (N, C, H, W)."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.scale = nn.Embedding(num_classes, width)
        self.shift = nn.Embedding(num_classes, width)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, hidden: Tensor, labels: Tensor) -> Tensor:
        scale, shift = self.scale(labels)[:, :, None, None], self.shift(labels)[:, :, None, None]
        return torch.addcmul(shift, self.norm(hidden), scale)


class Generator(nn.Module):
    """Noise (N, latent_size), standard normal, and labels (N,) -> images (N, 3, size, size) in [-1, 1].

    Args:
        size: side of the images, a multiple of 8.
        num_classes: number of classes.
        width: channels at full resolution; they double with each step down.
        latent_size: numbers that decide an image.
    """

    def __init__(self, *, size: int, num_classes: int, width: int, latent_size: int) -> None:
        super().__init__()
        self.num_classes, self.latent_size = num_classes, latent_size
        widths = [width * 2 ** (STAGES - stage) for stage in range(STAGES + 1)]
        self.shape = (widths[0], size // 2**STAGES, size // 2**STAGES)
        self.first = nn.Linear(latent_size, widths[0] * self.shape[1] * self.shape[2])
        self.norms = nn.ModuleList(ConditionalNorm(width, num_classes) for width in widths)
        self.steps = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False) for before, after in pairwise(widths)
        )
        self.last = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        hidden = self.first(noise).unflatten(1, self.shape).contiguous(memory_format=torch.channels_last)
        for norm, step in zip(self.norms, self.steps, strict=False):
            hidden = step(F.relu(norm(hidden, labels), inplace=True))
        return torch.tanh(self.last(F.relu(self.norms[-1](hidden, labels), inplace=True)).float())


class Discriminator(nn.Module):
    """Images (N, 3, size, size) in [-1, 1] and labels (N,) -> logits (N,): above 0 for real images of their class."""

    def __init__(self, *, num_classes: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(STAGES + 1)]
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.steps = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.real = nn.Linear(widths[-1], 1)
        self.of_class = nn.Embedding(num_classes, widths[-1])
        nn.init.normal_(self.of_class.weight, std=0.02)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.first(images), 0.2, inplace=True)
        for step in self.steps:
            hidden = F.leaky_relu(step(hidden), 0.2, inplace=True)
        features = hidden.float().sum(dim=(2, 3))
        return self.real(features).squeeze(1).float() + (self.of_class(labels) * features).sum(dim=1)
