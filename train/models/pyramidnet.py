"""PyramidNet: a pre-activation ResNet whose width grows with every block.

Han, Kim and Kim, "Deep Pyramidal Residual Networks", CVPR 2017, arXiv:1610.02915, with bottlenecks, as the code of
CutMix has it for CIFAR: no activation before a block's first convolution, a batch norm at its end, and a shortcut that
is the input itself, averaged over 2 x 2 pixels where the resolution halves, with zeros for the channels it lacks.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

EXPANSION = 4
"""Channels of a block's result over those inside it."""
STEM = 16


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution: (N, in_width, H, W) -> (N, 4 width, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, in_width: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride, self.missing = stride, EXPANSION * width - in_width
        self.norm1 = nn.BatchNorm2d(in_width)
        self.conv1 = nn.Conv2d(in_width, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, EXPANSION * width, 1, bias=False)
        self.norm4 = nn.BatchNorm2d(EXPANSION * width)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(self.norm1(x))
        out = self.conv2(F.relu(self.norm2(out), inplace=True))
        out = self.norm4(self.conv3(F.relu(self.norm3(out), inplace=True)))
        shortcut = x if self.stride == 1 else F.avg_pool2d(x, self.stride, ceil_mode=True)
        return out + F.pad(shortcut, (0, 0, 0, 0, 0, self.missing))


class PyramidNet(nn.Module):
    """(N, 3, H, W) normalised images -> logits (N, num_classes).

    Args:
        depth: 9n + 2 layers, n blocks in each of three stages.
        num_classes: number of logits.
        alpha: by how much the width inside the blocks grows from the first to the last, above 0.
    """

    def __init__(self, depth: int, num_classes: int, *, alpha: float = 240) -> None:
        super().__init__()
        if not alpha > 0:
            raise ValueError(f"alpha must be above 0, got {alpha}")
        blocks = (depth - 2) // 9
        self.stem = nn.Conv2d(3, STEM, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(STEM)
        in_width = STEM
        for stage in range(3):
            made = []
            for block in range(blocks):
                width = round(STEM + alpha * (stage * blocks + block + 1) / (3 * blocks))
                made.append(Bottleneck(in_width, width, 2 if stage > 0 and block == 0 else 1))
                in_width = EXPANSION * width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*made))
        self.norm2 = nn.BatchNorm2d(in_width)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(in_width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(self.stem(x))
        for stage in range(3):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return self.head(self.pool(F.relu(self.norm2(x), inplace=True)).flatten(1))
