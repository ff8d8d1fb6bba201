"""Where the images lie in larger files: found once for a file as it is, and kept in the user's cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from ..cache import make_once, user_cache
from ..source import Source
from ..spans import Spans

VERSION = 2  # of what is kept

Columns = dict[str, np.ndarray]
"""names, labels: texts; offsets, sizes: bytes; each (N,). holes, of `Spans`: perhaps none."""


def read_indexed(
    paths: Sequence[str | os.PathLike[str]],
    kind: str,
    scan: Callable[[Path], Columns],
    *,
    settings: str = "",
    classes: Sequence[str] = (),
    cache: Path | None = None,
) -> Source:
    """The images in these files, in order; items are named FILE/NAME.

    kind      of the files, for people and for the cache.
    scan      what finds the images in a file. settings: what it depends on.
    classes   names of the classes: a label that is one of them is its number.
    cache     mixdali's folder in the user's cache by default.

    FileNotFoundError for a file that is not there, ValueError for a label that is no class number; the errors of
    `scan`, and OSError if the cache cannot be written.
    """
    files = [Path(path).expanduser().absolute() for path in paths]
    if isinstance(paths, str | os.PathLike) or not files:
        raise TypeError(f"paths must be a list of {kind} files, got {paths!r:.80}")
    places = {name: number for number, name in enumerate(classes)}
    names: list[str] = []
    labels: list[int] = []
    parts = []
    for number, file in enumerate(files):
        if not file.is_file():
            raise FileNotFoundError(f"there is no {kind} file {file}")
        found = _index(file, kind, settings, scan, cache or user_cache())
        pair = found["labels"].tolist(), found["names"].tolist()
        names += [f"{file}/{name}" for name in pair[1]]
        labels += [_number(text, places, f"{file}/{name}") for text, name in zip(*pair, strict=True)]
        parts.append((np.full(len(pair[1]), number), found["offsets"], found["sizes"], found["holes"]))
    *columns, holes = zip(*parts, strict=True)
    file_of, offsets, sizes = map(np.concatenate, columns)
    spans = Spans(tuple(map(str, files)), file_of, offsets, sizes, holes if any(map(len, holes)) else ())
    return Source(names, np.array(labels), tuple(classes), spans=spans)


def _number(text: str, places: dict[str, int], where: str) -> int:
    if text in places:
        return places[text]
    if not text.isdecimal():
        raise ValueError(
            f"{where} has the label {text!r}, which is no class number; pass classes, the names in order, or write "
            "them to classes.txt beside the files, one a line"
        )
    return int(text)


def _index(file: Path, kind: str, settings: str, scan: Callable[[Path], Columns], cache: Path) -> Columns:
    facts = file.stat()
    told = f"{VERSION}|{file}|{facts.st_size}|{facts.st_mtime_ns}|{settings}"
    key = blake2b(told.encode(errors="surrogateescape"), digest_size=12).hexdigest()
    folder = make_once(cache / f"{kind}s" / key, partial(_write, file, scan))
    with np.load(folder / "index.npz", allow_pickle=False) as content:
        return dict(content)


def _write(file: Path, scan: Callable[[Path], Columns], folder: Path) -> None:
    columns: dict[str, Any] = {"holes": np.array([], np.int64), **scan(file)}
    np.savez(folder / "index.npz", **columns)


def columns(rows: Sequence[tuple[str, str, int, int]], holes: Sequence[int] = ()) -> Columns:
    """From name, label, offset and size of each image."""
    names, labels, offsets, sizes = zip(*rows, strict=True)
    return {
        "names": np.array(names),
        "labels": np.array(labels),
        "offsets": np.array(offsets, np.int64),
        "sizes": np.array(sizes, np.int64),
        "holes": np.array(holes, np.int64),
    }
