"""Ctrl-C and SIGTERM end a run at the next step, not in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(Exception):
    """The run was asked to stop and has reached a place where it can."""


class Stop:
    """Whether somebody asked the run to stop."""

    def __init__(self) -> None:
        self.requested = False
        self.exit_code = 128 + signal.SIGINT

    def request(self, number: int = signal.SIGINT, frame: FrameType | None = None) -> None:
        """Ask; a signal handler. A second Ctrl-C or SIGTERM then ends the program at once."""
        self.requested = True
        self.exit_code = 128 + number
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)

    def check(self) -> None:
        """Raise `Stopped` if asked."""
        if self.requested:
            raise Stopped


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """A `Stop` that Ctrl-C and SIGTERM ask, until the block is left. Outside the main thread no signal arrives."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
