"""TinyImageNet, whose validation images lie in one folder with a list of their classes.

`train/WNID/images/*.JPEG`, and `val/images/*.JPEG` beside `val/val_annotations.txt`, a line for each: name, class, and
the four numbers of a box, between tabs. The images of `test` have no labels.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np

from ..source import Source

LIST = "val_annotations.txt"


def holds_tiny_imagenet(folder: Path) -> bool:
    """Whether a folder has the list, and the folder of images that it speaks of."""
    return (folder / "val" / LIST).is_file() and (folder / "val" / "images").is_dir()


def read_tiny_imagenet(root: str | os.PathLike[str], split: Literal["train", "test"]) -> Source:
    """The files of a folder with TinyImageNet; "test" are the validation images, which the papers test on.

    Classes are the names of the folders in `train`, sorted. Validation images come as the list has them.
    Raises FileNotFoundError, ValueError if something is missing, or if the list and the images do not fit.
    """
    folder = Path(root).expanduser().absolute()
    train = folder / "train"
    classes = sorted(entry.name for entry in os.scandir(train) if entry.is_dir()) if train.is_dir() else []
    if not classes:
        raise FileNotFoundError(f"{train} has no class folders; unpack the whole of tiny-imagenet-200.zip again")
    return _train(train, classes) if split == "train" else _listed(folder / "val", classes)


def _train(train: Path, classes: list[str]) -> Source:
    found = {name: _images(train / name / "images") for name in classes}
    if bare := [name for name in classes if not found[name]]:
        raise ValueError(f"{train / bare[0] / 'images'} holds no images ({len(bare)} such classes); unpack it again")
    labels = np.repeat(np.arange(len(classes)), [len(found[name]) for name in classes])
    paths = [str(train / name / "images" / file) for name in classes for file in found[name]]
    return Source(paths, labels, tuple(classes))


def _listed(val: Path, classes: list[str]) -> Source:
    path = val / LIST
    rows = [line.split("\t") for line in path.read_text().splitlines() if line.strip()]
    if short := [row for row in rows if len(row) < 2]:
        raise ValueError(f"{path} must have a file and its class between tabs in each line, got {short[0][0]!r}")
    numbers = {name: number for number, name in enumerate(classes)}
    if strangers := [row for row in rows if row[1] not in numbers]:
        raise ValueError(f"{path} gives {strangers[0][0]} the class {strangers[0][1]}, which train does not have")
    names = [row[0] for row in rows]
    if len(set(names)) < len(names):
        raise ValueError(f"{path} lists an image twice; fetch it again")
    there = set(_images(val / "images"))
    if missing := [name for name in names if name not in there]:
        raise FileNotFoundError(f"{val / 'images'} lacks {missing[0]} ({len(missing)} of {len(names)} that are listed)")
    if extra := sorted(there - set(names)):
        raise ValueError(f"{path} does not list {extra[0]} ({len(extra)} such images); fetch it again")
    labels = np.array([numbers[row[1]] for row in rows])
    return Source([str(val / "images" / name) for name in names], labels, tuple(classes))


def _images(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in os.scandir(folder) if entry.name.upper().endswith((".JPEG", ".JPG")))
