"""Tables and sequences by name: scikit-learn's embedded sets, drawn ones, CSV files, spoken words."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn import datasets

from mixdali.names import nearest
from train.tables.drawn import DRAWN, draw
from train.tables.speech import read_commands
from train.tables.table import Table

EMBEDDED: dict[str, Callable[..., object]] = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
}
"""From the UCI repository; scikit-learn has them in its package."""
SPEECH = "speech_commands"
NAMES = (*EMBEDDED, *DRAWN, SPEECH)


def read_table(name: str, seed: int, root: str | None = None, per_class: int | None = None) -> Table:
    """The table of this name.

    Args:
        name: one of `NAMES`, or FILE.csv:COLUMN, a file with a line of names and the column that is to be told.
        seed: decides the sets that are drawn, and which words are taken of a folder of them.
        root: the folder of speech commands.
        per_class: so many words of each at most.

    Raises:
        ValueError, FileNotFoundError: one line for the user.
    """
    if name in DRAWN:
        return draw(name, seed)
    if name in EMBEDDED:
        return _embedded(name)
    if name == SPEECH:
        if root is None:
            raise ValueError(f"{SPEECH} needs --root, the folder with a folder of .wav files for each word")
        return read_commands(Path(root), per_class, seed)
    file, colon, column = name.rpartition(":")
    if colon and file.endswith(".csv"):
        return read_csv(Path(file), column)
    if name.endswith(".csv"):
        raise ValueError(f"{name} needs the column that is to be told after a colon: {name}:COLUMN")
    raise ValueError(f"there is no set {name!r}; {nearest(name, NAMES)}; a table of one's own is FILE.csv:COLUMN")


def _embedded(name: str) -> Table:
    found = EMBEDDED[name]()
    features = torch.from_numpy(np.asarray(found["data"])).float()  # type: ignore[index]
    labels = torch.from_numpy(np.asarray(found["target"])).long()  # type: ignore[index]
    return Table(name, features, labels, tuple(map(str, found["target_names"])))  # type: ignore[index]


def read_csv(path: Path, column: str) -> Table:
    """A file whose first line has the names of the columns; all columns but the one that is to be told are numbers.

    Raises:
        FileNotFoundError: there is none.
        ValueError: no such column, a line of another length, or a field that is no number; it names the line.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = [line for line in csv.reader(file) if line]
    names = [name.strip() for name in lines[0]] if lines else []
    if column not in names:
        raise ValueError(f"{path} has no column {column!r}; {nearest(column, names)}")
    own = names.index(column)
    rows, texts = [], []
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(names):
            raise ValueError(
                f"{path}: row {number} has {len(line)} fields, and the first row names {len(names)} columns"
            )
        texts.append(line[own].strip())
        rows.append([_number(path, number, names[i], text) for i, text in enumerate(line) if i != own])
    classes = tuple(sorted(set(texts)))
    if len(classes) < 2 or len(names) < 2:
        raise ValueError(
            f"{path} has {len(classes)} classes in {column!r} and {len(names) - 1} other columns; it needs two classes "
            "and one column at least"
        )
    labels = torch.tensor([classes.index(text) for text in texts])
    return Table(path.stem, torch.tensor(rows, dtype=torch.float32), labels, classes)


def _number(path: Path, row: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(
            f"{path}: row {row} has {text!r} in column {column!r}, which is no finite number; write words as numbers, "
            "and leave out or fill in what is missing"
        )
    return value
