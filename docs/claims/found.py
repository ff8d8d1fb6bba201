"""What the studies say of a claim: their JSON in docs/studies, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from docs.claims.declare import Claim, Comparison
from train.study.report import difference_text, sides
from train.study.results import paired

SCALES = ("cpu", "gpu-hour", "paper")  # from the least to the most work; of several, the last decides
ABSENT = "not shown here"
OPEN = "not measured yet"
# As the page has them: what does not hold comes first.
VERDICTS = ("does not hold", "not resolved", "holds", OPEN, ABSENT)

Content = Mapping[str, Any]
Studies = Mapping[tuple[str, str], Content]
"""What `train.study.report.contents` made, by study and scale."""


def read_studies(folder: Path) -> dict[tuple[str, str], Content]:
    """All that lie in the folder."""
    found = {}
    for path in sorted(folder.glob("*/study.json")):
        content = json.loads(path.read_text())
        found[name_and_scale(content)] = content
    return found


def name_and_scale(content: Content) -> tuple[str, str]:
    """Of a study, by its title."""
    name, _, scale = content["title"].partition(", scale ")
    return name, scale


@dataclass(frozen=True)
class Found:
    """What the studies say of one comparison."""

    tested: Comparison
    scale: str
    where: str
    """The study, its scale and its seeds, for people."""
    verdict: str
    text: str
    """Who against whom, in what, and the difference, for people."""


def found_for(tested: Comparison, studies: Studies) -> list[Found]:
    """At each scale at which it was measured, from the least to the most work."""
    found = []
    for scale in SCALES:
        content = studies.get((tested.study, scale))
        if content is None:
            continue
        claim = _claim(tested, content)
        if not tested.than:
            verdict, difference = _alone(tested, content)
        else:
            verdict, difference = (OPEN, None) if claim is None else (claim["verdict"], claim["difference"])
        if difference is not None:
            measure = content["measures"][tested.measure]
            seeds = len(content["scale"]["seeds"])
            where = f"[{tested.study}](studies/{folder_name(tested.study, scale)}/study.md), {scale}, {seeds} "
            where += "seed" if seeds == 1 else "seeds"
            who = f"{tested.arm}, {tested.measure}" if claim is None else sides(claim)
            text = f"{who} ({_side(measure, alone=not tested.than)}): {difference_text(difference, measure)}"
            found.append(Found(tested, scale, where, verdict, text))
    return found


def _claim(tested: Comparison, content: Content) -> Content | None:
    """What the study says of the comparison; None where it has none, as of an arm alone."""
    for one in content["claims"]:
        if all(one[name] == getattr(tested, name) for name in ("arm", "measure", "than")):
            return one
    return None


def _alone(tested: Comparison, content: Content) -> tuple[str, Content | None]:
    """Whether one arm's measure is above zero, by its interval over seeds."""
    arm = content["measures"][tested.measure]["arms"].get(tested.arm)
    difference = None if arm is None else paired(arm["seeds"], dict.fromkeys(arm["seeds"], 0.0))
    if difference is None:
        return OPEN, None
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return "not resolved", asdict(difference)
    return "holds" if difference.mean > 0 else "does not hold", asdict(difference)


def verdict_of(claim: Claim, studies: Studies) -> str:
    """Of several comparisons the least favourable; of several scales the one with the most work."""
    last = [found[-1].verdict for one in claim.tested if (found := found_for(one, studies))]
    if last:
        return min(last, key=VERDICTS.index)
    return OPEN if claim.shown_by else ABSENT


def folder_name(study: str, scale: str) -> str:
    """Of a study, in docs/studies."""
    return study if scale == "cpu" else f"{study}-{scale}"


def _side(measure: Content, *, alone: bool) -> str:
    unit = [] if measure["shown"] == "number" else ["points"]
    return ", ".join([*unit, "above 0 is claimed" if alone else f"{measure['better']} is better"])
