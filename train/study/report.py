"""What a study found: JSON, a table in Markdown, and a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipelines.show.pictures import GREY, INK, write_figure
from train.files.sealed import written
from train.show.as_json import as_json
from train.show.pictures import BLUE, DPI
from train.study.declare import Scale, Study
from train.study.results import Difference, Numbers, half_width, judge, mean_and_deviation, paired
from train.study.work import Job

PANELS = 5
"""Side by side in a plot."""
NO_INTERVAL = "[no interval]"
"""Of one seed, or where all seeds say the same."""
SIDES = {"higher": "higher is better", "lower": "lower is better"}


def contents(
    title: str, study: Study, scale: Scale, jobs: Sequence[Job], numbers: Numbers, machine: Mapping[str, Any]
) -> dict[str, Any]:
    """All that the table and the plot show, as plain values."""
    measures = {}
    for name, measure in study.measures.items():
        arms = {}
        for arm, by_seed in numbers[name].items():
            if not by_seed:
                continue
            mean, deviation = mean_and_deviation(list(by_seed.values()))
            difference = None if arm == study.reference else paired(by_seed, numbers[name][study.reference])
            arms[arm] = {
                "seeds": {str(seed): value for seed, value in by_seed.items()},
                "mean": mean,
                "deviation": deviation,
                "difference": None if difference is None else asdict(difference),
            }
        measures[name] = {**asdict(measure), "arms": arms}
    claims = []
    for expected in study.expected:
        verdict, difference = judge(expected, study, numbers)
        found = None if difference is None else asdict(difference)
        claims.append({**asdict(expected), "verdict": verdict, "difference": found})
    commands: dict[str, list[str]] = {}
    for job in jobs:
        commands.setdefault(job.arm, job.texts)
    return {
        "title": title,
        "question": study.question,
        "reference": study.reference,
        "scale": asdict(scale),
        "machine": dict(machine),
        "commands": commands,
        "measures": measures,
        "claims": claims,
    }


def write_report(folder: Path, content: Mapping[str, Any]) -> list[Path]:
    """study.json, study.md and study.png."""
    paths = [folder / name for name in ("study.json", "study.md", "study.png")]
    for path, text in zip(paths, (as_json(content), markdown(content)), strict=False):
        with written(path) as aside:
            aside.write_text(text)
    draw(paths[2], content)
    return paths


def markdown(content: Mapping[str, Any]) -> str:
    """The claims, those that do not hold first; then the table, and the commands of the first seed."""
    lines = [f"# {content['title']}", "", content["question"], ""]
    order = ("does not hold", "not resolved", "holds", "not measured")
    for claim in sorted(content["claims"], key=lambda claim: order.index(claim["verdict"])):
        measure = content["measures"][claim["measure"]]
        shown = "" if claim["difference"] is None else f": {difference_text(claim['difference'], measure)}"
        paper = f"{claim['paper']}; " if claim["paper"] else ""
        lines.append(f"- **{claim['verdict']}**: {claim['claim']} ({paper}{sides(claim)}{shown})")
    seeds = content["scale"]["seeds"]
    about = f"Means over seeds {', '.join(map(str, seeds))} ± their standard deviation [95 % interval of the mean]"
    if len(seeds) < 2:
        about = f"One seed, {seeds[0]}, so that nothing can be said of chance"
    differences = ""
    if len(content["commands"]) > 1:
        differences = f"; below, the paired difference to {content['reference']} with its 95 % interval (Student's t)"
    lines += [
        "",
        f"{about}{differences}.",
        *([content["scale"]["chosen"]] if content["scale"]["chosen"] else []),
        "",
        *_table(content),
        "",
        f"Measured with {_machine(content['machine'])}.",
        "",
        "The commands of the first seed:",
        "",
        *(f"    {text}" for texts in content["commands"].values() for text in texts),
    ]
    return "\n".join(lines) + "\n"


def sides(claim: Mapping[str, Any]) -> str:
    """Who against whom, in what."""
    if claim.get("against"):
        return f"{claim['arm']}, {claim['measure']} against {claim['against']}"
    return f"{claim['arm']} against {claim['than']}, {claim['measure']}"


def _table(content: Mapping[str, Any]) -> list[str]:
    measures = content["measures"]
    heads = [f"{name}, {SIDES[measure['better']]}" for name, measure in measures.items()]
    rows = [["", *heads], ["---"] * (1 + len(heads))]
    for arm in content["commands"]:
        found = [measure["arms"].get(arm) for measure in measures.values()]
        cells = [
            "" if one is None else mean_text(one, measure)
            for one, measure in zip(found, measures.values(), strict=True)
        ]
        rows.append([arm, *cells])
        if arm != content["reference"]:
            rows.append(
                [
                    "",
                    *(
                        "" if one is None or one["difference"] is None else difference_text(one["difference"], measure)
                        for one, measure in zip(found, measures.values(), strict=True)
                    ),
                ]
            )
    return ["| " + " | ".join(row) + " |" for row in rows]


def mean_text(found: Mapping[str, Any], measure: Mapping[str, Any]) -> str:
    """What an arm reached, for people: the mean over its seeds, their deviation, and the interval of the mean. Shares
    are in percent, where the interval ends at 0 and 100.

    found    the arm's entry in `contents`.
    measure  that of the measure.
    """
    factor, digits = _units(measure)
    mean, deviation = found["mean"], found["deviation"]
    if deviation is None:
        return f"{factor * mean:.{digits}f}"
    middle = f"{factor * mean:.{digits}f} ± {factor * deviation:.{digits}f}"
    half = half_width(deviation, len(found["seeds"]))
    if half is None:
        return f"{middle} {NO_INTERVAL}"
    low, high = mean - half, mean + half
    if measure["shown"] == "percent":
        low, high = max(low, 0.0), min(high, 1.0)
    shown = ", ".join(f"{factor * bound:.{digits}f}" for bound in (low, high))
    return f"{middle} [{shown}]"


def difference_text(found: Mapping[str, Any], measure: Mapping[str, Any]) -> str:
    """A paired difference with its interval, for people; `found` is a `Difference` as plain values."""
    factor, digits = _units(measure)
    middle = f"{factor * found['mean']:+.{digits}f}"
    if found["low"] is None:
        return f"{middle} {NO_INTERVAL}"
    return f"{middle} [{factor * found['low']:+.{digits}f}, {factor * found['high']:+.{digits}f}]"


def _units(measure: Mapping[str, Any]) -> tuple[float, int]:
    return (1.0, 3) if measure["shown"] == "number" else (100.0, 1)


def _machine(machine: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def draw(path: Path, content: Mapping[str, Any]) -> None:
    """For each measure the paired differences to the reference, with their intervals."""
    measures = content["measures"]
    arms = [arm for arm in content["commands"] if arm != content["reference"]]
    across = min(len(measures), PANELS)
    rows = -(-len(measures) // across)
    figure = Figure(figsize=(2.2 + 2.6 * across, rows * (1.4 + 0.35 * len(arms))), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, across, sharey=True, squeeze=False).ravel()
    for axes in panels[len(measures) :]:
        axes.set_axis_off()
    for axes, (name, measure) in zip(panels[: len(measures)], measures.items(), strict=True):
        factor, _ = _units(measure)
        axes.axvline(0, color=GREY, linewidth=1)
        for place, arm in enumerate(arms):
            found = measure["arms"].get(arm)
            if found is None or found["difference"] is None:
                continue
            one = Difference(**found["difference"])
            if one.low is not None and one.high is not None:
                axes.plot([factor * one.low, factor * one.high], [place, place], color=BLUE, linewidth=2, alpha=0.5)
            axes.plot([factor * one.mean], [place], "o", color=BLUE, markersize=5)
        axes.set_title(name, fontsize=10, color=INK, loc="left")
        axes.set_xlabel(f"{SIDES[measure['better']]}{', points' if factor > 1 else ''}", fontsize=8, color=INK)
        axes.set_yticks(range(len(arms)), arms)
        axes.set_ylim(max(len(arms), 1) - 0.5, -0.5)
        axes.tick_params(labelsize=8, colors=INK)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    title = f"{content['title']}: difference to {content['reference']}"
    figure.suptitle(title, fontsize=11, color=INK, x=0.01, ha="left", parse_math=False)
    write_figure(figure, path, DPI)
