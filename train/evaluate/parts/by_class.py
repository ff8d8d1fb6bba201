"""Accuracies class by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from train.show.intervals import wilson


def by_class(right: Sequence[int], labels: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """For each class that has images `accuracy`, 0 to 1, its 95 % `interval`, and `images`, how many.

    right    (N,) 1 for an image that counts as right.
    labels   (N,) class indices.
    classes  the names of the classes, all of them different.
    """
    hits = np.asarray(right, dtype=np.float64)
    found = {}
    for number, name in enumerate(classes):
        own = hits[labels == number]
        if len(own):
            share = float(own.mean())
            found[name] = {"accuracy": share, "interval": list(wilson(share, len(own))), "images": len(own)}
    return found


def worst_class(found: dict[str, dict[str, Any]]) -> str:
    """The class with the least accuracy; the first of equals."""
    return min(found, key=lambda name: found[name]["accuracy"])
