"""Checks at the door, in one line each."""

from collections.abc import Callable
from operator import index
from typing import Any


def fraction(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, got {value!r}")


def positive(name: str, value: Any, instead: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ValueError(f"{name} must be a number above 0, got {value!r}{instead}")


def whole_number(name: str, value: Any) -> int:
    """An int above 0 of one of Python's, numpy's or torch's."""
    try:
        number = 0 if isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool") else index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"{name} must be a whole number above 0, got {value!r}")
    return number


def positive_int(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number above 0, got {value!r}")


def count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a whole number from 0 up, got {value!r}")


def growing(name: str, values: Any, check: Callable[[str, Any], None]) -> None:
    """Two numbers that pass `check`, the first not above the second."""
    if not isinstance(values, tuple | list) or len(values) != 2:
        raise ValueError(f"{name} must be two numbers, the smaller first, got {values!r}")
    for value in values:
        check(name, value)
    if values[0] > values[1]:
        raise ValueError(f"{name} must be two numbers, the smaller first, got {values!r}")


def boolean(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def require(holds: bool, name: str, value: Any, rule: str) -> None:
    """ValueError "NAME RULE, got VALUE" unless it holds."""
    if not holds:
        raise ValueError(f"{name} {rule}, got {value}")
