"""How the learning rate moves: each schedule is the factor on `Recipe.lr` as a function of time in epochs."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Multiply the rate by `factor` once each number of epochs in `at` is done."""

    at: tuple[int, ...]
    """After so many finished epochs, in rising order."""
    factor: float = 0.1
    """What each step multiplies the rate with."""

    def __post_init__(self) -> None:
        if list(self.at) != sorted(set(self.at)) or min(self.at, default=1) < 1:
            raise ValueError(f"schedule.at must be rising epoch numbers from 1 on, got {self.at}")
        if self.factor <= 0:
            raise ValueError(f"schedule.factor must be above 0, got {self.factor}")

    def check(self, num_epochs: int) -> None:
        """ValueError if a step would never be taken."""
        if self.at and self.at[-1] >= num_epochs:
            raise ValueError(
                f"schedule.at {self.at} lies beyond the last of num_epochs={num_epochs}; set schedule.at as well"
            )

    def rate(self, epoch: float, num_epochs: int) -> float:
        """Factor on the rate after `epoch` epochs (a fraction inside an epoch)."""
        return self.factor ** sum(epoch >= at for at in self.at)


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Linear warm-up, then half a cosine down to zero (Loshchilov and Hutter, arXiv:1608.03983, without restarts)."""

    warmup: float = 0.0
    """Epochs of the rise from zero to the full rate."""

    def __post_init__(self) -> None:
        if self.warmup < 0:
            raise ValueError(f"schedule.warmup must not be negative, got {self.warmup}")

    def check(self, num_epochs: int) -> None:
        """ValueError if the warm-up takes the whole run."""
        _check_warmup(self.warmup, num_epochs)

    def rate(self, epoch: float, num_epochs: int) -> float:
        """Factor on the rate after `epoch` epochs (a fraction inside an epoch)."""
        if epoch < self.warmup:
            return epoch / self.warmup
        share = min(1.0, (epoch - self.warmup) / (num_epochs - self.warmup))
        return 0.5 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True, kw_only=True)
class OneCycle:
    """Linear rise from `start` to the full rate, then linear fall to zero: for short runs."""

    warmup: float
    """Epochs of the rise."""
    start: float = 0.1
    """Share of the full rate to begin with."""

    def __post_init__(self) -> None:
        if self.warmup <= 0:
            raise ValueError(f"schedule.warmup must be above 0, got {self.warmup}")
        if not 0 <= self.start <= 1:
            raise ValueError(f"schedule.start must be in [0, 1], got {self.start}")

    def check(self, num_epochs: int) -> None:
        """ValueError if the rise takes the whole run."""
        _check_warmup(self.warmup, num_epochs)

    def rate(self, epoch: float, num_epochs: int) -> float:
        """Factor on the rate after `epoch` epochs (a fraction inside an epoch)."""
        if epoch < self.warmup:
            return self.start + (1 - self.start) * epoch / self.warmup
        return max(0.0, (num_epochs - epoch) / (num_epochs - self.warmup))


def _check_warmup(warmup: float, num_epochs: int) -> None:
    if warmup >= num_epochs:
        raise ValueError(f"schedule.warmup {warmup:g} leaves nothing of num_epochs={num_epochs}; set it as well")
