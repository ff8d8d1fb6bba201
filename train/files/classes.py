"""Held-out accuracy of each class."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from train.files.sealed import written

Counts = Sequence[Sequence[int]]
"""For each class how many images were right, and how many there are."""


def write_classes(path: Path, counts: Counts, classes: Sequence[str]) -> None:
    """A row a class, in the order of their numbers: class, images, accuracy (0 to 1)."""
    with written(path) as aside, open(aside, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["class", "images", "accuracy"])
        for name, right, number in zip(classes, *counts, strict=True):
            rows.writerow([name, number, f"{right / number:.4f}" if number else ""])


def describe_hardest(counts: Counts, classes: Sequence[str], number: int) -> str:
    """The classes of the lowest accuracy: `tench 12%, church 20%`."""
    shares = [(right / of, name) for name, right, of in zip(classes, *counts, strict=True) if of]
    return ", ".join(f"{name} {share:.0%}" for share, name in sorted(shares)[:number])
