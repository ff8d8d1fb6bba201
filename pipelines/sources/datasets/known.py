"""Which of the known forms a folder is in; whatever is in none of them is for `files`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .. import files
from ..records.find import Records, find_records
from ..source import Source
from .stl10 import holds_stl10, read_stl10
from .svhn import holds_svhn, read_svhn
from .tiny_imagenet import holds_tiny_imagenet, read_tiny_imagenet


@dataclass(frozen=True)
class Form:
    """A data set's own files."""

    name: str
    kind: Literal["cifar", "imagenet"]
    """Whose pipeline reads it: "cifar" images in memory, "imagenet" files."""
    is_in: Callable[[Path], bool]
    reader: Callable[[Path, Any], Source]
    """The folder, and "train", "test" or what else there is."""


FORMS = (
    Form("SVHN", "cifar", holds_svhn, read_svhn),
    Form("STL-10", "cifar", holds_stl10, read_stl10),
    Form("TinyImageNet", "imagenet", holds_tiny_imagenet, read_tiny_imagenet),
)


MOST = 20
"""Folders that are looked into for a data set."""


@dataclass(frozen=True)
class Found:
    """A data set in its folder."""

    form: Form
    folder: Path

    def read(self, split: Literal["train", "test", "unlabeled"]) -> Source:
        """Raises FileNotFoundError, ValueError: one line on what is missing or wrong."""
        return self.form.reader(self.folder, split)


def find(root: str | os.PathLike[str]) -> Found | None:
    """The data set in a folder, or in one folder below it; None if it is none of these forms.

    Raises ValueError if several are there.
    """
    folder = Path(root).expanduser().absolute()
    if not folder.is_dir() or files.holds_pickles(folder):
        return None
    below = sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
    # A folder with many others in it is one of classes, and to look into each would take long.
    for places in ([folder], below if len(below) <= MOST else []):
        found = [Found(form, place) for place in places for form in FORMS if form.is_in(place)]
        if len(found) > 1:
            names = ", ".join(f"{one.form.name} in {one.folder.name}" for one in found)
            raise ValueError(f"{folder} holds several data sets ({names}); give the folder of one")
        if found:
            return found[0]
    return None


def find_kind(root: str | os.PathLike[str]) -> Literal["cifar", "imagenet"]:
    """Whose pipeline reads a folder, a list or larger files: "cifar" images in memory, "imagenet" encoded ones.

    Errors as of `files.find_kind` and `records.find.find_records`.
    """
    found = find(root) or records_of(root)
    return files.find_kind(root) if found is None else found.form.kind


def records_of(root: str | os.PathLike[str]) -> Records | None:
    """The larger files that hold the images, unless `root` is a folder in a form that comes first."""
    folder = Path(root).expanduser()
    return None if folder.is_dir() and files.holds_pickles(folder) else find_records(root)


def read_train(root: str | os.PathLike[str]) -> Source:
    """The training images of a folder, whatever its form, of a list of files or of larger files. Errors as of the
    readers."""
    found = find(root) or records_of(root)
    if found is not None:
        return found.read("train")
    return files.read_cifar(root, "train") if files.find_kind(root) == "cifar" else files.read_files(root, "train")
