"""Which row of a file of labels is of which image: by path, by index, or by order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pipelines.sources.source import Source

Columns = Mapping[str, Sequence[Any] | np.ndarray]

# Headings, in any case, of the column that tells which image a row is of.
PATHS = ("path", "filename", "file", "file_name", "filepath", "file_path", "image", "image_path", "image_name", "img")
INDICES = ("index", "idx")
SHOWN = 60  # characters of a path in a message


def named_keys(columns: Columns, path: Path) -> Columns:
    """The columns with the one that tells the image under the name "path" or "index", whatever its heading.

    ValueError if several could be it.
    """
    keys = {
        "path": [name for name in columns if name.lower() in PATHS],
        "index": [name for name in columns if name.lower() in INDICES],
    }
    keys["path"] = keys["path"] or [name for name in columns if _are_files(columns[name])]
    for kind, names in keys.items():
        if len(names) > 1:
            raise ValueError(f"labels: {path} has several columns of {kind}, {', '.join(names)}; leave one")
    renamed = {names[0]: kind for kind, names in keys.items() if names}
    return {renamed.get(name, name): values for name, values in columns.items()}


def _are_files(values: Sequence[Any] | np.ndarray) -> bool:
    """Whether these are names of image files."""
    from pipelines.sources.walk import EXTENSIONS  # here, because importing a pipeline loads DALI

    return len(values) > 0 and all(isinstance(text, str) and text.lower().endswith(EXTENSIONS) for text in values)


def find_rows(columns: Columns, source: Source, path: Path, *, labels: Container[str]) -> np.ndarray:
    """(N,) in which row of the file each image stands; -1 for one that is not there.

    labels  the columns that are known to be labels.
    """
    length = len(next(iter(columns.values())))
    if "path" in columns:
        return _rows_by_path(columns["path"], source, path)
    if "index" in columns:
        return _rows_by_index(columns["index"], source, path)
    complete = bool((source.index == np.arange(len(source))).all())
    if (complete and length != len(source)) or length <= int(source.index.max()):
        raise ValueError(f"labels: {path} has {length:,} labels, the data has {len(source):,} training images")
    unknown = [name for name, values in columns.items() if name not in labels and _may_be_keys(values)]
    if unknown:
        raise ValueError(
            f"labels: {path} has another value in every row of column {unknown[0]!r}, which may tell which image it is "
            "of: head it path or index, or leave it out where rows are in the data's order"
        )
    return source.index.astype(np.int64)


def _may_be_keys(values: Sequence[Any] | np.ndarray) -> bool:
    return np.ndim(values) == 1 and len(values) > 2 and len(set(np.asarray(values).tolist())) == len(values)


def _rows_by_path(paths: Sequence[Any] | np.ndarray, source: Source, path: Path) -> np.ndarray:
    """By as many of the last parts of a path as the file gives; those of an absolute one may lie elsewhere."""
    if isinstance(source.items, np.ndarray):
        raise ValueError(f"labels: {path} gives labels to files, the data are images in memory")
    given = [os.path.normpath(str(text).strip().replace("\\", "/")) for text in paths]
    depths = {text.count("/") + 1 for text in given}
    if len(depths) > 1:
        shown = [next(text for text in given if text.count("/") + 1 == depth)[-SHOWN:] for depth in sorted(depths)[:2]]
        raise ValueError(
            f"labels: {path} gives paths of different depths, {shown[0]!r} and {shown[1]!r}; give all alike"
        )
    parts = depths.pop()
    if given[0].startswith("/") and not {*given} & {*source.items}:
        parts = 2  # CLASS/image.jpg, wherever that lay when the file was written
    names, given = [_last(item, parts) for item in source.items], [_last(text, parts) for text in given]
    rows = {text: row for row, text in enumerate(given)}
    if len(rows) < len(given):
        twice = next(text for row, text in enumerate(given) if rows[text] != row)
        raise ValueError(f"labels: {path} names {twice} more than once; give each image one row")
    missing = [name for name in names if name not in rows]
    if missing:
        raise ValueError(
            f"labels: {path} has no {missing[0]} ({len(missing):,} of {len(names):,} training images are not there); "
            "it belongs to other data"
        )
    if len(set(names)) < len(names):
        first = next(name for name, count in Counter(names).items() if count > 1)
        raise ValueError(
            f"labels: {path} names {first}, which is the name of {names.count(first)} training images; give their "
            "folders too, as in CLASS/image.jpg"
        )
    return np.array([rows[name] for name in names])


def _last(text: str, parts: int) -> str:
    return "/".join(text.split("/")[-parts:])


def _rows_by_index(values: Sequence[Any] | np.ndarray, source: Source, path: Path) -> np.ndarray:
    highest = int(source.index.max())
    try:
        index = np.asarray(values).astype(np.int64)
    except ValueError as error:
        raise ValueError(f"labels: {path} must have whole numbers in its column index ({error})") from None
    if len(np.unique(index)) < len(index):
        raise ValueError(f"labels: {path} must have each image once in its column index")
    if index.min() < 0 or index.max() > highest:
        wrong = index.min() if index.min() < 0 else index.max()
        raise ValueError(f"labels: {path} gives image {wrong} a label, the data has images 0 to {highest}")
    rows = np.full(highest + 1, -1)
    rows[index] = np.arange(len(index))
    return rows[source.index]


def check_original(values: np.ndarray, rows: np.ndarray, source: Source, where: str) -> None:
    """ValueError unless a file's own copy of the data's labels agrees with them."""
    wrong = np.flatnonzero((rows >= 0) & (values[rows] != source.labels))
    if len(wrong):
        first = int(wrong[0])
        raise ValueError(
            f"labels: {where} says that image {source.index[first]} is class {values[rows[first]]}, the data says "
            f"{source.labels[first]} ({len(wrong):,} such images); the file belongs to other data or another order"
        )
