"""Image files and their labels from a list: a CSV with headings, or lines of a path and a label."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from .exclude import are_listed
from .source import Source
from .splits import NAMES, Split, Splits

# Headings, in any case.
PATHS = ("path", "filename", "file", "file_name", "filepath", "file_path", "image", "image_path", "image_name", "img")
LABELS = ("label", "class", "target", "category", "label_name", "class_name")
SPLITS = ("split", "set", "subset", "partition")
SEPARATORS = {".csv": ",", ".tsv": "\t"}
ENDINGS = (*SEPARATORS, ".txt")


def is_table(root: str | os.PathLike[str]) -> bool:
    """Whether this is a list and no folder, by its ending."""
    return Path(root).suffix.lower() in ENDINGS and not Path(root).expanduser().is_dir()


def read_table(
    path: str | os.PathLike[str],
    split: Split,
    *,
    column: str | None = None,
    exclude: Collection[str] = (),
    keep_empty: bool = False,
) -> Source:
    """Paths and classes from a list, in its order. A relative path counts from the list's folder.

    A .csv or .tsv has headings: one of PATHS, one of LABELS or `column`, and perhaps one of SPLITS, whose rows name the
    splits as folders do. A .txt has a path and a label in every line, without headings. Labels are class numbers, or
    else names, numbered as sorted. The index is the row in the whole list.

    exclude, keep_empty  as in `read_folder`.

    FileNotFoundError for a list or a file that is not there, ValueError for what cannot be told, each in one line.
    """
    place = Path(path).expanduser().absolute()
    if not place.is_file():
        raise FileNotFoundError(f"there is no list {place}")
    paths, labels, splits = _read_lines(place) if place.suffix.lower() == ".txt" else _read_columns(place, column)
    if not paths:
        raise ValueError(f"{place} lists no images")
    if splits is None and split == "val":
        raise ValueError(
            f"{place} has no column split: what it is trained on cannot be what it is validated on; add one with train "
            "and val, or hold a share out, by --validation 0.1 of the trainer"
        )
    paths = [os.path.normpath(place.parent / name) for name in paths]
    if len(set(paths)) < len(paths):
        twice = next(name for name, count in Counter(paths).items() if count > 1)
        raise ValueError(f"{place} names {twice} more than once; give each image one row")
    numbers, classes = _numbered(labels, place)
    source = Source(paths, numbers, classes)
    rows = np.arange(len(paths)) if splits is None else _rows_of(splits, split, place)
    rows = rows[~np.array(are_listed([paths[row] for row in rows], set(exclude)), dtype=bool)]
    if not len(rows):
        raise ValueError(f"{place} lists no images for {split}")
    _check_files([paths[row] for row in rows], place, keep_empty)
    return source.select(rows)


def splits_of(path: str | os.PathLike[str]) -> Splits:
    """Which splits a list has, under the names that its rows give them; none without a column of them."""
    place = Path(path).expanduser().absolute()
    told = None if place.suffix.lower() == ".txt" else _read_columns(place, None)[2]
    names = {
        split: next((Path(name) for name in told or () if name.lower() in known), None)
        for split, known in NAMES.items()
    }
    test = names.pop("test")
    return Splits(place, names["train"], names["val"] or test, test if names["val"] else None)


def _read_columns(place: Path, column: str | None) -> tuple[list[str], list[str], list[str] | None]:
    with open(place, newline="", encoding="utf-8-sig") as file:
        try:
            header, *rows = [row for row in csv.reader(file, delimiter=SEPARATORS[place.suffix.lower()]) if row]
        except (csv.Error, UnicodeDecodeError, ValueError) as error:
            raise ValueError(f"{place} is no readable table ({error})") from None
    header = [name.strip() for name in header]
    if any(len(row) != len(header) for row in rows):
        raise ValueError(f"{place} has rows of different lengths")
    paths = _column(header, PATHS, place)
    labels = _column(header, LABELS if column is None else (column.lower(),), place)
    splits = [place for place, name in enumerate(header) if name.lower() in SPLITS]
    return (
        [row[paths].strip() for row in rows],
        [row[labels].strip() for row in rows],
        [row[splits[0]].strip() for row in rows] if splits else None,
    )


def _column(header: Sequence[str], names: Sequence[str], place: Path) -> int:
    found = [place for place, name in enumerate(header) if name.lower() in names]
    if len(found) != 1:
        what = " and ".join(header[one] for one in found) if found else ", ".join(header)
        raise ValueError(f"{place} must have one column headed {', '.join(names[:4])}, got {what}")
    return found[0]


def _read_lines(place: Path) -> tuple[list[str], list[str], None]:
    lines = [line.rsplit(maxsplit=1) for line in place.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    wrong = next((line[0] for line in lines if len(line) != 2), None)
    if wrong is not None:
        raise ValueError(f"{place} must have a path and a label in every line, got {wrong!r:.80}")
    return [path for path, _ in lines], [label for _, label in lines], None


def _numbered(labels: Sequence[str], place: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers, and the classes' names where the labels are names."""
    if all(label.isdecimal() for label in labels):
        numbers = np.array([int(label) for label in labels])
        missing = np.setdiff1d(np.arange(numbers.max() + 1), numbers) if numbers.max() < len(labels) else [0]
        if len(missing):
            raise ValueError(
                f"{place} has labels up to {numbers.max()} but no image of class {missing[0]}; number classes from 0 "
                "without gaps, or give names"
            )
        return numbers, ()
    empty = [row for row, label in enumerate(labels) if not label]
    if empty:
        raise ValueError(f"{place} has no label in row {empty[0] + 1} ({len(empty)} such rows)")
    classes = sorted(set(labels))
    places = {name: number for number, name in enumerate(classes)}
    return np.array([places[label] for label in labels]), tuple(classes)


def _rows_of(splits: Sequence[str], split: Split, place: Path) -> np.ndarray:
    unknown = next((name for name in splits if not any(name.lower() in known for known in NAMES.values())), None)
    if unknown is not None:
        raise ValueError(f"{place} names the split {unknown!r}; known are {', '.join(sum(NAMES.values(), ()))}")
    names = NAMES[split]
    if split == "val" and not any(name.lower() in names for name in splits):
        names = NAMES["test"]
    return np.flatnonzero([name.lower() in names for name in splits])


def _check_files(paths: Sequence[str], place: Path, keep_empty: bool) -> None:
    lost = [path for path in paths if not os.path.lexists(path)]
    if lost:
        raise FileNotFoundError(
            f"{place} names {lost[0]}, which is not there ({len(lost)} such files); relative paths count from the list"
        )
    empty = [] if keep_empty else [path for path in paths if not os.path.exists(path) or not os.path.getsize(path)]
    if empty:
        raise ValueError(f"{empty[0]} is empty or a broken link ({len(empty)} such files); fetch it or leave it out")
