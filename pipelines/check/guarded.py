"""A loader of files that comes upon one that is no use: it stops with its name, or takes another in its place."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mixdali.loading.epochs import Place
from mixdali.loading.handover import Fields
from mixdali.loading.loader import ResumableLoader
from mixdali.loading.runs import Runs, build

from ..arguments import OnError
from ..sources.source import Source
from .children import find_faults, head_fault
from .watch import TOO_LARGE, Watch

COMMAND = "python -m mixdali.pipelines.check FOLDER --list FILE"
FAULTS = "faults"  # the output of `watched`
BATCHES_BETWEEN_STATES = 64
BATCHES_AHEAD = 4  # that DALI may have begun when it says that one failed
PROCESSES = 2  # that look at the files of a batch


@dataclass(eq=False)
class Guard:
    """The files of a loader, and which of them are no use.

    whole       as they were given.
    on_error    "stop" or "skip".
    max_pixels  that an image may have.
    leave_out   False: another image stands in for one that is no use. True: it is left out of its batch.
    bad         what is wrong with the files in these rows.
    """

    whole: Source
    on_error: OnError
    max_pixels: float
    leave_out: bool = False
    bad: dict[int, str] = field(default_factory=dict)
    fine: set[int] = field(default_factory=set)
    only_rows: bool = False

    def __post_init__(self) -> None:
        self.source = self.whole
        if self.on_error == "skip":  # DALI cannot read files without content, and this costs next to nothing
            held = self.whole.spans
            empty = held.empty() if held else [row for row, item in enumerate(self.whole.items) if not _size(item)]
            self.mark({row: "is an empty file" for row in empty})

    @property
    def watch(self) -> Watch:
        return Watch(self.max_pixels, self.only_rows)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Path of each file that is no use, and why."""
        return [(self.whole.items[row], self.bad[row]) for row in sorted(self.bad)]

    def mark(self, found: dict[int, str]) -> None:
        """These rows are no use: ValueError with the name of the first, or where they are to be skipped, another row
        for each: the next one that is of use."""
        for row, reason in found.items():
            path = self.whole.items[row]
            if self.on_error == "stop":
                raise ValueError(
                    f"{path} {reason}; leave it out with exclude, of which {COMMAND} writes the list, or pass "
                    'on_error="skip"'
                )
        if not found:
            return
        self.bad |= found
        number = len(self.whole)
        if len(self.bad) == number:
            raise ValueError(f"none of the {number} images can be decoded; {COMMAND} says why")
        rows = np.arange(number)
        for row in sorted(self.bad, reverse=True):
            after = (row + 1) % number
            while after in self.bad:
                after = (after + 1) % number
            rows[row] = after
        self.source = self.whole.select(rows)


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        if os.path.lexists(path):  # a link that leads nowhere
            return 0
        raise FileNotFoundError(f"there is no file {path}; make its source anew") from None


@dataclass(frozen=True)
class _Kept:
    """A state of a pipeline: made for the epoch `start`, restored from a checkpoint, at a batch of an epoch once `skip`
    batches have been left out."""

    start: int
    checkpoint: bytes | None
    epoch: int
    batch: int
    skip: int


class _Found(Exception):
    """Files of a batch turned out to be no use."""


class GuardedLoader(ResumableLoader):
    """A `mixdali.Loader` of a function whose pipelines read `guard.source` and have `watched`'s second output last.

    A batch with a file that is no use is made again from the state before it, with another in its place; nothing else
    of it changes.
    """

    def __init__(
        self, pipeline: Callable[[int, bytes | None], Any], outputs: Sequence[str], *, guard: Guard, **settings: Any
    ) -> None:
        super().__init__(pipeline, (*outputs, FAULTS), **settings)
        self._guard = guard
        self._fields: Any = _Watched(Fields(outputs, self.tables), guard)
        self._kept: _Kept | None = None

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Path of each file that another has taken the place of so far, and what is wrong with it."""
        return self._guard.skipped

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"skipped": {str(row): reason for row, reason in self._guard.bad.items()}}

    def load_state_dict(self, state: dict[str, Any], *, exact: bool = True) -> None:
        guard = self._guard
        before = dict(guard.bad), guard.source
        guard.mark({int(row): reason for row, reason in state.get("skipped", {}).items()})
        self._renew_tables()
        self._kept = None
        try:
            super().load_state_dict(state, exact=exact)
        except (RuntimeError, ValueError):
            guard.bad, guard.source = before
            self._renew_tables()
            raise

    def _next(self) -> tuple[Any, bool]:
        self._enter()
        self._keep()
        while True:
            place, left = replace(self._place), self._left
            try:
                batch, last = super()._next()
            except _Found:
                pass
            except (RuntimeError, ValueError, OSError) as error:
                if not self._look(error, place.batch):
                    raise
            else:
                if batch is not None:
                    return batch, last
                if last:
                    raise StopIteration
                continue
            self._place, self._left = place, left
            self._go_back()

    def _keep(self) -> None:
        """Remember a state of the pipeline now and then, to go back to."""
        place, kept = self._place, self._kept
        if kept is None or kept.epoch != place.epoch or place.batch - kept.batch >= BATCHES_BETWEEN_STATES:
            fresh = self._runs is None or (place == Place(self._start) and not self._skip)
            checkpoint, since = (None, 0) if fresh else self._built().state()
            self._kept = _Kept(self._start, checkpoint, place.epoch, place.batch, self._skip + since)

    def _go_back(self) -> None:
        """The pipeline anew, with the files that are of use, before the batch that is to come."""
        self._renew_tables()
        kept = self._kept
        assert kept is not None
        self._runs = None  # frees its threads and memory before the next one takes its own
        self._runs = self._new(kept.start, kept.checkpoint)
        self._skip = kept.skip + self._place.batch - kept.batch

    def _renew_tables(self) -> None:
        if "path" in self.tables:
            self.tables["path"] = list(self._guard.source.items)

    def _look(self, error: Exception, batch: int) -> bool:
        """Which files made a run fail. -> whether they were found."""
        guard = self._guard
        unread = re.findall(r"File mapping failed: (.*)", f"{error}\n{error.__cause__}")
        if unread:
            rows = [row for row, path in enumerate(guard.whole.items) if path in unread and os.path.lexists(path)]
            guard.mark({row: head_fault(guard.whole.items[row]) or "cannot be read" for row in rows})
            return bool(rows)  # what is lost is no bad file
        self._runs, kept = None, self._kept
        assert kept is not None
        guard.only_rows = True
        try:
            pipeline = self._make(kept.start, kept.checkpoint)
            build(pipeline)
            runs = Runs(pipeline, self.outputs, self.batches_per_run)
            for _ in range(kept.skip + batch - kept.batch):
                runs.take()
            for _ in range(BATCHES_AHEAD):
                if _mark_bad(guard, runs.take()[-1][:, 0].tolist()):
                    return True
        except StopIteration:
            pass
        finally:
            guard.only_rows = False
        return False


def _mark_bad(guard: Guard, rows: Sequence[int]) -> bool:
    """Decode the files of these rows, and mark those that are no use. -> whether there are any."""
    chosen = {guard.source.items[row]: row for row in rows}
    held = guard.source.spans
    faults = find_faults(
        list(chosen),
        held=None if held is None else held.select(np.array(list(chosen.values()))),
        max_megapixels=guard.max_pixels / 1e6,
        num_processes=PROCESSES,
        together=len(chosen),
    )
    reasons = {fault.file: fault.reason for fault in faults}
    guard.mark({place: reasons[path] for place, path in enumerate(guard.whole.items) if path in reasons})
    return bool(reasons)


class _Watched:
    """`Fields` of a pipeline whose last output is `watched`'s."""

    def __init__(self, fields: Fields, guard: Guard) -> None:
        self._fields, self._guard = fields, guard

    def __call__(self, tensors: Sequence[Any]) -> Any:
        """None where the batch holds no image that is of use."""
        *tensors, told = tensors
        guard = self._guard
        if int(told[:, 1].max()):
            doubtful = [row for row, code in told.tolist() if code and (code >= TOO_LARGE or row not in guard.fine)]
            if doubtful and _mark_bad(guard, doubtful):
                raise _Found
            guard.fine |= set(doubtful)
        if guard.leave_out and guard.bad:
            kept = [place for place, row in enumerate(told[:, 0].tolist()) if row not in guard.bad]
            if not kept:
                return None
            tensors = [tensor[kept] for tensor in tensors] if len(kept) < len(told) else tensors
        return self._fields(tensors)
