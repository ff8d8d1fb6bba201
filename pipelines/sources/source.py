"""What a pipeline reads: images or the paths of encoded files, with one label each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .spans import Held


@dataclass(frozen=True, eq=False, repr=False)
class Source:
    """Images and their labels, in a fixed order.

    items: (N, H, W, 3) uint8, or N paths of encoded images, made absolute. An array is kept as it is, never copied.
    labels: (N,) integers, class indices. Kept as a read-only int32 copy.
    classes: the names of the classes, when known.
    index: (N,) integers >= 0, each item's position in the full data set; 0 to N-1 by default. Kept as int32, read-only.
    spans: the encoded images, where they lie in larger files; the paths are then names alone. None: each is a file.

    Raises TypeError for items, labels or an index of the wrong type, ValueError for wrong shapes or lengths, and for
    file names that are not UTF-8.
    """

    items: np.ndarray | Sequence[str]
    labels: np.ndarray
    classes: tuple[str, ...] = ()
    index: np.ndarray = None  # type: ignore[assignment]  # never None once made
    spans: Held | None = None

    def __post_init__(self) -> None:
        items = _items(self.items)
        labels = _integers("labels", self.labels)
        index = _integers("index", np.arange(len(items)) if self.index is None else self.index)
        for name, values in (("labels", labels), ("index", index), ("spans", self.spans)):
            if values is None:
                continue
            if len(values) != len(items):
                raise ValueError(f"{name} must have one entry for each item: got {len(values)} for {len(items)} items")
        if len(index) and index.min() < 0:
            raise ValueError(f"index must be positions of 0 or more, got {index.min()}")
        if isinstance(self.classes, str) or not all(isinstance(name, str) for name in self.classes):
            raise TypeError(f"classes must be a sequence of names, got {self.classes!r:.80}")
        for name, value in (("items", items), ("labels", labels), ("classes", tuple(self.classes)), ("index", index)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        items = self.items
        kind = f"{items.shape[1]}x{items.shape[2]} images" if isinstance(items, np.ndarray) else "image files"
        return f"Source({len(self)} {kind}, {len(self.classes) or 'unnamed'} classes)"

    def select(self, indices: Any) -> Source:
        """The items at these positions of this source (integers, or a boolean mask of length N), in the order given.

        A position may come more than once. `index` goes on counting in the full data set. A run of consecutive
        positions shares the memory of the images; anything else copies the chosen ones.
        Raises TypeError for other types, ValueError for no items, a position outside or a mask of another length.
        """
        positions = _positions(indices, len(self))
        if isinstance(self.items, np.ndarray):
            items: np.ndarray | Sequence[str] = _take(self.items, positions)
        else:
            items = [self.items[i] for i in positions.tolist()]
        spans = None if self.spans is None else self.spans.select(positions)
        return replace(self, items=items, labels=self.labels[positions], index=self.index[positions], spans=spans)

    def relabel(self, labels: Any) -> Source:
        """The same items with these labels, one for each item of this source; classes and index stay."""
        return replace(self, labels=labels)

    def keep_classes(self, classes: Sequence[str | int]) -> Source:
        """The items of these classes alone, by name or number, which are 0, 1, ... in the order given.

        `index` goes on counting in the full data set. ValueError for a class that is not there or is named twice.
        """
        numbers = [self._number_of(name) for name in classes]
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"classes must be different ones, got {', '.join(map(str, classes))}")
        chosen = self.select(np.isin(self.labels, numbers))
        places = {number: place for place, number in enumerate(numbers)}
        names = tuple(self.classes[number] for number in numbers) if self.classes else ()
        return replace(chosen, labels=np.array([places[int(label)] for label in chosen.labels]), classes=names)

    def map_classes(self, names: Mapping[str, str]) -> Source:
        """The same items under other classes: each class by the name that stands for it. New classes are numbered as
        their names come first among the old ones. ValueError unless every class, and no other, is named."""
        strangers, missing = set(names) - set(self.classes), set(self.classes) - set(names)
        if strangers or missing:
            wrong = f"{min(strangers)!r} is no class" if strangers else f"{min(missing)!r} is not named"
            raise ValueError(f"names must have each of the {len(self.classes)} classes once: {wrong}")
        new = list(dict.fromkeys(names[name] for name in self.classes))
        numbers = np.array([new.index(names[name]) for name in self.classes])
        return replace(self, labels=numbers[self.labels], classes=tuple(new))

    def balanced(self) -> Source:
        """Every class as often as the largest one: items of the others come again, in order, under their own index."""
        counts = np.bincount(self.labels)
        rows = [np.flatnonzero(self.labels == label) for label in np.flatnonzero(counts)]
        return self.select(np.sort(np.concatenate([np.resize(places, counts.max()) for places in rows])))

    def _number_of(self, name: str | int) -> int:
        known = self.classes.index(name) if name in self.classes else name
        if not isinstance(known, int | np.integer) or not (self.labels == known).any():
            raise ValueError(
                f"there is no image of class {name!r}; classes are {', '.join(self.classes[:10]) or 'numbers'}"
            )
        return int(known)

    def check(self, num_classes: int) -> None:
        """Raises ValueError if there is no item, or if a label is not one of 0 to num_classes - 1."""
        if not len(self):
            raise ValueError("the source holds no images; give one that has at least one")
        wrong = np.flatnonzero((self.labels < 0) | (self.labels >= num_classes))
        if not len(wrong):
            return
        first = int(wrong[0])
        where = f"image {self.index[first]}" if isinstance(self.items, np.ndarray) else self.items[first]
        label, highest = int(self.labels[first]), int(self.labels.max())
        advice = (
            "relabel it or leave it out with select" if label < 0 else f"num_classes must be at least {highest + 1}"
        )
        raise ValueError(
            f"{where} has label {label}, outside 0 to {num_classes - 1} ({len(wrong)} such labels, "
            f"num_classes={num_classes}); {advice}"
        )


def _items(items: Any) -> np.ndarray | tuple[str, ...]:
    if isinstance(items, str | bytes | os.PathLike):
        raise TypeError(f"items must be an array of images or a sequence of paths, got the single path {items!r:.80}")
    if isinstance(items, np.ndarray) and items.dtype.kind != "U":
        if items.dtype != np.uint8:
            raise TypeError(f"items must be uint8 images (N, H, W, 3), got dtype {items.dtype}")
        if items.ndim != 4 or items.shape[3] != 3 or 0 in items.shape[1:]:
            raise ValueError(f"items must be images of shape (N, H, W, 3), got {items.shape}")
        return items
    paths = items.tolist() if isinstance(items, np.ndarray) else items
    try:
        texts = [path if type(path) is str else _path(path) for path in paths]
    except TypeError as error:
        raise TypeError(f"items must be a uint8 array (N, H, W, 3) or a sequence of paths: {error}") from None
    for path in texts:
        if not path.isascii():
            _check_name(path)
    # DALI reads them later, when the working folder may be another
    return tuple(path if path.startswith(os.sep) else os.path.abspath(path) for path in texts)


def _path(path: Any) -> str:
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"expected a path as text, got {path!r:.80}")
    return str(text)


def _check_name(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the file name {os.fsencode(path)!r} is not UTF-8, which DALI needs; rename it") from None


def _integers(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {array.shape}")
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got dtype {array.dtype}")
    limits = np.iinfo(np.int32)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise ValueError(f"{name} must fit in 32 bits, got {array.min()} to {array.max()}")
    copy = array.astype(np.int32)
    copy.flags.writeable = False
    return copy


def _positions(indices: Any, length: int) -> np.ndarray:
    array = np.asarray(indices)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iub"):
        raise TypeError(
            f"indices must be a list of integers or a boolean mask, got {type(indices).__name__} "
            f"of dtype {array.dtype} and shape {array.shape}"
        )
    if array.dtype.kind == "b":
        if len(array) != length:
            raise ValueError(f"a mask must have one entry for each item: got {len(array)} for {length} items")
        array = np.flatnonzero(array)
    if not array.size:
        raise ValueError(f"indices select none of the {length} items; select at least one")
    if array.min() < 0 or array.max() >= length:
        wrong = array.min() if array.min() < 0 else array.max()
        raise ValueError(f"indices must be positions from 0 to {length - 1}, got {wrong}")
    return array.astype(np.int64)


def _take(images: np.ndarray, positions: np.ndarray) -> np.ndarray:
    first, last = int(positions[0]), int(positions[-1])
    if last - first + 1 == len(positions) and bool((np.diff(positions) == 1).all()):
        return images[first : last + 1]
    return images[positions]
