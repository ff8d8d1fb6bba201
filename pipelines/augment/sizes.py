"""How images come to their size, and sizes that change from epoch to epoch."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from mixdali.checks import positive_int

Interpolation = Literal["bilinear", "bicubic"]
INTERPOLATIONS = ("bilinear", "bicubic")


@dataclass(frozen=True, kw_only=True)
class Progressive:
    """Square images whose side grows, or shrinks, from epoch to epoch.

    Touvron et al., arXiv:1906.06423, show why small images first, and larger ones to validate, cost little accuracy;
    FFCV's training of ResNet-50 has `Progressive(sides=((65, 160), (76, 192)))`.
    """

    sides: tuple[tuple[float, float], ...]
    """(epoch, side in pixels), epochs counted from 0 and rising: the side is linear between them, and constant before
    the first and after the last."""
    multiple: int = 32
    """Sides are rounded to multiples of it."""

    def __post_init__(self) -> None:
        positive_int("Progressive: multiple", self.multiple)
        points = self.sides
        pairs = all(isinstance(point, tuple | list) and len(point) == 2 for point in points)
        if not points or not pairs or not all(first[0] < second[0] for first, second in pairwise(points)):
            raise ValueError(f"Progressive: sides must be (epoch, side) pairs of rising epochs, got {self.sides!r}")
        if points[0][0] < 0 or min(side for _, side in points) < self.multiple / 2:
            raise ValueError(
                f"Progressive: sides must begin at epoch 0 or later and be at least half of multiple={self.multiple}, "
                f"got {self.sides!r}"
            )

    def at(self, epoch: int) -> int:
        """The side in an epoch, counted from 0."""
        points = self.sides
        side = points[0][1] if epoch <= points[0][0] else points[-1][1]
        for (first, low), (last, high) in pairwise(points):
            if first <= epoch <= last:
                side = low + (high - low) * (epoch - first) / (last - first)
        return self.multiple * int(side / self.multiple + 0.5)

    @property
    def largest(self) -> int:
        """The largest side of all epochs."""
        return max(self.at(int(epoch)) for epoch, _ in self.sides)
