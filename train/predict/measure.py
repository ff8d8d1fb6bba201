"""What trained networks reach on training, test and synthetic images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from train.data.loaders import val_loader
from train.data.sources import Sources, prepare_sources, read_sources
from train.files import checkpoint
from train.files.recipe_file import RecipeFile, file_of
from train.loop.held_out import evaluate
from train.machine.distributed import World
from train.machine.run import Run
from train.machine.stop import Stop
from train.recipe import Data, Recipe, from_plain
from train.show.intervals import wilson

if TYPE_CHECKING:
    from pipelines.sources.source import Source

# What may differ without being a hyperparameter.
NO_HYPERPARAMETERS = ("paper", "claim", "seed")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One network. Accuracies are in [0, 1], on images without augmentation.

    Its training images are those it was trained on, with the labels it was trained on.
    """

    path: str
    hyperparameters: dict[str, Any]
    """Those fields of its recipe, by dotted name, in which the networks differ."""
    train_accuracy: float
    train_loss: float
    """Mean cross-entropy, in nats."""
    test_accuracy: float
    synthetic_accuracy: float
    images: dict[str, int]
    """By "train", "test" and "synthetic", how many images the accuracies are of."""

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Wilson's 95 % intervals of the accuracies, by their names."""
        return {
            f"{name}_accuracy": wilson(getattr(self, f"{name}_accuracy"), self.images[name]) for name in self.images
        }

    @property
    def gap(self) -> float:
        """What is to be predicted: training accuracy minus test accuracy."""
        return self.train_accuracy - self.test_accuracy


@dataclass(frozen=True)
class Networks:
    """Checkpoints of networks that were trained on the same data."""

    paths: list[Path]
    recipes: list[Recipe]
    hyperparameters: list[dict[str, Any]]
    sources: Sources
    """The images as they lie."""
    trained_on: list[Source]
    """Of each network the images, and the labels, that it was trained on."""
    recipe_files: list[RecipeFile | None]
    """Those of the networks whose recipes are made of one."""


def read_networks(
    paths: Sequence[Path],
    root: str | None,
    recipe_file: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Networks:
    """Check that the networks can be compared; a run's folder stands for its last.pt. `file_of` says what the last two
    arguments are.

    Raises:
        FileNotFoundError, ValueError: a checkpoint is missing or of something else, or the networks saw other images
            than those in `root`, or images of another size.
    """
    files = [checkpoint.find(path) for path in paths]
    contents = [checkpoint.load_classifier(file) for file in files]
    own = [
        file_of(file, content, content["recipe"], recipe_file, tell)
        for file, content in zip(files, contents, strict=True)
    ]
    recipes = [from_plain(content["recipe"], file) for content, file in zip(contents, own, strict=True)]
    first = recipes[0]
    for file, recipe in zip(files, recipes, strict=True):
        if (recipe.data, recipe.size) != (first.data, first.size):
            raise ValueError(f"{file} was trained on {recipe.data} images of size {recipe.size}, {files[0]} on others")
    sources = read_sources(first.data, root)
    trained_on = []
    for file, recipe, content in zip(files, recipes, contents, strict=True):
        prepared = prepare_sources(recipe, sources, root)
        if content["identity"]["images"] != prepared.identity():
            raise ValueError(
                f"{file} was trained on other images than {root or 'the embedded digits'}; pass its --root"
            )
        if content["network"]["num_classes"] != sources.num_classes:
            raise ValueError(
                f"{file} has {content['network']['num_classes']} outputs for {sources.num_classes} classes, so its "
                "accuracy is not that of its largest output; leave it out"
            )
        trained_on.append(prepared.train)
    return Networks(files, recipes, varying([content["recipe"] for content in contents]), sources, trained_on, own)


def measure(networks: Networks, synthetic: Source, world: World, *, average: bool) -> Iterator[Measured]:
    """Evaluate one network after the other on training, test and synthetic images.

    Args:
        networks: which.
        synthetic: of `read_synthetic`, its labels counted as the networks count theirs.
        world: where it is computed.
        average: take the averaged weights of those that have them.
    """
    sources = networks.sources
    kind: Data = "cifar" if isinstance(synthetic.items, np.ndarray) else "imagenet"
    of_synthetic = replace(sources, kind=kind, held_out=synthetic)
    recipe = sized(networks.recipes[0], sources)
    test_loader, fresh_loader = (val_loader(recipe, Run(), which, world) for which in (sources, of_synthetic))
    for path, hyperparameters, trained_on, file in zip(
        networks.paths, networks.hyperparameters, networks.trained_on, networks.recipe_files, strict=True
    ):
        model = checkpoint.load_model(path, average=average, file=file).to(world.device)
        train_loader = val_loader(recipe, Run(), sources, world, trained_on)
        train, test, fresh = (
            evaluate(model, loader, "float32", world, Stop()) for loader in (train_loader, test_loader, fresh_loader)
        )
        yield Measured(
            path=str(path),
            hyperparameters=hyperparameters,
            train_accuracy=train["accuracy"],
            train_loss=train["loss"],
            test_accuracy=test["accuracy"],
            synthetic_accuracy=fresh["accuracy"],
            images={name: int(one["images"]) for name, one in (("train", train), ("test", test), ("synthetic", fresh))},
        )


def varying(recipes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of plain recipes, for each the fields, by dotted name, that are not the same in all."""
    flat = [dict(_flatten(recipe, "")) for recipe in recipes]
    names = list(dict.fromkeys(name for fields in flat for name in fields))
    differing = [
        name
        for name in names
        if name.split(".")[0] not in NO_HYPERPARAMETERS and len({repr(fields.get(name)) for fields in flat}) > 1
    ]
    return [{name: fields.get(name) for name in differing} for fields in flat]


def _flatten(plain: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(plain, dict):
        for key, value in plain.items():
            yield from _flatten(value, f"{name}.{key}" if name else key)
    elif name != "type":
        yield name, plain


def sized(recipe: Recipe, sources: Sources) -> Recipe:
    """With the size of the training images, so that synthetic images of another one are resized."""
    if recipe.size is not None or not isinstance(sources.train.items, np.ndarray):
        return recipe
    return replace(recipe, size=tuple(sources.train.items.shape[1:3]))
