"""What the pictures of an evaluation share: their size, axes, lines and legends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipelines.show.pictures import INK, short, write_figure
from train.show.intervals import whiskers
from train.show.pictures import BLUE, DPI, GREEN, ORANGE, RED, VIOLET

COLOURS = (BLUE, ORANGE, GREEN, VIOLET, RED)
BARS: dict[str, Any] = {"elinewidth": 1, "capsize": 2.5}
"""The look of 95 % intervals."""


def share_line(axes: Axes, x: Sequence[float], shares: Sequence[float], total: int, colour: str, network: str) -> None:
    """Accuracies of a network in percent, with their intervals."""
    axes.errorbar(
        x,
        [100 * share for share in shares],
        whiskers(shares, total),
        color=colour,
        marker="o",
        markersize=4,
        linewidth=1.6,
        label=short(network, 40),
        **BARS,
    )


def figure_of(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain(axes: Axes, grid: Literal["both", "y"] | None = None) -> None:
    axes.tick_params(labelsize=8, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    if grid is not None:
        axes.grid(axis=grid, alpha=0.25)


def finish(figure: Figure, axes: Sequence[Axes], title: str, path: Path) -> None:
    """A legend of what is in these axes, below, and a title above; and write it."""
    lines, names = [], []
    for some in axes:
        more, called = some.get_legend_handles_labels()
        lines += more
        names += called
    figure.legend(lines, names, fontsize=8, frameon=False, loc="outside lower center", ncols=len(lines))
    figure.suptitle(title, fontsize=12, color=INK, x=0.01, ha="left", parse_math=False)
    write_figure(figure, path, DPI)
