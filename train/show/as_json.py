"""Reports as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any


def as_json(content: Any) -> str:
    """The text of a report, a line an entry.

    Raises:
        ValueError: a number in it is not finite; it names the place. JSON has no such numbers, and no report should.
    """
    for place, value in _numbers(content, ""):
        if not math.isfinite(value):
            raise ValueError(f"{place} is {value}, and a report holds finite numbers alone; it is not written")
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _numbers(value: Any, place: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield place, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _numbers(part, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _numbers(part, f"{place}.{number}".lstrip("."))
