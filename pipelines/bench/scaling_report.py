"""The scaling study from beginning to end: what is run, its tables, its file and its picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from . import report, scaling
from .data import Data
from .race import Outcome
from .rows import Conditions
from .scaling import ANCHOR, ROWS, Measured, Point
from .summary import Result, plain, results

COLOURS = (report.GREY, report.BLUE, report.ORANGE)


@dataclass
class Study:
    """What was found, part by part; a part that was not asked for is empty."""

    sweeps: dict[str, list[Point]] = field(default_factory=dict)
    listings: list[Point] = field(default_factory=list)
    index: list[tuple[int, float]] = field(default_factory=list)
    memory: dict[str, list[Outcome]] = field(default_factory=dict)

    def outcomes(self) -> list[Outcome]:
        points = [*chain(*self.sweeps.values()), *self.listings]
        return [*chain(*(point.outcomes for point in points)), *chain(*self.memory.values())]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "sweeps": {name: _plain(points) for name, points in self.sweeps.items()},
            "files": _plain(self.listings),
            "index": [{"files": number, "seconds": seconds} for number, seconds in self.index],
            "memory": {name: _plain([Point(0, outcomes)])[0]["rows"] for name, outcomes in self.memory.items()},
        }


def study(
    names: Sequence[str],
    folders: Sequence[Data],
    conditions: Conditions,
    rounds: int,
    measured: Measured,
    console: Console,
) -> Study:
    """Run these of the `scaling.PARTS`, and print a table for each.

    folders: memory takes each, everything else the first that holds files. ValueError if none does.
    """
    files = [data for data in folders if data.kind == "files"]
    if not files:
        raise ValueError("the scaling study needs a folder of image files; give one with --root")
    made = Study()
    for name in scaling.SWEEPS:
        if name in names:
            made.sweeps[name] = scaling.sweep(name, files[0], conditions, measured, rounds)
            console.print(_sweep_table(name, made.sweeps[name]))
    if "files" in names:
        made.listings = scaling.listings(files[0], conditions, measured)
        made.index = scaling.index_seconds(conditions.quick)
        console.print(_files_table(made.listings, made.index))
    if "memory" in names:
        for data in folders:
            race = scaling.memory_race(data, conditions)
            made.memory[f"{data.title}, {data.kind}"] = measured(race, scaling.MEMORY_ROUNDS)
        console.print(_memory_table(made.memory))
    return made


def _plain(points: Sequence[Point]) -> list[dict[str, Any]]:
    return [
        {
            "value": point.value,
            "rows": [plain(o, r) for o, r in zip(point.outcomes, results(point.outcomes, "no mix"), strict=True)],
        }
        for point in points
    ]


def _by_name(point: Point, reference: str) -> dict[str, Result]:
    return {row.name: row for row in results(point.outcomes, reference)}


def _sweep_table(name: str, points: Sequence[Point]) -> Table:
    made = Table(title=f"by {name}", title_justify="left", caption=f'"{ANCHOR}" ran beside every row.')
    for column in (name, "", "images / CPU s", "images / s", "CPU, ratio to no mix", "CPU, ratio to usual", "MiB"):
        made.add_column(column, justify="left" if not column else "right")
    for point in points:
        mixed, usual = _by_name(point, "no mix"), _by_name(point, ANCHOR)
        for row in ROWS.values():
            result, there = mixed[row].numbers, usual[row].numbers
            if result is None or there is None:
                made.add_row(f"{point.value:,}", row, report.state(mixed[row]))
                continue
            speeds = report.count(result.per_cpu_second), report.count(result.per_second)
            ratios = report.ratio(result.cpu), report.ratio(there.cpu)
            made.add_row(f"{point.value:,}", row, *speeds, *ratios, f"{result.memory:,.0f}")
    return made


def _files_table(listings: Sequence[Point], index: Sequence[tuple[int, float]]) -> Table:
    made = Table(title="by number of files", title_justify="left")
    for column in ("files", "listing a folder, s", "from the list to the first batch, s", "MiB"):
        made.add_column(column, justify="right")
    seconds = dict(index)
    for point in listings:
        (result,) = results(point.outcomes, "no mix")
        listed = f"{seconds[point.value]:.3f}" if point.value in seconds else ""
        numbers = result.numbers
        cells = (f"{numbers.first_batch:.2f}", f"{numbers.memory:,.0f}") if numbers else (report.state(result),)
        made.add_row(f"{point.value:,}", listed, *cells)
    return made


def _memory_table(memory: dict[str, list[Outcome]]) -> Table:
    made = Table(title="memory with time", title_justify="left")
    for column in ("", "batches", "MiB at first", "MiB at the end", "MiB for each 1,000 batches"):
        made.add_column(column, justify="left" if not column else "right")
    for title, outcomes in memory.items():
        for outcome in outcomes:
            name = f"{title}, {outcome.contestant.name}"
            if outcome.problem:
                made.add_row(name, "failed")
                continue
            batches, levels = _levels(outcome)
            later = len(batches) // 4  # until then caches and pools may fill
            growth = 1000 * np.polyfit(batches[later:], levels[later:], 1)[0]
            made.add_row(name, f"{batches[-1]:,.0f}", f"{levels[0]:,.0f}", f"{levels[-1]:,.0f}", f"{growth:+.2f}")
    return made


def _levels(outcome: Outcome) -> tuple[list[float], list[float]]:
    """After each round: how many batches were read since the first round, and the MiB held at most in it."""
    batches = np.cumsum([measured["batches"] for measured in outcome.rounds]).tolist()
    return batches, [measured["memory"] for measured in outcome.rounds]


def picture(made: Study) -> Figure:
    """Speed over each sweep, seconds over the number of files, and memory over time."""
    drawings: list[Callable[[Any], None]] = [partial(_draw_sweep, *part) for part in made.sweeps.items()]
    if made.listings:
        drawings.append(partial(_draw_files, made.listings, made.index))
    if made.memory:
        drawings.append(partial(_draw_memory, made.memory))
    rows, columns = -(-len(drawings) // 3), min(3, len(drawings))
    figure = Figure(figsize=(4 * columns, 3.2 * rows), layout="constrained")
    for draw, axis in zip(drawings, figure.subplots(rows, columns, squeeze=False).ravel(), strict=False):
        draw(axis)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8, frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in figure.axes[len(drawings) :]:
        axis.set_visible(False)
    return figure


def _draw_files(listings: Sequence[Point], index: Sequence[tuple[int, float]], axis: Any) -> None:
    starts = [(point.value, row.numbers) for point in listings for row in results(point.outcomes, "no mix")]
    known = [(value, numbers.first_batch) for value, numbers in starts if numbers]
    for label, colour, line in (
        ("from a list to the first batch", report.BLUE, known),
        ("listing", report.ORANGE, index),
    ):
        if line:
            axis.loglog(*zip(*line, strict=True), "o-", color=colour, label=label)
    axis.set(title="by number of files", xlabel="files", ylabel="seconds")


def _draw_memory(memory: dict[str, list[Outcome]], axis: Any) -> None:
    for (title, outcomes), style in zip(memory.items(), cycle(["-", "--", ":"]), strict=False):
        for outcome, colour in zip(outcomes, COLOURS, strict=True):
            if not outcome.problem:
                axis.plot(*_levels(outcome), style, color=colour, label=f"{title}, {outcome.contestant.name}")
    axis.set(title="memory with time", xlabel="batches", ylabel="MiB")
    axis.margins(y=0.15)
    axis.set_ylim(bottom=0)


def _draw_sweep(name: str, points: Sequence[Point], axis: Any) -> None:
    """Images a second for threads, as more of them do more at once; images per CPU second for everything else."""
    for row, colour in zip(ROWS.values(), COLOURS, strict=True):
        found = [(point.value, _by_name(point, ANCHOR)[row].numbers) for point in points]
        speeds = [(value, n.per_second if name == "threads" else n.per_cpu_second) for value, n in found if n]
        known = [(value, speed.median) for value, speed in speeds]
        if known:
            axis.plot(*zip(*known, strict=True), "o-", color=colour, label=row)
    values = [point.value for point in points]
    axis.set_xscale("log")
    axis.set_xticks(values, [f"{value:,}" for value in values], fontsize=8)
    axis.set_xticks([], minor=True)
    axis.set(title=f"by {name}", ylabel="images / s" if name == "threads" else "images / CPU s")
    axis.margins(y=0.15)
    axis.set_ylim(bottom=0)
