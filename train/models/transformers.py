"""Networks of timm, vision transformers before all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mixdali.names import nearest

# Refused: these load weights or are decided by the data.
DECIDED = ("pretrained", "num_classes", "checkpoint_path", "in_chans")


def build_timm(name: str, num_classes: int, settings: Mapping[str, Any]) -> nn.Module:
    """A network of timm with fresh weights: (N, 3, H, W) normalised images -> logits (N, num_classes).

    Args:
        name: as in `timm.list_models()`.
        num_classes: number of logits.
        settings: of the network, such as img_size, patch_size, drop_path_rate. An XCiT of patch size 16 takes 8, 4 and
            2 too: the first convolutions of its stem then keep the resolution, as Debenedetti et al. do for CIFAR.

    Raises:
        ValueError: timm is missing, or has no such network or setting.
    """
    try:
        import timm
    except ImportError:
        raise ValueError(f"model timm:{name} needs timm: pip install timm") from None

    decided = [key for key in settings if key in DECIDED]
    if decided:
        raise ValueError(f"model timm:{name}: {decided[0]} cannot be set here")
    offered = timm.list_models()
    if name not in offered:
        raise ValueError(f"timm has no model {name!r}; {nearest(name, offered)}")
    narrow = settings.get("patch_size") if name.startswith("xcit") else None
    if narrow in (2, 4, 8) and "_p16_" in name:
        settings = {**settings, "patch_size": 16}
    try:
        network = timm.create_model(name, pretrained=False, num_classes=num_classes, **settings)
    except (TypeError, ValueError, AssertionError) as error:
        raise ValueError(f"model timm:{name}({_written(settings)}): {error}") from error
    if narrow in (2, 4, 8) and "_p16_" in name:
        _narrow_patches(network, narrow)
    return network


def _narrow_patches(network: Any, patch_size: int) -> None:
    """Let the stem of an XCiT, four convolutions that each halve the resolution, halve it less often."""
    convolutions = [module for module in network.patch_embed.modules() if isinstance(module, nn.Conv2d)]
    for convolution in convolutions[: len(convolutions) - patch_size.bit_length() + 1]:
        convolution.stride = (1, 1)
    network.patch_embed.patch_size = patch_size


def _written(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in settings.items())
