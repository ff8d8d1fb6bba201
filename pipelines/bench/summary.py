"""From rounds to numbers: medians, and ratios within a round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .race import Outcome


@dataclass(frozen=True)
class Spread:
    """The median of the rounds, and a quarter of them below `low` and above `high`."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Numbers:
    """per_cpu_second  images for each second of CPU time, of all processes of the contestant.
    per_second      images a second.
    cpu, wall       time for an image over that of the reference, in the same round; below 1 is faster.
    memory          MiB, the most that was held in any round; gpu_memory: of the device, with the first batches made,
                    beyond the context of CUDA.
    first_batch     seconds from the imports to the first batch.
    """

    per_cpu_second: Spread
    per_second: Spread
    cpu: Spread | None
    wall: Spread | None
    memory: float
    gpu_memory: float | None
    first_batch: float


@dataclass(frozen=True)
class Result:
    """One row of a table. problem: why there are no numbers; missing: it is not installed."""

    name: str
    numbers: Numbers | None
    problem: str = ""
    missing: bool = False


def results(outcomes: Sequence[Outcome], reference: str) -> list[Result]:
    """A result for each outcome, in order. A contestant that failed on the way has no numbers."""
    against = [o.rounds for o in outcomes if o.contestant.name == reference and not o.problem]
    return [_result(outcome, against[0] if against else None) for outcome in outcomes]


def _result(outcome: Outcome, reference: Sequence[dict[str, float]] | None) -> Result:
    name = outcome.contestant.name
    if outcome.problem or not outcome.rounds:
        return Result(name, None, outcome.problem, outcome.missing)

    def over_reference(cost: Callable[[dict[str, float]], float]) -> Spread | None:
        if reference is None:
            return None
        return spread([cost(a) / cost(b) for a, b in zip(outcome.rounds, reference, strict=True)])

    numbers = Numbers(
        per_cpu_second=spread([1 / cpu_time(r) for r in outcome.rounds]),
        per_second=spread([1 / wall_time(r) for r in outcome.rounds]),
        cpu=over_reference(cpu_time),
        wall=over_reference(wall_time),
        memory=max(r["memory"] for r in outcome.rounds),
        gpu_memory=outcome.start["gpu_memory"],
        first_batch=outcome.start["first_batch_seconds"],
    )
    return Result(name, numbers)


def cpu_time(measured: dict[str, float]) -> float:
    """CPU seconds for an image."""
    return measured["cpu_seconds"] / measured["images"]


def wall_time(measured: dict[str, float]) -> float:
    """Seconds for an image."""
    return measured["seconds"] / measured["timed_images"]


def spread(values: Sequence[float]) -> Spread:
    low, median, high = np.quantile(np.asarray(values, dtype=float), [0.25, 0.5, 0.75]).tolist()
    return Spread(median, low, high)


def plain(outcome: Outcome, result: Result) -> dict[str, Any]:
    """Everything about a contestant, for JSON."""
    return {
        **asdict(result),
        "file": outcome.contestant.file,
        "settings": dict(outcome.contestant.settings),
        "start": outcome.start,
        "rounds": outcome.rounds,
    }
