"""WebDataset: tar files in which the parts of a sample have one name and different endings."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..source import Source
from ..walk import EXTENSIONS
from .index import Columns, columns, read_indexed

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
    return read_indexed(paths, "tar", partial(_scan, label), settings=label, classes=classes, cache=cache)


def _scan(label: str, file: Path) -> Columns:
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
    return columns([(name, labels[key], offset, size) for key, (name, offset, size) in images.items()])
