"""How far an accuracy on so many images may lie from the accuracy on all images of the kind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mixdali.checks import positive_int, require

QUANTILE = 1.959963984540054
"""Of the normal distribution: 2.5 % of it lie above, so that the intervals hold in 95 % of all cases."""


def wilson(share: float, total: int) -> tuple[float, float]:
    """The 95 % interval for a share, 0 to 1, of `total` independent trials.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal of the American Statistical
    Association 22, 1927: the probabilities from which the share found lies less than 1.96 deviations away. It stays in
    [0, 1] and does not shrink to a point at 0 and 1. Of a mean of several accuracies on the same images `total` is the
    number of the images; the interval is then too wide rather than too narrow.

    Raises:
        ValueError: a share that is not in [0, 1], nan among them, or no trial.
    """
    positive_int("total", total)
    require(0 <= share <= 1, "share", share, "must be in [0, 1]")
    square = QUANTILE**2
    middle = (share + square / (2 * total)) / (1 + square / total)
    width = QUANTILE / (1 + square / total) * math.sqrt(share * (1 - share) / total + square / (4 * total**2))
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if share == 0 else max(0.0, middle - width)
    high = 1.0 if share == 1 else min(1.0, middle + width)
    return low, high


def with_interval(share: float, total: int, digits: int = 2) -> str:
    """0.718 of 1,000 -> "71.80% [68.93, 74.50]"."""
    low, high = wilson(share, total)
    return f"{100 * share:.{digits}f}% [{100 * low:.{digits}f}, {100 * high:.{digits}f}]"


def intervals(value: Any, total: int) -> Any:
    """The same dicts and lists with the interval of each share in its place, as a list of two."""
    if isinstance(value, Mapping):
        return {key: intervals(part, total) for key, part in value.items()}
    if isinstance(value, Sequence):
        return [intervals(part, total) for part in value]
    return list(wilson(value, total))


def whiskers(shares: Sequence[float], totals: int | Sequence[int]) -> list[list[float]]:
    """How far the intervals reach below and above the shares, in percent, as matplotlib's `yerr` takes it."""
    counts = [totals] * len(shares) if isinstance(totals, int) else totals
    ends = [wilson(share, total) for share, total in zip(shares, counts, strict=True)]
    below = [100 * max(0.0, share - low) for share, (low, _) in zip(shares, ends, strict=True)]
    above = [100 * max(0.0, high - share) for share, (_, high) in zip(shares, ends, strict=True)]
    return [below, above]
