"""An evaluation as numbers, a table and pictures."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from train.evaluate.lines import part_intervals, part_lines, pgd_label, write_eps
from train.evaluate.pictures.inside import draw_landscape, draw_localisation, draw_risk, draw_spectrum
from train.evaluate.pictures.measures import (
    draw_attacks,
    draw_calibration,
    draw_classes,
    draw_corruptions,
    draw_detection,
    draw_levels,
    draw_radius,
)
from train.evaluate.settings import ATTACKS
from train.files.sealed import written
from train.show.as_json import as_json

NAMED = ("torch", "torchvision", "numpy", "scikit-learn", "pyautoattack", "imagecorruptions-imaug")
STAGES = {"square": "Square"}
"""How an attack of AutoAttack is written where it is not in capitals."""
AXES = {
    "white": "deviation",
    "uniform": "largest change",
    "salt_and_pepper": "share of pixels",
    "centre": "side of the square over the image's",
    "border": "share of a side that is black",
    "random": "side of the square over the image's",
    "rotation": "largest angle, degrees",
    "shear": "largest angle, degrees",
    "zoom_in": "share of the side cut away",
    "zoom_out": "share of the side added",
    "fgsm": "eps in Linf",
    "pgd20": "eps in Linf",
}


def write_report(folder: Path, title: str, identity: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> None:
    """evaluate.json with all finished parts, and a picture for each of them that has one."""
    done = {name: part for name, part in parts.items() if part["result"] is not None}
    number = identity["images"]["number"]
    content = {
        "title": title,
        "identity": identity,
        "versions": {"python": platform.python_version(), **_versions()},
        "settings": {name: part["settings"] for name, part in done.items()},
        "parts": {name: part["result"] for name, part in done.items()},
        # Wilson's, 95 %, of each accuracy by the name that it has in `parts`.
        "intervals": {
            name: found for name, part in done.items() if (found := part_intervals(name, part["result"], number))
        },
    }
    with written(folder / "evaluate.json") as aside:
        aside.write_text(as_json(content))
    _draw(folder, title, {name: part["result"] for name, part in done.items()}, number)


def _versions() -> dict[str, str]:
    found = {}
    for name in NAMED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _draw(folder: Path, title: str, results: Mapping[str, Any], number: int) -> None:
    accuracies = {name: one["accuracy"] for name, one in results.get("clean", {}).items()}
    if "calibration" in results:
        draw_calibration(folder / "calibration.png", results["calibration"], title)
    if "calibration_attacked" in results:
        path = folder / "calibration_attacked.png"
        draw_calibration(path, results["calibration_attacked"], f"{title}, under attack")
    if "corruptions" in results:
        networks = results["corruptions"]["networks"]
        draw_corruptions(
            folder / "corruptions.png", networks, f"{title}, {results['corruptions']['made by']}", accuracies, number
        )
    for name in ("noise", "occlusion", "deformations", "transfer"):
        if name in results:
            draw_levels(folder / f"{name}.png", results[name], f"{title}, {name}", accuracies, AXES, number)
    if "fgsm" in results:
        rows = {name: {"fgsm": one} for name, one in results["fgsm"].items()}
        draw_levels(folder / "fgsm.png", rows, f"{title}, one step", accuracies, AXES, number)
    if "detection" in results:
        draw_detection(folder / "detection.png", results["detection"], title)
    if "spectrum" in results:
        draw_spectrum(folder / "spectrum.png", results["spectrum"], f"{title}, representations of a class")
    if "selective" in results:
        draw_risk(folder / "selective.png", results["selective"], f"{title}, wrong where it is surest")
    for name in ("landscape", "landscape_attacked"):
        if name in results:
            draw_landscape(folder / f"{name}.png", results[name], f"{title}, {name.replace('_', ', ')}")
    if "localisation" in results:
        path = folder / "localisation.png"
        draw_localisation(path, results["localisation"], f"{title}, localisation", number)
    attacked = attack_rows(results)
    if attacked:
        draw_attacks(folder / "attacks.png", attacked, title, number)
    classes = class_rows(results)
    if classes:
        draw_classes(folder / "classes.png", classes, title)
    if "doubts" in results:
        curves = {name: one["curve"] for name, one in results["doubts"].items()}
        few = next(iter(results["doubts"].values()))["images"]
        draw_radius(folder / "radius.png", curves, f"{title}, PGD on {few} images", few)


def attack_rows(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """By attack and network, accuracies from no attack to the strongest; empty without one."""
    rows = {}
    for part in ("pgd", "pgd20", "pgd50"):
        if part in results:
            own = results[part]
            first = next(iter(own.values()))
            # That of `pgd` may be alike in its steps and differ in something else.
            label = f"PGD-{first['num_steps']}" + (f", {write_eps(first['eps'])}" if part == "pgd" else "")
            rows[label] = {name: one["accuracy"] for name, one in own.items()}
    found = results.get("autoattack", {})
    stages = list(next(iter(found.values()))["attacks"]) if found else []
    for number, stage in enumerate(stages):
        label = ("+ " if number else "") + STAGES.get(stage, stage.upper())
        label += ": AutoAttack" if number == len(stages) - 1 and number else ""
        rows[label] = {name: one["after"][stage] for name, one in found.items()}
    if rows and "clean" in results:
        return {"no attack": {name: one["accuracy"] for name, one in results["clean"].items()}, **rows}
    return rows


def class_rows(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By network and measure, "no attack" or the attack with the least accuracy, what was found class by class."""
    rows: dict[str, dict[str, Any]] = {}
    for name, one in results.get("clean", {}).items():
        rows.setdefault(name, {})["no attack"] = one["by_class"]
    for name in {name: None for part in ATTACKS for name in results.get(part, {})}:
        found = [(results[part][name], part) for part in ATTACKS if name in results.get(part, {})]
        least, part = min(found, key=lambda one: one[0]["accuracy"])
        rows.setdefault(name, {})["AutoAttack" if part == "autoattack" else pgd_label(least)] = least["by_class"]
    return rows


def print_report(console: Console, results: Mapping[str, Mapping[str, Any]], num_images: int) -> None:
    """The table, and below it the doubts."""
    lines = {name: part_lines(name, result, num_images) for name, result in results.items()}
    networks = list(dict.fromkeys(network for rows in lines.values() for network in rows))
    table = Table(
        title=f"{num_images:,} test images; in brackets 95 % intervals", title_justify="left", title_style="bold"
    )
    table.add_column("")
    for network in networks:
        table.add_column(network, justify="right")
    for rows in lines.values():
        labels = list(dict.fromkeys(label for own in rows.values() for label, _ in own))
        for label in labels:
            table.add_row(label, *(dict(rows.get(network, [])).get(label, "") for network in networks))
        table.add_section()
    if lines:
        console.print(table)
    for network, found in results.get("doubts", {}).items():
        name = f" of {network}" if len(results["doubts"]) > 1 else ""
        console.print(f"Doubts about the robustness{name}, on {found['images']:,} images:", highlight=False)
        for doubt in found["doubts"]:
            console.print(_doubt_line(doubt), soft_wrap=True)
    for network, found in results.get("autoattack", {}).items():
        for warning in found["warnings"]:
            console.print(f"AutoAttack on {network}: {warning}", soft_wrap=True, highlight=False, markup=False)


def _doubt_line(doubt: Mapping[str, Any]) -> Text:
    mark, style = {True: ("ok   ", "green"), False: ("DOUBT", "bold red"), None: ("?    ", "yellow")}[doubt["passed"]]
    return Text.assemble("  ", (mark, style), f"  {doubt['name']}: {doubt['says']}")
