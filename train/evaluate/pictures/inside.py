"""What was measured inside networks, as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.show.pictures import GREY, INK, short
from train.evaluate.pictures.axes import COLOURS, figure_of, finish, plain, share_line


def draw_spectrum(path: Path, found: Mapping[str, Any], title: str) -> None:
    """Share of a class's variance in the first directions, a panel for each place and a line for each network.

    found  by network, as `measure_spectrum` returns it.
    """
    places = list(dict.fromkeys(place for one in found.values() for place in one))
    figure = figure_of(2.7 * len(places) + 0.5, 3.2)
    grid = figure.subplots(1, len(places), squeeze=False, sharey=True)[0]
    for axes, place in zip(grid, places, strict=True):
        for number, (network, one) in enumerate(found.items()):
            curve = [100 * share for share in one[place]["curve"]] if place in one else []
            colour = COLOURS[number % len(COLOURS)]
            axes.plot(range(1, len(curve) + 1), curve, color=colour, linewidth=1.6, label=short(network, 40))
        axes.set_title(place, fontsize=10, color=INK, loc="left")
        axes.set_xlabel("directions", fontsize=9, color=INK)
        axes.set_ylim(0, 102)
        plain(axes, grid="both")
    grid[0].set_ylabel("variance of a class, %", fontsize=9, color=INK)
    finish(figure, (grid[0],), title, path)


def draw_localisation(path: Path, found: Mapping[str, Any], title: str, total: int) -> None:
    """Share of objects found by the threshold of the map, a line for each network, and what the whole image reaches.

    found  by network, as `measure_localisation` returns it.
    total  number of the images.
    """
    figure = figure_of(5.2, 3.6)
    axes = figure.subplots()
    for number, (network, one) in enumerate(found.items()):
        shares = one["by_threshold"]
        colour = COLOURS[number % len(COLOURS)]
        share_line(axes, [float(level) for level in shares], list(shares.values()), total, colour, network)
    whole = next(iter(found.values()))["whole"]
    axes.axhline(100 * whole, color=GREY, linewidth=1.2, linestyle="--", label="whole image")
    axes.set_xlabel("threshold of the class activation map", fontsize=9, color=INK)
    axes.set_ylabel("objects found, %", fontsize=9, color=INK)
    axes.set_ylim(0, 102)
    plain(axes, grid="both")
    finish(figure, (axes,), title, path)


def draw_landscape(path: Path, found: Mapping[str, Any], title: str) -> None:
    """The loss by how far the weights were moved, a line for each network.

    found  by network, as `measure_landscape` returns it.
    """
    figure = figure_of(5.2, 3.6)
    axes = figure.subplots()
    for number, (network, one) in enumerate(found.items()):
        far = [float(distance) for distance in one["losses"]]
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(far, list(one["losses"].values()), color=colour, marker="o", markersize=4, label=short(network, 40))
    axes.set_xlabel("weights moved by, in their filters' lengths", fontsize=9, color=INK)
    axes.set_ylabel("cross-entropy, nats", fontsize=9, color=INK)
    axes.set_ylim(bottom=0)
    plain(axes, grid="both")
    finish(figure, (axes,), title, path)


def draw_risk(path: Path, found: Mapping[str, Any], title: str) -> None:
    """Error of the images that are answered by how many are, a line for each network and score.

    found  by network, as `measure_selective` returns it.
    """
    figure = figure_of(5.2, 3.6)
    axes = figure.subplots()
    rows = [(f"{network}, {score}", one) for network, own in found.items() for score, one in own.items()]
    for number, (label, one) in enumerate(rows):
        curve = [100 * share for share in one["curve"]]
        axes.plot(range(1, 101), curve, color=COLOURS[number % len(COLOURS)], linewidth=1.6, label=short(label, 40))
    axes.set_xlabel("images answered, %", fontsize=9, color=INK)
    axes.set_ylabel("of these wrong, %", fontsize=9, color=INK)
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    plain(axes, grid="both")
    finish(figure, (axes,), title, path)
