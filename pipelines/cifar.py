"""CIFAR-10, CIFAR-100 and other small images that fit in memory.

Training images are padded by 4 black pixels, cropped at a random place, flipped half of the time, and mixed; validation
images come as they are.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline, do_not_convert

from mixdali import Loader, Mix, derive_seed, epoch_counter
from mixdali.epochs import epoch_of
from mixdali.sampling import check_shard
from pipelines.arguments import Device, Size, height_width, run_settings
from pipelines.augmix import augmix
from pipelines.files import read_cifar
from pipelines.outputs import TRAIN, VAL, VIEWS, graph_settings, needs, output_names, output_nodes
from pipelines.resident import InOrder, Shuffled
from pipelines.source import Source

PADDING = 4
SEVERITY = 3.0  # of AugMix


@pipeline_def(enable_checkpointing=True, seed=0)
def train_pipeline(
    source: Source,
    *,
    num_classes: int,
    mix: Mix | None = None,
    size: Size | None = None,
    outputs: Sequence[str] = ("images", "targets"),
    smoothing: float = 0.0,
    shard: tuple[int, int] = (0, 1),
    augment: bool = True,
    first_epoch: int = 0,
) -> Any:
    """Arguments as in `train_loader`, and those of every DALI pipeline: batch_size, num_threads, device_id, seed.

    first_epoch  the epoch that it begins with, for a mix that changes with it.
    outputs      with "view1" or "view2" DALI needs `enable_conditionals=True` too.

    The pipeline never ends: each of its epochs is another order of the source, without its last partial batch.
    """
    pipeline = Pipeline.current()
    pixels = _pixels(source)
    if augment:
        pixels = np.pad(pixels, ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)))
    batch_size = pipeline.max_batch_size
    nodes = _read(
        source, pixels, needs(outputs, mix), lambda arrays: Shuffled(arrays, batch_size, shard, pipeline.seed)
    )
    seed = derive_seed(pipeline.seed, "shard", shard[0])
    if augment:
        nodes["images"] = _crop_and_flip(nodes["images"], _pixels(source).shape[1:3], seed)
    nodes["images"] = _resized(nodes["images"], source, size)
    for view in VIEWS:
        if view in outputs:
            nodes[view] = augmix(nodes["images"], severity=SEVERITY, seed=derive_seed(seed, view))
    return output_nodes(
        output_names(outputs, TRAIN, mix),
        nodes,
        num_classes=num_classes,
        smoothing=smoothing,
        mix=mix,
        epoch=_epoch(len(source), shard, first_epoch) if mix is not None and mix.uses_epoch else None,
        seed=derive_seed(seed, "mix"),
    )


@pipeline_def(enable_checkpointing=True)
def val_pipeline(
    source: Source,
    *,
    num_classes: int,
    size: Size | None = None,
    outputs: Sequence[str] = ("images", "targets"),
    shard: tuple[int, int] = (0, 1),
) -> Any:
    """Arguments as in `val_loader`, and those of every DALI pipeline. It never ends but starts again."""
    batch_size = Pipeline.current().max_batch_size
    nodes = _read(source, _pixels(source), needs(outputs), lambda arrays: InOrder(arrays, batch_size, shard))
    nodes["images"] = _resized(nodes["images"], source, size)
    return output_nodes(output_names(outputs, VAL), nodes, num_classes=num_classes)


def train_loader(
    source: Source | str | os.PathLike[str],
    *,
    batch_size: int,
    num_classes: int,
    mix: Mix | None = None,
    size: Size | None = None,
    outputs: Sequence[str] = ("images", "targets"),
    smoothing: float = 0.0,
    shard: tuple[int, int] = (0, 1),
    augment: bool = True,
    seed: int = 0,
    device: Device = "auto",
    num_threads: int | None = None,
) -> Loader:
    """Batches of augmented, mixed training images, in a new order every epoch; the last partial batch is left out.

    source       a folder with the python pickles of CIFAR-10 or CIFAR-100, or a `Source` of (N, H, W, 3) uint8 images.
    batch_size   images in a batch of this shard.
    mix          `mixdali.MixUp()`, ...; None: no mixing.
    size         (height, width) of what comes out, or one number for a square; None: the images' own. Any other size is
                 resized to after the crop.
    outputs      any of "images" (N, 3, H, W) float32 in [0, 1], "targets" (N, num_classes) float32, "labels" (N,) and
                 "index" (N,) int32 (the place in the full data set), "unmixed" like images, "plan" a `mixdali.Plan`
                 with all its parts; "view1" and "view2" like images: two of AugMix's views of the unmixed images, which
                 are their first (`pipelines.augmix`).
    smoothing    label smoothing in [0, 1].
    shard        (rank, number of ranks).
    augment      False: no crop and no flip.
    seed         the same seed gives the same bytes, whatever the number of threads.
    device       "gpu", "cpu", or "auto": a GPU if there is one.
    num_threads  of DALI's; None: one for each core.
    """
    source = _source(source, "train", num_classes, shard)
    names = output_names(outputs, TRAIN, mix)

    pipeline = partial(
        train_pipeline,
        source,
        num_classes=num_classes,
        mix=mix,
        size=size,
        outputs=outputs,
        smoothing=smoothing,
        shard=shard,
        augment=augment,
        **graph_settings(outputs),
        **run_settings(batch_size, num_threads, device),
    )

    def make(epoch: int, checkpoint: bytes | None) -> Pipeline:
        return pipeline(seed=derive_seed(seed, "epoch", epoch), first_epoch=epoch, checkpoint=checkpoint)

    return Loader(make, names, num_samples=len(source) // shard[1])


def val_loader(
    source: Source | str | os.PathLike[str],
    *,
    batch_size: int,
    num_classes: int,
    size: Size | None = None,
    outputs: Sequence[str] = ("images", "targets"),
    shard: tuple[int, int] = (0, 1),
    device: Device = "auto",
    num_threads: int | None = None,
) -> Loader:
    """Batches of validation images, every image once and in order; the last batch may be smaller.

    Arguments as in `train_loader`; a folder stands for its test images. outputs: "images", "targets", "labels" and
    "index".
    """
    source = _source(source, "test", num_classes, shard)
    names = output_names(outputs, VAL)

    pipeline = partial(
        val_pipeline,
        source,
        num_classes=num_classes,
        size=size,
        outputs=outputs,
        shard=shard,
        **run_settings(batch_size, num_threads, device),
    )
    return Loader(
        lambda epoch, checkpoint: pipeline(checkpoint=checkpoint),
        names,
        num_samples=len(range(len(source))[shard[0] :: shard[1]]),
        last_batch="partial",
    )


def _source(source: Source | str | os.PathLike[str], split: Any, num_classes: int, shard: tuple[int, int]) -> Source:
    if not isinstance(source, Source):
        source = read_cifar(source, split)
    _pixels(source)
    source.check(num_classes)
    check_shard(shard, len(source))
    return source


def _pixels(source: Source) -> np.ndarray:
    if not isinstance(source.items, np.ndarray):
        raise TypeError("pipelines.cifar reads images in memory, got a source of files; use pipelines.imagenet")
    return source.items


@do_not_convert
def _read(
    source: Source,
    pixels: np.ndarray,
    names: Sequence[str],
    batches: Callable[[list[np.ndarray]], Callable[[int], tuple[np.ndarray, ...]]],
) -> dict[str, DataNode]:
    arrays = {"images": pixels, "labels": source.labels, "index": source.index}
    nodes = fn.external_source(
        source=batches([arrays[name] for name in names]),
        num_outputs=len(names),
        batch=True,
        layout=["HWC", "", ""][: len(names)],
        dtype=[types.UINT8, types.INT32, types.INT32][: len(names)],
        ndim=[3, 0, 0][: len(names)],
    )
    read = dict(zip(names, nodes, strict=True))
    if Pipeline.current().device_id is not None:
        read["images"] = read["images"].gpu()
    return read


def _epoch(number: int, shard: tuple[int, int], first: int) -> DataNode:
    batches = epoch_of(number // shard[1], Pipeline.current().max_batch_size, "drop").batches
    return epoch_counter(batches=batches, first=first)


def _crop_and_flip(images: DataNode, size: tuple[int, int], seed: int) -> DataNode:
    """Padded uint8 HWC -> a crop of the size before the padding, at each place as likely, mirrored half of the time."""
    places = [place / (2 * PADDING) for place in range(2 * PADDING + 1)]
    return fn.crop_mirror_normalize(
        images,
        crop=size,
        crop_pos_y=fn.random.uniform(values=places, seed=derive_seed(seed, "crop_y")),
        crop_pos_x=fn.random.uniform(values=places, seed=derive_seed(seed, "crop_x")),
        mirror=fn.random.coin_flip(seed=derive_seed(seed, "flip")),
        dtype=types.UINT8,
        output_layout="HWC",
        mean=[0.0],
        std=[1.0],
    )


def _resized(images: DataNode, source: Source, size: Size | None) -> DataNode:
    if size is None or height_width(size) == _pixels(source).shape[1:3]:
        return images
    return fn.resize(images, size=height_width(size), interp_type=types.INTERP_LINEAR, antialias=True)
