"""The processes of a run, forked from one that has loaded everything, so that a start takes no seconds."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# What a run loads; none of it starts threads.
MODULES = (
    "pipelines.cifar",
    "torch._dynamo",
    "torch.utils.tensorboard",
    "train.cli.main",
    "train.cli.overrides",
    "train.loop.runner",
)


class Group:
    """`python -m train` with these words in so many processes, until the block is left; what they say is appended to a
    file."""

    def __init__(self, words: Sequence[str], size: int, output: Path) -> None:
        for module in MODULES:
            importlib.import_module(module)
        self.output = output
        self.started_ns = time.time_ns()
        self.codes: dict[int, int] = {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        sys.stdout.flush()
        sys.stderr.flush()
        self.processes = [self._fork(words, rank, size, port) for rank in range(size)]

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(None)

    def kill(self, ranks: Sequence[int] | None) -> None:
        """SIGKILL these, or all, and wait until those are gone."""
        chosen = [process for rank, process in enumerate(self.processes) if ranks is None or rank in ranks]
        for process in chosen:
            if process not in self.codes:
                os.kill(process, signal.SIGKILL)
        for process in chosen:
            self._reap(process, 0)

    def wait(self, seconds: float) -> list[int]:
        """-> the exit codes of all, -9 of those that had to be killed since they did not end in time."""
        until = time.monotonic() + seconds
        while not all(self._reap(process, os.WNOHANG) for process in self.processes):
            if time.monotonic() > until:
                self.kill(None)
            time.sleep(0.01)
        return [self.codes[process] for process in self.processes]

    def ended(self) -> bool:
        """Whether one of them has."""
        return any([self._reap(process, os.WNOHANG) for process in self.processes])

    def said(self) -> str:
        """The last line of all that was said."""
        return (self.output.read_text().splitlines() or ["nothing was said"])[-1]

    def _reap(self, process: int, options: int) -> bool:
        if process not in self.codes:
            found, status = os.waitpid(process, options)
            if found:
                self.codes[process] = os.waitstatus_to_exitcode(status)
        return process in self.codes

    def _fork(self, words: Sequence[str], rank: int, size: int, port: int) -> int:
        process = os.fork()
        if process:
            return process
        code = 70
        try:
            file = os.open(self.output, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.dup2(file, 1)
            os.dup2(file, 2)
            if size > 1:
                os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)}
                os.environ |= {"LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            code = importlib.import_module("train.cli.main").main(words)
            sys.stdout.flush()
        finally:
            os._exit(code)
