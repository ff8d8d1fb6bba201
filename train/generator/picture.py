"""samples.png: what a generator draws, a row for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from train.files.sealed import written

INK = "#222222"
GAP = 2
ROWS = 20


def draw_grid(path: Path, images: np.ndarray, labels: np.ndarray, classes: Sequence[str], title: str) -> None:
    """Write a picture of images (N, H, W, 3) uint8, the same number of each class, for up to 20 classes."""
    shown = classes[:ROWS]
    rows = [_side_by_side(images[labels == label]) for label in range(len(shown))]
    height, width = rows[0].shape[:2]
    grid = np.concatenate([np.pad(row, ((0, GAP), (0, 0), (0, 0)), constant_values=255) for row in rows])
    figure = Figure(figsize=(0.9 + width / 55, 0.5 + len(rows) * (height + GAP) / 55), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(grid, interpolation="nearest")
    axes.set_yticks([height / 2 + number * (height + GAP) for number in range(len(rows))], shown, fontsize=9, color=INK)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=11, color=INK, loc="left")
    with written(path) as aside:
        figure.savefig(aside, format="png", dpi=140)


def _side_by_side(images: np.ndarray) -> np.ndarray:
    padded = np.pad(images, ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=255)
    return np.concatenate(list(padded), axis=1)
