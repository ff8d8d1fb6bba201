"""Contestants side by side, a process each: in every round each of them runs once, in an order of its own."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, TypeVar

from mixdali import derive_seed

from .header import PACKAGE, ROOT
from .rows import Contestant, Race

T = TypeVar("T")

CHILD = Path(__file__).with_name("child.py")
SECONDS = 900.0  # until a contestant that does not answer is given up


@dataclass
class Outcome:
    """problem: why there is no result, in one line; missing: it is not installed. start and rounds: as `child` says,
    start of the first one, rounds of all."""

    contestant: Contestant
    problem: str = ""
    missing: bool = False
    start: dict[str, Any] = field(default_factory=dict)
    rounds: list[dict[str, float]] = field(default_factory=list)


class Failed(Exception):
    """A contestant's process ended or did not answer; the message is one line."""


class Process:
    """A contestant that runs. `ask` sends it a line, if any, and returns its answer."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._errors: IO[str] = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (closed in close)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            start_new_session=True,  # so that its workers can be ended with it
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout

    def ask(self, line: str = "") -> dict[str, Any]:
        try:
            if line:
                self._in.write(line + "\n")
                self._in.flush()
        except BrokenPipeError:
            raise Failed(self._last_words()) from None
        if not select.select([self._out], [], [], SECONDS)[0]:
            raise Failed(f"no answer for {SECONDS:.0f} s")
        answer = self._out.readline()
        if not answer:
            raise Failed(self._last_words())
        return json.loads(answer)

    def _last_words(self) -> str:
        code = self._process.wait()
        if code < 0:
            return f"ended by {signal.Signals(-code).name}"
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return lines[-1] if lines else f"ended with code {code}"

    def close(self) -> None:
        with suppress(subprocess.TimeoutExpired, BrokenPipeError):
            self._in.close()
            self._process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._out.close()
        self._errors.close()


def run(race: Race, *, rounds: int, starts: int = 1, peers: str, say: Callable[[str], None]) -> list[Outcome]:
    """Start everybody one after the other, in an order of each start's own, since the first one is often slower for as
    long as it runs, and measure them in turn. One that fails is out; the others go on.

    starts: so often, with as many rounds each time. Where a process happens to lie in memory is luck that it keeps.
    peers: the python of the peers' environment. say: told what goes on.
    """
    outcomes = [Outcome(contestant) for contestant in race.contestants]
    for start in range(starts):
        title = f"{race.title}, start {start + 1} of {starts}" if starts > 1 else race.title
        _run_once(replace(race, title=title), outcomes, rounds, peers, say)
    return outcomes


def _run_once(race: Race, outcomes: list[Outcome], rounds: int, peers: str, say: Callable[[str], None]) -> None:
    with ExitStack() as stack:
        running = []
        for outcome in _shuffled(outcomes, race.title, "starts"):
            if outcome.problem:
                continue
            say(f"{race.title}: {outcome.contestant.name} starts")
            process = _start(race, outcome.contestant, peers, stack)
            if _asked(outcome, process, ""):
                running.append((outcome, process))
        for turn in range(-1, rounds):
            for outcome, process in _shuffled(running, race.title, turn):
                settings = {**race.settings, **outcome.contestant.settings}
                say(f"{race.title}: round {turn + 1} of {rounds}, {outcome.contestant.name}")
                if not _asked(outcome, process, str(batches_of(race.images, settings))):
                    running.remove((outcome, process))
                elif turn < 0:
                    outcome.rounds.pop()  # to warm up


def _shuffled(items: Sequence[T], *names: str | int) -> list[T]:
    return random.Random(derive_seed(0, *names)).sample(items, len(items))


def batches_of(images: int, settings: Mapping[str, Any]) -> int:
    """As many as hold these images and as share evenly among the threads; two for each at least."""
    threads = settings["threads"]
    return threads * max(2, -(-images // (settings["batch_size"] * threads)))


def ahead_of(settings: Mapping[str, Any]) -> int:
    """Batches that a contestant may have made ahead: DataLoaders two for each worker, DALI two, FFCV three."""
    return max(4, 2 * settings["threads"])


def cores(number: int) -> list[int]:
    """So many of the cores this process may use, if there are; halves of one core only when the others are taken."""
    allowed = sorted(os.sched_getaffinity(0))
    seen: dict[str, int] = {}
    for core in allowed:
        path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
        seen.setdefault(path.read_text() if path.exists() else str(core), core)
    whole = list(seen.values())
    return (whole + [core for core in allowed if core not in whole])[:number]


def _start(race: Race, contestant: Contestant, peers: str, stack: ExitStack) -> Process:
    settings = {**race.settings, **contestant.settings}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # who wants more says so to torch
    if not contestant.peer:
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    if contestant.fresh:
        environment["NUMBA_CACHE_DIR"] = stack.enter_context(tempfile.TemporaryDirectory())
    spec = {
        "file": str(CHILD.parent / "contestants" / f"{contestant.file}.py"),
        # what is ours knows its neighbours by their places in the package
        "name": "contestant" if contestant.peer else f"{PACKAGE}.contestants.{Path(contestant.file).name}",
        "settings": settings,
        "cores": cores(settings["threads"]),
        "ahead": ahead_of(settings),
    }
    python = peers if contestant.peer else sys.executable
    process = Process([python, str(CHILD), json.dumps(spec)], environment)
    stack.callback(process.close)
    return process


def _asked(outcome: Outcome, process: Process, line: str) -> bool:
    try:
        answer = process.ask(line)
        if "error" in answer:
            raise Failed(answer["error"])
    except Failed as failure:
        outcome.problem = str(failure)
        return False
    if "missing" in answer:
        outcome.problem, outcome.missing = f"{answer['missing']} is not installed", True
        return False
    if line:
        outcome.rounds.append(answer)
    elif not outcome.start:
        outcome.start = answer
    return True
