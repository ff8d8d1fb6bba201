"""Sources of the two layouts that data sets come in: CIFAR's python pickles, and a folder of images for each class."""

from __future__ import annotations

import math
import os
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .pickles import load_pickle
from .source import Source

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pnm", ".ppm", ".pgm", ".jp2")

_CIFAR10 = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"], "meta": ["batches.meta"]}
_CIFAR100 = {"train": ["train"], "test": ["test"], "meta": ["meta"]}
_CIFAR_NAMES = "data_batch_1 to data_batch_5, test_batch, batches.meta (CIFAR-10) or train, test, meta (CIFAR-100)"
_FOLDER_LAYOUT = "ROOT/train/CLASS/image.jpg and ROOT/val/CLASS/image.jpg, or ROOT/CLASS/image.jpg"


def find_kind(root: str | os.PathLike[str]) -> Literal["cifar", "imagenet"]:
    """What a folder holds: CIFAR's pickles ("cifar", for read_cifar) or class folders ("imagenet", for read_folder).

    Raises FileNotFoundError or NotADirectoryError if it is no folder, ValueError if it holds neither.
    """
    folder = _folder(root)
    if holds_pickles(folder):
        return "cifar"
    if any(_subfolders(split) for split in (folder, folder / "train", folder / "val")):
        return "imagenet"
    raise ValueError(
        f"{folder} holds neither CIFAR's pickles ({_CIFAR_NAMES}) nor class folders ({_FOLDER_LAYOUT}); "
        f"found {_listing(folder)}"
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
    folder = _cifar_folder(_folder(root))
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


def read_folder(root: str | os.PathLike[str], split: Literal["train", "val"]) -> Source:
    """An image folder: path and class of each image in ROOT/SPLIT/CLASS, or in ROOT/CLASS where there are no splits.

    Classes are numbered by sorted name, as torchvision's ImageFolder does; those of val are those of train, if that is
    there. Folders inside a class folder belong to it. Files with other endings than EXTENSIONS (in any case) are passed
    over, and so is whatever has a name that begins with a dot.
    Raises FileNotFoundError for a missing folder, ValueError if there are no class folders, class folders without
    images, classes that train does not have, or empty files.
    """
    if split not in ("train", "val"):
        raise ValueError(f"split must be 'train' or 'val', got {split!r}")
    root = _folder(root)
    folder, classes = _split_folder(root, split)
    own = _subfolders(folder)
    if not own:
        loose = any(name.lower().endswith(EXTENSIONS) for name in os.listdir(folder))
        kind = "images but no class folders" if loose else "no class folders"
        raise ValueError(f"{folder} holds {kind}; the layout must be {_FOLDER_LAYOUT}; found {_listing(folder)}")
    unknown = sorted(set(own) - set(classes))
    if unknown:
        raise ValueError(
            f"{folder / unknown[0]} is a class that {root / 'train'} does not have ({len(unknown)} such folders); "
            f"remove it or add it there"
        )
    found = {name: _images(folder / name) for name in own}
    bare = [name for name in own if not found[name][0]]
    if bare:
        raise ValueError(
            f"{folder / bare[0]} holds no images ({len(bare)} such class folders of {len(own)}); "
            f"remove it or add files ending in {' '.join(EXTENSIONS)}"
        )
    empty = [path for _, paths in found.values() for path in paths]
    if empty:
        raise ValueError(f"{empty[0]} is empty or a broken link ({len(empty)} such files); fetch or remove it")
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.repeat([numbers[name] for name in own], [len(found[name][0]) for name in own])
    return Source([path for paths, _ in found.values() for path in paths], labels, tuple(classes))


def read_images(root: str | os.PathLike[str]) -> Source:
    """All images in a folder and in the folders inside it, in `train` alone where it has one; every label is 0.

    For images of no class. What counts as an image, and the errors, are as in `read_folder`.
    """
    root = _folder(root)
    paths, empty = _images(root / "train" if (root / "train").is_dir() else root)
    if empty:
        raise ValueError(f"{empty[0]} is empty or a broken link ({len(empty)} such files); fetch or remove it")
    if not paths:
        raise ValueError(f"{root} holds no images: no file ends in {' '.join(EXTENSIONS)}; found {_listing(root)}")
    return Source(paths, np.zeros(len(paths), np.int32))


def _folder(root: str | os.PathLike[str]) -> Path:
    folder = Path(root).expanduser().absolute()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise NotADirectoryError(f"{folder} is a file; unpack it if it is an archive, and give the folder")
    raise FileNotFoundError(f"there is no folder {folder}; give the folder that holds the data set")


def _subfolders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _listing(folder: Path) -> str:
    names = sorted(os.listdir(folder))
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return shown or "nothing"


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
    return [folder / name for name in _subfolders(folder) if _cifar_names(folder / name)]


def _cifar_folder(folder: Path) -> Path:
    found = _cifar_folders(folder)
    if not found:
        raise FileNotFoundError(
            f"no CIFAR pickles in {folder}: looked there and one folder below for {_CIFAR_NAMES}; "
            f"found {_listing(folder)}"
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"{folder} holds {len(found)} data sets ({names}); give one of these folders")
    return found[0]


def _entry(content: dict[str, Any], keys: tuple[str, str], path: Path) -> Any:
    for key in keys:
        if key in content:
            return content[key]
    raise ValueError(f"{path} has no entry {' or '.join(keys)}, only {', '.join(content)}; give the original file")


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


def _split_folder(root: Path, split: str) -> tuple[Path, list[str]]:
    """The folder of class folders, and the classes that its labels count through."""
    train = root / "train"
    if not train.is_dir() and not (root / "val").is_dir():
        return root, _subfolders(root)
    if not (root / split).is_dir():
        raise FileNotFoundError(f"{root} has no folder {split}; the layout must be {_FOLDER_LAYOUT}")
    return root / split, _subfolders(train) or _subfolders(root / split)


def _images(folder: Path) -> tuple[list[str], list[str]]:
    """Paths of the images of a class, ordered by folder and then by name, and of those among them that are empty."""
    found: dict[str, list[str]] = {}
    empty: list[str] = []
    waiting = [str(folder)]
    while waiting:
        here = waiting.pop()
        names = found[here] = []
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    waiting.append(entry.path)
                elif entry.name.lower().endswith(EXTENSIONS):
                    names.append(entry.name)
                    if not _size(entry):
                        empty.append(entry.path)
    return [os.path.join(here, name) for here in sorted(found) for name in sorted(found[here])], sorted(empty)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:  # a link that leads nowhere
        return 0
