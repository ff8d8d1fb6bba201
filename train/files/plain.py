"""Settings as dicts, lists, numbers and strings: for checkpoints, JSON and comparisons."""

from __future__ import annotations

import dataclasses
from typing import Any

PACKAGES = ("mixdali", "train")
OWN = "own"


def to_plain(value: Any) -> Any:
    """A recipe, or any other settings, as dicts, lists, numbers and strings, ready for JSON and `torch.save`.

    A dataclass becomes a dict whose key `type` names its class, so that `recipe.from_plain` can build it again.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"type": type_name(type(value)), **fields}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a recipe may hold dataclasses, tuples, numbers and strings, got {type(value).__name__}")


def type_name(kind: type) -> str:
    """The stored name of a class: its package and its own name, which outlive a move between files.

    `own` stands for the package of a class that is not of this project: it is looked up in a recipe file.
    """
    package = kind.__module__.partition(".")[0]
    return f"{package if package in PACKAGES else OWN}.{kind.__name__}"


def shortened(name: str) -> str:
    """A class's stored name without the modules in between, which older checkpoints have."""
    return f"{name.partition('.')[0]}.{name.rpartition('.')[2]}"


def with_short_names(value: Any) -> Any:
    """Plain settings of an older checkpoint, as `to_plain` writes them."""
    if isinstance(value, dict):
        items = {name: with_short_names(item) for name, item in value.items()}
        return items | ({"type": shortened(value["type"])} if isinstance(value.get("type"), str) else {})
    return [with_short_names(item) for item in value] if isinstance(value, list) else value


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """What differs between two plain recipes, one short text a field: `lr 0.1, now 0.05`."""
    if isinstance(old, dict) and isinstance(new, dict) and old.get("type") == new.get("type"):
        names = [name for name in {**old, **new} if name != "type"]
        found = [differences(old.get(name), new.get(name), f"{prefix}{name}.") for name in names]
        return [text for texts in found for text in texts]
    if old == new:
        return []
    return [f"{prefix.removesuffix('.')} {_brief(old)}, now {_brief(new)}"]


def _brief(value: Any) -> str:
    if isinstance(value, dict) and "type" in value:
        return str(value["type"]).rpartition(".")[2]
    if isinstance(value, list):
        return "(" + ", ".join(_brief(item) for item in value) + ")"
    return str(value)
