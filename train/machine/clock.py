"""Where the time of a run goes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

SECONDS_BETWEEN_READINGS = 1.0


@dataclass
class Clock:
    """Counts the time of training steps; evaluation and interruptions stand still."""

    total: float = 0.0
    """Seconds of the whole run."""
    seconds: float = 0.0
    """Seconds of this epoch."""
    waited: float = 0.0
    """Those of them that went into waiting for the next batch."""
    read: float = 0.0
    """When `tick` was last true, in seconds of this epoch."""

    def watch(self, batches: Iterable[T]) -> Iterator[T]:
        """The same batches; the time until each arrives counts as waiting."""
        self.last = time.perf_counter()
        for batch in batches:
            self.waited += time.perf_counter() - self.last
            yield batch

    def leave_out(self) -> None:
        """The time since the last step was spent on something else."""
        self.last = time.perf_counter()

    def tick(self) -> bool:
        """Call after each step. -> whether it is time to show something: about once a second."""
        now = time.perf_counter()
        self.seconds += now - self.last
        self.total += now - self.last
        self.last = now
        if self.seconds - self.read < SECONDS_BETWEEN_READINGS:
            return False
        self.read = self.seconds
        return True
