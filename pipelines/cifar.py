"""CIFAR-10, CIFAR-100 and other small images that fit in memory.

Training images are padded by 4 black pixels, cropped at a random place, flipped half of the time, and mixed; validation
images come as they are.
"""

import os
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline, do_not_convert

import mixdali
from mixdali import Loader, Mix, Plan, derive_seed
from mixdali.checks import fraction
from mixdali.loading.epochs import epoch_of
from mixdali.loading.sampling import Shuffled
from mixdali.worlds.output import Output

from .arguments import DALI_S_OWN, TrainArguments, TrainGraph, ValArguments, ValGraph, height_width, run_settings
from .augment.augmix import augmix
from .augment.color import color_jitter as jitter
from .augment.color import lighting as light
from .augment.operations import operate
from .augment.resize import resize
from .augment.sizes import Progressive
from .loaders import check_source, make_train_loader, make_val_loader
from .named import loader_of, pipeline_of
from .outputs import TRAIN, VAL, VIEWS, erased, needs, output_names, output_nodes
from .resident import InOrder, TrainBatches, most_per_run
from .sources.files import read_cifar
from .sources.source import Source

PADDING = 4
SEVERITY = 3.0  # of AugMix


@pipeline_of(TrainGraph)
@pipeline_def(enable_checkpointing=True, seed=0)
def train_pipeline(
    source: Source,
    graph: TrainGraph,
    *,
    first_epoch: int = 0,
    batches_per_run: int = 1,
    pixels: Callable[[], np.ndarray] | None = None,
) -> Any:
    """What `train_loader` runs; it takes those of every DALI pipeline too: batch_size, num_threads, device_id, seed.

    The pipeline never ends: each of its epochs is another order of the source, without its last partial batch. What is
    random about a batch is drawn for all its images at once by one Python call (`pipelines.resident`), about 0.2 ms for
    128 images and most mixes; pixels are cropped, flipped, converted and mixed by DALI.

    first_epoch  the epoch that it begins with. Its order, crops and mixes are those that this seed has in that epoch.
    batches_per_run
                 batches that a run makes, one after the other; batch_size is that of all together. More than one only
                 where one compiled operator makes them (`is_fused`), else ValueError: DALI's would mix across them.
    pixels       gives what `padded_pixels` makes of the source, which pipelines can share; None: it is made here.
    outputs      with "view1" or "view2", or with auto_augment, DALI needs `enable_conditionals=True` too.
    """
    pipeline = Pipeline.current()
    outputs = graph.outputs
    padded = padded_pixels(source, graph.augment) if pixels is None else pixels()
    drawn = _drawn(source, padded, graph, first_epoch, batches_per_run, pipeline)
    parts = _plan_parts(graph.mix)
    names = output_names(outputs, TRAIN, graph.mix)
    asked = [name for name in names if name in ("targets", "labels", "index")]
    if is_fused(source, graph, pipeline.device_id):
        used = [name for name in parts if "plan" in outputs or name == "plan.mask"]
        nodes = _read(drawn, ("crops", *asked, *used))
        made = nodes | _fused(drawn, nodes, graph)
    elif batches_per_run > 1:
        raise ValueError(f"batches_per_run must be 1 where no compiled operator makes them, got {batches_per_run}")
    else:
        parts = [name for name in parts if "plan" in outputs or not name.endswith(("lam", "share", "method"))]
        nodes = _read(drawn, ("images", *asked, *parts))
        seed = derive_seed(pipeline.seed, "shard", graph.share[0])
        images = _resized(nodes["images"], source, graph)
        images = operate(images, graph.auto_augment, derive_seed(seed, "auto_augment"))
        images = jitter(images, graph.color_jitter, seed=derive_seed(seed, "color"))
        images = light(images, graph.lighting, seed=derive_seed(seed, "lighting"))
        plan = Plan.of_parts({name.partition(".")[2]: nodes[name] for name in parts}) if parts else None
        made = nodes | {"unmixed": mixdali.to_float(images, **graph.form)}
        before = graph.form if graph.erasing is None else {}
        if graph.mix is not None and plan is not None:
            mixed = graph.mix.apply(images, None, plan, **before)[0]
        else:
            mixed = mixdali.to_float(images, **before)
        made["images"] = erased(mixed, graph.erasing, graph.form, epoch=first_epoch, seed=seed)
        for view in VIEWS:
            if view in outputs:
                shown = augmix(images, severity=SEVERITY, seed=derive_seed(seed, view))
                made[view] = mixdali.to_float(shown, layout="CHW", **graph.form)
    return tuple(made[name].gpu() if pipeline.device_id is not None else made[name] for name in names)


@pipeline_of(ValGraph)
@pipeline_def(enable_checkpointing=True)
def val_pipeline(source: Source, graph: ValGraph) -> Any:
    """What `val_loader` runs; it takes those of every DALI pipeline too. It never ends but starts again."""
    batch_size = Pipeline.current().max_batch_size
    arrays = {"images": _pixels(source), "labels": source.labels, "index": source.index}
    nodes = _read(InOrder(arrays, batch_size, graph.share), needs(graph.outputs))
    nodes["images"] = _resized(nodes["images"], source, graph)
    return output_nodes(output_names(graph.outputs, VAL), nodes, num_classes=graph.num_classes, form=graph.form)


@loader_of(TrainArguments)
def train_loader(source: Source | str | os.PathLike[str], asked: TrainArguments) -> Loader:
    """Batches of augmented, mixed training images, in a new order every epoch; the last partial batch is left out.

    source       a folder with the python pickles of CIFAR-10 or CIFAR-100, or a `Source` of (N, H, W, 3) uint8 images.
    size         None: the images' own. Any other is resized to after the crop.
    """
    source = _source(source, "train", asked)
    gpu, batches_per_run = run_settings(asked.batch_size, asked.num_threads, asked.device)["device_id"], 1
    if not isinstance(asked.size, Progressive) and is_fused(source, asked, gpu):
        batches_per_run = most_per_run(asked.batch_size, _pixels(source).shape[1:])
    return make_train_loader(
        partial(train_pipeline, pixels=cache(partial(padded_pixels, source, asked.augment))),
        source,
        asked,
        asked.size if isinstance(asked.size, Progressive) else _sides(source, asked),
        # Nothing is left to DALI's own generators, and the draws made here know the epoch: so one pipeline serves all.
        continuous=not _is_drawn_by_dali(asked) and not isinstance(asked.size, Progressive),
        num_samples=len(source) // asked.share[1],
        batches_per_run=batches_per_run,
    )


@loader_of(ValArguments)
def val_loader(source: Source | str | os.PathLike[str], asked: ValArguments) -> Loader:
    """Batches of validation images, every image once and in order; the last batch may be smaller.

    source       as in `train_loader`; a folder stands for its test images.
    size         None: the images' own.
    """
    source = _source(source, "test", asked)
    return make_val_loader(
        val_pipeline, source, asked, num_samples=len(range(len(source))[asked.share[0] :: asked.share[1]])
    )


def _source(source: Source | str | os.PathLike[str], split: Literal["train", "test"], asked: ValGraph) -> Source:
    if not isinstance(source, Source):
        source = read_cifar(source, split)
    _pixels(source)
    for name, plain in (("crop_share", None), ("crop_area", None), ("repeats", 1), ("decoder", DALI_S_OWN)):
        if getattr(asked, name, plain) != plain:
            raise ValueError(f"{name} is of image files, got {getattr(asked, name)}; images in memory need {plain}")
    return check_source(source, asked)


def _pixels(source: Source) -> np.ndarray:
    if not isinstance(source.items, np.ndarray):
        raise TypeError(f"{__name__} reads images in memory, got a source of files; use {__package__}.imagenet")
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
    source: Source, pixels: np.ndarray, graph: TrainGraph, first_epoch: int, batches_per_run: int, pipeline: Pipeline
) -> TrainBatches:
    fraction("smoothing", graph.smoothing)
    batch_size = pipeline.max_batch_size // batches_per_run
    order = Shuffled(len(source), batch_size, graph.share, pipeline.seed)
    return TrainBatches(
        pixels=pixels,
        labels=source.labels,
        index=source.index,
        num_classes=graph.num_classes,
        smoothing=graph.smoothing,
        mix=graph.mix,
        padding=PADDING if graph.augment else 0,
        size=_sides(source, graph),
        order=order,
        batches=epoch_of(order.num_samples, batch_size, "drop").batches,
        batches_per_run=batches_per_run,
        first=first_epoch,
        seed=derive_seed(pipeline.seed, "shard", graph.share[0]),
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
def is_fused(source: Source, graph: TrainGraph, gpu: int | None) -> bool:
    """Whether one compiled operator does it all: on the CPU, with numba, and where nothing happens in between.

    gpu  DALI's device_id.
    """
    plain = gpu is None and find_spec("numba") is not None and _sides(source, graph) == _pixels(source).shape[1:3]
    apart = {"plan.fill", "plan.scale", "plan.noise"} & {*_plan_parts(graph.mix)}
    return plain and not _is_drawn_by_dali(graph) and not apart


@do_not_convert
def _is_drawn_by_dali(graph: TrainGraph) -> bool:
    """Whether anything is left to the random operators of DALI, whose draws do not know the epoch."""
    colours = graph.color_jitter or graph.lighting
    operators = graph.auto_augment is not None or graph.erasing is not None or colours
    return bool(operators or set(VIEWS) & set(graph.outputs))


@do_not_convert
def _plan_parts(mix: Mix | None) -> list[str]:
    return [name for name in output_names(("images", "plan"), TRAIN, mix) if "." in name] if mix is not None else []


@do_not_convert
def _fused(drawn: TrainBatches, nodes: dict[str, DataNode], graph: TrainGraph) -> dict[str, DataNode]:
    from mixdali.worlds.compiled.resident import crop_and_mix

    shape = (drawn.pixels.shape[3], *drawn.size)
    output = Output.of(**graph.form)
    made = {"images": crop_and_mix(nodes["crops"], nodes.get("plan.mask"), shape, output)}
    if "unmixed" in graph.outputs:
        made["unmixed"] = crop_and_mix(nodes["crops"][0:9], None, shape, output)
    return made


def _resized(images: DataNode, source: Source, graph: ValGraph) -> DataNode:
    height, width, channels = _pixels(source).shape[1:]
    sides = _sides(source, graph)
    if sides == (height, width):
        return images
    return resize(images, sides, channels=channels, interpolation=graph.interpolation)


def _sides(source: Source, graph: ValGraph) -> tuple[int, int]:
    height, width = _pixels(source).shape[1:3]
    return (height, width) if graph.size is None else height_width(graph.size)
