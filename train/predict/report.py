"""The prediction as numbers, a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table

from pipelines.show.pictures import write_figure
from train.predict.measure import Measured
from train.predict.scores import (
    check_room,
    conditional_mutual_information,
    information_by_chance,
    kendall_by_chance,
    kendall_interval,
    rank_correlations,
)
from train.show.intervals import whiskers

INK, GREY = "#222222", "#9a9a9a"
COLOURS = ("#2f6db5", "#e07b39", "#3c9a5f", "#8a5fb0", "#c2475a", "#6b6b6b")


def score(networks: Sequence[Measured]) -> dict[str, Any]:
    """Each predictor's quality: rank correlations with the test accuracy, mean absolute error, and the PGDL score.

    Beside the synthetic accuracy stand two predictors that need no images but the training ones: the training accuracy,
    and the training loss. The PGDL score is in percent; it is None, and `pgdl_missing` says why, where the networks
    make no grid for it. `kendall_interval` is its 95 % interval over sets of networks like these. `chance` has what a
    predictor without any knowledge exceeds once in twenty, and its mean PGDL score, which is not 0.
    """
    actual = [network.test_accuracy for network in networks]
    gap = [network.gap for network in networks]
    names = list(networks[0].hyperparameters)
    grid = {name: [network.hyperparameters[name] for network in networks] for name in names}
    synthetic = [network.synthetic_accuracy for network in networks]
    train = [network.train_accuracy for network in networks]
    fit = [-network.train_loss for network in networks]
    # What each says of the accuracy, and what of the gap.
    predictors = {
        "synthetic accuracy": (synthetic, [own - fresh for own, fresh in zip(train, synthetic, strict=True)]),
        "training accuracy": (train, train),
        "training loss": (fit, fit),
    }
    rows, missing = {}, _missing(grid)
    for name, (predicted, measure) in predictors.items():
        error = None if predicted is fit else float(np.abs(np.subtract(predicted, actual)).mean())
        pgdl = None if missing else 100 * conditional_mutual_information(measure, gap, grid)
        rows[name] = {
            **rank_correlations(predicted, actual),
            "kendall_interval": kendall_interval(predicted, actual),
            "mean_error": error,
            "pgdl": pgdl,
        }
    mean, bound = (None, None) if missing else (100 * value for value in information_by_chance(gap, grid))
    chance = {"kendall": kendall_by_chance(actual), "pgdl": bound, "pgdl_mean": mean}
    return {"hyperparameters": names, "pgdl_missing": missing, "predictors": rows, "chance": chance}


def _missing(grid: dict[str, list[Any]]) -> str | None:
    """Why there is no PGDL score; None if there is one."""
    try:
        check_room(grid)
    except ValueError as reason:
        return str(reason)
    return None


def result_table(found: dict[str, Any], count: int) -> Table:
    """The predictors of `score`, for the terminal."""
    table = Table(title=f"predicting the test accuracy of {count} networks", title_justify="left", title_style="bold")
    table.add_column("from their")
    for name in ("Kendall", "Spearman", "mean error", "PGDL score"):
        table.add_column(name, justify="right")
    for name, row in found["predictors"].items():
        cells = [_text(row[key], form) for key, form in COLUMNS.items()]
        if row["kendall_interval"] is not None:
            low, high = row["kendall_interval"]
            cells[0] += f" [{low:.3f}, {high:.3f}]"
        table.add_row(name, *cells)
    chance = found["chance"]
    table.add_section()
    table.add_row("by chance, 1 in 20 above", _text(chance["kendall"], ".3f"), "", "", _text(chance["pgdl"], ".1f"))
    return table


COLUMNS = {"kendall": ".3f", "spearman": ".3f", "mean_error": ".2%", "pgdl": ".1f"}


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def draw_prediction(path: Path, networks: Sequence[Measured], found: dict[str, Any], title: str) -> None:
    """Test accuracy of each network over what predicts it: synthetic accuracy, and beside it training accuracy."""
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    name = next(iter(found["hyperparameters"]), None)
    _scatter(left, networks, [network.synthetic_accuracy for network in networks], "synthetic", name)
    _scatter(right, networks, [network.train_accuracy for network in networks], "train", name)
    for axes, predictor in ((left, "synthetic accuracy"), (right, "training accuracy")):
        tau = _text(found["predictors"][predictor]["kendall"], ".2f")
        axes.set_title(f"from {predictor}: Kendall {tau}", fontsize=11, color=INK, loc="left")
        axes.set_xlabel(f"{predictor}, %", fontsize=9, color=INK)
        axes.set_ylabel("test accuracy, %", fontsize=9, color=INK)
        axes.tick_params(labelsize=8, colors=INK)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    if name is not None:
        left.legend(title=name, title_fontsize=8, fontsize=8, frameon=False, loc="best")
    figure.suptitle(title, fontsize=12, color=INK, x=0.01, ha="left", parse_math=False)
    write_figure(figure, path, 130)


def _scatter(
    axes: Axes, networks: Sequence[Measured], predicted: Sequence[float], images: str, name: str | None
) -> None:
    """One point a network with its 95 % intervals, coloured by a hyperparameter, and the line on which a prediction is
    exact.

    images  those that the prediction is from, as in `Measured.images`.
    """
    kinds = ["" if name is None else str(network.hyperparameters[name]) for network in networks]
    actual = [network.test_accuracy for network in networks]
    for number, kind in enumerate(dict.fromkeys(kinds)):
        own = [place for place, found in enumerate(kinds) if found == kind]
        x, y = ([100 * values[place] for place in own] for values in (predicted, actual))
        sides, ends = (
            whiskers([values[place] for place in own], [networks[place].images[of] for place in own])
            for values, of in ((predicted, images), (actual, "test"))
        )
        axes.errorbar(x, y, ends, sides, fmt="none", ecolor=GREY, elinewidth=0.8, zorder=2)
        axes.scatter(x, y, s=34, color=COLOURS[number % len(COLOURS)], label=kind, zorder=3)
    axes.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle="--", zorder=1, label="as predicted")
    for set_limits, values in ((axes.set_xlim, predicted), (axes.set_ylim, actual)):
        margin = 8 * (max(values) - min(values)) + 0.2
        set_limits(100 * min(values) - margin, 100 * max(values) + margin)
