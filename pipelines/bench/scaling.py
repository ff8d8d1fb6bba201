"""How cost grows: with threads, batch size, image size, classes and files, and whether memory does with time."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..sources.files import read_folder
from .data import Data
from .race import Outcome
from .rows import Conditions, Race, new_race, ours

MIXES = (None, "MixUp", "CutMix")
ANCHOR = "no mix, as usual"  # runs beside every point, so that points can be compared whatever else the machine does
ROWS = {mix: mix or "no mix" for mix in MIXES}

SWEEPS: dict[str, Sequence[int]] = {
    "threads": (1, 2, 4, 8, 16, 32, 64),
    "batch_size": (32, 64, 128, 256, 512, 1024),
    "size": (32, 64, 128, 224, 384, 512),
    "num_classes": (10, 100, 1000, 21_841),
}
MEMORY_ROUNDS = 20
PARTS = (*SWEEPS, "files", "memory")
LISTINGS = (1_000, 10_000, 100_000, 1_000_000)
LINKS = (1_000, 10_000, 100_000)
LINKS_PER_FILE = 30_000  # file systems allow some tens of thousands


@dataclass(frozen=True)
class Point:
    """One value of what is varied, and what the contestants did there."""

    value: int
    outcomes: list[Outcome]


Measured = Callable[[Race, int], list[Outcome]]  # runs a race for this number of rounds


def sweep(name: str, data: Data, conditions: Conditions, measured: Measured, rounds: int) -> list[Point]:
    """The rows of ROWS and the anchor, at every value of one of the SWEEPS."""
    points = []
    values = [value for value in _values(name) if name != "num_classes" or value >= data.num_classes]
    for value in values[: 2 if conditions.quick else None]:
        rows = [ours(ANCHOR, None), *(ours(ROWS[mix], mix, **{name: value}) for mix in MIXES)]
        race = new_race(data, conditions, f"{name} {value}", "no mix", rows)
        points.append(Point(value, measured(race, rounds)))
    return points


def listings(data: Data, conditions: Conditions, measured: Measured) -> list[Point]:
    """Start-up from a list of so many files: the folder's own, again and again."""
    points = []
    for number in LISTINGS[: 2 if conditions.quick else None]:
        race = new_race(data, conditions, f"{number} files", "no mix", [ours("no mix", None)])
        settings = {**race.settings, "repeat": -(-number // data.num_images), "files": number}
        points.append(Point(number, measured(replace(race, settings=settings, images=1), 1)))
    return points


def index_seconds(quick: bool) -> list[tuple[int, float]]:
    """Number of files and seconds that `read_folder` takes to list them, in ten class folders of links to one file."""
    found = []
    for number in LINKS[: 2 if quick else None]:
        with tempfile.TemporaryDirectory() as folder:
            _link(Path(folder), number)
            start = time.perf_counter()
            source = read_folder(folder, "train")
            found.append((number, time.perf_counter() - start))
            assert len(source) == number
    return found


def memory_race(data: Data, conditions: Conditions) -> Race:
    """Small batches, of which a round has 500, or 50 where it has to be quick."""
    conditions = replace(conditions, batch_size=8 if data.kind == "files" else 128)
    rows = [ours(ROWS[mix], mix, size=32) for mix in MIXES]
    race = new_race(data, conditions, f"memory, {data.kind}", "no mix", rows)
    return replace(race, images=(50 if conditions.quick else 500) * race.settings["batch_size"])


def _values(name: str) -> Sequence[int]:
    most = max(4, len(os.sched_getaffinity(0)))
    return [value for value in SWEEPS[name] if name != "threads" or value <= most]


def _link(folder: Path, number: int) -> None:
    for name in range(10):
        (folder / f"{name}").mkdir()
    for row in range(number):
        path = folder / f"{row % 10}" / f"{row:07}.jpg"
        if row % LINKS_PER_FILE == 0:
            path.write_bytes(b"an image, as far as a listing can tell")
            original = path
        else:
            os.link(original, path)
