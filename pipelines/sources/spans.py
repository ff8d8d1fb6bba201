"""Encoded images that are stretches of larger files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np


class Held(Protocol):
    """Encoded images that are no files of their own: `Spans`, and the columns of other libraries."""

    @property
    def files(self) -> Sequence[str]:
        """Those that hold them."""

    def __len__(self) -> int: ...

    def select(self, positions: np.ndarray) -> Held:
        """The images at these positions."""

    def read(self, row: int) -> bytes:
        """The bytes of an image. OSError names what cannot be read."""

    def empty(self) -> list[int]:
        """The rows without any bytes."""

    def identity(self) -> str:
        """A digest of which images they are, the same wherever they lie."""


@dataclass(frozen=True, eq=False)
class Spans:
    """Image i is `size[i]` bytes of `files[file[i]]` from `offset[i]` on; three arrays (N,) of integers.

    holes: for each file, the places, rising, of four bytes each that belong to no image, though they lie within one; or
    nothing for all.
    """

    files: tuple[str, ...]
    file: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    holes: tuple[np.ndarray, ...] = ()

    def __len__(self) -> int:
        return len(self.file)

    def empty(self) -> list[int]:
        return np.flatnonzero(self.size == 0).tolist()

    def identity(self) -> str:
        digest = blake2b("\n".join(os.path.basename(file) for file in self.files).encode(), digest_size=8)
        for column in (self.file, self.offset, self.size):
            digest.update(np.ascontiguousarray(column, np.int64).tobytes())
        return digest.hexdigest()

    def select(self, positions: np.ndarray) -> Spans:
        """The images at these positions."""
        return replace(self, file=self.file[positions], offset=self.offset[positions], size=self.size[positions])

    def read(self, row: int) -> bytes:
        """The bytes of an image. OSError names a file that cannot be read, or ends too early."""
        file, start, size = (int(column[row]) for column in (self.file, self.offset, self.size))
        path = self.files[file]
        with open(path, "rb", buffering=0) as opened:
            found = os.pread(opened.fileno(), size, start)
        if len(found) < size:
            raise OSError(f"the data cannot be read: {path} is shorter than it was when it was listed; fetch it again")
        if not self.holes:
            return found
        holes = self.holes[file]
        inside = holes[np.searchsorted(holes, start) : np.searchsorted(holes, start + size)] - start
        ends = [0, *(int(hole) + 4 for hole in inside)]
        return b"".join(found[end:hole] for end, hole in zip(ends, [*inside.tolist(), size], strict=True))


class SpanBatches:
    """For DALI's external source: batch i as its images' bytes and their rows.

    rows  of batch i, as `mixdali.loading.sampling` makes them; what it tells of itself is told on.
    """

    def __init__(self, spans: Held, rows: Any) -> None:
        self._spans, self._rows = spans, rows
        self.num_samples, self.num_items = rows.num_samples, len(spans)
        self.facts = rows.facts | {"images": spans.identity()}

    # DALI counts the arguments: with one, it hands over the batch's number and can go back to any
    def __call__(self, i: int) -> tuple[list[np.ndarray], np.ndarray]:
        rows = self._rows(i)
        # an empty one is no image: a byte that is none either spares every operator the case
        encoded = [np.frombuffer(self._spans.read(row) or b"\0", np.uint8) for row in rows.tolist()]
        return encoded, rows.astype(np.int32)
