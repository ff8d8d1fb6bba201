"""Results as a table, a file and a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table

from .summary import Numbers, Result, Spread

Panel = tuple[str, str, Sequence[Result]]  # title, name of the reference, rows
BLUE, ORANGE, GREY = "#3b6ea5", "#e08a2b", "#555555"


def table(title: str, reference: str, rows: Sequence[Result]) -> Table:
    """One race: a line for each contestant."""
    made = Table(title=title, title_justify="left", caption=_caption(reference), caption_justify="left")
    made.add_column("", no_wrap=True)
    for name in ("images / CPU s", "images / s", "CPU time, ratio", "wall time, ratio", "MiB", "first batch, s"):
        made.add_column(name, justify="right")
    for row in rows:
        made.add_row(row.name, *_cells(row))
    return made


def _caption(reference: str) -> str:
    return (
        f'Medians of the rounds. Ratios: time for an image over that of "{reference}" in the same round, '
        "± half the distance of the quartiles."
    )


def _cells(row: Result) -> list[str]:
    numbers = row.numbers
    if numbers is None:
        return [state(row)]
    return [
        count(numbers.per_cpu_second),
        count(numbers.per_second),
        ratio(numbers.cpu),
        ratio(numbers.wall),
        f"{numbers.memory:,.0f}" + ("" if numbers.gpu_memory is None else f" + {numbers.gpu_memory:,.0f} GPU"),
        f"{numbers.first_batch:.2f}",
    ]


def state(row: Result) -> str:
    """That there are no numbers, for a cell of a table."""
    return "not installed" if row.missing else "failed"


def problems(rows: Sequence[Result]) -> list[str]:
    """Why there are none, in lines."""
    return [f"{row.name}: {row.problem}" for row in rows if row.problem]


def count(spread: Spread) -> str:
    """The median, for a cell of a table."""
    return f"{spread.median:,.0f}"


def ratio(spread: Spread | None) -> str:
    """The median and half the distance of the quartiles, for a cell of a table."""
    return f"{spread.median:.3f} ± {(spread.high - spread.low) / 2:.3f}" if spread else ""


def new_folder(out: Path) -> Path:
    """A folder in `out` that was not there, named after the time."""
    name = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H-%M-%S")
    for number in range(1000):
        folder = out / (f"{name}-{number}" if number else name)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"{out} holds a thousand folders of {name}; give another folder with --out")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Raises ValueError for a number that JSON does not have."""
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_picture(path: Path, figure: Figure) -> None:
    """As PNG."""
    FigureCanvasAgg(figure).print_png(str(path))


def bars(panels: Sequence[Panel]) -> Figure:
    """Images per CPU second of every contestant, a panel for each race, with what it costs over the reference."""
    found = [(t, reference, [(r.name, r.numbers) for r in rows if r.numbers]) for t, reference, rows in panels]
    shown = [panel for panel in found if panel[2]]
    heights = [len(rows) + 1.6 for _, _, rows in shown] or [1.0]
    figure = Figure(figsize=(9, 0.3 * sum(heights) + 0.6), layout="constrained")
    axes = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axis, (title, reference, rows) in zip(axes, shown, strict=False):
        _bars(axis, title, reference, rows)
    axes[-1].set_xlabel("images per CPU second; whiskers: quartiles of the rounds")
    return figure


def _bars(axis: Any, title: str, reference: str, rows: Sequence[tuple[str, Numbers]]) -> None:
    places = range(len(rows))
    speeds = [numbers.per_cpu_second for _, numbers in rows]
    medians = [speed.median for speed in speeds]
    whiskers = [[s.median - s.low for s in speeds], [s.high - s.median for s in speeds]]
    colours = [ORANGE if name == reference else BLUE for name, _ in rows]
    axis.barh(places, medians, xerr=whiskers, color=colours, height=0.72, error_kw={"ecolor": GREY, "lw": 1})
    axis.set_yticks(places, [name for name, _ in rows])
    axis.invert_yaxis()
    axis.set_xlim(0, 1.22 * max(speed.high for speed in speeds))
    axis.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axis.spines[["top", "right"]].set_visible(False)
    axis.xaxis.set_major_formatter("{x:,.0f}")
    for place, (name, numbers) in zip(places, rows, strict=True):
        if numbers.cpu:
            note = "reference" if name == reference else f"CPU time x {numbers.cpu.median:.3f}"
            axis.annotate(
                note, (numbers.per_cpu_second.high, place), (6, 0), textcoords="offset points", va="center", fontsize=8
            )
