"""What the table of an evaluation says of each part, and which of a part's numbers are shares of its images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from train.evaluate.parts.attacks import STEP
from train.evaluate.parts.by_class import worst_class
from train.show.intervals import intervals, with_interval

Lines = list[tuple[str, str]]
"""What the table says of one network: a label and a text, line by line."""

Write = Callable[[Mapping[str, Any], int], Lines]
"""What a part found of one network, and on how many images -> its lines."""


def summarise_part(name: str, result: Mapping[str, Any], num_images: int) -> str:
    """A finished part in one line: each network's first number."""
    rows = part_lines(name, result, num_images)
    texts = [f"{network} {own[0][1]}" for network, own in rows.items() if own]
    label = next(own[0][0] for own in rows.values() if own)
    return f"{label}: {', '.join(texts)}" if label != name else ", ".join(texts)


def part_lines(name: str, result: Mapping[str, Any], num_images: int) -> dict[str, Lines]:
    """By network what the table says of a part; accuracies with their 95 % intervals."""
    write = LINES[name]
    return {network: write(found, num_images) for network, found in networks_of(name, result).items()}


def part_intervals(name: str, result: Mapping[str, Any], num_images: int) -> dict[str, Any]:
    """By network the 95 % intervals of those numbers of a part that are shares of its images, by their own names."""
    if name not in SHARES:
        return {}
    found: dict[str, Any] = {}
    for network, one in networks_of(name, result).items():
        shares = SHARES[name](one)
        if name == "variants":
            found[network] = {title: intervals(own, one[title]["images"]) for title, own in shares.items()}
        else:
            found[network] = intervals(shares, one["images"] if name in OWN_NUMBER else num_images)
    return found


def networks_of(name: str, result: Mapping[str, Any]) -> Mapping[str, Any]:
    """By network what a part found."""
    return result["networks"] if name == "corruptions" else result


def _clean(found: Mapping[str, Any], total: int) -> Lines:
    return [("accuracy", with_interval(found["accuracy"], total)), *_worst(found)]


def _worst(found: Mapping[str, Any]) -> Lines:
    """The class with the least accuracy, of as many images as there are of it."""
    own = found["by_class"]
    name = worst_class(own)
    return [("  worst class", f"{name}: {with_interval(own[name]['accuracy'], own[name]['images'])}")]


def _calibration(found: Mapping[str, Any], total: int) -> Lines:
    lines = [
        ("expected calibration error", f"{found['ece']:.2%}"),
        ("negative log-likelihood", f"{found['nll']:.3f}"),
        ("Brier score", f"{found['brier']:.3f}"),
    ]
    own = found["scaled"]
    if own is not None:
        lines.append(("  error with temperature", f"{own['after']['ece']:.2%}, T = {own['temperature']:.3f}"))
    return lines


def _calibration_attacked(found: Mapping[str, Any], total: int) -> Lines:
    return [(f"{label}, PGD-{found['attack']['num_steps']}", text) for label, text in _calibration(found, total)]


def _levels(names: Mapping[str, str]) -> Write:
    def lines(found: Mapping[str, Any], total: int) -> Lines:
        return [
            (f"{names.get(kind, kind)} {level}", with_interval(value, total))
            for kind, levels in found.items()
            for level, value in levels.items()
        ]

    return lines


def _corruptions(found: Mapping[str, Any], total: int) -> Lines:
    lines = [("corruptions, mean", with_interval(found["mean"], total))]
    lines += [(f"corruptions, {group}", with_interval(value, total)) for group, value in found["by_group"].items()]
    if found["mce_alexnet"] is not None:
        lines.append(("corruptions, mCE over AlexNet's", f"{found['mce_alexnet']:.2%}"))
    return lines


def _variants(found: Mapping[str, Any], total: int) -> Lines:
    return [(name, with_interval(one["accuracy"], one["images"])) for name, one in found.items()]


def _real(found: Mapping[str, Any], total: int) -> Lines:
    return [("ReaL labels", with_interval(found["accuracy"], found["images"]))]


def _detection(found: Mapping[str, Any], total: int) -> Lines:
    return [
        (f"AUROC against {kind.replace('_', ' ')}", f"{other['softmax']['auroc']:.3f}")
        for kind, other in found.items()
        if kind != "known"
    ]


def _selective(found: Mapping[str, Any], total: int) -> Lines:
    lines = []
    for score, one in found.items():
        for coverage in ("0.9", "0.7"):
            answered = max(1, round(float(coverage) * total))
            error = with_interval(min(1.0, one["risk"][coverage]), answered)
            lines.append((f"error of the surest {float(coverage):.0%}, {score}", error))
        lines.append((f"  area under risk by coverage, {score}", f"{one['aurc']:.4f}"))
    return lines


def _landscape(found: Mapping[str, Any], total: int) -> Lines:
    middle = f"{found['rise']:.3f} ± {found['deviation']:.3f}, from {found['loss']:.3f}"
    return [("rise of the loss where weights move by 1", middle), ("  by 0.5", f"{found['rises']['0.5']:.3f}")]


def _landscape_attacked(found: Mapping[str, Any], total: int) -> Lines:
    return [(f"{label}, attacked", text) for label, text in _landscape(found, total)]


def _embedding(found: Mapping[str, Any], total: int) -> Lines:
    return [
        ("alignment of a class's embeddings", f"{found['alignment']:.3f}"),
        ("  distance of other classes'", f"{found['apart']:.3f}"),
        ("uniformity of all embeddings", f"{found['uniformity']:.3f}"),
    ]


def _spectrum(found: Mapping[str, Any], total: int) -> Lines:
    return [
        (f"directions of a class at {place}", f"{one['needed']:.1f}, first has {one['share']:.1%}")
        for place, one in found.items()
    ]


def _localisation(found: Mapping[str, Any], total: int) -> Lines:
    return [
        (f"objects found by {found['method']}", with_interval(found["localised"], total)),
        ("  and class right", with_interval(found["top1"], total)),
        ("  at the best threshold", f"{with_interval(found['best'], total)}, {found['best_threshold']:g}"),
        ("  with the whole image as box", with_interval(found["whole"], total)),
    ]


def _pointing(found: Mapping[str, Any], total: int) -> Lines:
    return [
        (f"{found['method']} in the right one of four images", f"{found['share']:.2%}"),
        ("  its greatest value there", with_interval(found["found"], found["images"])),
    ]


def _fgsm(found: Mapping[str, Any], total: int) -> Lines:
    return [(f"FGSM {radius}", with_interval(value, total)) for radius, value in found.items()]


def _pgd(found: Mapping[str, Any], total: int) -> Lines:
    return [(pgd_label(found), with_interval(found["accuracy"], total)), *_worst(found)]


def pgd_label(found: Mapping[str, Any]) -> str:
    """What was done, with what differs from the usual."""
    restarts, passes = found["restarts"], found["passes"]
    text = f"PGD-{found['num_steps']}, {restarts} start{'s' * (restarts > 1)}, {_ball(found)}"
    if abs(found["step_size"] - STEP * found["eps"]) > 1e-9:
        text += f", steps of {write_eps(found['step_size'])}"
    if found["iterate"] != "any":
        text += f", {found['iterate']} images"
    return text + (f", mean of {passes} passes" if passes > 1 else "")


def _ball(found: Mapping[str, Any]) -> str:
    return f"{found['norm']} {write_eps(found['eps'])}"


def write_eps(eps: float) -> str:
    """8 / 255 -> "8/255", 0.5 -> "0.5"."""
    steps = eps * 255
    return f"{round(steps)}/255" if abs(steps - round(steps)) < 1e-6 else f"{eps:g}"


def _autoattack(found: Mapping[str, Any], total: int) -> Lines:
    kind = "" if found["version"] == "standard" else f" {found['version']}"
    last = f"AutoAttack{kind}, {_ball(found)}"
    middle = [
        (f"  after {name.upper()}", with_interval(value, total))
        for name, value in found["after"].items()
        if name != "clean"
    ]
    return [(last, with_interval(found["accuracy"], total)), *middle, *_worst(found)]


def _saved(found: Mapping[str, Any], total: int) -> Lines:
    return [(f"saved images of {name}", with_interval(value, total)) for name, value in found.items()]


def _doubts(found: Mapping[str, Any], total: int) -> Lines:
    judged = [doubt for doubt in found["doubts"] if doubt["passed"] is not None]
    failed = [doubt["name"] for doubt in judged if not doubt["passed"]]
    return [("doubts", f"{len(failed)} of {len(judged)}: {', '.join(failed)}" if failed else "none")]


LINES: dict[str, Write] = {
    "clean": _clean,
    "calibration": _calibration,
    "noise": _levels({"white": "white noise", "uniform": "uniform noise", "salt_and_pepper": "salt and pepper"}),
    "occlusion": _levels({"centre": "square in the centre", "border": "black border of", "random": "square anywhere"}),
    "deformations": _levels(
        {
            "rotation": "rotation, degrees up to",
            "shear": "shear, degrees up to",
            "zoom_in": "nearer by",
            "zoom_out": "farther by",
        }
    ),
    "corruptions": _corruptions,
    "variants": _variants,
    "real": _real,
    "detection": _detection,
    "selective": _selective,
    "embedding": _embedding,
    "spectrum": _spectrum,
    "localisation": _localisation,
    "pointing": _pointing,
    "landscape": _landscape,
    "fgsm": _fgsm,
    "transfer": _levels({"fgsm": "transfer, FGSM", "pgd20": "transfer, PGD-20"}),
    "pgd": _pgd,
    "pgd20": _pgd,
    "pgd50": _pgd,
    "autoattack": _autoattack,
    "saved": _saved,
    "landscape_attacked": _landscape_attacked,
    "calibration_attacked": _calibration_attacked,
    "doubts": _doubts,
}


def _all(found: Mapping[str, Any]) -> Any:
    return found


def _some(*names: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda found: {name: found[name] for name in names}


OWN_NUMBER = ("real", "doubts", "pointing")
"""Parts of fewer images than all, which say of how many."""

SHARES: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "clean": _some("accuracy"),
    "calibration": _some("accuracy"),
    "calibration_attacked": _some("accuracy"),
    "noise": _all,
    "occlusion": _all,
    "deformations": _all,
    "corruptions": _some("mean", "by_corruption", "by_severity", "by_group", "accuracies"),
    "variants": lambda found: {
        name: {key: one[key] for key in ("accuracy", "of_all_classes")} for name, one in found.items()
    },
    "real": _some("accuracy"),
    "localisation": _some("localised", "top1", "by_threshold", "best", "whole"),
    "pointing": _some("found"),
    "fgsm": _all,
    "transfer": _all,
    "pgd": _some("accuracy", "after"),
    "pgd20": _some("accuracy", "after"),
    "pgd50": _some("accuracy", "after"),
    "autoattack": _some("accuracy", "after"),
    "saved": _all,
    "doubts": _some("curve"),
}
