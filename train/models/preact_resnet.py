"""Pre-activation ResNets for small images, plain and wide.

He, Zhang, Ren and Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016, arXiv:1603.05027: batch norm and ReLU
come before each convolution, and once more before the pooling. Where a block changes the shape, its shortcut is a 1x1
convolution of the pre-activated input; elsewhere the shortcut is the input itself. Wide residual networks (Zagoruyko
and Komodakis, BMVC 2016, arXiv:1605.07146) have a narrow stem and wide blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal["relu", "silu"]
Padding = Literal["even", "same"]
"""How a 3x3 convolution with stride 2 pads. even: a pixel on each side. same: one behind the last row and column and
none before the first, as TensorFlow's and JAX's "SAME" does with even sides; the network of DeepMind's papers is so."""
Shortcut = Literal["1x1", "3x3"]
"""The convolution of a shortcut where the shape changes. 1x1: of the pre-activated input. 3x3: of the input as it is,
as in DeepMind's ResNet-18."""
Init = Literal["he", "lecun"]
"""The first weights of convolutions. he: normal, with the variance 2 / fan_out. lecun: normal with 1 / fan_in, cut at
two deviations, as Haiku has it."""

ACTIVATIONS = {"relu": F.relu, "silu": F.silu}
CHOICES = {
    "activation": tuple(ACTIVATIONS),
    "padding": ("even", "same"),
    "shortcut": ("1x1", "3x3"),
    "init": ("he", "lecun"),
}

EXPANSION = 4
"""Channels of a bottleneck's result over those inside it."""


@dataclass(frozen=True)
class Kind:
    """What the blocks of a network have in common."""

    activation: Activation = "relu"
    padding: Padding = "even"
    shortcut: Shortcut = "1x1"


PLAIN = Kind()


class Strided(nn.Conv2d):
    """A 3x3 convolution without bias, padded as `Padding` says."""

    def __init__(self, in_width: int, width: int, stride: int, padding: Padding) -> None:
        uneven = stride == 2 and padding == "same"
        super().__init__(in_width, width, 3, stride=stride, padding=0 if uneven else 1, bias=False)
        self.uneven = uneven

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)) if self.uneven else x)


class Residual(nn.Module):
    """What blocks share, the first norm and the shortcut: (N, in_width, H, W) -> (N, width, H / stride, W / stride)."""

    shortcut: nn.Module | None

    def __init__(self, in_width: int, stride: int, kind: Kind) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[kind.activation]
        self.stride = stride
        self.raw = kind.shortcut == "3x3"
        self.norm1 = nn.BatchNorm2d(in_width)

    def forward(self, x: Tensor) -> Tensor:
        beside = self.shortcut(x) if self.shortcut is not None and self.raw else x
        active = self.activation(self.norm1(x), inplace=True)
        if self.shortcut is not None and not self.raw:
            # The pixels that a convolution with this stride reads. oneDNN 3.12 (torch 2.14) writes beyond its memory in
            # the gradient of one with a stride, on processors with AVX2 alone, where the width is no multiple of 8.
            beside = self.shortcut(active[:, :, :: self.stride, :: self.stride])
        return self.inner(active) + beside

    def inner(self, active: Tensor) -> Tensor:
        """What is added to the shortcut, of the pre-activated input."""
        raise NotImplementedError


def make_shortcut(in_width: int, width: int, stride: int, kind: Kind) -> nn.Module | None:
    """The layer of a shortcut; None where it is the input itself."""
    if in_width == width and stride == 1:
        return None
    if kind.shortcut == "3x3":
        return Strided(in_width, width, stride, kind.padding)
    return nn.Conv2d(in_width, width, 1, bias=False)


class Block(Residual):
    """Two 3x3 convolutions."""

    def __init__(self, in_width: int, width: int, stride: int, kind: Kind = PLAIN) -> None:
        super().__init__(in_width, stride, kind)
        self.conv1 = Strided(in_width, width, stride, kind.padding)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = Strided(width, width, 1, kind.padding)
        self.shortcut = make_shortcut(in_width, width, stride, kind)

    def inner(self, active: Tensor) -> Tensor:
        return self.conv2(self.activation(self.norm2(self.conv1(active)), inplace=True))


class Bottleneck(Residual):
    """A 1x1, a 3x3 and a 1x1 convolution; the inner ones have a fourth of the channels."""

    def __init__(self, in_width: int, width: int, stride: int, kind: Kind = PLAIN) -> None:
        super().__init__(in_width, stride, kind)
        narrow = width // EXPANSION
        self.conv1 = nn.Conv2d(in_width, narrow, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(narrow)
        self.conv2 = Strided(narrow, narrow, stride, kind.padding)
        self.norm3 = nn.BatchNorm2d(narrow)
        self.conv3 = nn.Conv2d(narrow, width, 1, bias=False)
        self.shortcut = make_shortcut(in_width, width, stride, kind)

    def inner(self, active: Tensor) -> Tensor:
        out = self.conv2(self.activation(self.norm2(self.conv1(active)), inplace=True))
        return self.conv3(self.activation(self.norm3(out), inplace=True))


class PreActResNet(nn.Module):
    """(N, 3, H, W) normalised images -> logits (N, num_classes).

    Args:
        depths: number of blocks in each stage; from the second on a stage halves the resolution and doubles the width.
        width: channels of the first stage; of bottlenecks those inside them.
        num_classes: number of logits.
        stem: channels before the first stage; None is `width`.
        bottleneck: blocks of three convolutions, not two.
        activation: "silu" is what DeepMind's robust networks have and call swish.
        zero_head: the last layer begins at 0, so that the first predictions are uniform.
        norm_momentum: share of a batch in the running averages of batch norm.
        padding, shortcut, init: see `Padding`, `Shortcut`, `Init`.
    """

    def __init__(
        self,
        depths: Sequence[int],
        width: int,
        num_classes: int,
        *,
        stem: int | None = None,
        bottleneck: bool = False,
        activation: Activation = "relu",
        zero_head: bool = False,
        norm_momentum: float = 0.1,
        padding: Padding = "even",
        shortcut: Shortcut = "1x1",
        init: Init = "he",
    ) -> None:
        super().__init__()
        given = {"activation": activation, "padding": padding, "shortcut": shortcut, "init": init}
        for name, known in CHOICES.items():
            if given[name] not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {given[name]!r}")
        if not 0 < norm_momentum <= 1:
            raise ValueError(f"norm_momentum must be in (0, 1], got {norm_momentum}")
        kind, make = Kind(activation, padding, shortcut), Bottleneck if bottleneck else Block
        in_width, whole = stem or width, width * (EXPANSION if bottleneck else 1)
        self.activation = ACTIVATIONS[activation]
        self.stem = nn.Conv2d(3, in_width, 3, padding=1, bias=False)
        blocks: list[nn.Module] = []
        for stage, depth in enumerate(depths):
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(make(in_width, whole * 2**stage, stride, kind))
                in_width = whole * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(in_width)
        self.head = nn.Linear(in_width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                _initialise(module.weight, init)
            elif isinstance(module, nn.BatchNorm2d):
                module.momentum = norm_momentum
        if zero_head:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        features = self.activation(self.norm(self.blocks(self.stem(x))), inplace=True)
        return self.head(features.mean(dim=(2, 3)))


def _initialise(weight: Tensor, init: Init) -> None:
    if init == "he":
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
        return
    deviation = 1 / math.sqrt(weight[0].numel())
    nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)
