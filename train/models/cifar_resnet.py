"""ResNets for small images whose activations come after the convolutions.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385: the blocks of
torchvision after a stem of one 3x3 convolution, without its pooling. Where a block changes the shape, its shortcut is a
1x1 convolution and a batch norm, as in the code that papers on CIFAR use (bearpaw/pytorch-classification and others).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock


class Every(nn.Module):
    """The pixels that a 1x1 convolution with this stride reads: (N, C, H, W) -> (N, C, ceil(H / stride), ...)."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride]


class CifarResNet(nn.Module):
    """(N, 3, H, W) normalised images -> logits (N, num_classes).

    Args:
        depths: number of blocks in each stage; from the second on a stage halves the resolution and doubles the width.
        width: channels of the first stage.
        num_classes: number of logits.
    """

    def __init__(self, depths: Sequence[int], width: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        in_width, self.num_stages = width, len(depths)
        for stage, depth in enumerate(depths):
            out_width, blocks = width * 2**stage, []
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(BasicBlock(in_width, out_width, stride, _shortcut(in_width, out_width, stride)))
                in_width = out_width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(in_width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        for stage in range(self.num_stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return self.fc(self.avgpool(x).flatten(1))


def _shortcut(in_width: int, out_width: int, stride: int) -> nn.Module | None:
    if stride == 1 and in_width == out_width:
        return None
    return nn.Sequential(Every(stride), nn.Conv2d(in_width, out_width, 1, bias=False), nn.BatchNorm2d(out_width))
