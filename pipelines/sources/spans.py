"""Encoded images that are stretches of larger files."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Spans:
    """Image i is `size[i]` bytes of `files[file[i]]` from `offset[i]` on; three arrays (N,) of integers."""

    files: tuple[str, ...]
    file: np.ndarray
    offset: np.ndarray
    size: np.ndarray

    def __len__(self) -> int:
        return len(self.file)

    def select(self, positions: np.ndarray) -> Spans:
        """The images at these positions."""
        return replace(self, file=self.file[positions], offset=self.offset[positions], size=self.size[positions])

    def read(self, row: int) -> bytes:
        """The bytes of an image. OSError names a file that cannot be read, or ends too early."""
        path, size = self.files[self.file[row]], int(self.size[row])
        with open(path, "rb", buffering=0) as opened:
            found = os.pread(opened.fileno(), size, int(self.offset[row]))
        if len(found) < size:
            raise OSError(f"the data cannot be read: {path} is shorter than it was when it was listed; fetch it again")
        return found


class SpanBatches:
    """For DALI's external source: batch i as its images' bytes and their rows.

    rows  of batch i, as `mixdali.loading.sampling` makes them; what it tells of itself is told on.
    """

    def __init__(self, spans: Spans, rows: Any) -> None:
        self._spans, self._rows = spans, rows
        self.num_samples, self.num_items, self.facts = rows.num_samples, len(spans), rows.facts

    # DALI counts the arguments: with one, it hands over the batch's number and can go back to any
    def __call__(self, i: int) -> tuple[list[np.ndarray], np.ndarray]:
        rows = self._rows(i)
        # an empty one is no image: a byte that is none either spares every operator the case
        encoded = [np.frombuffer(self._spans.read(row) or b"\0", np.uint8) for row in rows.tolist()]
        return encoded, rows.astype(np.int32)
