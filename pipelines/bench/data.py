"""The images that everybody is measured on, and what is made of them once."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ..sources import digits
from ..sources.cache import make_once, user_cache
from ..sources.files import find_kind, read_cifar, read_folder
from ..sources.source import Source

# From a larger folder that many are taken, evenly spaced: what is made of them below stays small.
SAMPLE = 5000


@dataclass(frozen=True)
class Data:
    """title: for people. folder: class folders, or pickles. cache: a folder for what is made of them."""

    title: str
    kind: Literal["files", "arrays"]
    folder: Path
    cache: Path
    num_images: int
    num_classes: int
    size: int  # pixels along each side of what comes out


def embedded() -> list[Data]:
    """The digits that come along, as files and as arrays; drawn at the first call."""
    return [find_data(digits.image_folder(), "digits"), find_data(digits.cifar_folder(), "digits")]


def find_data(root: str | os.PathLike[str], title: str = "") -> Data:
    """The training images of a folder of class folders or of CIFAR's pickles.

    Raises what `pipelines.sources.files` raises for a folder that holds neither.
    """
    folder = Path(root).expanduser().resolve()
    title = title or folder.name
    if find_kind(folder) == "cifar":
        source = read_cifar(folder, "train")
        size = int(np.shape(source.items)[1])
        return Data(title, "arrays", folder, _cache(folder, []), len(source), len(source.classes), size)
    source = read_folder(folder, "train")
    folder = folder / "train" if (folder / "train").is_dir() else folder
    cache = _cache(folder, source.items)
    if len(source) > SAMPLE:
        folder = make_once(cache / "sample", partial(_link_some, source))
        source = read_folder(folder, "train")
    return Data(title, "files", folder, cache, len(source), len(source.classes), 224)


def quality90(data: Data) -> Path:
    """Class folders with the same images at the same size as JPEGs of quality 90; written at the first call."""
    return make_once(data.cache / "quality90", partial(_write_jpegs, data.folder))


def _cache(folder: Path, files: object) -> Path:
    """A folder that is another one when the files are."""
    digest = hashlib.blake2b(os.fsencode(folder), digest_size=8)
    for file in files if isinstance(files, tuple) else ():
        facts = os.stat(file)
        digest.update(f"{file}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="surrogateescape"))
    made = user_cache() / "bench" / digest.hexdigest()
    made.mkdir(parents=True, exist_ok=True)
    return made


def _link_some(source: Source, folder: Path) -> None:
    for row in np.linspace(0, len(source) - 1, SAMPLE).astype(int).tolist():
        file = Path(source.items[row])
        place = folder / source.classes[source.labels[row]]
        place.mkdir(exist_ok=True)
        (place / f"{row:07}{file.suffix}").symlink_to(file)


def _write_jpegs(folder: Path, made: Path) -> None:
    source = read_folder(folder, "train")
    for name in source.classes:
        (made / name).mkdir()
    for row, (file, label) in enumerate(zip(source.items, source.labels, strict=True)):
        with Image.open(file) as image:
            image.convert("RGB").save(made / source.classes[label] / f"{row:07}.jpg", quality=90)
