"""What is said when a process of a run is gone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from train.machine import lost
from train.machine.distributed import World
from train.machine.lost import Lost, notice_lost

BROKEN = "[/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:4711"
HERE = socket.gethostname()


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def say(*peers: tuple[str, int], rank: int = 0, error: str = BROKEN) -> Lost:
    world = World(torch.device("cpu"), rank, len(peers), peers=peers)
    with pytest.raises(Lost) as found, notice_lost(world, lambda: "the same command goes on"):
        raise RuntimeError(error)
    return found.value


def test_the_rank_that_was_killed_is_named_once_on_its_machine(other: subprocess.Popen[bytes]) -> None:
    other.kill()  # and not yet heard of by its parent
    peers = ((HERE, os.getpid()), (HERE, other.pid), (HERE, os.getppid()), ("elsewhere", 1))
    first, third = say(*peers), say(*peers, rank=2)
    assert str(first) == (
        f"rank 1 is gone, of 4 (process {other.pid}, killed or ended by an error of its own); the same command goes on"
    )
    assert (first.speaks, third.speaks) == (True, False)
    assert str(say((HERE, other.pid), (HERE, os.getpid()), (HERE, other.pid), rank=1)).startswith(
        "ranks 0 and 2 are gone"
    )


def test_where_all_are_alive_another_machine_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost, "SECONDS_TO_GO", 0.0)
    found = say((HERE, os.getpid()), ("b", 1), ("c", 1), ("b", 2))
    assert str(found) == "a process on another machine is gone (b, c); the same command goes on"
    assert str(say((HERE, os.getpid()), (HERE, os.getppid()))).startswith("the 2 processes have lost each other")


def test_other_errors_stay_what_they_are() -> None:
    world = World(torch.device("cpu"), 0, 2, peers=((HERE, os.getpid()), (HERE, os.getppid())))
    with pytest.raises(RuntimeError, match="shapes do not fit"), notice_lost(world, str):
        raise RuntimeError("shapes do not fit")
    with pytest.raises(RuntimeError, match="gloo"), notice_lost(World(torch.device("cpu")), str):
        raise RuntimeError(BROKEN)
