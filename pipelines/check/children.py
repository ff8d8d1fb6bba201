"""Files decoded in child processes: a crash or a hang of the decoder harms nobody and is told of its file."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue

from ..arguments import MEGAPIXELS, thread_count
from ..sources.spans import Held
from .decoding import READY
from .signatures import HEAD, describe_head, image_format

TOGETHER = 64
SECONDS = 120.0  # that a group may take; a decoder that is not done then hangs


@dataclass(frozen=True)
class Fault:
    """A file that is no use in training, and why."""

    file: str
    reason: str


def find_faults(
    files: Sequence[str],
    *,
    held: Held | None = None,
    max_megapixels: float = MEGAPIXELS,
    num_processes: int | None = None,
    together: int = TOGETHER,
    seconds: float = SECONDS,
) -> Iterator[Fault]:
    """Those of the files that DALI's decoder on the CPU refuses, in order; all of them are decoded.

    held            the images, where they lie in larger files; `files` are then their names alone.
    max_megapixels  an image that says it has more is not decoded, but listed.
    num_processes   that decode; None: one for each core.
    together        files in a group, which is what a child decodes at a time.
    seconds         that a group may take.
    """
    groups = [range(start, min(start + together, len(files))) for start in range(0, len(files), together)]
    number = min(thread_count(num_processes), max(1, len(groups)))
    children = Children(number, max_megapixels * 1e6, together, seconds)
    try:
        with ThreadPoolExecutor(number) as pool:
            for found in pool.map(partial(_row_faults, children, files, held), groups):
                yield from found
    finally:
        children.close()


def undecodable(files: Sequence[str], held: Held | None = None) -> Iterator[str]:
    """The names alone of what `find_faults` finds."""
    return (fault.file for fault in find_faults(files, held=held))


def head_fault(file: str) -> str | None:
    """What the first bytes of a file say against it; None if they are those of an image."""
    try:
        with open(file, "rb", buffering=0) as opened:
            head = opened.read(HEAD)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if image_format(head) is not None else f"is {describe_head(head)}"


def _row_faults(children: Children, files: Sequence[str], held: Held | None, rows: range) -> list[Fault]:
    if held is None:
        return _group_faults(children, [files[row] for row in rows])
    with tempfile.TemporaryDirectory() as folder:
        names = {os.path.join(folder, str(row)): files[row] for row in rows}
        for row, path in zip(rows, names, strict=True):
            with open(path, "wb") as file:
                file.write(held.read(row))
        return [Fault(names[fault.file], fault.reason) for fault in _group_faults(children, list(names))]


def _group_faults(children: Children, files: Sequence[str]) -> list[Fault]:
    """In order. What is no image goes to no decoder: DALI's crash on it in larger batches."""
    found = {file: fault for file in files if (fault := head_fault(file)) is not None}
    found |= children.faults([file for file in files if file not in found])
    return [Fault(file, found[file]) for file in files if file in found]


class Children:
    """Processes that decode, started when they are first needed and again when one has crashed."""

    def __init__(self, number: int, max_pixels: float, together: int, seconds: float) -> None:
        self._idle: SimpleQueue[_Child | None] = SimpleQueue()
        for _ in range(number):
            self._idle.put(None)
        self._number = number
        self._max_pixels, self._together, self._seconds = max_pixels, together, seconds

    def faults(self, files: Sequence[str], *, repeated: bool = False) -> dict[str, str]:
        """What is wrong with which of the files. A group that no child survives is halved until single files are.

        repeated  fill the group with the same files again: some crash a decoder in large batches only.
        """
        if not files:
            return {}
        answer = self._ask([*files] * -(-self._together // len(files)) if repeated else files)
        if isinstance(answer, list):
            return {file: fault for file, fault in zip(files, answer, strict=False) if fault is not None}
        if len(files) == 1:
            return {files[0]: answer}
        half = len(files) // 2
        return self.faults(files[:half], repeated=True) | self.faults(files[half:], repeated=True)

    def close(self) -> None:
        for _ in range(self._number):
            child = self._idle.get()
            if child is not None:
                child.end()

    def _ask(self, files: Sequence[str]) -> list[str | None] | str:
        """A child's answer; or what became of it."""
        child = self._idle.get()
        try:
            if child is None:
                child = _Child(self._max_pixels)
            answer = child.ask(files, self._seconds)
            if isinstance(answer, list):
                return answer
            child.end()
            child = None
            return answer
        finally:
            self._idle.put(child)


class _Child:
    def __init__(self, max_pixels: float) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process lives
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__package__}.decoding import main; main()", repr(max_pixels)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
        )
        if self._line(SECONDS) != f"{READY}\n".encode():
            self._said.seek(0)
            said = self._said.read().decode(errors="replace").strip().splitlines() or ["nothing was said"]
            self.end()
            raise RuntimeError(f"a process that decodes cannot be started: {said[-1]}")

    def ask(self, files: Sequence[str], seconds: float) -> list[str | None] | str:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(list(files)).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return "crashes DALI's decoder"
        line = self._line(seconds)
        if line is None:
            return f"is not decoded within {seconds:g} s"
        return json.loads(line) if line.endswith(b"\n") else "crashes DALI's decoder"

    def _line(self, seconds: float) -> bytes | None:
        """None if nothing came in time; without a line break if the process ended."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        return self._process.stdout.readline() if ready else None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._said.close()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
