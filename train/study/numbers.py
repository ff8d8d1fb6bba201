"""What a command of its own leaves for a study to read: numbers.json, in a folder that belongs to its settings.

It has the form of evaluate.json: {"parts": {PART: {NETWORK: {KEY: number}}}}. Beside it lies settings.json, from the
beginning on, so that a command that was stopped is begun again in its own folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from train.files.plain import differences
from train.files.sealed import written
from train.machine.run import check_folder_name
from train.show.as_json import as_json

FILE = "numbers.json"
SETTINGS = "settings.json"


def claim(runs: Path, name: str | None, usual: str, settings: Mapping[str, Any]) -> Path:
    """The folder in `runs` for what these settings give: the one that has it already, or a new one.

    Args:
        name: of the folder; None takes `usual`, with -2, -3, ... where that has numbers of other settings.
        settings: plain values that decide the numbers.

    Raises:
        ValueError: the folder of this name has numbers of other settings, or is none of such a command.
    """
    check_folder_name(name)
    settings = json.loads(json.dumps(settings))
    for place in [runs / name] if name is not None else _places(runs, usual):
        reason = _taken(place, settings)
        if reason is None:
            place.mkdir(parents=True, exist_ok=True)
            _write(place / SETTINGS, settings)
            return place
        if name is not None:
            raise ValueError(f"{reason}; give another --name")
    raise AssertionError("places never end")


def _places(runs: Path, usual: str) -> Iterator[Path]:
    yield runs / usual
    number = 2
    while True:
        yield runs / f"{usual}-{number}"
        number += 1


def _taken(place: Path, settings: Mapping[str, Any]) -> str | None:
    """Why a folder is not free for these settings."""
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return None
    try:
        before = json.loads((place / SETTINGS).read_text())
    except (OSError, ValueError):
        return f"{place} is there and has no {SETTINGS} that can be read"
    if before == settings:
        return None
    return f"{place} has the numbers of other settings ({'; '.join(differences(before, settings)[:3])})"


def write_numbers(folder: Path, parts: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write numbers.json. ValueError if a number is not finite."""
    return _write(folder / FILE, {"parts": dict(parts)})


def _write(path: Path, content: Mapping[str, Any]) -> Path:
    with written(path) as aside:
        aside.write_text(as_json(content))
    return path
