"""STL-10, in its binary form.

Coates, Lee and Ng, "An Analysis of Single Layer Networks in Unsupervised Feature Learning", AISTATS 2011. A file of
images holds 3 x 96 x 96 bytes for each, colour by colour and in each column by column; one of labels a byte for each,
from 1 on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np

from ..source import Source

SIDE = 96
NUM_CLASSES = 10
Split = Literal["train", "test", "unlabeled"]


def holds_stl10(folder: Path) -> bool:
    """Whether a folder holds one of the files of images."""
    return any((folder / f"{split}_X.bin").is_file() for split in ("train", "test", "unlabeled"))


def read_stl10(root: str | os.PathLike[str], split: Split) -> Source:
    """The images (N, 96, 96, 3) uint8 and labels, 0 to 9, of a folder with STL-10's binary files.

    "unlabeled" are 100,000 images of no class, all with the label 0.
    Raises FileNotFoundError if a file is missing, ValueError if it is damaged.
    """
    folder = Path(root).expanduser().absolute()
    names = [f"{split}_X.bin"] + ([] if split == "unlabeled" else [f"{split}_y.bin", "class_names.txt"])
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}; unpack the whole of stl10_binary.tar.gz again")
    path = folder / names[0]
    raw = np.fromfile(path, np.uint8)
    if not raw.size or raw.size % (3 * SIDE * SIDE):
        raise ValueError(f"{path} holds {raw.size} bytes, which make no images of 3 x 96 x 96; fetch it again")
    images = np.ascontiguousarray(raw.reshape(-1, 3, SIDE, SIDE).transpose(0, 3, 2, 1))
    if split == "unlabeled":
        return Source(images, np.zeros(len(images), np.int64))
    labels = np.fromfile(folder / names[1], np.uint8).astype(np.int64) - 1
    classes = tuple((folder / names[2]).read_text().split())
    if len(labels) != len(images):
        raise ValueError(f"{folder / names[1]} holds {len(labels)} labels for {len(images)} images; fetch it again")
    if len(classes) != NUM_CLASSES:
        raise ValueError(f"{folder / names[2]} names {len(classes)} classes, STL-10 has 10; fetch it again")
    if labels.min() < 0 or labels.max() >= NUM_CLASSES:
        wrong = 1 + (labels.min() if labels.min() < 0 else labels.max())
        raise ValueError(f"{folder / names[1]} has the label {wrong}; STL-10's are 1 to 10")
    return Source(images, labels, classes)
