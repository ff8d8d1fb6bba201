"""Signals end a run at the next step, not in the middle of one."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Ctrl-C; who ends a job; a terminal that is closed; what SLURM is asked to send some time before it ends a job."""
SECONDS_OF_ONE_WISH = 3.0
"""A launcher hands on what the processes themselves get too."""


class Stopped(Exception):
    """The run was asked to stop and has reached a place where it can."""


class Stop:
    """Whether somebody asked the run to stop."""

    def __init__(self) -> None:
        self.requested = False
        self.exit_code = 128 + signal.SIGINT
        self._since = 0.0

    def request(self, number: int = signal.SIGINT, frame: FrameType | None = None) -> None:
        """Ask; a signal handler. One that comes again some seconds later ends the program at once."""
        if self.requested and time.monotonic() - self._since > SECONDS_OF_ONE_WISH:
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
            signal.raise_signal(number)
        elif not self.requested:
            self.requested, self._since = True, time.monotonic()
            self.exit_code = 128 + number

    def check(self) -> None:
        """Raise `Stopped` if asked."""
        if self.requested:
            raise Stopped


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """A `Stop` that `SIGNALS` ask, until the block is left. Outside the main thread no signal arrives.

    What is ignored when the program starts, as a closed terminal is under nohup, stays ignored.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop.request) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
