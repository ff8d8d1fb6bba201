"""An evaluation as numbers, a table and pictures."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from train.evaluate.pictures import (
    draw_attacks,
    draw_calibration,
    draw_corruptions,
    draw_detection,
    draw_levels,
    draw_radius,
)

Lines = list[tuple[str, str]]
"""What the table says of one network: a label and a text, line by line."""

NAMED = ("torch", "torchvision", "numpy", "scikit-learn", "pyautoattack", "imagecorruptions-imaug")
STAGES = {"apgd-ce": "APGD-CE", "apgd-t": "+ APGD-T", "fab-t": "+ FAB-T", "square": "+ Square: AutoAttack"}
AXES = {
    "white": "deviation",
    "uniform": "largest change",
    "salt_and_pepper": "share of pixels",
    "centre": "side of the square over the image's",
    "random": "side of the square over the image's",
    "fgsm": "eps in Linf",
    "pgd20": "eps in Linf",
}


def write_report(folder: Path, title: str, identity: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> None:
    """evaluate.json with all finished parts, and a picture for each of them that has one."""
    done = {name: part for name, part in parts.items() if part["result"] is not None}
    content = {
        "title": title,
        "identity": identity,
        "versions": {"python": platform.python_version(), **_versions()},
        "settings": {name: part["settings"] for name, part in done.items()},
        "parts": {name: part["result"] for name, part in done.items()},
    }
    temporary = folder / ".evaluate.json.writing"
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(temporary, folder / "evaluate.json")
    _draw(folder, title, {name: part["result"] for name, part in done.items()})


def _versions() -> dict[str, str]:
    found = {}
    for name in NAMED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _draw(folder: Path, title: str, results: Mapping[str, Any]) -> None:
    accuracies = {name: one["accuracy"] for name, one in results.get("clean", {}).items()}
    if "calibration" in results:
        draw_calibration(folder / "calibration.png", results["calibration"], title)
    if "corruptions" in results:
        networks = results["corruptions"]["networks"]
        draw_corruptions(
            folder / "corruptions.png", networks, f"{title}, {results['corruptions']['made by']}", accuracies
        )
    for name in ("noise", "occlusion", "transfer"):
        if name in results:
            draw_levels(folder / f"{name}.png", results[name], f"{title}, {name}", accuracies, AXES)
    if "fgsm" in results:
        rows = {name: {"fgsm": one} for name, one in results["fgsm"].items()}
        draw_levels(folder / "fgsm.png", rows, f"{title}, one step", accuracies, AXES)
    if "detection" in results:
        draw_detection(folder / "detection.png", results["detection"], title)
    attacked = attack_rows(results)
    if attacked:
        draw_attacks(folder / "attacks.png", attacked, title)
    if "doubts" in results:
        curves = {name: one["curve"] for name, one in results["doubts"].items()}
        draw_radius(
            folder / "radius.png", curves, f"{title}, PGD on {next(iter(results['doubts'].values()))['images']} images"
        )


def attack_rows(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """By attack and network, accuracies from no attack to the strongest; empty without one."""
    rows = {}
    for part in ("pgd20", "pgd50"):
        if part in results:
            rows[f"PGD-{part[3:]}"] = {name: one["accuracy"] for name, one in results[part].items()}
    found = results.get("autoattack", {})
    for stage, label in STAGES.items():
        if found:
            rows[label] = {name: one["after"][stage] for name, one in found.items()}
    if rows and "clean" in results:
        return {"no attack": {name: one["accuracy"] for name, one in results["clean"].items()}, **rows}
    return rows


def print_report(console: Console, results: Mapping[str, Mapping[str, Any]], num_images: int) -> None:
    """The table, and below it the doubts."""
    lines = {name: part_lines(name, result) for name, result in results.items()}
    networks = list(dict.fromkeys(network for rows in lines.values() for network in rows))
    table = Table(title=f"{num_images:,} test images", title_justify="left", title_style="bold")
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


def summarise_part(name: str, result: Mapping[str, Any]) -> str:
    """A finished part in one line: each network's first number."""
    rows = part_lines(name, result)
    texts = [f"{network} {own[0][1]}" for network, own in rows.items() if own]
    label = next(own[0][0] for own in rows.values() if own)
    return f"{label}: {', '.join(texts)}" if label != name else ", ".join(texts)


def part_lines(name: str, result: Mapping[str, Any]) -> dict[str, Lines]:
    """By network what the table says of a part."""
    networks = result["networks"] if name == "corruptions" else result
    write: Callable[[Mapping[str, Any]], Lines] = LINES[name]
    return {network: write(found) for network, found in networks.items()}


def _clean(found: Mapping[str, Any]) -> Lines:
    return [("accuracy", f"{found['accuracy']:.2%}")]


def _calibration(found: Mapping[str, Any]) -> Lines:
    return [
        ("expected calibration error", f"{found['ece']:.2%}"),
        ("negative log-likelihood", f"{found['nll']:.3f}"),
        ("Brier score", f"{found['brier']:.3f}"),
    ]


def _levels(names: Mapping[str, str]) -> Callable[[Mapping[str, Any]], Lines]:
    def lines(found: Mapping[str, Any]) -> Lines:
        return [
            (f"{names.get(kind, kind)} {level}", f"{value:.2%}")
            for kind, levels in found.items()
            for level, value in levels.items()
        ]

    return lines


def _corruptions(found: Mapping[str, Any]) -> Lines:
    lines = [("corruptions, mean", f"{found['mean']:.2%}")]
    lines += [(f"corruptions, {group}", f"{value:.2%}") for group, value in found["by_group"].items()]
    if found["mce_alexnet"] is not None:
        lines.append(("corruptions, mCE over AlexNet's", f"{found['mce_alexnet']:.2%}"))
    return lines


def _detection(found: Mapping[str, Any]) -> Lines:
    return [
        (f"AUROC against {kind.replace('_', ' ')}", f"{other['softmax']['auroc']:.3f}")
        for kind, other in found.items()
        if kind != "known"
    ]


def _fgsm(found: Mapping[str, Any]) -> Lines:
    return [(f"FGSM {radius}", f"{value:.2%}") for radius, value in found.items()]


def _pgd(found: Mapping[str, Any]) -> Lines:
    text = f"PGD-{found['steps']}, {found['restarts']} start{'s' * (found['restarts'] > 1)}"
    return [(f"{text}, {_ball(found)}", f"{found['accuracy']:.2%}")]


def _ball(found: Mapping[str, Any]) -> str:
    return f"{found['norm']} {write_eps(found['eps'])}"


def write_eps(eps: float) -> str:
    """8 / 255 -> "8/255", 0.5 -> "0.5"."""
    steps = eps * 255
    return f"{round(steps)}/255" if abs(steps - round(steps)) < 1e-6 else f"{eps:g}"


def _autoattack(found: Mapping[str, Any]) -> Lines:
    last = f"AutoAttack, {_ball(found)}"
    middle = [(f"  after {name.upper()}", f"{value:.2%}") for name, value in found["after"].items() if name != "clean"]
    return [(last, f"{found['accuracy']:.2%}"), *middle]


def _doubts(found: Mapping[str, Any]) -> Lines:
    judged = [doubt for doubt in found["doubts"] if doubt["passed"] is not None]
    failed = [doubt["name"] for doubt in judged if not doubt["passed"]]
    return [("doubts", f"{len(failed)} of {len(judged)}: {', '.join(failed)}" if failed else "none")]


LINES: dict[str, Callable[[Mapping[str, Any]], Lines]] = {
    "clean": _clean,
    "calibration": _calibration,
    "noise": _levels({"white": "white noise", "uniform": "uniform noise", "salt_and_pepper": "salt and pepper"}),
    "occlusion": _levels({"centre": "square in the centre", "random": "square anywhere"}),
    "corruptions": _corruptions,
    "detection": _detection,
    "fgsm": _fgsm,
    "transfer": _levels({"fgsm": "transfer, FGSM", "pgd20": "transfer, PGD-20"}),
    "pgd20": _pgd,
    "pgd50": _pgd,
    "autoattack": _autoattack,
    "doubts": _doubts,
}
