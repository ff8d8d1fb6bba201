"""Wrong labels, drawn at random by the images' places in the data set, and the record of what was changed."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from mixdali import derive_seed
from mixdali.checks import fraction, one_of
from train.files.sealed import written

To = Literal["any", "other", "next", "similar"]

# What CIFAR-10's classes are taken for, after Patrini et al., "Making Deep Neural Networks Robust to Label Noise: a
# Loss Correction Approach", CVPR 2017, arXiv:1609.03683.
SIMILAR = {"truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat"}


@dataclass(frozen=True, kw_only=True)
class LabelNoise:
    """Redraws the labels of some training images.

    Whether a label is redrawn, and to what, depends on the seed, the image's index and its label alone. So a subset and
    a shard of a data set have the labels of the whole, and what is redrawn at one rate is among what is redrawn at a
    higher one.
    """

    rate: float = 0.0
    """Chance of each label to be redrawn, independently."""
    to: To = "any"
    """What it becomes. any: each class as likely, the true one too, so that a label is wrong with rate (K - 1) / K.
    other: each class but the true one as likely, so that it is wrong with rate. next: class k becomes k + 1, the last
    one the first. similar: CIFAR-10's truck becomes automobile, bird airplane, deer horse, cat dog and dog cat; the
    other five classes keep their labels."""

    def __post_init__(self) -> None:
        fraction("noise.rate", self.rate)
        one_of("noise.to", self.to, get_args(To))

    def apply(self, labels: np.ndarray, index: np.ndarray, classes: Sequence[str], seed: int) -> np.ndarray:
        """labels (N,) and index (N,), the images' places in the full data set -> noisy labels (N,).

        Args:
            labels: class indices.
            index: integers >= 0.
            classes: name of each class.
            seed: decides all of it.

        Raises:
            ValueError: "similar" for classes that are not CIFAR-10's.
        """
        if self.rate == 0 or not len(labels):
            return labels
        length = int(index.max()) + 1
        # The generator's first draws do not depend on how many follow, so neither does the draw of an index.
        chance, choice = (
            np.random.default_rng(derive_seed(seed, name)).random(length)[index] for name in ("chance", "choice")
        )
        return np.where(chance < self.rate, self._redraw(labels, choice, classes), labels)

    def _redraw(self, labels: np.ndarray, choice: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """What each label would become; choice (N,) is uniform in [0, 1)."""
        num_classes = len(classes)
        if self.to == "any":
            return (choice * num_classes).astype(labels.dtype)
        if self.to == "other":
            return (labels + 1 + (choice * (num_classes - 1)).astype(labels.dtype)) % num_classes
        if self.to == "next":
            return (labels + 1) % num_classes
        return _similar_classes(classes).astype(labels.dtype)[labels]


def _similar_classes(classes: Sequence[str]) -> np.ndarray:
    missing = sorted({*SIMILAR, *SIMILAR.values()} - set(classes))
    if missing:
        raise ValueError(
            f"noise.to 'similar' is made for the classes of CIFAR-10, the data has no {missing[0]!r}; take 'next'"
        )
    return np.array([classes.index(SIMILAR.get(name, name)) for name in classes])


def write_changes(
    path: Path, index: np.ndarray, original: np.ndarray, given: np.ndarray, classes: Sequence[str]
) -> None:
    """Write which labels were changed, one line an image: its index, its label before and the one it was given.

    The classes stand there as numbers and, in two more columns, by name. `--labels PATH:given` trains on the same
    labels again.
    """
    with written(path) as aside, open(aside, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["index", "original", "given", "original_class", "given_class"])
        for row in np.flatnonzero(original != given):
            before, after = int(original[row]), int(given[row])
            writer.writerow([int(index[row]), before, after, classes[before], classes[after]])
        file.flush()
        os.fsync(file.fileno())
