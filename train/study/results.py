"""The numbers of a study: what each run reached, their means, and differences of pairs with their intervals."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scipy import stats

from train.compare.run import read_run
from train.study.declare import BEST, LAST, OF_CERTIFICATES, OF_RUN, Expected, Measure, Study
from train.study.work import CERTIFICATES, Done, Job, is_done

CONFIDENCE = 0.95
ALIKE = 1e-9
"""Values that deviate by no more are the same, as shares of a few hundred images may be by chance."""

Numbers = dict[str, dict[str, dict[int, float]]]
"""By measure, arm and seed."""
Verdict = Literal["holds", "does not hold", "not resolved", "not measured"]


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences, and its interval; none where there is one pair, or all pairs differ by the same:
    they do not tell how much chance there is in it."""

    mean: float
    low: float | None
    high: float | None


def read_numbers(study: Study, jobs: Sequence[Job], done: Done, runs: Path) -> Numbers:
    """Of all jobs that are done.

    ValueError: an evaluation does not have what a measure asks for; one line that says what there is.
    """
    found: Numbers = {name: {arm: {} for arm in study.arms} for name in study.measures}
    for job in jobs:
        if not is_done(job, done, runs):
            continue
        parts = _parts(job, runs)
        of_run: Mapping[str, float] = {}
        if any(measure.part == OF_RUN for measure in study.measures.values()):
            of_run = read_run(runs / job.name).numbers
        for name, measure in study.measures.items():
            if measure.part != OF_RUN:
                found[name][job.arm][job.seed] = _evaluated(name, measure, job.name, parts)
            elif measure.everywhere or measure.keys[0] in of_run:
                found[name][job.arm][job.seed] = _number(name, measure, of_run)
    return found


def _evaluated(name: str, measure: Measure, run: str, parts: Mapping[str, Mapping[str, Any]]) -> float:
    """A measure of a run, from the parts of its last and its best epoch."""
    numbers = []
    for checkpoint in measure.checkpoints:
        if measure.part not in parts[checkpoint]:
            there = ", ".join(parts[checkpoint])
            raise ValueError(f"measure {name!r}: {run} has no part {measure.part!r}, there is {there}")
        numbers.append(_number(name, measure, network_of(parts[checkpoint][measure.part])))
    return numbers[0] - sum(numbers[1:])


def _parts(job: Job, runs: Path) -> dict[str, dict[str, Any]]:
    """What was measured, by checkpoint; certificates are of the last epoch. Nothing of a run that was not evaluated."""
    found: dict[str, dict[str, Any]] = {LAST: {}, BEST: {}}
    for path in job.products(runs):
        if path.name == CERTIFICATES:
            found[LAST][OF_CERTIFICATES] = {"certified": json.loads(path.read_text())}
        elif path.suffix == ".json":
            checkpoint = BEST if path == job.evaluated(runs, BEST) else LAST
            found[checkpoint] |= json.loads(path.read_text())["parts"]
    return found


def network_of(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a part says of the network: of the averaged weights where there are several."""
    networks = part.get("networks", part)
    return networks["averaged"] if "averaged" in networks else next(iter(networks.values()))


def _number(name: str, measure: Measure, told: Any) -> float:
    for words in measure.keys:
        key = next((word for word in words.split("|") if isinstance(told, Mapping) and word in told), words)
        if not isinstance(told, Mapping) or key not in told:
            there = ", ".join(told) if isinstance(told, Mapping) else f"{told!r}"
            raise ValueError(f"measure {name!r}: {measure.part} has no {key!r}, there is {there}")
        told = told[key]
    if not isinstance(told, int | float) or not math.isfinite(told):
        raise ValueError(f"measure {name!r}: {measure.part} {'.'.join(measure.keys)} is {told!r}, no finite number")
    return float(told)


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """The deviation is that of the sample; None for one value."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Difference | None:
    """Ours less theirs over the seeds that both have, with the 95 % interval by Student's t where the pairs tell one.
    None without a pair."""
    differences = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    if not differences:
        return None
    mean, deviation = mean_and_deviation(differences)
    half = half_width(deviation, len(differences))
    return Difference(mean, None, None) if half is None else Difference(mean, mean - half, mean + half)


def half_width(deviation: float | None, number: int) -> float | None:
    """Of the 95 % interval of a mean of so many values with this deviation, by Student's t. None where the values do
    not tell one: there is one, or all are the same."""
    if deviation is None or deviation <= ALIKE:
        return None
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, number - 1)) * deviation / math.sqrt(number)


def judge(expected: Expected, study: Study, numbers: Numbers) -> tuple[Verdict, Difference | None]:
    """Whether a claim's direction holds: the interval of the difference lies on its side of zero, or on the other.

    A claim that two are alike holds where the interval lies within its bounds, and does not where it lies beyond one.
    """
    measure = study.measures[expected.measure]
    difference = paired(
        numbers[expected.measure][expected.arm], numbers[expected.against or expected.measure][expected.than]
    )
    if difference is None:
        return "not measured", None
    low, high, bound = difference.low, difference.high, expected.within or 0.0
    if low is None or high is None:
        return "not resolved", difference
    beyond = low > bound or high < -bound
    if expected.within is not None:
        inside = -bound < low and high < bound
        return "holds" if inside else "does not hold" if beyond else "not resolved", difference
    if not beyond:
        return "not resolved", difference
    return "holds" if (difference.mean > 0) == (measure.better == "higher") else "does not hold", difference
