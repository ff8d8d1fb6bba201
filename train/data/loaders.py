"""From a recipe and its images to its loaders."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from train.data.batches import Loader, find_pipeline, train_batches
from train.data.sources import Sources
from train.data.streams import check_streams, split_batch
from train.machine.distributed import World
from train.machine.run import Run
from train.recipe import Recipe

if TYPE_CHECKING:
    from pipelines.sources.source import Source

# Rows and columns of the picture of mixed images.
PREVIEW = (4, 8)


def train_loader(recipe: Recipe, run: Run, sources: Sources, world: World, outputs: tuple[str, ...]) -> Loader:
    """This process's share of the mixed training batches.

    Raises:
        ValueError: if the batch does not divide among the processes, if the images do not fill one batch, or if the
            objective and the recipe's streams do not go together.
    """
    as_they_are = recipe.labels is None and not (recipe.noise.rate or recipe.validation or recipe.num_images)
    assert sources.prepared or (as_they_are and not recipe.streams), "prepare_sources comes first"
    if recipe.batch_size % world.size:
        raise ValueError(f"batch_size {recipe.batch_size} does not divide among {world.size} processes")
    check_streams(recipe.streams, type(recipe.objective).__name__, outputs)
    counts = split_batch(recipe.streams, recipe.batch_size)
    if any(count % world.size for count in counts):
        parts = " + ".join(map(str, counts))
        raise ValueError(f"batch_size {recipe.batch_size} is {parts}, which do not divide among {world.size} processes")
    return train_batches(
        recipe,
        sources,
        [count // world.size for count in counts],
        outputs,
        shard=(world.rank, world.size),
        device=world.kind,
        num_threads=run.threads(world.size),
    )


def val_loader(
    recipe: Recipe,
    run: Run,
    sources: Sources,
    world: World,
    images: Source | None = None,
    outputs: tuple[str, ...] = ("images", "targets"),
) -> Loader:
    """This process's share of the held-out images, or of others, every one once an epoch."""
    pipeline = find_pipeline(sources.kind)
    return pipeline.val_loader(
        sources.held_out if images is None else images,
        batch_size=max(1, recipe.batch_size // world.size),
        num_classes=sources.num_classes,
        size=recipe.held_out_size,
        interpolation=recipe.interpolation,
        crop_share=recipe.crop_share,
        outputs=outputs,
        shard=(world.rank, world.size),
        device=world.kind,
        num_threads=run.threads(world.size),
    )


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
        num_threads=run.threads(world.size),
    )
    batches = list(islice(loader, PREVIEW[0]))
    for number, stream in enumerate(recipe.streams, start=1):
        if stream.is_unlabelled:
            batches = [
                batch._replace(labels=batch.labels.masked_fill(batch.mask == number, sources.num_classes))
                for batch in batches
            ]
    return batches
