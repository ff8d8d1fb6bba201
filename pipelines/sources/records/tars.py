"""WebDataset: tar files in which the parts of a sample have one name and different endings."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from ..cache import make_once, user_cache
from ..source import Source
from ..spans import Spans
from ..walk import EXTENSIONS

LABEL = "cls"


def read_tars(
    paths: Sequence[str | os.PathLike[str]],
    *,
    label: str = LABEL,
    classes: Sequence[str] = (),
    cache: Path | None = None,
) -> Source:
    """The images in tar files, in order, with the class numbers in the files beside them: `0001.jpg` and `0001.cls`.

    paths    the tar files. Where each image lies is found at the first call, and kept in the user's cache as long as
             the file stays what it is.
    label    ending of the files that hold a class number, or a class's name where `classes` are given.
    classes  names of the classes.
    cache    where to keep the index; mixdali's folder in the user's cache by default.

    Items are named TAR/NAME. Images are read where they are, in any order, so that a loader's shuffle is of all images,
    shards are by rank, and a state is exact; nothing is unpacked.

    FileNotFoundError for a file that is not there, ValueError for one that is no whole tar, holds no images, or an
    image without a label; OSError if the cache cannot be written.
    """
    files = [Path(path).expanduser().absolute() for path in paths]
    if isinstance(paths, str | os.PathLike) or not files:
        raise TypeError(f"paths must be a list of tar files, got {paths!r:.80}")
    places = {name: number for number, name in enumerate(classes)}
    names: list[str] = []
    labels: list[int] = []
    parts = []
    for number, file in enumerate(files):
        if not file.is_file():
            raise FileNotFoundError(f"there is no tar file {file}")
        found = _index(file, label, cache or user_cache())
        pair = found["labels"].tolist(), found["names"].tolist()
        names += [f"{file}/{name}" for name in pair[1]]
        labels += [_number(text, places, f"{file}/{name}") for text, name in zip(*pair, strict=True)]
        parts.append((np.full(len(pair[1]), number), found["offsets"], found["sizes"]))
    file_of, offsets, sizes = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    spans = Spans(tuple(map(str, files)), file_of, offsets, sizes)
    return Source(names, np.array(labels), tuple(classes), spans=spans)


def _number(text: str, places: dict[str, int], where: str) -> int:
    if text in places:
        return places[text]
    if not text.isdecimal():
        raise ValueError(f"{where} has the label {text!r}, which is no class number; pass classes, the names in order")
    return int(text)


def _index(file: Path, label: str, cache: Path) -> dict[str, np.ndarray]:
    """Names, labels, offsets and sizes of the images in a tar; made once for a file as it is."""
    facts = file.stat()
    key = blake2b(f"{file}|{facts.st_size}|{facts.st_mtime_ns}|{label}".encode(), digest_size=12).hexdigest()
    folder = make_once(cache / "tars" / key, partial(_write_index, file, label))
    with np.load(folder / "index.npz", allow_pickle=False) as content:
        return dict(content)


def _write_index(file: Path, label: str, folder: Path) -> None:
    columns: dict[str, Any] = _scan(file, label)
    np.savez(folder / "index.npz", **columns)


def _scan(file: Path, label: str) -> dict[str, np.ndarray]:
    images: dict[str, tuple[str, int, int]] = {}
    labels: dict[str, str] = {}
    try:
        with tarfile.open(file, "r:") as tar:  # compressed ones cannot be read in any order
            for member in tar:
                name = member.name.rpartition("/")[2]
                if not member.isfile() or name.startswith("."):
                    continue
                sample, _, ending = name.partition(".")
                key = member.name[: len(member.name) - len(name)] + sample
                if f".{ending.lower()}" in EXTENSIONS:
                    if key in images:
                        raise ValueError(f"{file} holds two images of the sample {key}")
                    images[key] = (member.name, member.offset_data, member.size)
                elif ending.lower() == label:
                    opened = tar.extractfile(member)
                    assert opened is not None
                    labels[key] = opened.read(200).decode(errors="replace").strip()
            end = max((offset + size for _, offset, size in images.values()), default=0)
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{file} is no whole, uncompressed tar file ({error}); fetch or unpack it again") from None
    if not images:
        raise ValueError(f"{file} holds no images: no file ends in {' '.join(EXTENSIONS)}")
    if end > file.stat().st_size:
        raise ValueError(f"{file} is cut off; fetch it again")
    missing = [key for key in images if key not in labels]
    if missing:
        raise ValueError(f"{file} has no {missing[0]}.{label} beside its image ({len(missing)} of {len(images)} such)")
    names, offsets, sizes = zip(*images.values(), strict=True)
    return {
        "names": np.array(names),
        "labels": np.array([labels[key] for key in images]),
        "offsets": np.array(offsets, np.int64),
        "sizes": np.array(sizes, np.int64),
    }
