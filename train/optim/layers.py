"""Rates that fall from the last layer of a network to its first."""

from __future__ import annotations

from typing import Any

from torch import nn

from mixdali.checks import require


def decayed_by_layer(
    groups: list[dict[str, object]], model: nn.Module, layer_decay: float, lr: float
) -> list[dict[str, object]]:
    """The groups of `decay_groups`, divided by layers: the last layer has the rate `lr`, each before it that of the
    next one times `layer_decay`.

    Clark et al., "ELECTRA", ICLR 2020, arXiv:2003.10555, and Bao et al., "BEiT", ICLR 2022, arXiv:2106.08254. Layers
    are those that timm knows of its networks. What is learned beside the network has the full rate.

    Raises:
        ValueError: the network does not say what its layers are.
    """
    require(0 < layer_decay <= 1, "layer_decay", layer_decay, "must be in (0, 1]")
    layers = _layers(model)
    last = max(layers.values())
    divided: list[dict[str, object]] = []
    for group in groups:
        parameters: Any = group["params"]
        for layer in sorted({layers.get(id(one), last) for one in parameters}):
            chosen = [one for one in parameters if layers.get(id(one), last) == layer]
            divided.append({**group, "params": chosen, "lr": lr * layer_decay ** (last - layer)})
    return divided


def _layers(model: nn.Module) -> dict[int, int]:
    """The layer of each parameter, from 0 on, by its id."""
    network: Any = next((module for module in model.modules() if hasattr(module, "group_matcher")), None)
    if network is None:
        raise ValueError("layer_decay needs a network of timm, which says what its layers are: --model timm:NAME")
    from timm.models import group_parameters

    places = group_parameters(network, network.group_matcher(coarse=False), reverse=True)
    return {id(parameter): places[name] for name, parameter in network.named_parameters()}
