"""From a recipe to its images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixdali import derive_seed
from train.data.labels.files import read_labels
from train.data.streams.read import read_streams
from train.recipe import Data, Recipe

if TYPE_CHECKING:
    from pipelines.sources.datasets.known import Found
    from pipelines.sources.records.find import Records
    from pipelines.sources.source import Source

# Mean and deviation of the training images in [0, 1]: CIFAR-10's, and ImageNet's.
STATISTICS = {
    "cifar": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}

# So many training images with labels as they were, and so many with changed ones, are measured after every epoch.
MEASURED = 2500


@dataclass(frozen=True)
class Changes:
    """The labels of the training images before and after a recipe changed them; three arrays (N,)."""

    index: np.ndarray
    original: np.ndarray
    given: np.ndarray


@dataclass(frozen=True)
class Sources:
    """The images of a run."""

    kind: Data
    train: Source
    """What is trained on, with the labels that are trained on."""
    held_out: Source
    """What is measured after every epoch and decides which was best."""
    num_classes: int
    also: Mapping[str, Source] = field(default_factory=dict)
    """What else is measured after every epoch, by name. "test": the test images, where the held-out ones are a part of
    the training images. "real", "corrupted": training images that are as they were, and such as have other labels or
    other pixels, both with what is trained on."""
    streams: tuple[Source, ...] = ()
    """The images of the recipe's streams."""
    changes: Changes | None = None
    """Where `prepare_sources` changed labels."""
    num_all: int | None = None
    """Training images that there are, whichever of them are trained on; None where nobody counted."""
    has_test: bool = True
    """Whether the held-out images that were read are others than the training images. Without, a recipe's `validation`
    has to hold some out."""
    found: str = ""
    """What was found in the folder, for people."""
    prepared: bool = False
    """Whether they are as a recipe wants them."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; their numbers where the data has no names."""
        return self.train.classes or tuple(str(label) for label in range(self.num_classes))

    @property
    def num_samples(self) -> int:
        """Length of a table that has a place for every training image by its index."""
        return max(int(source.index.max()) for source in (self.train, *self.streams)) + 1

    def identity(self) -> dict[str, Any]:
        """What two runs must have in common to have seen the same data, wherever it lies."""
        return {
            "data": self.kind,
            "num_images": len(self.train),
            "num_classes": self.num_classes,
            "fingerprint": "".join(
                fingerprint(source)[:12]
                for source in (self.train, self.held_out, *([self.also["test"]] if "test" in self.also else []))
            ),
            **({"streams": [fingerprint(source) for source in self.streams]} if self.streams else {}),
        }


def read_sources(
    kind: Data, root: str | None, *, validation: float = 0.0, exclude: str | None = None, keep_empty: bool = False
) -> Sources:
    """The images in `root`, or without one the embedded digits.

    Args:
        kind: which pipeline reads them.
        root: the folder.
        validation: of the recipe. Above 0, class folders without a split to validate on will do.
        exclude: list of image files to leave out.
        keep_empty: take image files without content too, for loaders that skip them.

    Raises:
        FileNotFoundError, ValueError: one line on what is missing or wrong in the folder.
    """
    from pipelines.sources import digits, files
    from pipelines.sources.datasets import known

    own = None if root is None else known.find(root)
    records = None if root is None or own is not None else known.records_of(root)
    if root is not None and (found := known.find_kind(root)) != kind:
        names = {"cifar": "CIFAR pickles", "imagenet": "image files"}
        holds = names[found] if own is None and records is None else (own or records).form.name  # type: ignore[union-attr]
        raise ValueError(f"{root} holds {holds}, the recipe reads {names[kind]}; pass --data {found}")
    if exclude is not None and kind == "cifar":
        raise ValueError("exclude names image files, the recipe reads images in memory; leave it out")
    if own is not None:
        return _read_known(own, kind, exclude, root)
    if records is not None:
        train, test, said = _read_records(records, validation, exclude)
        held_out = train if test is None else test
    elif kind == "cifar":
        folder = digits.cifar_folder() if root is None else root
        train, held_out = files.read_cifar(folder, "train"), files.read_cifar(folder, "test")
        said = f"{len(train):,} training and {len(held_out):,} test images in memory"
    else:
        folder = digits.image_folder() if root is None else root
        train, test, said = _read_files(Path(folder).expanduser().absolute(), validation, exclude, keep_empty)
        held_out = train if test is None else test
    num_classes = len(train.classes) or int(np.max(train.labels)) + 1
    place = "the embedded digits" if root is None else root
    return Sources(kind, train, held_out, num_classes, has_test=held_out is not train, found=f"{place}: {said}")


def _read_files(
    place: Path, validation: float, exclude: str | None, keep_empty: bool
) -> tuple[Source, Source | None, str]:
    """Training images of a folder or a list, those to validate on, and what was found, for people."""
    from pipelines.sources import files, splits, tables
    from pipelines.sources.exclude import read_list

    listed = tables.is_table(place)
    left_out = frozenset[str]() if exclude is None else read_list(exclude, None if listed else place)
    train = files.read_files(place, "train", exclude=left_out, keep_empty=keep_empty)
    layout = tables.splits_of(place) if listed else splits.find_splits(place)
    test = None
    if layout.val is not None or not validation:  # without a split it is refused there
        test = files.read_files(place, "val", exclude=left_out, keep_empty=keep_empty)
    num_classes = len(train.classes) or int(train.labels.max()) + 1
    return train, test, layout.describe(len(train), None if test is None else len(test), num_classes, len(left_out))


def _read_records(records: Records, validation: float, exclude: str | None) -> tuple[Source, Source | None, str]:
    """As `_read_files`, of images in larger files."""
    from pipelines.sources import files
    from pipelines.sources.exclude import read_list

    train, test = records.read("train"), None
    if records.splits.val is not None or not validation:
        test = records.read("val")
    if exclude is None:
        return train, test, records.describe(train, test)
    whole = [train] if test is None else [train, test]
    listed = read_list(exclude, sources=whole)
    left = [files.leave_out(source, listed) for source in whole]
    if (gone := sum(map(len, whole)) - sum(map(len, left))) == 0 and listed:
        raise ValueError(
            f"exclude: {exclude} names none of the images in {records.root}; is it the list of other data?"
        )
    train, test = left[0], None if test is None else left[1]
    return train, test, records.describe(train, test, gone)


def _read_known(own: Found, kind: Data, exclude: str | None, root: str | None) -> Sources:
    """Of a data set in files of its own form."""
    from pipelines.sources import files
    from pipelines.sources.exclude import read_list

    listed = frozenset[str]() if exclude is None else read_list(exclude, str(own.folder))
    train, held_out = (files.leave_out(own.read(split), listed) for split in ("train", "test"))
    said = f"{own.form.name}, {len(train):,} training and {len(held_out):,} test images"
    return Sources(kind, train, held_out, len(train.classes), found=f"{root}: {said}")


def prepare_sources(recipe: Recipe, sources: Sources, root: str | None) -> Sources:
    """The sources of `read_sources` as a recipe wants them: its labels, its noise of labels and of pixels, its
    validation split, its subset, its streams.

    All that is drawn follows from the recipe's seed and the images' indices.

    Raises:
        FileNotFoundError, ValueError: one line on what is wrong with a file of labels, the noise, the numbers or a
            stream.
    """
    assert not sources.prepared
    full = sources.train
    labels = full.labels if recipe.labels is None else read_labels(recipe.labels, full, sources.classes, root)
    labels = recipe.noise.apply(labels, full.index, sources.classes, derive_seed(recipe.seed, "labels"))
    given, changed = full.relabel(labels), labels != full.labels
    if recipe.image_noise.rate > 0:
        assert isinstance(full.items, np.ndarray)
        seed = derive_seed(recipe.seed, "pixels")
        given = replace(given, items=recipe.image_noise.apply(full.items, full.index, seed))
        changed = changed | recipe.image_noise.chosen(full.index, seed)
    train, held_out = _split(recipe, full)
    also: dict[str, Source | None] = {}
    if len(held_out) and sources.has_test:
        also["test"] = sources.held_out
    if recipe.labels is not None or recipe.noise.rate > 0 or recipe.image_noise.rate > 0:
        also["real"] = _sample(given, train[~changed[train]], MEASURED, recipe.seed)
        also["corrupted"] = _sample(given, train[changed[train]], MEASURED, recipe.seed)
    chosen = given if len(train) == len(given) else given.select(train)
    return replace(
        sources,
        train=chosen,
        held_out=given.select(held_out) if len(held_out) else sources.held_out,
        also={name: source for name, source in also.items() if source is not None},
        streams=read_streams(
            recipe.streams,
            chosen,
            kind=sources.kind,
            classes=sources.classes,
            first_index=int(full.index.max()) + 1,
            seed=recipe.seed,
        ),
        changes=Changes(full.index, full.labels, labels) if (labels != full.labels).any() else None,
        num_all=len(full),
        prepared=True,
    )


def _split(recipe: Recipe, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Positions in `source`, rising: those to train on, and those held out."""
    total = len(source)
    held = int(recipe.validation) if recipe.validation >= 1 else round(recipe.validation * total)
    if recipe.fold is not None:
        held = len(range(recipe.fold[0], total, recipe.fold[1]))
    wanted = total - held if recipe.num_images is None else recipe.num_images
    if wanted < 1 or held + wanted > total:
        asked = "" if recipe.num_images is None else f" for num_images {wanted:,}"
        raise ValueError(
            f"{_held_out_by(recipe)} holds out {held:,} of {total:,} training images, too few are left{asked}"
        )
    if wanted == total:
        return np.arange(total), np.arange(0)
    if recipe.fold is None:
        order = _shuffled(source, np.arange(total), derive_seed(recipe.seed, "validation"))
    else:
        part, parts = recipe.fold
        drawn = _shuffled(source, np.arange(total), derive_seed(recipe.seed, "fold"))
        order = np.concatenate([drawn[part::parts], np.delete(drawn, np.s_[part::parts])])
    rest = _shuffled(source, order[held:], derive_seed(recipe.seed, "num_images"))
    return np.sort(rest[:wanted]), np.sort(order[:held])


def _held_out_by(recipe: Recipe) -> str:
    return f"validation {recipe.validation:g}" if recipe.fold is None else f"fold {recipe.fold[0]} {recipe.fold[1]}"


def _sample(source: Source, positions: np.ndarray, count: int, seed: int) -> Source | None:
    """At most so many of the items at these positions, drawn; None if there are none."""
    chosen = _shuffled(source, positions, derive_seed(seed, "measured"))[:count]
    return source.select(np.sort(chosen)) if len(chosen) else None


def _shuffled(source: Source, positions: np.ndarray, seed: int) -> np.ndarray:
    """The positions in an order that depends on the seed and on the indices of the images there."""
    if not len(positions):
        return positions
    draws = np.random.default_rng(seed).random(int(source.index.max()) + 1)
    return positions[np.argsort(draws[source.index[positions]], kind="stable")]


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
