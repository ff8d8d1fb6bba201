"""Where in the plane networks change their mind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import nn

from pipelines.show.pictures import GREY, INK, write_figure
from train.show.pictures import DPI
from train.tables.table import Split

COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5")
STEPS = 200
"""Points along each side of a picture."""
MARGIN = 0.5
"""Between the outermost training samples and its edges."""


@torch.no_grad()
def draw_boundaries(path: Path, models: Mapping[str, nn.Module], divided: Split, title: str) -> None:
    """A picture for each network: the class that it names, the stronger the surer; its training samples as points.

    Args:
        models: by the text above its picture; of rows (N, 2).
    """
    features, labels = (part[divided.train].numpy() for part in (divided.table.features, divided.table.labels))
    low, high = features.min(axis=0) - MARGIN, features.max(axis=0) + MARGIN
    xs, ys = (np.linspace(low[axis], high[axis], STEPS) for axis in (0, 1))
    plane = torch.from_numpy(np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)).float()
    colours = ListedColormap([COLOURS[place % len(COLOURS)] for place in range(len(divided.table.classes))])
    figure = Figure(figsize=(3.0 * len(models), 3.3), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, model) in zip(figure.subplots(1, len(models), squeeze=False)[0], models.items(), strict=True):
        sure, named = (part.reshape(STEPS, STEPS).numpy() for part in model(plane).softmax(dim=1).max(dim=1))
        least = 1 / colours.N
        shown = colours(named)
        shown[..., 3] = 0.1 + 0.5 * ((sure - least) / (1 - least)).clip(0, 1)
        axes.imshow(shown, origin="lower", extent=(xs[0], xs[-1], ys[0], ys[-1]), aspect="auto")
        for class_number in range(colours.N):
            own = features[labels == class_number]
            axes.scatter(
                own[:, 0],
                own[:, 1],
                s=9,
                color=COLOURS[class_number % len(COLOURS)],
                edgecolors="white",
                linewidths=0.4,
            )
        for class_number in range(colours.N if colours.N > 2 else 1):
            axes.contour(xs, ys, (named == class_number).astype(float), levels=[0.5], colors=[INK], linewidths=1)
        axes.set_title(name, fontsize=10, color=INK, loc="left")
        axes.tick_params(labelsize=7, colors=GREY)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11, color=INK, x=0.01, ha="left", parse_math=False)
    write_figure(figure, path, DPI)
