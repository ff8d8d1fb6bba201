"""How the learning rate moves: each schedule is the factor on `Recipe.lr` as a function of time in epochs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass


class Schedule(ABC):
    """A factor on the rate. Subclasses are frozen dataclasses that hold its settings."""

    def check(self, num_epochs: int) -> None:
        """ValueError if it does not fit a run of so many epochs; all fit unless a subclass says so."""
        return None

    @abstractmethod
    def rate(self, epoch: float, num_epochs: int) -> float:
        """Factor on the rate after `epoch` epochs (a fraction inside an epoch)."""


@dataclass(frozen=True, kw_only=True)
class Rising(Schedule):
    """A schedule that may begin with a linear rise, moving with every step. Subclasses say what comes after it."""

    warmup: float = 0.0
    """Epochs of the rise from `start` to the full rate."""
    start: float = 0.0
    """Share of the full rate that a warm-up begins with."""

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < math.inf:
            raise ValueError(f"schedule.warmup must not be negative, got {self.warmup}")
        if not 0 <= self.start <= 1:
            raise ValueError(f"schedule.start must be in [0, 1], got {self.start}")

    def check(self, num_epochs: int) -> None:
        """ValueError if the warm-up takes the whole run."""
        if self.warmup >= num_epochs:
            raise ValueError(f"schedule.warmup {self.warmup:g} takes all of num_epochs={num_epochs}; set it as well")

    def rate(self, epoch: float, num_epochs: int) -> float:
        if epoch < self.warmup:
            return self.start + (1 - self.start) * epoch / self.warmup
        return self.after(epoch, num_epochs)

    @abstractmethod
    def after(self, epoch: float, num_epochs: int) -> float:
        """The factor once the warm-up is over."""


@dataclass(frozen=True, kw_only=True)
class Steps(Rising):
    """Multiply the rate by `factor` once each number of epochs in `at` is done, after a linear warm-up."""

    at: tuple[float, ...]
    """After so many epochs from the beginning of the run, in rising order; a fraction falls inside an epoch."""
    factor: float = 0.1
    """What each step multiplies the rate with."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if list(self.at) != sorted(set(self.at)) or not all(0 < at < math.inf for at in self.at):
            raise ValueError(f"schedule.at must be rising numbers of epochs above 0, got {self.at}")
        if self.factor <= 0:
            raise ValueError(f"schedule.factor must be above 0, got {self.factor}")

    def check(self, num_epochs: int) -> None:
        """ValueError if a step would never be taken, or would be within the warm-up."""
        super().check(num_epochs)
        if self.at and self.at[-1] >= num_epochs:
            raise ValueError(
                f"schedule.at {self.at} lies beyond the last of num_epochs={num_epochs}; set schedule.at as well"
            )
        if self.at and self.at[0] < self.warmup:
            raise ValueError(f"schedule.at {self.at} begins within the warm-up of {self.warmup:g} epochs; set both")

    def after(self, epoch: float, num_epochs: int) -> float:
        return self.factor ** sum(epoch >= at for at in self.at)


@dataclass(frozen=True, kw_only=True)
class Cosine(Rising):
    """Linear warm-up, then half a cosine down (Loshchilov and Hutter, arXiv:1608.03983, without restarts)."""

    floor: float = 0.0
    """Share of the full rate at the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.floor <= 1:
            raise ValueError(f"schedule.floor must be in [0, 1], got {self.floor}")

    def after(self, epoch: float, num_epochs: int) -> float:
        share = min(1.0, (epoch - self.warmup) / (num_epochs - self.warmup))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True, kw_only=True)
class EpochCosine(Schedule):
    """Warm-up, half a cosine and a cool-down, each epoch at one rate, as timm's schedule is.

        rate of epoch e, counted from 0:  start + (1 - start) e / warmup                         e < warmup
                                          floor + (1 - floor) (1 + cos(pi e / n)) / 2             e < n
                                          floor                                                  the last ones

    with n = num_epochs - cooldown. The cosine begins with the run, not with the end of the warm-up.
    """

    warmup: int = 0
    """Epochs of the rise."""
    start: float = 0.0
    """Share of the full rate in the first epoch of a warm-up."""
    floor: float = 0.0
    """Share of the full rate at the end."""
    cooldown: int = 0
    """Last epochs, all at `floor`."""

    def __post_init__(self) -> None:
        for name in ("warmup", "cooldown"):
            if getattr(self, name) < 0:
                raise ValueError(f"schedule.{name} must not be negative, got {getattr(self, name)}")
        for name in ("start", "floor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"schedule.{name} must be in [0, 1], got {getattr(self, name)}")

    def check(self, num_epochs: int) -> None:
        """ValueError if warm-up and cool-down take the whole run."""
        if self.warmup + self.cooldown >= num_epochs:
            raise ValueError(
                f"schedule.warmup {self.warmup} and schedule.cooldown {self.cooldown} take all of "
                f"num_epochs={num_epochs}; set them as well"
            )

    def rate(self, epoch: float, num_epochs: int) -> float:
        whole, length = math.floor(epoch), num_epochs - self.cooldown
        if whole < self.warmup:
            return self.start + (1 - self.start) * whole / self.warmup
        if whole >= length:
            return self.floor
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * whole / length))


@dataclass(frozen=True, kw_only=True)
class OneCycle(Schedule):
    """Linear rise from `start` to the full rate, then linear fall to zero: for short runs of any length."""

    warmup: float = 0.2
    """Share of the run that the rise takes."""
    start: float = 0.1
    """Share of the full rate to begin with."""

    def __post_init__(self) -> None:
        if not 0 < self.warmup < 1:
            raise ValueError(f"schedule.warmup must be in (0, 1), got {self.warmup}")
        if not 0 <= self.start <= 1:
            raise ValueError(f"schedule.start must be in [0, 1], got {self.start}")

    def rate(self, epoch: float, num_epochs: int) -> float:
        share = epoch / num_epochs
        if share < self.warmup:
            return self.start + (1 - self.start) * share / self.warmup
        return max(0.0, (1 - share) / (1 - self.warmup))
