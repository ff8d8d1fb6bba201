"""Which folder a run lives in: a new one, or that of the same run, unfinished."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any

from train.files import checkpoint
from train.files.plain import differences


@dataclass(frozen=True)
class RunFolder:
    """A folder that no other process writes to."""

    path: Path
    resumes: bool
    """Whether it holds an unfinished run to go on with."""

    @property
    def last(self) -> Path:
        return self.path / "last.pt"

    @property
    def best(self) -> Path:
        return self.path / "best.pt"


@contextmanager
def claim_folder(runs: Path, name: str, *, asked: bool, identity: dict[str, Any]) -> Iterator[RunFolder]:
    """Find or make the folder of a run, and keep it from other processes until the block is left.

    The first of `runs`/NAME, NAME-2, NAME-3, ... that holds this very run, unfinished, or nothing yet.

    Args:
        name: NAME.
        asked: the user chose the name; what is in NAME then must be of the same run.
        identity: all that must be equal for a run to be continued exactly, in plain values.

    Raises:
        ValueError: NAME was asked for and holds another run, other files, or a run that another process works on; or
            the run was begun with another number of processes.
    """
    for number in count(1):
        path = runs / (name if number == 1 else f"{name}-{number}")
        strict = asked and number == 1
        path.mkdir(parents=True, exist_ok=True)
        with open(path / ".lock", "w") as lock:
            if not _lock(lock):
                if strict:
                    raise ValueError(f"{path} belongs to a run in another process; wait for it or pass another --name")
                continue
            resumes = _resumes(path, strict, identity)
            if resumes is not None:
                yield RunFolder(path, resumes)
                return


def _lock(file: IO[str]) -> bool:
    try:
        # The system gives the lock back whatever way the process ends.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _resumes(path: Path, strict: bool, identity: dict[str, Any]) -> bool | None:
    """True: go on with the run in `path`; False: begin one there; None: `path` is taken."""
    if not (path / "last.pt").exists():
        strangers = [entry.name for entry in path.iterdir() if not entry.name.startswith(".")]
        if strangers and strict:
            raise ValueError(f"{path} holds {strangers[0]!r} but no run; pass another --name")
        return None if strangers else False
    content = checkpoint.load(path / "last.pt")
    changes = differences(content["identity"], identity)
    processes = differences({"processes": content["processes"]}, {"processes": identity["processes"]})
    if changes and changes == processes:
        if content["finished"] and not strict:
            return None
        raise ValueError(
            f"{path} was begun with {content['processes']} processes, now there are {identity['processes']}; "
            "start as many to go on exactly, or pass another --name"
        )
    if changes and strict:
        raise ValueError(f"{path} holds another run ({'; '.join(changes)}); pass another --name")
    return None if changes or content["finished"] else True
