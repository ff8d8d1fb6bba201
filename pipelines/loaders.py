"""What the loaders of all pipelines have in common: from a pipeline and what is asked of it to a `mixdali.Loader`."""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

from nvidia.dali.pipeline import Pipeline

from mixdali import Loader, derive_seed
from mixdali.loading.sampling import check_shard
from mixdali.output import Output
from pipelines.arguments import TrainArguments, TrainGraph, ValArguments, ValGraph, run_settings
from pipelines.outputs import TRAIN, VAL, graph_settings, output_names
from pipelines.sources.source import Source


def make_train_loader(
    pipeline: Callable[..., Pipeline], source: Source, asked: TrainArguments, **settings: Any
) -> Loader:
    """Every epoch from a seed of its own, without the last partial batch.

    pipeline  takes the source and the fields of `TrainGraph`, those of every DALI pipeline, and `first_epoch`; with a
              setting `batches_per_run` that too.
    settings  of the `Loader`.
    """
    names = output_names(asked.outputs, TRAIN, asked.mix)
    make = _maker(pipeline, source, asked, TrainGraph, settings.get("batches_per_run", 1))

    def of_epoch(epoch: int, checkpoint: bytes | None) -> Pipeline:
        return make(seed=derive_seed(asked.seed, "epoch", epoch), first_epoch=epoch, checkpoint=checkpoint)

    return Loader(of_epoch, names, **settings)


def make_val_loader(pipeline: Callable[..., Pipeline], source: Source, asked: ValArguments, **settings: Any) -> Loader:
    """Every image once and in order. Arguments as in `make_train_loader`, of `ValGraph` and without `first_epoch`."""
    names = output_names(asked.outputs, VAL)
    make = _maker(pipeline, source, asked, ValGraph)
    return Loader(lambda epoch, checkpoint: make(checkpoint=checkpoint), names, last_batch="partial", **settings)


def check_source(source: Source, graph: ValGraph) -> Source:
    """ValueError for a source without images, with labels outside the classes, or too small for the ranks; and for a
    form of images that cannot be had."""
    form = Output.of(**graph.form)
    if form.channels not in (1, 3):
        raise ValueError(f"mean and std must be 3 numbers, one for each channel, or one for all, got {form.channels}")
    source.check(graph.num_classes)
    check_shard(graph.shard, len(source))
    return source


def _maker(
    pipeline: Callable[..., Pipeline],
    source: Source,
    asked: TrainArguments | ValArguments,
    graph: type[ValGraph],
    batches_per_run: int = 1,
) -> Callable[..., Pipeline]:
    settings: dict[str, Any] = {field.name: getattr(asked, field.name) for field in fields(graph)}
    settings |= graph_settings(asked.outputs) | run_settings(asked.batch_size, asked.num_threads, asked.device)
    if batches_per_run > 1:
        settings |= {"batch_size": asked.batch_size * batches_per_run, "batches_per_run": batches_per_run}
    return partial(pipeline, source, **settings)
