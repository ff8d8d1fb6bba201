"""From a model's name to the model."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from mixdali.names import nearest
from train.models.normalise import Normalise
from train.models.preact_resnet import PreActResNet
from train.models.pyramidnet import PyramidNet

# Blocks in each stage and the usual width: 6n + 2 layers in three stages, or ResNet-18's and its like's four stages.
PREACT_RESNETS = {
    8: ((1, 1, 1), 16),
    14: ((2, 2, 2), 16),
    20: ((3, 3, 3), 16),
    18: ((2, 2, 2, 2), 64),
    34: ((3, 4, 6, 3), 64),
    50: ((3, 4, 6, 3), 64),
    101: ((3, 4, 23, 3), 64),
}
BOTTLENECKS = (50, 101)
CIFAR_RESNETS = {
    **{6 * blocks + 2: ((blocks,) * 3, 16) for blocks in (3, 5, 7, 9, 18)},
    **{depth: PREACT_RESNETS[depth] for depth in (18, 34)},
}

# Channels of the stem of a wide residual network; its stages have 1, 2 and 4 times as many, times the width.
WIDE_STEM = 16

PREACT_SETTINGS = ("activation", "zero_head", "norm_momentum", "padding", "shortcut", "init")


def build_model(
    name: str,
    *,
    num_classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
    own: Mapping[str, Any] | None = None,
) -> nn.Module:
    """A freshly initialised network: (N, 3, H, W) images in [0, 1] -> logits (N, num_classes).

    Args:
        name: `preact_resnet8`, `14`, `20` (three stages, width 16), `18`, `34`, `50`, `101` (four stages, width 64, the
            last two of bottlenecks), each also with `_wWIDTH`, as in `preact_resnet8_w32`; `wide_resnetDEPTH_WIDTH`, as
            in `wide_resnet28_10`, of 6n + 4 layers; `cifar_resnet20`, `32`, `44`, `56`, `110` (three stages) and `18`,
            `34` (four), whose activations come after the convolutions, also with `_wWIDTH`; `pyramidnet200`, of 9n + 2
            layers; a classification model of torchvision, such as `resnet50`; or, after `timm:`, one of timm. Settings
            of the network follow in brackets as in Python: `wide_resnet28_10(activation="silu", zero_head=True)`,
            `pyramidnet200(alpha=240)`, `timm:vit_tiny_patch16_224(img_size=32, patch_size=4)`. A function, or a class,
            of a recipe file is called with num_classes and these settings: `own:small_net(width=16)`.
        num_classes: number of logits.
        mean, std: what the first layer normalises with, a number a channel, for images in [0, 1].
        seed: decides the initial weights; torch's global generator is left as it was.
        own: what the recipe file defines, by name.

    Raises:
        ValueError: for an unknown name or setting, with the nearest known ones.
        TypeError: what a recipe file's function returns is no network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.Sequential(Normalise(mean, std), _build_network(name, num_classes, own))


def _build_network(written: str, num_classes: int, own: Mapping[str, Any] | None) -> nn.Module:
    name, settings = _parse(written)
    if name.startswith("own:"):
        return _build_own(name, num_classes, settings, own)
    if name.startswith("timm:"):
        from train.models.transformers import build_timm  # timm is slow to import

        return build_timm(name.removeprefix("timm:"), num_classes, settings)
    match = re.fullmatch(r"preact_resnet(\d+)(?:_w(\d+))?", name)
    if match and int(match[1]) in PREACT_RESNETS and match[2] != "0":
        depths, width = PREACT_RESNETS[int(match[1])]
        settings = _checked(name, settings, PREACT_SETTINGS)
        bottleneck = int(match[1]) in BOTTLENECKS
        return PreActResNet(depths, int(match[2] or width), num_classes, bottleneck=bottleneck, **settings)
    match = re.fullmatch(r"wide_resnet(\d+)_(\d+)", name)
    if match and (int(match[1]) - 4) % 6 == 0 and int(match[1]) > 4 and int(match[2]) > 0:
        depth, width = (int(match[1]) - 4) // 6, WIDE_STEM * int(match[2])
        settings = _checked(name, settings, PREACT_SETTINGS)
        return PreActResNet((depth, depth, depth), width, num_classes, stem=WIDE_STEM, **settings)
    match = re.fullmatch(r"cifar_resnet(\d+)(?:_w(\d+))?", name)
    if match and int(match[1]) in CIFAR_RESNETS and match[2] != "0":
        from train.models.cifar_resnet import CifarResNet  # made of torchvision's blocks, which are slow to import

        depths, width = CIFAR_RESNETS[int(match[1])]
        _checked(name, settings, ())
        return CifarResNet(depths, int(match[2] or width), num_classes)
    match = re.fullmatch(r"pyramidnet(\d+)", name)
    if match and int(match[1]) > 2 and (int(match[1]) - 2) % 9 == 0:
        return PyramidNet(int(match[1]), num_classes, **_checked(name, settings, ("alpha",)))
    return _build_torchvision(name, num_classes, settings)


def _build_own(name: str, num_classes: int, settings: dict[str, Any], own: Mapping[str, Any] | None) -> nn.Module:
    if own is None:
        raise ValueError(f"model {name} is a function of a recipe file, and none is read; name the file")
    makers = {key: value for key, value in own.items() if _makes_networks(value)}
    make = makers.get(name.removeprefix("own:"))
    if make is None:
        found = nearest(name.removeprefix("own:"), list(makers))
        raise ValueError(f"model {name}: the recipe file has no such function with an argument num_classes; {found}")
    try:
        inspect.signature(make).bind(num_classes=num_classes, **settings)
    except TypeError as error:
        raise ValueError(f"model {name} with {settings}: {error}") from None
    network = make(num_classes=num_classes, **settings)
    if not isinstance(network, nn.Module):
        raise TypeError(f"model {name} must return a torch.nn.Module, got {type(network).__name__}")
    return network


def _makes_networks(value: Any) -> bool:
    known = inspect.isfunction(value) or (inspect.isclass(value) and issubclass(value, nn.Module))
    return known and "num_classes" in inspect.signature(value).parameters


def _build_torchvision(name: str, num_classes: int, settings: dict[str, Any]) -> nn.Module:
    from torchvision import models  # slow to import, and only ImageNet's recipes need it

    offered = models.list_models(module=models)
    if name not in offered:
        ours = [f"preact_resnet{depth}" for depth in PREACT_RESNETS] + ["wide_resnet28_10", "wide_resnet34_10"]
        ours += [f"cifar_resnet{depth}" for depth in CIFAR_RESNETS] + ["pyramidnet200"]
        raise ValueError(f"model {name!r} is unknown; {nearest(name, [*ours, *offered], otherwise=ours)}")
    # Two old networks return the logits of side branches too, unless told not to.
    plain = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    try:
        return models.get_model(name, weights=None, num_classes=num_classes, **{**plain, **settings})
    except (TypeError, ValueError) as error:
        raise ValueError(f"model {name} with {settings}: {error}") from error


def _parse(written: str) -> tuple[str, dict[str, Any]]:
    """`timm:name(key=1)` -> ("timm:name", {"key": 1})."""
    if "(" not in written:
        return written.strip(), {}
    prefix = next((prefix for prefix in ("timm:", "own:") if written.strip().startswith(prefix)), "")
    call = written.strip().removeprefix(prefix)
    try:
        node = ast.parse(call, mode="eval").body
        if not isinstance(node, ast.Call) or node.args or any(keyword.arg is None for keyword in node.keywords):
            raise ValueError
        settings = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
    except (SyntaxError, ValueError):
        raise ValueError(
            f"model {written!r:.200} must be a name, or a name with settings as in Python: "
            'wide_resnet28_10(activation="silu")'
        ) from None
    return f"{prefix}{ast.unparse(node.func)}", settings


def _checked(name: str, settings: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    for setting in settings:
        if not known:
            raise ValueError(f"model {name} has no settings, got {setting}")
        if setting not in known:
            raise ValueError(f"model {name} has no setting {setting!r}; {nearest(setting, known, otherwise=known)}")
    return settings
