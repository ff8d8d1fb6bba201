"""From streams to their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from mixdali import derive_seed
from train.data.streams.gaussian import draw_gaussian
from train.data.streams.samples import generated_source, in_order, read_samples
from train.data.streams.stream import GAUSSIAN, Stream

if TYPE_CHECKING:
    from pipelines.sources.source import Source


def read_streams(
    streams: Sequence[Stream],
    train: Source,
    *,
    kind: Literal["cifar", "imagenet"],
    classes: Sequence[str],
    first_index: int,
    seed: int,
) -> tuple[Source, ...]:
    """The images of each stream, with labels that count through `classes`; 0 where they belong to no class.

    Args:
        streams: which images.
        train: the training images of this run.
        kind: "cifar" for images in memory; then files are read into it, at the size of the training images.
        classes: names of the training images' classes, in order.
        first_index: the index of the first stream's first image; the others follow, so that no two are alike.
        seed: of what is drawn.

    Raises:
        FileNotFoundError, ValueError: one line on what is missing or wrong.
    """
    found: list[Source] = []
    for number, stream in enumerate(streams):
        source = _chosen(stream, train, classes, derive_seed(seed, "streams", number), f"streams.{number}")
        if kind == "cifar" and not isinstance(source.items, np.ndarray):
            from pipelines.sources.decoded import decode_source

            assert isinstance(train.items, np.ndarray)
            source = decode_source(source, train.items.shape[1:3])
        found.append(replace(source, index=np.arange(len(source)) + first_index))
        first_index += len(source)
    return tuple(found)


def _chosen(stream: Stream, train: Source, classes: Sequence[str], seed: int, name: str) -> Source:
    """The labelled images of a stream, all of them or as many as it asks for."""
    wanted = stream.num_images
    if stream.root == GAUSSIAN:
        return _labelled(stream, draw_gaussian(train, wanted or len(train), seed), classes)
    path = Path(stream.root).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{name}: there is no {path}; pass --{name}.root, a folder or a file of images")
    if path.is_dir():
        source = _read_folder(path, stream)
    elif path.suffix == ".pt":
        source = generated_source(path, wanted or len(train), seed)
    elif path.suffix == ".npz":
        source = read_samples(path, labelled=not stream.is_unlabelled)
    else:
        raise ValueError(f"{name}: {path} is neither a folder, nor an .npz of images, nor a generator's .pt")
    if wanted is not None and wanted > len(source):
        raise ValueError(f"{name}: {path} holds {len(source):,} images, --{name}.num_images asks for {wanted:,}")
    if wanted is not None and wanted < len(source):
        source = source.select(np.sort(np.random.default_rng(seed).permutation(len(source))[:wanted]))
    return _labelled(stream, source, classes, path)


def _labelled(stream: Stream, source: Source, classes: Sequence[str], path: Path | None = None) -> Source:
    if stream.is_unlabelled:
        return replace(source, labels=np.zeros(len(source), np.int32), classes=tuple(classes))
    if path is not None:
        source = in_order(source, classes, path)
        source.check(len(classes))
    return replace(source, classes=tuple(classes))


def _read_folder(path: Path, stream: Stream) -> Source:
    from pipelines.sources import files
    from pipelines.sources.datasets import known

    if (own := known.find(path)) is not None:
        # STL-10 has images of no class for those who ask for them.
        return own.read("unlabeled" if stream.is_unlabelled and own.form.name == "STL-10" else "train")
    if files.holds_pickles(path):
        return files.read_cifar(path, "train")
    if stream.is_unlabelled:
        return files.read_images(path)
    return files.read_folder(path, "train")
