"""A process of a run that is gone: what the others say."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from train.machine.distributed import World

SECONDS_TO_GO = 5.0
"""A process closes its connections before it is gone."""
# What messages of torch's group of processes speak of.
GROUP = ("gloo", "nccl", "process group", "processgroup", "connection closed by peer", "connection reset by peer")


class Lost(ConnectionError):
    """Other processes of the run are gone."""

    def __init__(self, text: str, *, speaks: bool) -> None:
        super().__init__(text)
        self.speaks = speaks
        """Whether this process is the one of its machine that says so."""


@contextmanager
def notice_lost(world: World, advice: Callable[[], str]) -> Iterator[None]:
    """Turn an error of the block that comes from another process being gone into `Lost`; `advice` says how to go on."""
    try:
        yield
    except RuntimeError as error:
        if world.size == 1 or not any(word in str(error).lower() for word in GROUP):
            raise
        here = [rank for rank, (host, _) in enumerate(world.peers) if host == socket.gethostname()]
        gone = _wait_for_gone(world, here)
        left = [rank for rank in here if rank not in gone]
        raise Lost(f"{_describe(world, here, gone)}; {advice()}", speaks=left[:1] == [world.rank]) from error


def _describe(world: World, here: list[int], gone: list[int]) -> str:
    if gone:
        is_gone = f"rank {gone[0]} is" if len(gone) == 1 else f"ranks {' and '.join(map(str, gone))} are"
        numbers = " and ".join(str(world.peers[rank][1]) for rank in gone)
        return f"{is_gone} gone, of {world.size} (process {numbers}, killed or ended by an error of its own)"
    others = sorted({host for host, _ in world.peers} - {socket.gethostname()})
    if others:
        return f"a process on another machine is gone ({', '.join(others)})"
    return f"the {world.size} processes have lost each other"


def _wait_for_gone(world: World, here: list[int]) -> list[int]:
    """The ranks of this machine whose processes have ended, as soon as there are any."""
    until = time.monotonic() + SECONDS_TO_GO
    while True:
        gone = [rank for rank in here if not _is_alive(world.peers[rank][1])]
        if gone or time.monotonic() > until:
            return gone
        time.sleep(0.05)


def _is_alive(process: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to hear of it does not."""
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    except OSError:
        return True
    return state not in "ZX"
