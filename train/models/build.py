"""From a model's name to the model."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import nn

from mixdali.names import nearest
from train.models.normalise import Normalise
from train.models.preact_resnet import PreActResNet

# Blocks in each stage and the usual width: 6n + 2 layers in three stages, or ResNet-18 and -34's four stages.
PREACT_RESNETS = {
    8: ((1, 1, 1), 16),
    14: ((2, 2, 2), 16),
    20: ((3, 3, 3), 16),
    18: ((2, 2, 2, 2), 64),
    34: ((3, 4, 6, 3), 64),
}


def build_model(name: str, *, num_classes: int, mean: Sequence[float], std: Sequence[float], seed: int) -> nn.Module:
    """A freshly initialised network: (N, 3, H, W) images in [0, 1] -> logits (N, num_classes).

    Args:
        name: `preact_resnet8`, `14`, `20` (three stages, width 16), `18`, `34` (four stages, width 64), each also with
            `_wWIDTH`, as in `preact_resnet8_w32`; or a classification model of torchvision, such as `resnet50`.
        num_classes: number of logits.
        mean, std: what the first layer normalises with, a number a channel, for images in [0, 1].
        seed: decides the initial weights; torch's global generator is left as it was.

    Raises:
        ValueError: for an unknown name, with the nearest known ones.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.Sequential(Normalise(mean, std), _build_network(name, num_classes))


def _build_network(name: str, num_classes: int) -> nn.Module:
    match = re.fullmatch(r"preact_resnet(\d+)(?:_w(\d+))?", name)
    if match and int(match[1]) in PREACT_RESNETS and match[2] != "0":
        depths, width = PREACT_RESNETS[int(match[1])]
        return PreActResNet(depths, int(match[2] or width), num_classes)

    from torchvision import models  # slow to import, and only ImageNet's recipes need it

    offered = models.list_models(module=models)
    if name in offered:
        # Two old networks return the logits of side branches too, unless told not to.
        plain = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
        return models.get_model(name, weights=None, num_classes=num_classes, **plain)
    ours = [f"preact_resnet{depth}" for depth in PREACT_RESNETS]
    raise ValueError(f"model {name!r} is unknown; {nearest(name, [*ours, *offered], otherwise=ours)}")
