"""Which folder a run lives in: a new one, or that of the same run, unfinished."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any

from train.files import checkpoint
from train.files.identity import Comparison, brief, compare, listed
from train.files.sealed import Damaged

INEXACT = "no longer equal to the byte to the run that was not stopped"
SHOWN = 3


@dataclass(frozen=True)
class RunFolder:
    """A folder that no other process writes to."""

    path: Path
    start: Path | None = None
    """The checkpoint to go on from: the folder's own or one that lies elsewhere. None: a run begins."""
    loose: tuple[str, ...] = ()
    """What changed since that was written, which is why bytes will differ: `2 threads instead of 1`."""
    notes: tuple[str, ...] = ()
    """What to tell people: a line for why the folder is a new one, and one for why the run ends with other bytes."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What every checkpoint in it says beside the rest: `changed`, what changed since the run began, which is why it is
    not equal to the byte to one that was not stopped, and `begun_from`, the digest of a checkpoint elsewhere."""
    finished: bool = False
    """It holds the run, finished; only where that was asked for."""

    @property
    def resumes(self) -> bool:
        """Whether it holds an unfinished run to go on with."""
        return self.start is not None and self.start.parent == self.path

    @property
    def last(self) -> Path:
        return self.path / checkpoint.LAST

    @property
    def best(self) -> Path:
        return self.path / checkpoint.BEST

    def verb(self, place: str) -> str:
        """What happens here, for people; `place` says how far the run is."""
        if self.resumes:
            return f"goes on in {self.path} after {place}"
        if self.start is None:
            return f"writes to {self.path}"
        return f"goes on from {self.start} after {place} and writes to {self.path}"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What is to be done in a folder."""

    identity: dict[str, Any]
    """All that must be equal for a run to be continued, and all that must be for it to end with the same bytes."""
    settings: Any = None
    """The dataclass that the identity is made of."""
    exact: bool = False
    """Refuse to go on with a run that would no longer end with the same bytes."""
    resume: Path | None = None
    """Go on from this checkpoint, which lies elsewhere, or from the last one in this folder."""
    once: bool = False
    """Where the run is finished, its folder is the one, and not a new one."""
    instead: str = ""
    """What else can be done with a checkpoint of another run, for people."""


@dataclass(frozen=True)
class _Found:
    """What a folder holds that could be the run's."""

    taken: str | None = None
    """Why it is another's."""
    start: Path | None = None
    loose: tuple[str, ...] = ()
    """What changed since it was last written."""
    facts: dict[str, Any] = field(default_factory=dict)
    damaged: tuple[Damaged, ...] = ()
    """What is wrong with newer checkpoints than `start`."""
    finished: bool = False


@contextmanager
def claim_folder(runs: Path, name: str, claim: Claim, *, asked: bool) -> Iterator[RunFolder]:
    """Find or make the folder of a run, and keep it from other processes until the block is left.

    The first of `runs`/NAME, NAME-2, NAME-3, ... that holds this very run, unfinished and under the same
    circumstances; else the first that holds it under others; else the first that holds nothing yet. With `once` a
    finished run is as good as an unfinished one.

    Args:
        name: NAME.
        asked: the user chose the name; what is in NAME then must be of the same run.
        claim: which run.

    Raises:
        FileNotFoundError: there is no checkpoint to go on from.
        ValueError: NAME was asked for and holds another run, other files, or a run that another process works on; it
            would not end with the same bytes, and `exact` is asked for; the checkpoint elsewhere is of another run or
            of a finished one; or no checkpoint of a folder can be read.
    """
    elsewhere = None if claim.resume is None else _read_elsewhere(claim.resume, claim)
    place = _search(runs, name, claim, elsewhere, asked)
    path, found = place.path, place.found
    with place.lock:
        if found.finished:
            yield RunFolder(path, found.start, found.loose, facts=found.facts, finished=True)
            return
        before = found.facts.get("changed", [])
        if claim.exact and (found.loose or before):
            raise ValueError(_refuse_changes(found))
        notes = []
        if place.taken and not place.is_own:
            notes.append(f"{path} is new: {_reasons(place.taken)}")
        if place.is_own:
            notes += _put_aside(path, found)
        if found.loose:
            notes.append(f"goes on with {listed(found.loose)}: {INEXACT}")
        changed = [*before, *([listed(found.loose)] if found.loose else [])]
        yield RunFolder(path, found.start, found.loose, tuple(notes), {**found.facts, "changed": changed})


@dataclass(frozen=True)
class _Place:
    path: Path
    found: _Found
    taken: list[tuple[Path, str]]
    """The folders that are another's, and why."""
    lock: IO[str]
    """Keeps other processes out until it is closed."""

    @property
    def is_own(self) -> bool:
        """Whether it holds the run itself."""
        return self.found.start is not None and self.found.start.parent == self.path


def _search(runs: Path, name: str, claim: Claim, elsewhere: _Found | None, asked: bool) -> _Place:
    taken: list[tuple[Path, str]] = []
    changed: _Place | None = None
    with ExitStack() as stack:
        for number in count(1):
            path = runs / (name if number == 1 else f"{name}-{number}")
            if changed is not None and not path.exists():
                break
            path.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(open(path / ".lock", "w"))
            found = _examine(path, claim, elsewhere, strict=asked and number == 1, locked=_lock(lock))
            here = _Place(path, found, taken, lock)
            if found.taken is not None:
                taken.append((path, found.taken))
            elif here.is_own and found.loose and changed is None:
                changed = here
                continue
            elif changed is None or (here.is_own and not found.loose):
                if changed is not None:
                    changed.lock.close()
                stack.pop_all()
                return here
            lock.close()
            if found.taken is None and not here.is_own:
                break
        stack.pop_all()
    assert changed is not None
    return changed


def _lock(file: IO[str]) -> bool:
    try:
        # The system gives the lock back whatever way the process ends.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _examine(path: Path, claim: Claim, elsewhere: _Found | None, *, strict: bool, locked: bool) -> _Found:
    """Whose a folder is. ValueError where the user must know."""
    if not locked:
        if strict:
            raise ValueError(f"{path} belongs to a run in another process; wait for it or pass another --name")
        return _Found(taken="is used by another process")
    newest = checkpoint.newest(path)
    if newest is None:
        strangers = [entry.name for entry in path.iterdir() if not entry.name.startswith(".")]
        if strangers and strict:
            raise ValueError(f"{path} holds {strangers[0]!r} but no run; pass another --name")
        return _Found(taken=f"holds {strangers[0]!r} but no run") if strangers else elsewhere or _Found()
    content = newest.content
    if elsewhere is not None and content.get("begun_from") != elsewhere.facts["begun_from"]:
        if strict:
            raise ValueError(f"{path} holds a run already; --resume needs a folder of its own, pass another --name")
        return _Found(taken="holds a run already")
    found = compare(content["identity"], claim.identity, claim.settings)
    if found.decisive and strict:
        raise ValueError(f"{path} holds another run ({brief(found.decisive)}); pass another --name")
    if found.decisive:
        return _Found(taken=f"is another run ({brief(found.decisive)})")
    if content["finished"] and not claim.once:
        return _Found(taken="is finished")
    return _of_run(newest, found)


def _of_run(newest: checkpoint.Newest, found: Comparison) -> _Found:
    content = newest.content
    facts: dict[str, Any] = {name: content[name] for name in ("changed", "begun_from") if name in content}
    return _Found(None, newest.path, tuple(found.loose), facts, newest.damaged, content["finished"])


def _put_aside(path: Path, found: _Found) -> list[str]:
    """Give damaged checkpoints other names, so that they neither are read again nor push out a good one. -> what to
    tell people."""
    assert found.start is not None
    goes_on = f"goes on from {found.start}, the newest that can be read"
    notes = []
    for error in found.damaged:
        aside = error.path.with_name(f"{error.path.name}.damaged")
        os.replace(error.path, aside)
        notes.append(f"{error.path} is damaged ({error.reason}) and is now {aside.name}; {goes_on}")
    if not notes and found.start.name != checkpoint.LAST:
        notes.append(f"{path} holds no {checkpoint.LAST}; {goes_on}")
    return notes


def _read_elsewhere(path: Path, claim: Claim) -> _Found:
    """The run of a checkpoint that `--resume` names. ValueError if it cannot be continued."""
    path = checkpoint.find(path)
    newest = checkpoint.Newest(path, checkpoint.load(path))
    content = newest.content
    if "identity" not in content:
        raise ValueError(f"{path} is no checkpoint of a run; it cannot be resumed")
    found = compare(content["identity"], claim.identity, claim.settings)
    if found.decisive:
        raise ValueError(
            f"{path} is of another run ({brief(found.decisive)}), and a run goes on under its own settings"
            + (f"; {claim.instead}" if claim.instead else "")
        )
    if content["finished"]:
        raise ValueError(f"{path} is of a finished run, there is nothing left to go on with")
    of_run = _of_run(newest, found)
    return _Found(start=path, loose=of_run.loose, facts={**of_run.facts, "begun_from": checkpoint.digest_file(path)})


def _refuse_changes(found: _Found) -> str:
    if not found.loose:
        return f"{found.start} went on with {'; '.join(found.facts['changed'])}: {INEXACT}; leave out --exact to go on"
    return (
        f"{found.start} would go on with {listed(found.loose)}: {INEXACT}; start it as it was before, or leave out "
        "--exact"
    )


def _reasons(taken: list[tuple[Path, str]]) -> str:
    """Why folders are another's, in one line; those with the same reason share it."""
    groups: dict[str, list[str]] = {}
    for path, reason in taken:
        groups.setdefault(reason, []).append(str(path))
    texts = []
    for reason, paths in list(groups.items())[:SHOWN]:
        named = listed(paths) if len(paths) <= SHOWN else f"{paths[0]} to {paths[-1]}"
        texts.append(f"{named} {_several(reason) if len(paths) > 1 else reason}")
    more = len(groups) - SHOWN
    return ", ".join([*texts, *([f"{more} more are others"] if more > 0 else [])])


def _several(reason: str) -> str:
    verb, _, rest = reason.partition(" ")
    return f"{ {'is': 'are', 'holds': 'hold'}[verb] } {rest}"
