"""Weights by the names that RobustBench and the code of TRADES, Rice et al. and others give them, and back.

The networks are the same, layer by layer; only the names differ. Known are the wide residual networks of TRADES
(`WideResNet`), and the pre-activation ones of Rice et al. (`PreActResNet` of `PreActBlockV2` with a norm before the
last layer).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from train.models.build import build_model
from train.models.preact_resnet import PreActResNet

WIDE = {"stem": "conv1", "norm": "bn1", "head": "fc", "stage": "block{}.layer", "shortcut": "convShortcut"}
NARROW = {"stem": "conv1", "norm": "bn", "head": "linear", "stage": "layer{}", "shortcut": "shortcut.0"}
IN_BLOCK = {"norm1": "bn1", "conv1": "conv1", "norm2": "bn2", "conv2": "conv2"}
PREFIXES = ("module.", "model.", "0.", "1.")
"""What wrappers put before the names: DataParallel, RobustBench, a layer that normalises and the network after it."""
MEANS, DEVIATIONS = ("mu", "mean"), ("sigma", "std")


@dataclass(frozen=True)
class Layout:
    """A network of ours: how many blocks its stages have, and the other names of its layers."""

    depths: tuple[int, ...]
    names: Mapping[str, str]


def layout_of(name: str) -> Layout:
    """ValueError for a network whose other names are not known."""
    wide = re.fullmatch(r"wide_resnet(\d+)_(\d+)", name)
    if wide is not None:
        depth = (int(wide[1]) - 4) // 6
        return Layout((depth, depth, depth), WIDE)
    narrow = {"preact_resnet18": (2, 2, 2, 2), "preact_resnet34": (3, 4, 6, 3)}
    if name in narrow:
        return Layout(narrow[name], NARROW)
    raise ValueError(
        f"model {name} has no counterpart among RobustBench's networks whose names are known; there are "
        f"wide_resnetDEPTH_WIDTH, {', '.join(narrow)}"
    )


def renamed(layout: Layout) -> dict[str, str]:
    """Our names of layers -> the others."""
    names = layout.names
    found = {layer: names[layer] for layer in ("stem", "norm", "head")}
    place = 0
    for stage, depth in enumerate(layout.depths, start=1):
        for block in range(depth):
            inside = {**IN_BLOCK, "shortcut": names["shortcut"]}
            other = f"{names['stage'].format(stage)}.{block}"
            found |= {f"blocks.{place}.{own}": f"{other}.{theirs}" for own, theirs in inside.items()}
            place += 1
    return found


def read_weights(
    state: Mapping[str, Tensor], name: str, num_classes: int, mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[nn.Module, str]:
    """A network of ours with the weights of a RobustBench-style state_dict, and in words what normalises its images.

    Args:
        state: with or without the prefix of DataParallel or of RobustBench's wrapper, and with or without the buffers
            `mu` and `sigma` of its networks.
        name: of our network, `wide_resnet34_10`.
        num_classes: of the data.
        mean, std: what its images are normalised with, a number a channel; None: `mu` and `sigma`, and without these
            nothing, as TRADES trains.

    Raises:
        ValueError: it holds the weights of another network, or mean and std are given beside mu and sigma.
    """
    layers = renamed(layout_of(name))
    weights = _without_prefix(dict(state), layers["stem"])
    constants = {key: weights.pop(key) for key in (*MEANS, *DEVIATIONS) if key in weights}
    means = next((constants[key] for key in MEANS if key in constants), None)
    deviations = next((constants[key] for key in DEVIATIONS if key in constants), None)
    if (means is None) != (deviations is None) or (mean is None) != (std is None):
        raise ValueError("mean and std must be there both or none of them")
    if means is not None and mean is not None:
        raise ValueError("the state_dict has a mean and a deviation of its own; leave --mean and --std out")
    if mean is not None and std is not None:
        said = f"images are normalised with mean {_text(mean)} and deviation {_text(std)}, as told"
    elif means is not None and deviations is not None:
        mean, std = means.flatten().tolist(), deviations.flatten().tolist()
        said = f"images are normalised with the file's own mean {_text(mean)} and deviation {_text(std)}"
    else:
        mean, std = (0.0,) * 3, (1.0,) * 3
        said = "the file has no mean and deviation, so images pass as they are; else pass --mean and --std"
    network: Any = build_model(name, num_classes=num_classes, mean=mean, std=std, seed=0)
    own = network[1].state_dict()
    given = {ours: weights.get(f"{layers[_layer(ours)]}.{_end(ours)}") for ours in own}
    known = {f"{layers[_layer(ours)]}.{_end(ours)}" for ours in own}
    if missing := [f"{layers[_layer(ours)]}.{_end(ours)}" for ours, value in given.items() if value is None]:
        raise ValueError(f"the state_dict is none of {name}: it lacks {missing[0]}")
    if extra := sorted(set(weights) - known):
        raise ValueError(f"the state_dict is none of {name}: it has {extra[0]}")
    for ours, value in given.items():
        if value is not None and value.shape != own[ours].shape:
            raise ValueError(
                f"the state_dict is none of {name} with {num_classes} classes: {layers[_layer(ours)]}.{_end(ours)} is "
                f"{tuple(value.shape)}, not {tuple(own[ours].shape)}"
            )
    network[1].load_state_dict(given)
    return network.eval(), said


def to_robustbench(network: nn.Module, name: str) -> dict[str, Tensor]:
    """The state_dict of a network of ours by the other names, with `mu` and `sigma` (1, 3, 1, 1).

    name  as the network was built by.

    Raises:
        ValueError: its counterpart is not known.
    """
    layers = renamed(layout_of(name))
    normalise, inner = network.children()
    assert isinstance(inner, PreActResNet)
    found = {f"{layers[_layer(ours)]}.{_end(ours)}": value.detach().cpu() for ours, value in inner.state_dict().items()}
    constants: Any = normalise
    shaped = {"mu": constants.mean, "sigma": constants.std}
    return {**{key: value.detach().cpu().reshape(1, 3, 1, 1) for key, value in shaped.items()}, **found}


def _without_prefix(state: dict[str, Tensor], stem: str) -> dict[str, Tensor]:
    """What wrappers put before all names, or before those of the network, is taken away."""
    wanted = f"{stem}.weight"
    for _ in range(3):
        if wanted in state:
            break
        prefix = next((one for one in PREFIXES if any(name.startswith(one) and wanted in name for name in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _layer(ours: str) -> str:
    return ours.rpartition(".")[0]


def _end(ours: str) -> str:
    return ours.rpartition(".")[2]


def _text(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
