"""Images in NumPy's files, by the names that their arrays are known to have."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..source import Source
from ..splits import NAMES, Split

# What the arrays of a split S are called: MedMNIST's, Keras's, others'. The last are of a file without splits.
FORMS = (("S_images", "S_labels"), ("x_S", "y_S"), ("X_S", "y_S"), ("S_x", "S_y"))
ALONE = (("images", "labels"), ("x", "y"), ("X", "y"), ("image", "label"))


def read_arrays(path: str | os.PathLike[str], split: Split) -> Source:
    """Images in memory, (N, H, W, 3) uint8, and class numbers, from an .npz.

    Its arrays are called by one of FORMS, with a split's name for S, or by one of ALONE where there are no splits: then
    everything is to train on. Grey images (N, H, W) or (N, H, W, 1) come in three equal channels, and (N, 3, H, W) with
    the channels last. Labels are (N,) or (N, 1). Code in a file is not run but refused.

    FileNotFoundError if there is no such file, ValueError, in one line, for what cannot be told.
    """
    place = Path(path).expanduser().absolute()
    if not place.is_file():
        raise FileNotFoundError(f"there is no file {place}")
    try:
        with open(place, "rb") as file, np.load(file, allow_pickle=False) as content:
            images, labels = _names(content, split, place)
            return Source(_images(content[images], f"{place}:{images}"), _labels(content[labels], f"{place}:{labels}"))
    except Exception as error:  # damaged bytes can raise nearly anything
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        if said.startswith(str(place)):
            raise ValueError(said) from None
        raise ValueError(f"{place} is no readable .npz of images and labels ({said[:120]})") from None


def has_arrays(path: str | os.PathLike[str], split: Split) -> bool:
    """Whether a file has arrays that are named for this split. ValueError if it is no .npz."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
            return isinstance(content, Mapping) and bool(_named(content, split))
    except Exception as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is no readable .npz of images and labels ({said[:120]})") from None


def _named(content: Mapping[str, np.ndarray], split: Split) -> list[tuple[str, str]]:
    """Pairs of arrays whose names tell the split; of the test images, to validate on, if there are no others."""
    for known in (NAMES[split], NAMES["test"] if split == "val" else ()):
        named = [(images.replace("S", name), labels.replace("S", name)) for name in known for images, labels in FORMS]
        found = [pair for pair in named if all(name in content for name in pair)]
        if found:
            return found
    return []


def _names(content: Mapping[str, np.ndarray], split: Split, place: Path) -> tuple[str, str]:
    """The names of a split's two arrays."""
    if not isinstance(content, Mapping):
        raise ValueError(f"{place} holds one array alone; images and labels must be in one .npz")
    found = _named(content, split)
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{place} holds {' and '.join(pair[0] for pair in found)}; keep one of them")
    if split == "train":
        alone = [pair for pair in ALONE if all(name in content for name in pair)]
        if len(alone) == 1:
            return alone[0]
    raise ValueError(
        f"{place} has no arrays for {split}: they must be called {split}_images and {split}_labels, or x_{split} and "
        f"y_{split}; found {', '.join(content)}"
    )


def _images(array: np.ndarray | bytes, where: str) -> np.ndarray:
    if not isinstance(array, np.ndarray):  # what of the archive is no array
        raise ValueError(f"{where} is no array")
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or not array.size:
        raise ValueError(f"{where} must be uint8 images (N, H, W, 3) or (N, H, W), got {array.dtype} {array.shape}")
    if array.ndim == 3 or array.shape[3] == 1:
        return np.repeat(array.reshape(*array.shape[:3], 1), 3, axis=3)
    first, last = array.shape[1] == 3, array.shape[3] == 3
    if first == last:
        raise ValueError(f"{where} has the shape {array.shape}, which does not tell where the three channels are")
    return array if last else np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def _labels(array: np.ndarray | bytes, where: str) -> np.ndarray:
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{where} is no array")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array.size and array.min() < 0):
        raise ValueError(f"{where} must be class numbers (N,), got {array.dtype} {array.shape}")
    return array
