"""What the loaders of all pipelines have in common: from a pipeline and what is asked of it to a `mixdali.Loader`."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from nvidia.dali.pipeline import Pipeline

from mixdali import Loader, derive_seed
from mixdali.checks import positive_int
from mixdali.loading.sampling import check_shard
from mixdali.worlds.output import Output

from .arguments import TrainArguments, TrainGraph, ValArguments, ValGraph, run_settings
from .augment.sizes import Progressive
from .check.guarded import Guard, GuardedLoader
from .outputs import TRAIN, VAL, graph_settings, output_names
from .sources.source import Source


def make_train_loader(
    pipeline: Callable[..., Pipeline],
    source: Source,
    asked: TrainArguments,
    size: tuple[int, int] | Progressive,
    *,
    continuous: bool,
    guard: Guard | None = None,
    **settings: Any,
) -> Loader:
    """Every epoch anew, without the last partial batch.

    pipeline  takes the source and the fields of `TrainGraph`, those of every DALI pipeline, and `first_epoch`; with a
              setting `batches_per_run` that too.
    size      (height, width) of what comes out, or that of each epoch.
    continuous
              False: every epoch from a seed of its own. True: from one seed, as the pipeline's draws know the epoch.
    guard     of files: what becomes of those that are no use. The pipeline takes its `watch` too.
    settings  of the `Loader`.
    """
    names = output_names(asked.outputs, TRAIN, asked.mix)
    make = _maker(pipeline, source, asked, TrainGraph, guard, settings.get("batches_per_run", 1))

    def of_epoch(epoch: int, checkpoint: bytes | None) -> Pipeline:
        seed = derive_seed(asked.seed, "epoch", 0 if continuous else epoch)
        sides = {"size": size.at(epoch)} if isinstance(size, Progressive) else {}
        return make(seed=seed, first_epoch=epoch, checkpoint=checkpoint, **sides)

    facts = {field.name: getattr(asked, field.name) for field in fields(TrainGraph) if field.name != "outputs"}
    facts |= {"size": size, "decoder": asked.decoder.of_pixels} | _form_facts(asked)
    return _loader(of_epoch, names, guard, continuous=continuous, facts=facts, **settings)


def make_val_loader(
    pipeline: Callable[..., Pipeline],
    source: Source,
    asked: ValArguments,
    guard: Guard | None = None,
    **settings: Any,
) -> Loader:
    """Every image once and in order. Arguments as in `make_train_loader`, of `ValGraph` and without `first_epoch`."""
    names = output_names(asked.outputs, VAL)
    make = _maker(pipeline, source, asked, ValGraph, guard)

    def of_epoch(epoch: int, checkpoint: bytes | None) -> Pipeline:
        return make(checkpoint=checkpoint)

    return _loader(of_epoch, names, guard, last_batch="partial", continuous=True, **settings)


def _loader(of_epoch: Callable[..., Pipeline], names: Sequence[str], guard: Guard | None, **settings: Any) -> Loader:
    if guard is None:
        return Loader(of_epoch, names, **settings)
    return GuardedLoader(of_epoch, names, guard=guard, **settings)


def check_source(source: Source, graph: ValGraph) -> Source:
    """ValueError for a source without images, with labels outside the classes, or too small for the ranks; and for a
    form of images that cannot be had."""
    form = Output.of(**graph.form)
    if form.channels not in (1, 3):
        raise ValueError(f"mean and std must be 3 numbers, one for each channel, or one for all, got {form.channels}")
    source.check(graph.num_classes)
    check_shard(graph.share, len(source))
    return source


def _form_facts(graph: ValGraph) -> dict[str, Any]:
    """The form of images, in one spelling: torch.float16 is "float16"."""
    form = Output.of(**graph.form)
    return {"mean": form.mean, "std": form.std, "dtype": form.dtype or "float32", "output_layout": form.layout}


def _maker(
    pipeline: Callable[..., Pipeline],
    source: Source,
    asked: TrainArguments | ValArguments,
    graph: type[ValGraph],
    guard: Guard | None,
    batches_per_run: int = 1,
) -> Callable[..., Pipeline]:
    settings: dict[str, Any] = {field.name: getattr(asked, field.name) for field in fields(graph)}
    settings |= graph_settings(asked.outputs, getattr(asked, "auto_augment", None)) | run_settings(
        asked.batch_size, asked.num_threads, asked.device
    )
    positive_int("prefetch", asked.prefetch)
    settings["prefetch_queue_depth"] = asked.prefetch
    if batches_per_run > 1:
        settings |= {"batch_size": asked.batch_size * batches_per_run, "batches_per_run": batches_per_run}
    if guard is None:
        return partial(pipeline, source, **settings)
    return lambda **more: pipeline(guard.source, watch=guard.watch, **(settings | more))
