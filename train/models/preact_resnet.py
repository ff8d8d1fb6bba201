"""Pre-activation ResNets for small images.

He, Zhang, Ren and Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016, arXiv:1603.05027: batch norm and ReLU
come before each convolution, and once more before the pooling. Where a block changes the shape, its shortcut is a 1x1
convolution of the pre-activated input; elsewhere the shortcut is the input itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3x3 convolutions: (N, in_width, H, W) -> (N, width, H / stride, W / stride)."""

    def __init__(self, in_width: int, width: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_width)
        self.conv1 = nn.Conv2d(in_width, width, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        same = in_width == width and stride == 1
        self.shortcut = None if same else nn.Conv2d(in_width, width, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm1(x), inplace=True)
        shortcut = x if self.shortcut is None else self.shortcut(active)
        out = self.conv1(active)
        return self.conv2(F.relu(self.norm2(out), inplace=True)) + shortcut


class PreActResNet(nn.Module):
    """(N, 3, H, W) normalised images -> logits (N, num_classes).

    Args:
        depths: number of blocks in each stage; from the second on a stage halves the resolution and doubles the width.
        width: channels of the first stage.
        num_classes: number of logits.
    """

    def __init__(self, depths: Sequence[int], width: int, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        blocks, in_width = [], width
        for stage, depth in enumerate(depths):
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Block(in_width, width * 2**stage, stride))
                in_width = width * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(in_width)
        self.head = nn.Linear(in_width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        features = F.relu(self.norm(self.blocks(self.stem(x))), inplace=True)
        return self.head(features.mean(dim=(2, 3)))
