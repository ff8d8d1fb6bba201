"""Training batches of a recipe, from one pipeline or from several whose batches are joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mixdali import Joined, derive_seed
from pipelines.augment import Progressive

if TYPE_CHECKING:
    from pipelines.sources.source import Source
    from train.data.sources import Sources
    from train.recipe import Data, Recipe


class Loader(Protocol):
    """What the loop needs of a loader: named batches, a length, and a place to go back to."""

    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def set_epoch(self, epoch: int) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any], *, exact: bool = True) -> None: ...


class Releasable(Loader, Protocol):
    """One that frees its pipeline until it is needed again."""

    def release(self) -> None: ...


def train_batches(
    recipe: Recipe,
    sources: Sources,
    counts: Sequence[int],
    outputs: tuple[str, ...],
    shard: tuple[int, int],
    of_files: Mapping[str, Any],
    **settings: Any,
) -> Loader:
    """Mixed batches in one shard.

    Args:
        counts: training images in each, and images of each stream.
        outputs: fields of the batches.
        shard: rank and number of ranks.
        of_files: what loaders of files are told beside.
        settings: `device`, `num_threads` and `prefetch` of the pipelines.

    Raises:
        ValueError: too few images for a batch.
    """
    settings |= {"num_classes": sources.num_classes, "shard": shard}
    own = partial(
        find_pipeline(sources.kind).train_loader,
        sources.train,
        batch_size=counts[0],
        size=recipe.progressive or recipe.size,
        interpolation=recipe.interpolation,
        smoothing=recipe.smoothing,
        augment=recipe.augment,
        repeats=recipe.repeats,
        crop_area=recipe.crop_area,
        crop_share=recipe.crop_share,
        auto_augment=recipe.auto_augment,
        color_jitter=recipe.color_jitter,
        lighting=recipe.lighting,
        erasing=recipe.erasing,
        seed=recipe.seed,
        **(of_files if sources.kind == "imagenet" else {}),
        **settings,
    )
    if len(counts) == 1:
        return own(mix=recipe.mix, outputs=outputs)
    mix, made = recipe.mix, {"mask", "weights"}
    if mix is not None:
        made |= {"unmixed", "plan"}
    settings["outputs"] = tuple(name for name in outputs if name not in made)
    steps = len(sources.train) // shard[1] // sum(counts)
    if not recipe.whole_epochs and not steps:
        raise ValueError(f"{len(sources.train):,} training images do not fill a batch of {sum(counts) * shard[1]:,}")
    return Joined(
        [
            own(mix=None, outputs=settings["outputs"]),
            *_stream_loaders(recipe, sources, counts[1:], of_files, **settings),
        ],
        weights=[1.0, *(stream.weight for stream in recipe.streams)] if "weights" in outputs else None,
        mix=mix,
        with_unmixed=mix is not None and "unmixed" in outputs,
        with_plan=mix is not None and "plan" in outputs,
        num_batches=None if recipe.whole_epochs else steps,
        seed=recipe.seed,
        rank=shard[0],
    )


def _stream_loaders(
    recipe: Recipe,
    sources: Sources,
    counts: Sequence[int],
    of_files: Mapping[str, Any],
    shard: tuple[int, int],
    **settings: Any,
) -> Iterator[Loader]:
    for number, (stream, source, count) in enumerate(zip(recipe.streams, sources.streams, counts, strict=True)):
        if len(source) // shard[1] < count:
            raise ValueError(f"streams.{number} holds {len(source):,} images, a batch takes {count * shard[1]:,} of it")
        kind: Data = "cifar" if isinstance(source.items, np.ndarray) else "imagenet"
        yield find_pipeline(kind).train_loader(
            source,
            batch_size=count,
            size=recipe.progressive or image_size(sources.train, recipe.size),
            interpolation=recipe.interpolation,
            smoothing=stream.smoothing,
            augment=stream.augment,
            seed=derive_seed(recipe.seed, "streams", number),
            shard=shard,
            **(of_files if kind == "imagenet" else {}),
            **settings,
        )


def image_size(source: Source, size: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width that images of a source come in: `size`, or its own."""
    if size is not None:
        return size
    if isinstance(source.items, np.ndarray):
        height, width = source.items.shape[1:3]
        return height, width
    from pipelines.imagenet import SIZE

    return SIZE, SIZE


def held_out_form(recipe: Mapping[str, Any]) -> tuple[tuple[int, int] | None, dict[str, Any]]:
    """How a stored recipe has its held-out images: their size, None for the pipeline's own, and what else decides them.

    recipe  as `train.files.plain.to_plain` writes it, perhaps of an older version.
    """
    size, progressive = recipe.get("test_size") or recipe["size"], recipe.get("progressive")
    if size is None and progressive is not None:
        side = Progressive(**{name: value for name, value in progressive.items() if name != "type"}).largest
        size = side, side
    form = {name: recipe[name] for name in ("interpolation", "crop_share") if name in recipe}
    return None if size is None else tuple(size), form


def find_pipeline(kind: Data) -> Any:
    """The module of `pipelines` for images in memory ("cifar"), or for files."""
    # Here, because importing a pipeline loads DALI.
    if kind == "cifar":
        from pipelines import cifar

        return cifar
    from pipelines import imagenet

    return imagenet
