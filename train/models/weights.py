"""Weights that a network starts from."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

# What files of weights keep the weights under: timm's, torchvision's and others' checkpoints.
KEYS = ("state_dict", "model")


def start_from(model: nn.Module, path: Path) -> list[str]:
    """Put the weights of a file into a network of `build_model`. -> the tensors that keep their own.

    A checkpoint of `python -m train` gives its averaged weights, where it has any. Any other file holds a state_dict of
    the network itself, under "state_dict" or "model" or as it is; then this network's own mean and deviation normalise
    the images. Where the classes are others, the last layer keeps its own values: tensors that differ in their first
    axis alone, all by the same two numbers.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or holds the weights of another network.
    """
    found, own = read_tensors(path), model.state_dict()
    if not set(found) & set(own):
        # The layer that normalises comes first, and has no weights.
        found = {f"1.{name}": value for name, value in found.items()}
        found.update({name: own[name] for name in own if name.startswith("0.")})
    if wrong := sorted(set(own) ^ set(found)):
        which = "lacks" if wrong[0] in own else "has"
        raise ValueError(f"{path} holds the weights of another network: it {which} {wrong[0]}")
    kept = [name for name, value in found.items() if value.shape != own[name].shape]
    classes = {(len(found[name]), len(own[name])) for name in kept if found[name].ndim and own[name].ndim}
    for name in kept:
        if len(classes) != 1 or found[name].shape[1:] != own[name].shape[1:]:
            theirs, ours = tuple(found[name].shape), tuple(own[name].shape)
            raise ValueError(f"{path} holds the weights of another network: its {name} is {theirs}, ours is {ours}")
    model.load_state_dict(found | {name: own[name] for name in kept})
    return kept


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The state_dict in a file, of a checkpoint of ours the averaged weights where it has any. Errors as of
    `start_from`."""
    if not path.is_file():
        raise FileNotFoundError(f"weights {path} does not exist")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise ValueError(f"weights {path} cannot be read as a file of tensors") from error
    if isinstance(content, Mapping) and "network" in content:
        content = content["model"] if content["ema"] is None else content["ema"]
    for key in KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"weights {path} holds no state_dict")
    return dict(content)
