"""Labels to train on instead of the data's own, from a file.

CIFAR-10N (.pt, or arrays in .npz and .npy), Imagenette's noisy labels (.csv), and what a run of ours has changed.
"""

from __future__ import annotations

import csv
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from mixdali.names import nearest
from train.data.labels.rows import Columns, check_original, find_rows, named_keys

if TYPE_CHECKING:
    from pipelines.sources.source import Source

# Columns that repeat the data's own labels, in the files named above: they tell whether the file is of these data.
ORIGINAL = ("clean_label", "noisy_labels_0", "original")


def read_labels(name: str, source: Source, classes: Sequence[str], root: str | None) -> np.ndarray:
    """The labels (N,) that a file gives the images of `source`.

    A file holds a label for each image of the data set, in its order. One with a column of paths gives them by the
    images' paths and must have every image; one with a column `index` by their places, and who is not there keeps his
    label. Headings count in any case: `rows` has the names of these columns, and a column of file names is
    one of paths whatever its heading. Labels are class numbers, or in a .csv also classes' names.

    Args:
        name: the file, and after a colon the column, where there are several: "CIFAR-10_human.pt:worse_label". A
            relative path counts from the data's folder.
        source: training images with their own labels.
        classes: name of each class.
        root: the data's folder; None where the data is not in one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, has no such column, or does not match the data. Each in one line.
    """
    path, wanted = _find(name, root)
    columns = named_keys(_read(path), path)
    values = {
        column: _as_classes(columns[column], classes, f"{path}:{column}")
        for column in {_pick(columns, wanted, path), *(set(ORIGINAL) & set(columns))}
    }
    rows = find_rows(columns, source, path, labels=values)
    for column in set(ORIGINAL) & set(values):
        check_original(values[column], rows, source, f"{path}:{column}")
    labels = values[_pick(columns, wanted, path)][rows]
    return np.where(rows < 0, source.labels, labels)


def _find(name: str, root: str | None) -> tuple[Path, str | None]:
    """-> the file and the column asked for."""
    folder = Path(root or ".").expanduser()
    start, colon, end = name.rpartition(":")
    whole, part = (folder / Path(text).expanduser() for text in (name, start))
    if whole.is_file() or not colon:
        path, column = whole, None
    else:
        path, column = part, end
    if not path.is_file():
        raise FileNotFoundError(f"labels: there is no file {path}; a relative path counts from the data's folder")
    return path, column


def _read(path: Path) -> Columns:
    readers = {".pt": _read_torch, ".npz": _read_arrays, ".npy": _read_array, ".csv": _read_table}
    if path.suffix not in readers:
        raise ValueError(f"labels: {path} must end in {', '.join(readers)}")
    try:
        columns = readers[path.suffix](path)
    except Exception as error:  # damaged bytes can raise nearly anything
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise ValueError(f"labels: {path} is no readable file of labels ({said})") from error
    lengths = {0 if np.ndim(values) == 0 else len(values) for values in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"labels: {path} must hold columns of one length, got the lengths {sorted(lengths)}")
    return columns


def _read_torch(path: Path) -> Columns:
    """Tensors, or numpy arrays as CIFAR-10N has them, which torch reads only where it may run code from the file."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        from pipelines.sources.pickles import load_pickle  # here, because importing a pipeline loads DALI

        with zipfile.ZipFile(path) as archive:
            inside = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            content = load_pickle(cast(Path, zipfile.Path(archive, inside)))
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__} instead of a dictionary")
    return {str(key): np.asarray(value) for key, value in content.items()}


def _read_arrays(path: Path) -> Columns:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
        return {name: np.asarray(content[name]) for name in content}


def _read_array(path: Path) -> Columns:
    return {path.stem: np.load(path, allow_pickle=False)}


def _read_table(path: Path) -> Columns:
    with open(path, newline="", encoding="utf-8-sig") as file:  # with or without the mark that Excel sets first
        header, *rows = [row for row in csv.reader(file) if row]
    header = [name.strip() for name in header]
    if any(len(row) != len(header) for row in rows):
        raise ValueError("rows of different lengths")
    if len(set(header)) < len(header):
        raise ValueError(f"two columns of one name: {', '.join(header)}")
    return dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else {name: () for name in header}


def _pick(columns: Columns, wanted: str | None, path: Path) -> str:
    """The column of the labels."""
    if wanted is None and len(columns) == 1:
        return next(iter(columns))
    names = [name for name in columns if name not in ("path", "index", *ORIGINAL)]
    if wanted is None and len(names) == 1 and {"path", "index"} & set(columns):
        return names[0]
    if wanted is None:
        shown = names or list(columns)
        raise ValueError(f"labels: {path} holds {', '.join(shown)}; add which after a colon: {path.name}:{shown[0]}")
    if wanted not in columns:
        raise ValueError(f"labels: {path} has no column {wanted!r}; {nearest(wanted, names)}")
    return wanted


def _as_classes(values: Sequence[Any] | np.ndarray, classes: Sequence[str], where: str) -> np.ndarray:
    """Class numbers, or classes' names as text -> (N,) class numbers of these classes."""
    if isinstance(values, np.ndarray):
        numbers = values
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise ValueError(f"labels: {where} must be integers (N,), got {numbers.dtype} of shape {numbers.shape}")
    else:
        known = {name: number for number, name in enumerate(classes)}
        unknown = next((text for text in values if text not in known and not text.strip().isdecimal()), None)
        if unknown is not None:
            raise ValueError(f"labels: {where} names the class {unknown!r}, which the data does not have")
        numbers = np.array([known[text] if text in known else int(text) for text in values])
    wrong = numbers[(numbers < 0) | (numbers >= len(classes))]
    if len(wrong):
        raise ValueError(f"labels: {where} holds the label {wrong[0]}, outside 0 to {len(classes) - 1}")
    return numbers.astype(np.int32)
