"""CIFAR-10, CIFAR-100 and other small images that fit in memory.

Training images are padded by 4 black pixels, cropped at a random place, flipped half of the time, and mixed; validation
images come as they are.
"""

import os
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline, do_not_convert

import mixdali
from mixdali import Loader, Mix, Plan, derive_seed
from mixdali.checks import fraction
from mixdali.loading.epochs import epoch_of
from mixdali.loading.sampling import Shuffled, check_shard
from mixdali.ranks import share_of
from pipelines.arguments import Device, Size, height_width, run_settings
from pipelines.augment.augmix import augmix
from pipelines.augment.color import color_jitter as jitter
from pipelines.augment.resize import resize
from pipelines.outputs import TRAIN, VAL, VIEWS, graph_settings, needs, output_names, output_nodes
from pipelines.resident import InOrder, TrainBatches, most_per_run
from pipelines.sources.files import read_cifar
from pipelines.sources.source import Source

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
    shard: tuple[int, int] | None = None,
    augment: bool = True,
    color_jitter: float = 0.0,
    first_epoch: int = 0,
    batches_per_run: int = 1,
    pixels: Callable[[], np.ndarray] | None = None,
) -> Any:
    """Arguments as in `train_loader`, and those of every DALI pipeline: batch_size, num_threads, device_id, seed.

    first_epoch  the epoch that it begins with. Its order, crops and mixes are those that this seed has in that epoch.
    outputs      with "view1" or "view2" DALI needs `enable_conditionals=True` too.
    batches_per_run
                 batches that a run makes, one after the other; batch_size is that of all together. More than one only
                 where one compiled operator makes them (`is_fused`), else ValueError: DALI's would mix across them.
    pixels       gives what `padded_pixels` makes of the source, which pipelines can share; None: it is made here.

    The pipeline never ends: each of its epochs is another order of the source, without its last partial batch. What is
    random about a batch is drawn for all its images at once by one Python call (`pipelines.resident`), about 0.2 ms for
    128 images and most mixes; pixels are cropped, flipped, converted and mixed by DALI.
    """
    pipeline, shard = Pipeline.current(), share_of(shard)
    padded = padded_pixels(source, augment) if pixels is None else pixels()
    drawn = _drawn(
        source, padded, num_classes, mix, size, smoothing, shard, augment, first_epoch, batches_per_run, pipeline
    )
    parts = _plan_parts(mix)
    names = output_names(outputs, TRAIN, mix)
    asked = [name for name in names if name in ("targets", "labels", "index")]
    if is_fused(source, mix, size, outputs, color_jitter, pipeline.device_id):
        used = [name for name in parts if "plan" in outputs or name == "plan.mask"]
        nodes = _read(drawn, ("crops", *asked, *used))
        made = nodes | _fused(drawn, nodes, outputs)
    elif batches_per_run > 1:
        raise ValueError(f"batches_per_run must be 1 where no compiled operator makes them, got {batches_per_run}")
    else:
        parts = [name for name in parts if "plan" in outputs or not name.endswith(("lam", "share", "method"))]
        nodes = _read(drawn, ("images", *asked, *parts))
        seed = derive_seed(pipeline.seed, "shard", shard[0])
        images = jitter(_resized(nodes["images"], source, size), color_jitter, seed=derive_seed(seed, "color"))
        plan = Plan.of_parts({name.partition(".")[2]: nodes[name] for name in parts}) if parts else None
        made = nodes | {"unmixed": mixdali.to_float(images)}
        made["images"] = made["unmixed"] if mix is None or plan is None else mix.apply(images, None, plan)[0]
        for view in VIEWS:
            if view in outputs:
                made[view] = augmix(images, severity=SEVERITY, seed=derive_seed(seed, view))
    return tuple(made[name].gpu() if pipeline.device_id is not None else made[name] for name in names)


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
    arrays = {"images": _pixels(source), "labels": source.labels, "index": source.index}
    nodes = _read(InOrder(arrays, batch_size, shard), needs(outputs))
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
    shard: tuple[int, int] | None = None,
    augment: bool = True,
    color_jitter: float = 0.0,
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
                 are their first (`pipelines.augment.augmix`).
    smoothing    label smoothing in [0, 1].
    shard        (rank, number of ranks). None: this process's share, as `mixdali.mixed` finds its rank, when the loader
                 is made.
    augment      False: no crop and no flip.
    color_jitter brightness, contrast and saturation change by up to this share each, in [0, 1]
                 (`pipelines.augment.color`).
    seed         the same seed gives the same bytes, whatever the number of threads.
    device       "gpu", "cpu", or "auto": a GPU if there is one.
    num_threads  of DALI's; None: one for each core.
    """
    shard = share_of(shard)
    source = _source(source, "train", num_classes, shard)
    names = output_names(outputs, TRAIN, mix)
    settings, batches_per_run = run_settings(batch_size, num_threads, device), 1
    if is_fused(source, mix, size, outputs, color_jitter, settings["device_id"]):
        batches_per_run = most_per_run(batch_size, _pixels(source).shape[1:])
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
        color_jitter=color_jitter,
        batches_per_run=batches_per_run,
        pixels=cache(partial(padded_pixels, source, augment)),
        **graph_settings(outputs),
        **settings | {"batch_size": batches_per_run * batch_size},
    )

    # Nothing is left to DALI's own generators, and the draws made here know the epoch: so one pipeline serves them all.
    continuous = not color_jitter and not set(VIEWS) & set(outputs)

    def make(epoch: int, checkpoint: bytes | None) -> Pipeline:
        of_epoch = derive_seed(seed, "epoch", 0 if continuous else epoch)
        return pipeline(seed=of_epoch, first_epoch=epoch, checkpoint=checkpoint)

    return Loader(
        make,
        names,
        num_samples=len(source) // shard[1],
        batches_per_run=batches_per_run,
        continuous=continuous,
        facts={"size": _sides(source, size), "augment": augment, "color_jitter": color_jitter},
    )


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

    Arguments as in `train_loader`; a folder stands for its test images, and without a `shard` every process gets them
    all. outputs: "images", "targets", "labels" and
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
        continuous=True,
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
def padded_pixels(source: Source, augment: bool) -> np.ndarray:
    """The images of `pipelines.resident.TrainBatches`: padded and also mirrored, or as they are."""
    pixels = _pixels(source)
    if augment:
        padded = np.zeros((2, len(pixels), *(side + 2 * PADDING for side in pixels.shape[1:3]), 3), np.uint8)
        padded[0, :, PADDING:-PADDING, PADDING:-PADDING] = pixels
        padded[1] = padded[0, :, :, ::-1]
        pixels = padded.reshape(-1, *padded.shape[2:])
    return np.ascontiguousarray(pixels)


@do_not_convert
def _drawn(
    source: Source,
    pixels: np.ndarray,
    num_classes: int,
    mix: Mix | None,
    size: Size | None,
    smoothing: float,
    shard: tuple[int, int],
    augment: bool,
    first_epoch: int,
    batches_per_run: int,
    pipeline: Pipeline,
) -> TrainBatches:
    fraction("smoothing", smoothing)
    batch_size = pipeline.max_batch_size // batches_per_run
    order = Shuffled(len(source), batch_size, shard, pipeline.seed)
    return TrainBatches(
        pixels=pixels,
        labels=source.labels,
        index=source.index,
        num_classes=num_classes,
        smoothing=smoothing,
        mix=mix,
        padding=PADDING if augment else 0,
        size=_sides(source, size),
        order=order,
        batches=epoch_of(order.num_samples, batch_size, "drop").batches,
        batches_per_run=batches_per_run,
        first=first_epoch,
        seed=derive_seed(pipeline.seed, "shard", shard[0]),
    )


@do_not_convert
def _read(batches: TrainBatches | InOrder, names: Sequence[str]) -> dict[str, DataNode]:
    """A batch's data by name, on the CPU but for images that a GPU is to work on."""
    kinds = [_KINDS[name.rpartition(".")[2]] for name in names]
    nodes = fn.external_source(
        source=batches.named(names),
        num_outputs=len(names),
        batch=True,
        layout=[layout for layout, _, _ in kinds],
        dtype=[dtype for _, dtype, _ in kinds],
        ndim=[ndim for _, _, ndim in kinds],
    )
    read = dict(zip(names, nodes, strict=True))
    if "images" in read and Pipeline.current().device_id is not None:
        read["images"] = read["images"].gpu()
    return read


_KINDS = {
    "images": ("HWC", types.UINT8, 3),
    "crops": ("", types.FLOAT64, 1),
    "targets": ("", types.FLOAT, 1),
    **{name: ("", types.INT32, 0) for name in ("labels", "index", "partner", "method")},
    **{name: ("", types.FLOAT, 0) for name in ("lam", "weight", "outside", "share")},
    **{name: ("", types.INT32, 1) for name in ("box", "region")},
    "mask": ("HW", types.FLOAT, 2),
    **{name: ("CHW", types.FLOAT, 3) for name in ("fill", "scale", "noise")},
}


@do_not_convert
def is_fused(
    source: Source, mix: Mix | None, size: Size | None, outputs: Sequence[str], color_jitter: float, gpu: int | None
) -> bool:
    """Whether one compiled operator does it all: on the CPU, with numba, and where nothing happens in between.

    gpu  DALI's device_id.
    """
    plain = gpu is None and find_spec("numba") is not None and _sides(source, size) == _pixels(source).shape[1:3]
    apart = {"plan.fill", "plan.scale", "plan.noise", *VIEWS} & {*_plan_parts(mix), *outputs}
    return plain and not color_jitter and not apart


@do_not_convert
def _plan_parts(mix: Mix | None) -> list[str]:
    return [name for name in output_names(("images", "plan"), TRAIN, mix) if "." in name] if mix is not None else []


@do_not_convert
def _fused(drawn: TrainBatches, nodes: dict[str, DataNode], outputs: Sequence[str]) -> dict[str, DataNode]:
    from mixdali.worlds.compiled.resident import crop_and_mix

    shape = (drawn.pixels.shape[3], *drawn.size)
    made = {"images": crop_and_mix(nodes["crops"], nodes.get("plan.mask"), shape)}
    if "unmixed" in outputs:
        made["unmixed"] = crop_and_mix(nodes["crops"][0:9], None, shape)
    return made


def _resized(images: DataNode, source: Source, size: Size | None) -> DataNode:
    height, width, channels = _pixels(source).shape[1:]
    sides = _sides(source, size)
    return images if sides == (height, width) else resize(images, sides, channels=channels)


def _sides(source: Source, size: Size | None) -> tuple[int, int]:
    height, width = _pixels(source).shape[1:3]
    return (height, width) if size is None else height_width(size)
