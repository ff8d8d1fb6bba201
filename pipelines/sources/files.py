"""Sources of the two layouts that data sets come in: CIFAR's python pickles, and a folder of images for each class."""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .exclude import are_listed
from .pickles import load_pickle
from .source import Source
from .splits import LAYOUT, Split, find_splits, no_class_folders
from .tables import is_table, read_table
from .walk import EXTENSIONS, find_folder, images_below, listing, subfolders

_CIFAR10 = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"], "meta": ["batches.meta"]}
_CIFAR100 = {"train": ["train"], "test": ["test"], "meta": ["meta"]}
_CIFAR_NAMES = "data_batch_1 to data_batch_5, test_batch, batches.meta (CIFAR-10) or train, test, meta (CIFAR-100)"


def find_kind(root: str | os.PathLike[str]) -> Literal["cifar", "imagenet"]:
    """What a folder holds: CIFAR's pickles ("cifar", for read_cifar) or class folders ("imagenet", for read_files). A
    list of files is "imagenet" too.

    Raises FileNotFoundError or NotADirectoryError if it is no folder, ValueError if it holds neither.
    """
    if is_table(root):
        return "imagenet"
    folder = find_folder(root)
    if holds_pickles(folder):
        return "cifar"
    if subfolders(folder):
        return "imagenet"
    raise ValueError(
        f"{folder} holds neither CIFAR's pickles ({_CIFAR_NAMES}) nor class folders ({LAYOUT}); found {listing(folder)}"
    )


def holds_pickles(folder: str | os.PathLike[str]) -> bool:
    """Whether CIFAR's pickles are in this folder, or in one in it."""
    return bool(_cifar_folders(Path(folder)))


def read_cifar(root: str | os.PathLike[str], split: Literal["train", "test"]) -> Source:
    """CIFAR-10 or CIFAR-100 (fine labels) from the original python pickles: items (N, 32, 32, 3) uint8.

    root: the folder that holds the pickles, or one that holds such a folder. Batches follow their numbers. Other square
    images are read too, if a row of the data is as long as that. Code in a pickle is not run but refused.
    Raises FileNotFoundError for what is missing, ValueError for a damaged file, and names it.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    folder = _cifar_folder(find_folder(root))
    names = _cifar_names(folder)
    paths = [folder / name for name in names["meta"] + names[split]]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}; unpack the whole archive again")
    meta = load_pickle(paths[0])
    # A CIFAR-100 batch has the labels of 20 coarse classes as well.
    classes = _classes(_entry(meta, ("label_names", "fine_label_names"), paths[0]), paths[0])
    batches = [_batch(path, len(classes)) for path in paths[1:]]
    widths = {images.shape[1] for images, _ in batches}
    if len(widths) > 1:
        raise ValueError(f"the batches in {folder} hold images of different widths, {sorted(widths)}; fetch it again")
    total, width = sum(len(labels) for _, labels in batches), widths.pop()
    items = np.empty((total, width, width, 3), np.uint8)
    np.concatenate([images for images, _ in batches], out=items)
    return Source(items, np.concatenate([labels for _, labels in batches]), classes)


def read_folder(
    root: str | os.PathLike[str],
    split: Split,
    *,
    whole: bool = False,
    exclude: Collection[str] = (),
    keep_empty: bool = False,
) -> Source:
    """An image folder: path and class of each image in ROOT/SPLIT/CLASS, or in ROOT/CLASS where there are no splits.

    The folders of a split are found by `find_splits`. Without splits everything is to train on; "val" is refused, but
    with `whole`, for a folder that is a test set as a whole.

    Classes are numbered by sorted name, as torchvision's ImageFolder does; those of val are those of train, if that is
    there. Folders inside a class folder belong to it. Files with other endings than EXTENSIONS (in any case) are passed
    over, and so is whatever has a name that begins with a dot. Those that `exclude` names, as `exclude.read_list` gives
    them, are left out, and the others keep their index.
    Raises FileNotFoundError for a missing folder, ValueError if there are no class folders, class folders without
    images, classes that train does not have, or empty files, unless `keep_empty`.
    """
    if split not in ("train", "val"):
        raise ValueError(f"split must be 'train' or 'val', got {split!r}")
    splits = find_splits(find_folder(root))
    folder = splits.folder(split, whole=whole)
    own = subfolders(folder)
    if not own:
        raise ValueError(no_class_folders(folder, split))
    classes = own if splits.train is None else subfolders(splits.train) or own
    unknown = sorted(set(own) - set(classes))
    if unknown:
        raise ValueError(
            f"{folder / unknown[0]} is a class that {splits.train} does not have ({len(unknown)} such folders); "
            f"remove it or add it there"
        )
    found = {name: images_below(folder / name) for name in own}
    bare = [name for name in own if not found[name][0]]
    if bare:
        raise ValueError(
            f"{folder / bare[0]} holds no images ({len(bare)} such class folders of {len(own)}); "
            f"remove it or add files ending in {' '.join(EXTENSIONS)}"
        )
    listed = set(exclude)
    if not keep_empty:
        empty = [path for _, paths in found.values() for path in paths]
        _check_empty([path for path, left_out in zip(empty, are_listed(empty, listed), strict=True) if not left_out])
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.repeat([numbers[name] for name in own], [len(found[name][0]) for name in own])
    return leave_out(Source([path for paths, _ in found.values() for path in paths], labels, tuple(classes)), listed)


def read_files(root: str | os.PathLike[str], split: Split, **settings: Any) -> Source:
    """Image files by `read_table` where `root` is a list, else by `read_folder`, which have `settings` in common."""
    return read_table(root, split, **settings) if is_table(root) else read_folder(root, split, **settings)


def leave_out(source: Source, listed: Collection[str]) -> Source:
    """A source of files without those that are listed. ValueError if none is left."""
    if not listed:
        return source
    kept = ~np.array(are_listed(source.items, listed), dtype=bool)
    if not kept.any():
        raise ValueError(f"exclude names all of the {len(source)} images")
    return source if kept.all() else source.select(kept)


def read_images(root: str | os.PathLike[str]) -> Source:
    """All images in a folder and in the folders inside it, in `train` alone where it has one; every label is 0.

    For images of no class. What counts as an image, and the errors, are as in `read_folder`.
    """
    root = find_folder(root)
    paths, empty = images_below(find_splits(root).train or root)
    _check_empty(empty)
    if not paths:
        raise ValueError(f"{root} holds no images: no file ends in {' '.join(EXTENSIONS)}; found {listing(root)}")
    return Source(paths, np.zeros(len(paths), np.int32))


def _check_empty(paths: list[str]) -> None:
    if paths:
        raise ValueError(
            f"{paths[0]} is empty or a broken link ({len(paths)} such files); fetch or remove it, or leave it out "
            "with exclude"
        )


def _cifar_names(folder: Path) -> dict[str, list[str]]:
    """File names by part, of the data set of which the folder holds the pickles; empty if it holds none."""
    if any((folder / name).is_file() for name in chain.from_iterable(_CIFAR10.values())):
        return _CIFAR10
    # These names are so plain that one of them alone does not tell.
    if sum((folder / name).is_file() for name in chain.from_iterable(_CIFAR100.values())) >= 2:
        return _CIFAR100
    return {}


def _cifar_folders(folder: Path) -> list[Path]:
    if _cifar_names(folder):
        return [folder]
    return [folder / name for name in subfolders(folder) if _cifar_names(folder / name)]


def _cifar_folder(folder: Path) -> Path:
    found = _cifar_folders(folder)
    if not found:
        raise FileNotFoundError(
            f"no CIFAR pickles in {folder}: looked there and one folder below for {_CIFAR_NAMES}; "
            f"found {listing(folder)}"
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"{folder} holds {len(found)} data sets ({names}); give one of these folders")
    return found[0]


def _entry(content: dict[str, Any], keys: tuple[str, str], path: Path) -> Any:
    for key in keys:
        if key in content:
            return content[key]
    found = " ".join(", ".join(content).split())
    raise ValueError(f"{path} has no entry {' or '.join(keys)}, only {found[:200]}; give the original file")


def _classes(names: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(names, list) or not names or not all(isinstance(name, bytes | str) for name in names):
        raise ValueError(f"{path} holds no list of class names; give the original file")
    return tuple(name.decode("latin1") if isinstance(name, bytes) else name for name in names)


def _batch(path: Path, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, S, S, 3) uint8, a view with the planes of the file, and labels (N,)."""
    content = load_pickle(path)
    data = content.get("data")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or not data.size:
        kind = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise ValueError(f"{path} holds no uint8 rows of pixels under 'data' but {kind}; give the original file")
    side = math.isqrt(data.shape[1] // 3)
    if 3 * side * side != data.shape[1]:
        raise ValueError(f"{path} has rows of {data.shape[1]} numbers, which make no square image of 3 colours")
    labels = _entry(content, ("labels", "fine_labels"), path)
    if not isinstance(labels, list | np.ndarray) or not all(isinstance(label, int | np.integer) for label in labels):
        raise ValueError(f"{path} holds labels that are not whole numbers; give the original file")
    if len(labels) != len(data):
        raise ValueError(f"{path} holds {len(data)} images but {len(labels)} labels; fetch it again")
    numbers = np.asarray(labels, np.int64)
    if numbers.min() < 0 or numbers.max() >= num_classes:
        wrong = numbers.min() if numbers.min() < 0 else numbers.max()
        raise ValueError(f"{path} has the label {wrong}, but batches.meta or meta names {num_classes} classes")
    return data.reshape(-1, 3, side, side).transpose(0, 2, 3, 1), numbers
