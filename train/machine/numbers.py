"""Numbers on the command line, whose mistakes are told in the words of the field that they were meant for."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import Any, get_args, get_origin

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from pipelines.expressions import parse_number

# A number may be written as 8/255.
ONE = {int: "a whole number", float: "a number"}
SEVERAL = {int: "whole numbers", float: "numbers"}


def add_numbers(registry: ConstructorRegistry) -> ConstructorRegistry:
    """Give tyro a rule for numbers, for several of them, and for these or None."""

    @registry.primitive_rule
    def numbers(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        optional = NoneType in get_args(info.type)
        kinds = [kind for kind in get_args(info.type) if kind is not NoneType] if optional else [info.type]
        found = _element(kinds[0]) if len(kinds) == 1 else None
        if found is None:
            return None
        element, count = found
        word = element.__name__.upper()
        shown = word if count == 1 else " ".join([word] * count) if count else f"[{word} [{word} ...]]"
        return PrimitiveConstructorSpec(
            nargs=1 if count == 1 else "*",
            metavar=f"{{None}}|{shown}" if optional else shown,
            instance_from_str=lambda words: _read(words, element, count, optional),
            is_instance=lambda value: (optional and value is None) or _fits(value, element, count),
            str_from_instance=lambda value: [
                str(part) for part in (value if isinstance(value, tuple | list) else [value])
            ],
        )

    return registry


def _element(kind: Any) -> tuple[type, int] | None:
    """The type of the numbers and how many there are, 0 for any; None if these are no numbers."""
    if kind in ONE:
        return kind, 1
    parts = get_args(kind)
    if get_origin(kind) is not tuple or parts[0] not in ONE or set(parts) - {parts[0], ...}:
        return None
    return parts[0], 0 if ... in parts else len(parts)


def _read(words: Sequence[str], element: type, count: int, optional: bool) -> Any:
    if optional and list(words) == ["None"]:
        return None
    wanted = ONE[element] if count == 1 else f"{count} {SEVERAL[element]}" if count else SEVERAL[element]
    try:
        values = tuple((int if element is int else parse_number)(word) for word in words)
    except ValueError:
        values = None
    if values is None or (count and len(values) != count):
        raise ValueError(f"takes {wanted}{' or None' if optional else ''}, got {' '.join(words) or 'nothing'}")
    return values[0] if count == 1 else values


def _fits(value: Any, element: type, count: int) -> bool:
    if count == 1:
        return _is_number(value, element)
    right_length = isinstance(value, tuple | list) and (not count or len(value) == count)
    return right_length and all(_is_number(part, element) for part in value)


def _is_number(value: Any, element: type) -> bool:
    return isinstance(value, int if element is int else (int, float)) and not isinstance(value, bool)
