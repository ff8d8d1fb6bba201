"""Settings as dicts, lists, numbers and strings: for checkpoints, JSON and comparisons."""

from __future__ import annotations

import dataclasses
from typing import Any

PACKAGES = ("mixdali", "pipelines", "train")
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


def with_new_fields(stored: Any, value: Any) -> Any:
    """Plain settings of an older checkpoint, with the fields that the classes of `value` have got since, at their
    defaults; `value` is what the settings are compared with."""
    if dataclasses.is_dataclass(value) and isinstance(stored, dict):
        filled = dict(stored)
        for field in dataclasses.fields(value):
            if field.name in stored:
                filled[field.name] = with_new_fields(stored[field.name], getattr(value, field.name))
            elif stored.get("type") == type_name(type(value)):
                filled |= _default(field)
        return filled
    if isinstance(value, list | tuple) and isinstance(stored, list) and len(stored) == len(value):
        return [with_new_fields(old, new) for old, new in zip(stored, value, strict=True)]
    return stored


def _default(field: dataclasses.Field[Any]) -> dict[str, Any]:
    if field.default is not dataclasses.MISSING:
        return {field.name: to_plain(field.default)}
    return {} if field.default_factory is dataclasses.MISSING else {field.name: to_plain(field.default_factory())}


@dataclasses.dataclass(frozen=True)
class Change:
    """A field that differs between two plain settings."""

    name: str
    """Dotted, such as `mix.alpha`."""
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.name} {_brief(self.old)}, now {_brief(self.new)}"


def changes(old: Any, new: Any, prefix: str = "") -> list[Change]:
    """What differs between two plain settings, field by field."""
    if isinstance(old, dict) and isinstance(new, dict) and old.get("type") == new.get("type"):
        names = [name for name in {**old, **new} if name != "type"]
        return [found for name in names for found in changes(old.get(name), new.get(name), f"{prefix}{name}.")]
    if _is_catalogue(old) and _is_catalogue(new) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [found for number, pair in pairs for found in changes(*pair, f"{prefix}{number}.")]
    return [] if old == new else [Change(prefix.removesuffix("."), old, new)]


def _is_catalogue(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


def differences(old: Any, new: Any) -> list[str]:
    """What differs between two plain recipes, one short text a field: `lr 0.1, now 0.05`."""
    return [str(change) for change in changes(old, new)]


def _brief(value: Any) -> str:
    if isinstance(value, dict) and "type" in value:
        return str(value["type"]).rpartition(".")[2]
    if isinstance(value, list):
        return "(" + ", ".join(_brief(item) for item in value) + ")"
    return str(value)
