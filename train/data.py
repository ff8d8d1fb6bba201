"""From a recipe to its loaders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from train.distributed import World
from train.recipe import Data, Recipe
from train.run import Run

if TYPE_CHECKING:
    from pipelines.source import Source

# Mean and deviation of the training images in [0, 1]: CIFAR-10's, and ImageNet's.
STATISTICS = {
    "cifar": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


# Rows and columns of the picture of mixed images.
PREVIEW = (4, 8)


class Loader(Protocol):
    """What the loop needs of a loader: named batches, a length, and a place to go back to."""

    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Sources:
    """The training and the held-out images of a run."""

    kind: Data
    train: Source
    held_out: Source
    num_classes: int

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; their numbers where the data has no names."""
        return self.train.classes or tuple(str(label) for label in range(self.num_classes))

    def identity(self) -> dict[str, Any]:
        """What two runs must have in common to have seen the same data, wherever it lies."""
        return {
            "data": self.kind,
            "num_images": len(self.train),
            "num_classes": self.num_classes,
            "fingerprint": fingerprint(self.train)[:12] + fingerprint(self.held_out)[:12],
        }


def read_sources(kind: Data, root: str | None) -> Sources:
    """The images in `root`, or without one the embedded digits.

    Raises:
        FileNotFoundError, ValueError: one line on what is missing or wrong in the folder.
    """
    from pipelines import digits, files

    if root is not None and (found := files.find_kind(root)) != kind:
        names = {"cifar": "CIFAR pickles", "imagenet": "image files"}
        raise ValueError(f"{root} holds {names[found]}, the recipe reads {names[kind]}; pass --data {found}")
    if kind == "cifar":
        folder = digits.cifar_folder() if root is None else root
        train, held_out = files.read_cifar(folder, "train"), files.read_cifar(folder, "test")
    else:
        folder = digits.image_folder() if root is None else root
        train, held_out = files.read_folder(folder, "train"), files.read_folder(folder, "val")
    num_classes = len(train.classes) or int(np.max(train.labels)) + 1
    return Sources(kind, train, held_out, num_classes)


def fingerprint(source: Source) -> str:
    """A digest of the labels, and of the files' names or of some of the images: the same wherever the data lies."""
    digest = hashlib.sha256(np.ascontiguousarray(source.labels, dtype=np.int64).tobytes())
    if isinstance(source.items, np.ndarray):
        step = max(1, len(source) // 64)
        digest.update(repr(source.items.shape).encode())
        digest.update(np.ascontiguousarray(source.items[::step]).tobytes())
    else:
        digest.update("\n".join(path.rpartition("/")[2] for path in source.items).encode())
    return digest.hexdigest()


def train_loader(recipe: Recipe, run: Run, sources: Sources, world: World, outputs: tuple[str, ...]) -> Loader:
    """This process's share of the mixed training batches.

    Raises:
        ValueError: if the batch does not divide among the processes, or the images do not fill one batch.
    """
    if recipe.batch_size % world.size:
        raise ValueError(f"batch_size {recipe.batch_size} does not divide among {world.size} processes")
    pipeline = _pipeline(sources.kind)
    return pipeline.train_loader(
        sources.train,
        batch_size=recipe.batch_size // world.size,
        num_classes=sources.num_classes,
        mix=recipe.mix,
        size=recipe.size,
        outputs=outputs,
        smoothing=recipe.smoothing,
        shard=(world.rank, world.size),
        augment=recipe.augment,
        seed=recipe.seed,
        device=world.kind,
        num_threads=run.threads(world.size),
    )


def val_loader(recipe: Recipe, run: Run, sources: Sources, world: World) -> Loader:
    """This process's share of the held-out images, every one once an epoch."""
    pipeline = _pipeline(sources.kind)
    return pipeline.val_loader(
        sources.held_out,
        batch_size=max(1, recipe.batch_size // world.size),
        num_classes=sources.num_classes,
        size=recipe.size,
        shard=(world.rank, world.size),
        device=world.kind,
        num_threads=run.threads(world.size),
    )


def preview_batches(recipe: Recipe, run: Run, sources: Sources, world: World) -> list[Any]:
    """A few small mixed training batches on the CPU, for a picture: images, labels and, with a mix, plan."""
    pipeline = _pipeline(sources.kind)
    loader = pipeline.train_loader(
        sources.train,
        batch_size=min(PREVIEW[1], len(sources.train)),
        num_classes=sources.num_classes,
        mix=recipe.mix,
        size=recipe.size,
        outputs=("images", "labels") if recipe.mix is None else ("images", "labels", "plan"),
        augment=recipe.augment,
        seed=recipe.seed,
        device="cpu",
        num_threads=run.threads(world.size),
    )
    return list(islice(loader, PREVIEW[0]))


def _pipeline(kind: Data) -> Any:
    # Here, because importing a pipeline loads DALI.
    if kind == "cifar":
        from pipelines import cifar

        return cifar
    from pipelines import imagenet

    return imagenet
