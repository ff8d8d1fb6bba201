"""ImageNet, and any other folder of encoded images with a subfolder for each class.

Training images are decoded and cropped at once (a random area of 8 to 100 % of the image at an aspect ratio of 3/4 to
4/3), resized, flipped half of the time, and mixed. Validation images are resized so that the crop is 7/8 of the shorter
side, and cropped in the middle, as torchvision's Resize(256) and CenterCrop(224) do with PIL images. Both resizes are
bilinear, unless told otherwise, with antialiasing; the orientation in EXIF data is ignored, as torchvision's
ImageFolder does.
"""

import os
from collections.abc import Sequence
from functools import partial
from math import ceil
from typing import Any, Literal

import numpy as np
from nvidia.dali import fn, math, pipeline_def, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline, do_not_convert

from mixdali import Loader, Mix, derive_seed, epoch_counter
from mixdali.loading.sampling import Given, InOrder, Shuffled

from .arguments import FileTrainArguments, FileValArguments, Size, TrainGraph, ValGraph, height_width
from .augment.augmix import augmix
from .augment.color import color_jitter as jitter
from .augment.color import lighting as light
from .augment.operations import operate
from .augment.resize import FULL, resize
from .augment.sizes import Progressive
from .check.guarded import Guard
from .check.watch import Watch, watched
from .loaders import check_source, make_train_loader, make_val_loader
from .named import loader_of, pipeline_of
from .outputs import TRAIN, VAL, VIEWS, needs, output_names, output_nodes
from .sources.datasets.known import records_of
from .sources.exclude import read_list
from .sources.files import leave_out, read_files
from .sources.source import Source
from .sources.spans import Held, SpanBatches
from .sources.tables import is_table

SIZE = 224
CROP_SHARE = 7 / 8
CROP_AREA = (0.08, 1.0)
SEVERITY = 1.0  # of AugMix
AS_IT_IS_OR_MIRRORED = np.array([FULL, (0.0, 1.0, 1.0, 0.0)], dtype=np.float32)


@pipeline_of(TrainGraph)
@pipeline_def(enable_checkpointing=True, seed=0)
def train_pipeline(source: Source, graph: TrainGraph, *, first_epoch: int = 0, watch: Watch | None = None) -> Any:
    """What `train_loader` runs; it takes those of every DALI pipeline too: batch_size, num_threads, device_id, seed.

    The reader pads the last batch of an epoch, so that the next epoch begins at its own first image; that batch is not
    for use. `mixdali.Loader` throws it away, and so does an iterator of DALI's with LastBatchPolicy.DROP.

    first_epoch  the epoch that it begins with, for a mix that changes with it.
    watch        look at files before they are decoded; a further output says what was seen
                 (`pipelines.check.watch.watched`), which a `GuardedLoader` understands.
    outputs      with "view1" or "view2", or with auto_augment, DALI needs `enable_conditionals=True` too.
    """
    pipeline = Pipeline.current()
    mix, shard = graph.mix, graph.share
    used = needs(graph.outputs, mix)
    if graph.repeats > 1:
        rows = repeated_rows(len(source), graph.repeats, shard[1], derive_seed(pipeline.seed, "repeats"))
        encoded, nodes, seen = _read(source, used, shard, watch, rows)
    else:
        order = {"shuffle_after_epoch": True, "shuffle_after_epoch_seed": pipeline.seed}
        encoded, nodes, seen = _read(source, used, shard, watch, **order)
    seed = derive_seed(pipeline.seed, "shard", shard[0])
    crop = partial(_random_crop, seed=seed) if graph.augment else _centre_crop
    images = crop(encoded, graph)
    images = operate(images, graph.auto_augment, derive_seed(seed, "auto_augment"))
    images = jitter(images, graph.color_jitter, seed=derive_seed(seed, "color"))
    nodes["images"] = light(images, graph.lighting, seed=derive_seed(seed, "lighting"))
    for view in VIEWS:
        if view in graph.outputs:
            nodes[view] = augmix(nodes["images"], severity=SEVERITY, seed=derive_seed(seed, view))
    made = output_nodes(
        output_names(graph.outputs, TRAIN, mix),
        nodes,
        num_classes=graph.num_classes,
        form=graph.form,
        smoothing=graph.smoothing,
        mix=mix,
        erasing=graph.erasing,
        epoch=_epoch(len(source), shard, first_epoch, padded=source.spans is None)
        if _uses_epoch(mix, graph.erasing)
        else None,
        seed=derive_seed(seed, "mix"),
    )
    return (*made, *seen)


@pipeline_of(ValGraph)
@pipeline_def(enable_checkpointing=True)
def val_pipeline(source: Source, graph: ValGraph, *, watch: Watch | None = None) -> Any:
    """What `val_loader` runs; it takes those of every DALI pipeline too. The reader pads the last batch of an epoch.

    watch  as in `train_pipeline`.
    """
    encoded, nodes, seen = _read(source, needs(graph.outputs), graph.share, watch, stick_to_shard=True)
    nodes["images"] = _centre_crop(encoded, graph)
    made = output_nodes(output_names(graph.outputs, VAL), nodes, num_classes=graph.num_classes, form=graph.form)
    return (*made, *seen)


@loader_of(FileTrainArguments)
def train_loader(source: Source | str | os.PathLike[str], asked: FileTrainArguments) -> Loader:
    """Batches of augmented, mixed training images, in a new order every epoch; the last partial batch is left out.

    source       a folder of class folders, or one with `train` and `val` in it; a list of files and labels
                 (`pipelines.sources.tables`); larger files, a folder of them or a pattern
                 (`pipelines.sources.records.find`); or a `Source` of any of these.
    size         None: 224.
    augment      False: the crop of the validation images.
    """
    source = _source(source, "train", asked)
    guard = Guard(source, asked.on_error, asked.max_megapixels * 1e6)
    tables = {"path": list(guard.source.items)}
    size = asked.size if isinstance(asked.size, Progressive) else _sides(asked.size)
    return make_train_loader(train_pipeline, source, asked, size, continuous=False, guard=guard, tables=tables)


@loader_of(FileValArguments)
def val_loader(source: Source | str | os.PathLike[str], asked: FileValArguments) -> Loader:
    """Batches of validation images, every image once and in order; the last batch may be smaller.

    source       as in `train_loader`; a folder stands for its `val` images.
    size         None: 224.
    """
    source = _source(source, "val", asked)
    guard = Guard(source, asked.on_error, asked.max_megapixels * 1e6, leave_out=True)
    return make_val_loader(val_pipeline, source, asked, guard, tables={"path": list(guard.source.items)})


def _source(
    source: Source | str | os.PathLike[str],
    split: Literal["train", "val"],
    asked: FileTrainArguments | FileValArguments,
) -> Source:
    if not isinstance(source, Source) and (records := records_of(source)) is not None:
        source = records.read(split)
    root = None if isinstance(source, Source) or is_table(source) else source
    held = [source] if isinstance(source, Source) else []
    listed = frozenset[str]() if asked.exclude is None else read_list(asked.exclude, root, sources=held)
    if not isinstance(source, Source):
        source = read_files(source, split, exclude=listed, keep_empty=asked.on_error == "skip")
    elif not isinstance(source.items, np.ndarray):
        source = leave_out(source, listed)
    if isinstance(source.items, np.ndarray):
        raise TypeError(f"{__name__} reads files, got a source of images in memory; use {__package__}.cifar for them")
    return check_source(source, asked)


@do_not_convert
def _read(
    source: Source,
    used: Sequence[str],
    shard: tuple[int, int],
    watch: Watch | None,
    rows: Sequence[int] | None = None,
    **order: Any,
) -> tuple[DataNode, dict[str, DataNode], list[DataNode]]:
    """Encoded images; labels, index and path where they are used; and what `watch` sees of them.

    The reader's own label is the row of the source; constant tables turn it into label and index.

    rows  of the source, in the order in which they are read; None: all.
    """
    if source.spans is not None:
        encoded, row = _read_spans(source.spans, shard, rows, shuffled="shuffle_after_epoch" in order)
    else:
        rows = range(len(source)) if rows is None else rows
        encoded, row = fn.readers.file(
            files=[source.items[place] for place in rows],
            labels=list(rows),
            shard_id=shard[0],
            num_shards=shard[1],
            pad_last_batch=True,
            name="reader",
            **order,
        )
        row = fn.reshape(row, shape=[])
    tables = {"labels": source.labels, "index": source.index}
    found = {name: types.Constant(table)[row] for name, table in tables.items() if name in used}
    if watch is not None:
        encoded, seen = watched(encoded, row, watch)
    return encoded, found | ({"path": row} if "path" in used else {}), [] if watch is None else [seen]


@do_not_convert
def _read_spans(
    spans: Held, shard: tuple[int, int], rows: Sequence[int] | None, *, shuffled: bool
) -> tuple[DataNode, DataNode]:
    """Encoded images and their rows, of images that lie in larger files."""
    pipeline = Pipeline.current()
    number, batch_size = len(spans), pipeline.max_batch_size
    chosen: Any = InOrder(number, batch_size, shard)
    if rows is not None:
        chosen = Given(rows, batch_size, shard, pipeline.seed)
    elif shuffled:
        chosen = Shuffled(number, batch_size, shard, derive_seed(pipeline.seed, "spans"))
    encoded, row = fn.external_source(
        source=SpanBatches(spans, chosen), num_outputs=2, batch=True, dtype=[types.UINT8, types.INT32], ndim=[1, 0]
    )
    return encoded, row


@do_not_convert
def repeated_rows(number: int, repeats: int, ranks: int, seed: int) -> list[int]:
    """Rows of an epoch that shows some of `number` images, drawn anew, `repeats` times each.

    The repeats of an image follow each other, dealt out to the ranks in turn; the list has the first rank's share
    first, all shares alike.
    """
    chosen = np.random.default_rng(seed).permutation(number)[: ceil(number / repeats)]
    rows = chosen.repeat(repeats)[: number - number % ranks]
    return rows.reshape(-1, ranks).T.ravel().tolist()


def _epoch(number: int, shard: tuple[int, int], first: int, *, padded: bool) -> DataNode:
    """The epoch. A reader of files pads, so that every shard runs as many batches as the largest one fills."""
    largest, batch_size = ceil(number / shard[1]), Pipeline.current().max_batch_size
    batches = ceil(largest / batch_size) if padded else number // shard[1] // batch_size
    return epoch_counter(batches=batches, first=first)


def _sides(size: Size | None) -> tuple[int, int]:
    return height_width(SIZE if size is None else size)


def _decoder_device() -> str:
    return "cpu" if Pipeline.current().device_id is None else "mixed"


def _uses_epoch(*mixes: Mix | None) -> bool:
    return any(mix is not None and mix.uses_epoch for mix in mixes)


def _random_crop(encoded: DataNode, graph: TrainGraph, seed: int) -> DataNode:
    """Encoded images -> uint8 HWC of the graph's size; to flip costs nothing: the resize reads columns backwards."""
    images = fn.decoders.image_random_crop(
        encoded,
        device=_decoder_device(),
        output_type=types.RGB,
        adjust_orientation=False,
        random_area=CROP_AREA if graph.crop_area is None else graph.crop_area,
        random_aspect_ratio=(3 / 4, 4 / 3),
        num_attempts=10,
        seed=derive_seed(seed, "crop"),
        **graph.decoder.settings,
    )
    flip = fn.random.coin_flip(seed=derive_seed(seed, "flip"))
    region = types.Constant(AS_IT_IS_OR_MIRRORED)[flip]
    return resize(images, _sides(graph.size), region, relative=True, interpolation=graph.interpolation)


def _centre_crop(encoded: DataNode, graph: ValGraph) -> DataNode:
    """Encoded images -> uint8 HWC of the graph's size: torchvision's resize and centre crop, computed in one go."""
    how = {"output_type": types.RGB, "adjust_orientation": False, **graph.decoder.settings}
    images = fn.decoders.image(encoded, device=_decoder_device(), **how)
    size = _sides(graph.size)
    if graph.crop_share is None:
        around = [side / CROP_SHARE for side in size]
    else:  # whole pixels, as in timm
        around = [float(int(side / graph.crop_share + 1e-6)) for side in size]
    sides = images.shape(dtype=types.FLOAT)
    height, width = sides[0], sides[1]
    scale = math.max(around[0] / height, around[1] / width)
    start_y, end_y = _middle(height, math.floor(height * scale + 1e-3), size[0])
    start_x, end_x = _middle(width, math.floor(width * scale + 1e-3), size[1])
    return resize(images, size, fn.stack(start_y, start_x, end_y, end_x), interpolation=graph.interpolation)


def _middle(side: DataNode, resized: DataNode, crop: int) -> tuple[DataNode, DataNode]:
    """The part of `side` pixels that becomes the middle `crop` pixels once they are resized to `resized`."""
    twice = resized - crop
    below = math.floor(twice * 0.5)
    # a half is rounded to the even neighbour, as Python's round does in torchvision
    start = below + (twice - 2.0 * below) * (below - 2.0 * math.floor(below * 0.5))
    return start * side / resized, (start + crop) * side / resized
