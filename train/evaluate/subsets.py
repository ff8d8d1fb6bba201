"""Which of the test images are evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from train.data.images import spread

if TYPE_CHECKING:
    from pipelines.sources.source import Source


def choose_places(source: Source, num_images: int | None, first: int | None, subset: Path | None) -> np.ndarray:
    """Places in `source`, in the order in which they are evaluated.

    Args:
        source: all test images.
        num_images: so many at most, evenly spread.
        first: the first so many, as RobustBench takes them of CIFAR-10.
        subset: those of a file, in its order (`read_subset`).

    Raises:
        FileNotFoundError, ValueError: more than one is asked for, there are fewer images, or the file is wrong.
    """
    if sum(value is not None for value in (num_images, first, subset)) > 1:
        raise ValueError("num_images, first and subset are three ways to choose images; pass one of them")
    if subset is not None:
        return read_subset(subset, source)
    if first is None:
        return spread(len(source), num_images)
    if first > len(source):
        raise ValueError(f"first must be at most {len(source)}, the number of test images, got {first}")
    return np.arange(first)


def read_subset(path: Path, source: Source) -> np.ndarray:
    """The places of the images that a file lists, in its order.

    path  .npy of integers, or a text with one image a line, where empty lines and those that begin with # are passed
          over: indices from 0 up, in the full data set, or the ends of paths, `n01440764/ILSVRC2012_val_00000293.JPEG`,
          as in RobustBench's imagenet_test_image_ids.txt.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it lists what is not there, or something twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f"subset: there is no file {path}")
    if path.suffix == ".npy":
        try:
            listed = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"subset: {path} is no readable array ({error})") from error
        if listed.ndim != 1 or listed.dtype.kind not in "iu":
            raise ValueError(f"subset: {path} must hold integers (N,), got {listed.dtype} {listed.shape}")
        return _by_index(listed.tolist(), source, path)
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"subset: {path} must be a text or end in .npy ({error})") from error
    lines = [line for line in lines if line and not line.startswith("#")]
    if all(line.isdecimal() for line in lines):
        return _by_index([int(line) for line in lines], source, path)
    return _by_name(lines, source, path)


def _by_index(listed: list[int], source: Source, path: Path) -> np.ndarray:
    places = {index: place for place, index in enumerate(source.index.tolist())}
    return _found(listed, places, path)


def _by_name(listed: list[str], source: Source, path: Path) -> np.ndarray:
    if isinstance(source.items, np.ndarray):
        raise ValueError(f"subset: {path} lists files ({listed[0]}), the data are images in memory; list indices")
    depth = listed[0].count("/") + 1
    if uneven := [name for name in listed if name.count("/") + 1 != depth]:
        raise ValueError(f"subset: {path} must list paths of one depth, got {listed[0]} and {uneven[0]}")
    places: dict[str, int] = {}
    for place, item in enumerate(source.items):
        end = "/".join(item.split("/")[-depth:])
        if end in places and end in set(listed):
            raise ValueError(f"subset: {path} lists {end}, and {depth} parts of a path do not tell two images apart")
        places[end] = place
    return _found(listed, places, path)


def _found(listed: Sequence[Any], places: Mapping[Any, int], path: Path) -> np.ndarray:
    if not listed:
        raise ValueError(f"subset: {path} lists no image")
    missing = [name for name in listed if name not in places]
    if missing:
        raise ValueError(
            f"subset: {path} lists {missing[0]}, which is none of the {len(places):,} test images "
            f"({len(missing):,} of {len(listed):,} are not there)"
        )
    if len(set(listed)) < len(listed):
        raise ValueError(f"subset: {path} lists an image twice; each counts once")
    return np.array([places[name] for name in listed])
