"""A mixed batch as a picture: every image beside its parents, with its target."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mixdali import Mix, Noisy

from .parents import Box, Parent, covered_box, parents_of

INK, GREY = "#222222", "#9a9a9a"
# Of the parents: the own image first.
COLOURS = ("#2f6db5", "#e07b39", "#3c9a5f", "#9557a8", "#b3a12b", "#35a0a8", "#c2506c", "#7a6a58")

# Pixels of the picture.
SIDE, THUMB, GAP, LINE, MARGIN, WIDTH = 192, 90, 12, 16, 20, 1440
DPI = 100


@dataclass(frozen=True)
class _Cell:
    """One image of the batch: what is written above it, its parents, and (class, share) of its target."""

    number: int
    caption: str
    parents: list[Parent]
    covered: Box | None
    bars: list[tuple[str, float, list[tuple[int, float]]]]
    """Name of a class, its share of the target, and which parents have it, with their shares."""


def draw_batch(
    path: Path, batch: Any, mix: Mix, classes: Sequence[str], *, count: int, title: str, subtitle: str
) -> tuple[int, int]:
    """Each of the first `count` images, with the boxes that others were laid in, beside the parents it was made of, in
    frames of their colours. Above it what was drawn, below it the shares of the classes in its target.

    Args:
        path: where the PNG is written; what lies there is replaced, at once.
        batch: images and unmixed (N, 3, H, W) in [0, 1], targets (N, num_classes), labels (N,), plan; CPU tensors.
        mix: of which the plan is.
        classes: name of each class.
        title, subtitle: a line each, above the grid; the second may be empty.

    Returns:
        Width and height of the picture in pixels.
    """
    cells = [_cell(batch, mix, classes, number) for number in range(count)]
    height, width = batch.images.shape[2:]
    wide = round(SIDE * width / height)
    thumbs = ceil(max(len(cell.parents) for cell in cells) / 2)
    lines = max(len(cell.bars) for cell in cells)
    step_x = wide + thumbs * (GAP + round(THUMB * width / height)) + 2 * MARGIN
    step_y = LINE + SIDE + GAP + lines * LINE + MARGIN
    rows = ceil(count / max(2, WIDTH // step_x))
    columns = ceil(count / rows)
    head = 2 * MARGIN + (LINE if subtitle else 0)
    size = (columns * step_x + MARGIN, rows * step_y + head)
    figure, axes = _canvas(*size)
    _text(axes, MARGIN, MARGIN, title[: size[0] // 8], size=10.5)
    _text(axes, MARGIN, MARGIN + LINE, subtitle[: size[0] // 6], color=GREY)
    for place, cell in enumerate(cells):
        row, column = divmod(place, columns)
        _draw_cell(axes, batch, cell, MARGIN + column * step_x, head + row * step_y, wide)
    write_figure(figure, path, DPI)
    return size


def write_figure(figure: Figure, path: Path, dpi: int) -> None:
    """As a PNG, under another name first: what lay there stays until the picture is whole."""
    temporary = path.with_name(f".{path.name}.writing")
    try:
        figure.savefig(temporary, format="png", dpi=dpi)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def short(name: str, length: int) -> str:
    """At most so many letters of a name."""
    return name if len(name) <= length else name[: length - 1] + "…"


def _cell(batch: Any, mix: Mix, classes: Sequence[str], number: int) -> _Cell:
    plan, parents = batch.plan, parents_of(batch.plan, number)
    labels = [int(batch.labels[parent.place]) for parent in parents]
    bars = []
    for label in dict.fromkeys(labels):
        of_class = [(i, parent.share) for i, parent in enumerate(parents) if labels[i] == label]
        bars.append((classes[label], float(batch.targets[number, label]), of_class))
    words = [_member(mix, int(plan.method[number]))] if plan.method is not None else []
    if plan.partner is not None:
        words.append(f"lam {float(plan.lam[number]):.2f}" if len(parents) > 1 else "not mixed")
    return _Cell(number, "   ".join(words), parents, covered_box(plan, number), bars)


def _member(mix: Any, method: int) -> str:
    """The name of the member that a `Choose` took, numbered where several have it."""
    while isinstance(mix, Noisy):
        mix = mix.mix
    names = [type(member).__name__ for member in mix.mixes]
    name = names[method]
    return name if names.count(name) == 1 else f"{name} {names[: method + 1].count(name)}"


def _draw_cell(axes: Axes, batch: Any, cell: _Cell, x: float, y: float, wide: int) -> None:
    height, width = batch.images.shape[2:]
    _text(axes, x, y + LINE / 2 - 3, cell.caption)
    y += LINE
    _image(axes, batch.images[cell.number], x, y, wide, SIDE)
    for i, parent in enumerate(cell.parents):
        _box(axes, parent.box, x, y, SIDE / height, (height, width), COLOURS[i % len(COLOURS)])
    _box(axes, cell.covered, x, y, SIDE / height, (height, width), INK)
    if batch.plan.mask is not None and len(cell.parents) > 1:
        _outline(axes, batch.plan.mask[cell.number].numpy(), x, y, SIDE / height)
    for i, parent in enumerate(cell.parents):
        colour, across = COLOURS[i % len(COLOURS)], THUMB * width / height
        left = x + wide + GAP + (i // 2) * (across + GAP)
        top = y + (i % 2) * (SIDE - THUMB)
        _image(axes, batch.unmixed[parent.place], left, top, across, THUMB)
        _box(axes, parent.region, left, top, THUMB / height, (height, width), colour)
        axes.add_patch(Rectangle((left, top), across, THUMB, fill=False, edgecolor=colour, linewidth=2.2))
    for i, bar in enumerate(cell.bars):
        _bar(axes, *bar, x, y + SIDE + GAP + i * LINE, wide)


def _bar(
    axes: Axes, name: str, share: float, of_class: list[tuple[int, float]], x: float, y: float, wide: float
) -> None:
    room, total = wide - 82, sum(part for _, part in of_class)
    _text(axes, x, y + LINE / 2, short(name, 13))
    axes.add_patch(Rectangle((x + 82, y + 2), room, LINE - 5, color="#eeeeee", linewidth=0))
    start = x + 82
    for i, part in of_class:
        length = room * share * part / total
        axes.add_patch(Rectangle((start, y + 2), length, LINE - 5, color=COLOURS[i % len(COLOURS)], linewidth=0))
        start += length
    _text(axes, x + wide + 6, y + LINE / 2, f"{share:.2f}")


def _canvas(width: int, height: int) -> tuple[Figure, Axes]:
    """Axes in pixels of the picture, counted from the top left."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_autoscale_on(False)
    return figure, axes


def _image(axes: Axes, image: Any, x: float, y: float, width: float, height: float) -> None:
    pixels = image.permute(1, 2, 0).clamp(0, 1).numpy()
    axes.imshow(pixels, extent=(x, x + width, y + height, y), aspect="auto", interpolation="antialiased")


def _box(axes: Axes, box: Box | None, x: float, y: float, scale: float, whole: tuple[int, int], colour: str) -> None:
    """Pixels of an image that is drawn `scale` times as large; nothing for its whole or for no pixel."""
    if box is None or box == (0, 0, *whole) or box[2] <= box[0] or box[3] <= box[1]:
        return
    y0, x0, y1, x1 = (scale * side for side in box)
    for edge, width in (("white", 2.8), (colour, 1.6)):
        axes.add_patch(Rectangle((x + x0, y + y0), x1 - x0, y1 - y0, fill=False, edgecolor=edge, linewidth=width))


def _outline(axes: Axes, mask: np.ndarray, x: float, y: float, scale: float) -> None:
    """Where the own image and the partner weigh the same."""
    if not mask.min() < 0.5 < mask.max():
        return
    down, across = ((np.arange(side) + 0.5) * scale for side in mask.shape)
    for edge, width in (("white", 2.4), (COLOURS[1], 1.2)):
        axes.contour(x + across, y + down, mask, levels=[0.5], colors=[edge], linewidths=[width])


def _text(axes: Axes, x: float, y: float, text: str, *, size: float = 8.5, color: str = INK) -> None:
    # names of classes are the user's, and are not to be read as formulas
    axes.text(x, y, text, fontsize=size, color=color, va="center", parse_math=False)
