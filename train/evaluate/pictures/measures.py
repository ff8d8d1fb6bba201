"""What was measured beside attacks, as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.show.pictures import GREY, INK, short
from train.evaluate.parts.corruptions import GROUPS
from train.evaluate.parts.detection import NUM_BINS
from train.evaluate.pictures.axes import BARS, COLOURS, figure_of, finish, plain, share_line
from train.show.intervals import whiskers, wilson
from train.show.pictures import BLUE, RED

MOST_CLASSES = 40
"""That a picture of classes shows."""
PALE = "#dddddd"


def draw_calibration(path: Path, found: Mapping[str, Any], title: str) -> None:
    """The reliability diagram of each network: accuracy of the images by confidence with 95 % intervals, and how many
    there are.

    found  by network, as `measure_calibration` returns it.
    """
    figure = figure_of(3.6 * len(found) + 0.6, 4.6)
    grid = figure.subplots(2, len(found), squeeze=False, height_ratios=(3, 1), sharex=True)
    for column, (name, one) in enumerate(found.items()):
        upper, lower = grid[0][column], grid[1][column]
        filled = [part for part in one["bins"] if part["count"]]
        left, width = [part["low"] for part in filled], [part["high"] - part["low"] for part in filled]
        confidence, accuracy = ([part[key] for part in filled] for key in ("confidence", "accuracy"))
        upper.bar(left, accuracy, width, align="edge", color=BLUE, alpha=0.6, edgecolor="white", label="accuracy")
        right = [part["high"] for part in filled]
        middle = [(low + high) / 2 for low, high in zip(left, right, strict=True)]
        around = np.array(whiskers(accuracy, [part["count"] for part in filled])) / 100
        upper.errorbar(middle, accuracy, around, fmt="none", ecolor=INK, **BARS)
        upper.hlines(confidence, left, right, color=RED, linewidth=2, label="confidence")
        upper.plot((0, 1), (0, 1), color=GREY, linewidth=1, linestyle="--")
        upper.set_ylim(0, 1)
        upper.set_title(f"{short(name, 40)}: ECE {one['ece']:.1%}", fontsize=10, color=INK, loc="left")
        counts = np.array([part["count"] for part in filled])
        lower.bar(left, 100 * counts / counts.sum(), width, align="edge", color=PALE, edgecolor="white")
        for value, colour, text in ((one["accuracy"], BLUE, "accuracy"), (one["confidence"], RED, "confidence")):
            lower.axvline(value, color=colour, linewidth=1.4, label=f"mean {text}")
        lower.set_xlim(0, 1)
        lower.set_xlabel("confidence", fontsize=9, color=INK)
        plain(upper, grid="both")
        plain(lower)
    grid[0][0].set_ylabel("accuracy", fontsize=9, color=INK)
    grid[1][0].set_ylabel("images, %", fontsize=9, color=INK)
    finish(figure, (grid[0][0], grid[1][0]), title, path)


def draw_corruptions(path: Path, found: Mapping[str, Any], title: str, clean: Mapping[str, float], total: int) -> None:
    """Each network's accuracy by corruption: a bar for the mean over the severities, with its 95 % interval, a dot for
    each of them.

    found   by network, "networks" of what `measure_corruptions` returns.
    clean   by network, accuracy on the images as they are, 0 to 1.
    total   number of the images.
    """
    names = list(next(iter(found.values()))["accuracies"])
    figure = figure_of(1.5 + 0.62 * len(names) * max(1.0, 0.55 * len(found)), 4.2)
    axes = figure.subplots()
    width = 0.8 / len(found)
    places = np.arange(len(names)) + 0.35 * np.array([_group(name) for name in names])
    for number, (network, one) in enumerate(found.items()):
        colour = COLOURS[number % len(COLOURS)]
        centre = places + (number - (len(found) - 1) / 2) * width
        means = [100 * one["by_corruption"][name] for name in names]
        label = f"{short(network, 30)}, mean {one['mean']:.1%}"
        axes.bar(centre, means, 0.92 * width, color=colour, alpha=0.55, label=label, linewidth=0)
        around = whiskers([one["by_corruption"][name] for name in names], total)
        axes.errorbar(centre, means, around, fmt="none", ecolor=INK, **BARS)
        for place, name in zip(centre, names, strict=True):
            values = 100 * np.array(one["accuracies"][name])
            axes.scatter([place] * len(values), values, s=7, color=colour, zorder=3)
        if network in clean:
            axes.axhline(100 * clean[network], color=colour, linewidth=1.2, linestyle="--", zorder=1)
    words = [name.replace("_", " ") for name in names]
    axes.set_xticks(places, words, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_xlim(places[0] - 0.7, places[-1] + 0.7)
    axes.set_ylim(0, 100 * min(1.0, 0.05 + max([*clean.values(), *(v for one in found.values() for v in _all(one))])))
    axes.set_ylabel("accuracy, %  (dashed: clean images)", fontsize=9, color=INK)
    plain(axes, grid="y")
    finish(figure, (axes,), title, path)


def draw_levels(
    path: Path, found: Mapping[str, Any], title: str, clean: Mapping[str, float], names: Mapping[str, str], total: int
) -> None:
    """Accuracy by strength with 95 % intervals, a panel for each kind and a line for each network.

    found   by network, kind and strength ("0.1", "8/255"), accuracies, as the measures of noise, occlusion and transfer
            return it.
    clean   by network, accuracy on the images as they are, 0 to 1, where the line begins; may lack networks.
    names   of each kind, what its strength is: the panel's horizontal axis.
    total   number of the images.
    """
    kinds = list(next(iter(found.values())))
    figure = figure_of(3.3 * len(kinds) + 0.5, 3.4)
    grid = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for axes, kind in zip(grid, kinds, strict=True):
        for place, (network, one) in enumerate(found.items()):
            points = {_number(strength): value for strength, value in one[kind].items()}
            if network in clean:
                points[0.0] = clean[network]
            x, y = zip(*sorted(points.items()), strict=True)
            share_line(axes, x, y, total, COLOURS[place % len(COLOURS)], network)
        axes.set_title(kind.replace("_", " "), fontsize=10, color=INK, loc="left")
        axes.set_xlabel(names[kind], fontsize=9, color=INK)
        axes.set_xlim(left=0)
        if all("/255" in strength for one in found.values() for strength in one[kind]):
            axes.xaxis.set_major_formatter(lambda value, _: f"{255 * value:g}/255")
            axes.set_xticks(sorted({0.0, *(_number(strength) for strength in next(iter(found.values()))[kind])}))
        axes.set_ylim(bottom=0)
        plain(axes, grid="both")
    grid[0].set_ylabel("accuracy, %", fontsize=9, color=INK)
    finish(figure, (grid[0],), title, path)


def draw_detection(path: Path, found: Mapping[str, Any], title: str) -> None:
    """How sure each network, a row, is of its own images and of others, a panel for each kind.

    found  by network, as `measure_detection` returns it.
    """
    kinds = [name for name in next(iter(found.values())) if name != "known"]
    figure = figure_of(3.1 * len(kinds) + 0.5, 2.2 * len(found) + 1.0)
    grid = figure.subplots(len(found), len(kinds), squeeze=False, sharex=True)
    edges = np.linspace(0, 1, NUM_BINS + 1)
    for row, (network, one) in zip(grid, found.items(), strict=True):
        for axes, kind in zip(row, kinds, strict=True):
            other = one[kind]
            axes.stairs(100 * np.array(one["known"]), edges, fill=True, color=PALE, label="its own images")
            axes.stairs(100 * np.array(other["histogram"]), edges, color=RED, linewidth=1.6, label="others")
            auroc, kept = other["softmax"]["auroc"], other["softmax"]["fpr95"]
            text = f"{short(kind.replace('_', ' '), 24)}\nAUROC {auroc:.2f}, FPR95 {kept:.2f}"
            axes.set_title(text, fontsize=9, color=INK, loc="left")
            axes.set_xlim(0, 1)
            axes.set_ylim(bottom=0)
            plain(axes, grid="y")
        row[0].set_ylabel(f"{short(network, 24)}\nimages, %", fontsize=9, color=INK)
    for axes in grid[-1]:
        axes.set_xlabel("confidence", fontsize=9, color=INK)
    finish(figure, (grid[0][0],), title, path)


def draw_attacks(path: Path, found: Mapping[str, Mapping[str, float]], title: str, total: int) -> None:
    """Each network's accuracy under one attack after the other with 95 % intervals, a group of bars for each attack.

    found  by attack and network, accuracies, 0 to 1; a network may be missing.
    total  number of the images.
    """
    networks = list(dict.fromkeys(network for row in found.values() for network in row))
    figure = figure_of(1.5 + 0.75 * len(found) * max(1.0, 0.6 * len(networks)), 3.6)
    axes = figure.subplots()
    width = 0.8 / len(networks)
    for number, network in enumerate(networks):
        places = [place for place, row in enumerate(found.values()) if network in row]
        values = [100 * row[network] for row in found.values() if network in row]
        centre = np.array(places) + (number - (len(networks) - 1) / 2) * width
        around = whiskers([row[network] for row in found.values() if network in row], total)
        colour = COLOURS[number % len(COLOURS)]
        bars = axes.bar(
            centre,
            values,
            0.92 * width,
            yerr=around,
            color=colour,
            label=short(network, 40),
            error_kw={"ecolor": INK, **BARS},
        )
        axes.bar_label(bars, fmt="%.1f", fontsize=8, color=INK, padding=1)
    axes.set_xticks(range(len(found)), list(found), rotation=30, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(found) - 0.4)
    highest = max(wilson(value, total)[1] for row in found.values() for value in row.values())
    axes.set_ylim(0, 1.1 * max(1.0, 100 * highest))
    axes.set_ylabel("accuracy, %", fontsize=9, color=INK)
    plain(axes, grid="y")
    finish(figure, (axes,), title, path)


def draw_classes(path: Path, found: Mapping[str, Mapping[str, Mapping[str, Any]]], title: str) -> None:
    """Each network's accuracy class by class with 95 % intervals, a panel for each network; of many classes those that
    do worst in the last measure.

    found  by network and measure, as `by_class` returns it.
    """
    most = max(len(own) for one in found.values() for own in one.values())
    figure = figure_of(2.2 + 0.28 * min(most, MOST_CLASSES), 2.6 * len(found) + 1.2)
    grid = figure.subplots(len(found), 1, squeeze=False)[:, 0]
    for axes, (network, one) in zip(grid, found.items(), strict=True):
        last = list(one.values())[-1]
        names = list(last)
        if len(names) > MOST_CLASSES:
            names = sorted(names, key=lambda name: last[name]["accuracy"])[:MOST_CLASSES]
        for number, (measure, own) in enumerate(one.items()):
            shares = [own[name]["accuracy"] for name in names]
            places = np.arange(len(names)) + 0.2 * (number - (len(one) - 1) / 2)
            around = whiskers(shares, [own[name]["images"] for name in names])
            colour = COLOURS[number % len(COLOURS)]
            axes.errorbar(
                places,
                [100 * share for share in shares],
                around,
                fmt="o",
                markersize=4,
                color=colour,
                label=measure,
                **BARS,
            )
        axes.set_xticks(range(len(names)), [short(name, 16) for name in names], rotation=40, ha="right")
        axes.set_ylim(0, 102)
        axes.set_ylabel("accuracy, %", fontsize=9, color=INK)
        axes.set_title(short(network, 40), fontsize=10, color=INK, loc="left")
        plain(axes, grid="y")
    finish(figure, (grid[0],), title, path)


def draw_radius(path: Path, found: Mapping[str, Mapping[str, float]], title: str, total: int) -> None:
    """Accuracy by the radius of an attack with 95 % intervals, a line for each network; it should fall to 0.

    found  by network and radius ("8/255", "0.5"), accuracies, 0 to 1, the greatest radius last.
    total  number of the images.
    """
    figure = figure_of(5.2, 3.6)
    axes = figure.subplots()
    for number, (network, curve) in enumerate(found.items()):
        share_line(axes, range(len(curve)), list(curve.values()), total, COLOURS[number % len(COLOURS)], network)
    names = list(next(iter(found.values())))
    axes.set_xticks(range(len(names)), [*names[:-1], "no bound"])
    axes.set_xlabel("radius of the attack", fontsize=9, color=INK)
    axes.set_ylabel("accuracy, %", fontsize=9, color=INK)
    axes.set_ylim(0, 102)
    plain(axes, grid="both")
    finish(figure, (axes,), title, path)


def _group(name: str) -> int:
    return next(number for number, members in enumerate(GROUPS.values()) if name in members)


def _all(one: Mapping[str, Any]) -> list[float]:
    return [value for values in one["accuracies"].values() for value in values]


def _number(strength: str) -> float:
    """The inverse of `eps_name`, and of a plain number's text."""
    above, _, below = strength.partition("/")
    return float(above) / float(below or 1)
