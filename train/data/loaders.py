"""From a recipe and its images to its loaders."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from train.data.batches import Loader, Releasable, find_pipeline, train_batches
from train.data.sources import Sources
from train.data.streams import check_streams, split_batch
from train.machine.distributed import World
from train.machine.run import DALI_S_OWN, Run
from train.recipe import Recipe

if TYPE_CHECKING:
    from pipelines.sources.source import Source

# Rows and columns of the picture of mixed images.
PREVIEW = (4, 8)


def train_loader(recipe: Recipe, run: Run, sources: Sources, world: World, outputs: tuple[str, ...]) -> Loader:
    """This process's share of the mixed training batches; with `run.parts`, that many of them are one step's.

    Raises:
        ValueError: if the batch does not divide among the processes, if the images do not fill one batch, or if the
            objective and the recipe's streams do not go together.
    """
    as_they_are = recipe.labels is None and not (
        recipe.noise.rate or recipe.image_noise.rate or recipe.validation or recipe.fold or recipe.num_images
    )
    assert sources.prepared or (as_they_are and not recipe.streams), "prepare_sources comes first"
    shares = world.size * run.parts
    among = f"{world.size} processes" + (f" of {run.parts} parts" if run.parts > 1 else "")
    if recipe.batch_size % shares:
        raise ValueError(f"batch_size {recipe.batch_size} does not divide among {among}")
    check_streams(recipe.streams, type(recipe.objective).__name__, outputs)
    counts = split_batch(recipe.streams, recipe.batch_size)
    if any(count % shares for count in counts):
        parts = " + ".join(map(str, counts))
        raise ValueError(f"batch_size {recipe.batch_size} is {parts}, which do not divide among {among}")
    return train_batches(
        recipe,
        sources,
        [count // shares for count in counts],
        outputs,
        shard=(world.rank, world.size),
        device=world.kind,
        num_threads=run.threads(world.local_size),
        prefetch=run.prefetch,
        of_files=run.of_files,
    )


def val_loader(
    recipe: Recipe,
    run: Run,
    sources: Sources,
    world: World,
    images: Source | None = None,
    outputs: tuple[str, ...] = ("images", "targets"),
) -> Releasable:
    """This process's share of the held-out images, or of others, every one once an epoch."""
    pipeline = find_pipeline(sources.kind)
    loader: Releasable = pipeline.val_loader(
        sources.held_out if images is None else images,
        batch_size=max(1, recipe.batch_size // world.size),
        num_classes=sources.num_classes,
        size=recipe.held_out_size,
        interpolation=recipe.interpolation,
        crop_share=recipe.crop_share,
        outputs=outputs,
        shard=(world.rank, world.size),
        device=world.kind,
        num_threads=run.threads(world.local_size),
        prefetch=run.prefetch,
        **(run.of_files if sources.kind == "imagenet" else {}),
    )
    return loader


def check_hints(run: Run, sources: Sources, world: World) -> str:
    """A line for people where hints for the decoder change nothing; else nothing.

    Raises:
        ValueError: there are no image files that they could be of.
    """
    if run.decoder == DALI_S_OWN:
        return ""
    if all(isinstance(source.items, np.ndarray) for source in (sources.train, *sources.streams)):
        raise ValueError("decoder is of image files, the recipe reads images in memory; leave out --decoder")
    return "" if world.kind == "gpu" else "note: --decoder is for a GPU, and changes nothing on a CPU"


def preview_batches(recipe: Recipe, run: Run, sources: Sources, world: World) -> list[Any]:
    """A few small mixed training batches on the CPU, for a picture: images, labels and, with a mix, plan.

    Images of a stream that belong to no class have the label num_classes.
    """
    share = PREVIEW[1] / recipe.batch_size
    others = [max(1, round(share * count)) for count in split_batch(recipe.streams, recipe.batch_size)[1:]]
    own = min(max(1, PREVIEW[1] - sum(others)), len(sources.train))
    loader = train_batches(
        replace(recipe, whole_epochs=True),
        sources,
        (own, *others),
        ("images", "targets", "labels", *(() if recipe.mix is None else ("plan",))),
        shard=(0, 1),
        device="cpu",
        num_threads=run.threads(world.local_size),
        of_files=run.of_files,
    )
    batches = list(islice(loader, PREVIEW[0]))
    for number, stream in enumerate(recipe.streams, start=1):
        if stream.is_unlabelled:
            batches = [
                batch._replace(labels=batch.labels.masked_fill(batch.mask == number, sources.num_classes))
                for batch in batches
            ]
    return batches


def batches_per_run(loader: Any) -> int:
    """How many batches the pipelines of a loader make at a time, at most."""
    return max([getattr(loader, "batches_per_run", 1), *map(batches_per_run, getattr(loader, "loaders", ()))])


def skipped_files(loader: Any) -> dict[str, str]:
    """What is wrong with each image file that a loader could not use so far, by its path."""
    own = dict(getattr(loader, "skipped", []))
    return own | {path: why for part in getattr(loader, "loaders", ()) for path, why in skipped_files(part).items()}
