"""Says that something is being compiled, where that takes longer than an instant: once a process."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

INSTANT = 0.5  # seconds
TEXT = (
    "mixdali: compiling for this machine, which takes some seconds and is kept; `python -m mixdali.prepare` does it "
    "ahead"
)
_said = threading.Event()


@contextmanager
def notice() -> Iterator[None]:
    """While something may be compiled."""
    timer = threading.Timer(INSTANT, _say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _say() -> None:
    if not _said.is_set():
        _said.set()
        print(TEXT, file=sys.stderr, flush=True)
