"""Settings that change from epoch to epoch, and laws of lam."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any

from mixdali.checks import fraction, positive
from mixdali.worlds import World


@dataclass(frozen=True)
class Ramp:
    """A setting that moves with the epoch: linear between (epoch, value) points, constant before and after them.

    `Ramp([(0, 0.2), (100, 1.0)])` grows for a hundred epochs. Epochs are counted from 0. For a jump, give two points
    one epoch apart.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        try:
            points = tuple((float(epoch), float(value)) for epoch, value in self.points)
        except (TypeError, ValueError):
            points = ()
        growing = all(first[0] < second[0] for first, second in pairwise(points))
        if not points or not growing or not all(isfinite(number) for point in points for number in point):
            raise ValueError(f"Ramp: points must be (epoch, value) pairs of growing epochs, got {self.points!r}")
        object.__setattr__(self, "points", points)

    def at(self, epoch: Any, world: World) -> Any:
        """Its value at an epoch, a number of the world."""
        value: Any = self.points[0][1] + 0.0 * epoch
        for (first, low), (last, high) in pairwise(self.points):
            value = value + (high - low) * world.clamp((epoch - first) * (1 / (last - first)), 0.0, 1.0)
        return value


@dataclass(frozen=True)
class Fixed:
    """A lam that is not drawn: the same for every image, in [0, 1]."""

    lam: float

    def __post_init__(self) -> None:
        fraction("Fixed: lam", self.lam)


Alpha = float | tuple[float, float] | Ramp | Fixed
"""The law of a lam: Beta(alpha, alpha), Beta(a, b), Beta(alpha, alpha) with an alpha that moves, or no chance."""


def check_setting(name: str, value: Any, check: Callable[[str, Any], None]) -> None:
    """`check` for a number, and for every value of a `Ramp`."""
    for number in [point[1] for point in value.points] if isinstance(value, Ramp) else [value]:
        check(name, number)


def check_alpha(name: str, alpha: Any) -> None:
    """ValueError for what is no `Alpha`."""
    if isinstance(alpha, Fixed):
        return
    if isinstance(alpha, tuple | list):
        if len(alpha) != 2:
            raise ValueError(f"{name} must be one number or two, (a, b) of Beta(a, b), got {alpha!r}")
        for number in alpha:
            positive(name, number)
        return
    check_setting(name, alpha, lambda name, number: positive(name, number, "; not to mix at all, use prob=0"))


def epoch_counter(*, batches: int | None = None, first: int = 0) -> Any:
    """A node of a DALI graph that knows the epoch, for mixes that change with it: `mix(images, targets, epoch=...)`.

    batches  batches that the pipeline runs in an epoch, for pipelines with a reader, which go on from epoch to epoch;
             None for pipelines whose source ends an epoch, so that they are reset.
    first    the epoch that the pipeline begins with: what a function that makes a `mixdali.Loader`'s pipelines is told.
             The loader checks both numbers.

    It is an external source: one Python call a batch. It is resumed with the pipeline.
    """
    from mixdali.worlds.graph.draws import epoch_counter as counter

    return counter(batches, first)
