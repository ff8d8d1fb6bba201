"""Pre-activation ResNets for small images, plain and wide.

He, Zhang, Ren and Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016, arXiv:1603.05027: batch norm and ReLU
come before each convolution, and once more before the pooling. Where a block changes the shape, its shortcut is a 1x1
convolution of the pre-activated input; elsewhere the shortcut is the input itself. Wide residual networks (Zagoruyko
and Komodakis, BMVC 2016, arXiv:1605.07146) have a narrow stem and wide blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal["relu", "silu"]

ACTIVATIONS = {"relu": F.relu, "silu": F.silu}


class Block(nn.Module):
    """Two 3x3 convolutions: (N, in_width, H, W) -> (N, width, H / stride, W / stride)."""

    def __init__(self, in_width: int, width: int, stride: int, activation: Activation = "relu") -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.stride = stride
        self.norm1 = nn.BatchNorm2d(in_width)
        self.conv1 = nn.Conv2d(in_width, width, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        same = in_width == width and stride == 1
        self.shortcut = None if same else nn.Conv2d(in_width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = self.activation(self.norm1(x), inplace=True)
        # The pixels that a convolution with this stride reads. oneDNN 3.12 (torch 2.14) writes beyond its memory in the
        # gradient of one with a stride, on processors with AVX2 alone, where the width is no multiple of 8.
        shortcut = x if self.shortcut is None else self.shortcut(active[:, :, :: self.stride, :: self.stride])
        out = self.conv1(active)
        return self.conv2(self.activation(self.norm2(out), inplace=True)) + shortcut


class PreActResNet(nn.Module):
    """(N, 3, H, W) normalised images -> logits (N, num_classes).

    Args:
        depths: number of blocks in each stage; from the second on a stage halves the resolution and doubles the width.
        width: channels of the first stage.
        num_classes: number of logits.
        stem: channels before the first stage; None is `width`.
        activation: "silu" is what DeepMind's robust networks have and call swish.
        zero_head: the last layer begins at 0, so that the first predictions are uniform.
        norm_momentum: share of a batch in the running averages of batch norm.
    """

    def __init__(
        self,
        depths: Sequence[int],
        width: int,
        num_classes: int,
        *,
        stem: int | None = None,
        activation: Activation = "relu",
        zero_head: bool = False,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        if not 0 < norm_momentum <= 1:
            raise ValueError(f"norm_momentum must be in (0, 1], got {norm_momentum}")
        in_width = stem or width
        self.activation = ACTIVATIONS[activation]
        self.stem = nn.Conv2d(3, in_width, 3, padding=1, bias=False)
        blocks = []
        for stage, depth in enumerate(depths):
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Block(in_width, width * 2**stage, stride, activation))
                in_width = width * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(in_width)
        self.head = nn.Linear(in_width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                module.momentum = norm_momentum
        if zero_head:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        features = self.activation(self.norm(self.blocks(self.stem(x))), inplace=True)
        return self.head(features.mean(dim=(2, 3)))
