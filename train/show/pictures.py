"""curves.png and mixed.png."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipelines.show.parents import parents_of
from pipelines.show.pictures import GREY, INK, short, write_figure

DPI = 130
BLUE, ORANGE, GREEN, RED, VIOLET = "#2f6db5", "#e07b39", "#3c9a5f", "#c23b3b", "#8457a8"
BROWN = "#8a6d4b"


def draw_curves(path: Path, history: Sequence[dict[str, float]], title: str, *, mixed: bool) -> None:
    """Loss, accuracy and learning rate by epoch, from the lines of metrics.jsonl; `mixed`: whether training mixes.

    Where accuracy under attack was measured there is a panel for it, in the colours of the other accuracies, with a
    dotted line at the best epoch.
    """
    training = "training (mixed, weighted by lam)" if mixed else "training"
    attacked = any("robust_accuracy" in row for row in history)
    figure = Figure(figsize=(14, 3.8) if attacked else (11, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    widths = (1, 1, 1, 0.6) if attacked else (1, 1, 0.6)
    loss, accuracy, *more, rate = figure.subplots(1, len(widths), width_ratios=widths)
    _curve(loss, history, "train_loss", GREY, training)
    _curve(loss, history, "loss", BLUE, "held-out")
    _curve(loss, history, "ema_loss", ORANGE, "held-out, averaged weights")
    _curve(accuracy, history, "train_accuracy", GREY, training, 100)
    _curve(accuracy, history, "accuracy", BLUE, "held-out", 100)
    _curve(accuracy, history, "ema_accuracy", ORANGE, "held-out, averaged weights", 100)
    _curve(accuracy, history, "test_accuracy", VIOLET, "test", 100)
    _curve(accuracy, history, "real_accuracy", GREEN, "training, real labels", 100)
    _curve(accuracy, history, "corrupted_accuracy", RED, "training, corrupted labels", 100)
    _curve(accuracy, history, "training_accuracy", BROWN, "training images without augmentation", 100)
    for axes in more:
        _draw_under_attack(axes, history)
    _curve(rate, history, "lr", GREEN, "")
    names = ["loss", "accuracy, %", *["accuracy under attack, %"][: len(more)], "learning rate"]
    for axes, name in zip((loss, accuracy, *more, rate), names, strict=True):
        axes.set_title(name, fontsize=11, color=INK, loc="left")
        axes.set_xlabel("epoch", fontsize=9, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(labelsize=8, colors=INK)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    loss.set_ylim(bottom=0)
    rate.set_ylim(bottom=0)
    lines, labels = accuracy.get_legend_handles_labels()
    figure.legend(lines, labels, fontsize=8, frameon=False, loc="outside lower center", ncols=len(lines))
    figure.suptitle(title, fontsize=12, color=INK, x=0.01, ha="left", parse_math=False)
    write_figure(figure, path, DPI)


def _draw_under_attack(axes: Axes, history: Sequence[dict[str, float]]) -> None:
    _curve(axes, history, "training_robust_accuracy", BROWN, "", 100)
    _curve(axes, history, "robust_accuracy", BLUE, "", 100)
    _curve(axes, history, "ema_robust_accuracy", ORANGE, "", 100)
    _curve(axes, history, "test_robust_accuracy", VIOLET, "", 100)
    measured = [row for row in history if "robust_accuracy" in row]
    decisive = "ema_robust_accuracy" if "ema_robust_accuracy" in measured[0] else "robust_accuracy"
    best = max(measured, key=lambda row: row[decisive])
    axes.axvline(best["epoch"], color=GREY, linestyle=":", linewidth=1.2)


def _curve(
    axes: Axes, history: Sequence[dict[str, float]], name: str, colour: str, label: str, scale: float = 1
) -> None:
    points = [(row["epoch"], scale * row[name]) for row in history if name in row]
    if points:
        epochs, values = zip(*points, strict=True)
        marker = "o" if len(points) < 3 else None
        axes.plot(epochs, values, color=colour, label=label, linewidth=1.8, marker=marker)


def draw_mixed(path: Path, batches: Sequence[Any], classes: Sequence[str], title: str) -> None:
    """One row for each batch: its images, each under the names of its two classes and their weights.

    Args:
        path: where the picture is written.
        batches: objects with images (N, 3, H, W) in [0, 1], labels (N,), and, if mixed, plan; CPU tensors.
        classes: name of each class.
        title: above the grid.
    """
    columns = max(len(batch.labels) for batch in batches)
    figure = Figure(figsize=(1.45 * columns + 0.1, 1.85 * len(batches) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(batches), columns, squeeze=False)
    for row, batch in zip(grid, batches, strict=True):
        for axes in row:
            axes.axis("off")
        for number, axes in enumerate(row[: len(batch.labels)]):
            axes.imshow(batch.images[number].permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest")
            axes.set_title(_caption(batch, number, classes), fontsize=8, color=INK, pad=3, parse_math=False)
    figure.suptitle(title, fontsize=11, color=INK, x=0.01, ha="left", parse_math=False)
    write_figure(figure, path, DPI)


def _caption(batch: Any, number: int, classes: Sequence[str]) -> str:
    """Each of its classes with its weight, a line each."""
    own = classes[int(batch.labels[number])]
    plan = getattr(batch, "plan", None)
    if plan is None:
        return short(own, 22)
    shares: dict[str, float] = {}
    for parent in parents_of(plan, number):
        name = classes[int(batch.labels[parent.place])]
        shares[name] = shares.get(name, 0.0) + parent.share
    lines = [f"{short(name, 16)}  {share:.2f}" for name, share in shares.items()]
    return f"{short(own, 16)}  1\n" if len(lines) == 1 else "\n".join(lines)
