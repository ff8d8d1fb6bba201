"""Out-of-sample probabilities of all training images, for tools that look for wrong labels.

    for i in 0 1 2 3 4; do python -m train baseline small --fold $i 5 --name fold$i; done
    python -m train.evaluate.probabilities probabilities.npz runs/fold0 runs/fold1 runs/fold2 runs/fold3 runs/fold4

Each image is judged by the one network that did not see it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro

from mixdali.checks import positive_int
from train.data.batches import image_size
from train.data.images import HeldOutImages
from train.data.sources import prepare_sources, read_sources
from train.evaluate.models import Classifier, still
from train.evaluate.parts.shifts import read_logits
from train.files import checkpoint
from train.files.recipe_file import NamedFile, file_of
from train.files.sealed import written
from train.machine.command import new_console, parse, run_command, say
from train.machine.distributed import World, open_world
from train.machine.precision import tf32
from train.machine.stop import Stop
from train.recipe import from_plain
from train.show.intervals import with_interval

SUMMARY = "Write out-of-sample probabilities of all training images, from runs that held them out in turn."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All that the command line can set."""

    file: Annotated[Path, tyro.conf.Positional]
    """The .npz to write; it must not be there yet."""
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of finished runs that differ in their fold, or their last.pt."""
    root: str | None = None
    """Folder of the data the networks were trained on. None: the embedded digits."""
    recipe_file: NamedFile = None
    average: bool = True
    """Take the averaged weights where the runs kept them."""
    batch_size: int = 250
    """Images that pass a network at once."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        positive_int("batch_size", self.batch_size)
        if self.file.suffix != ".npz":
            raise ValueError(f"FILE must end in .npz, got {self.file}")


@dataclass(frozen=True, eq=False)
class Fold:
    """What a run says of the images that it held out."""

    path: Path
    index: np.ndarray
    labels: np.ndarray
    """(N,) the labels that are trained on."""
    probabilities: np.ndarray
    """(N, K) float32"""
    total: int
    """Training images of the data set."""
    classes: tuple[str, ...]


def main(words: Sequence[str]) -> int:
    """Write the file; -> the exit code. ValueError and others of one line for the user."""
    asked, console = parse(Arguments, words, program="train.evaluate.probabilities", summary=SUMMARY), new_console()
    if asked.file.exists():
        raise FileExistsError(f"{asked.file} is there already; name another file")
    if not asked.file.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {asked.file.parent}")
    if not asked.runs:
        raise ValueError("name the runs of all folds: FILE RUN RUN ...")
    with open_world(asked.device) as world, tf32(False):
        if world.size > 1:
            raise ValueError("one process is enough; start it without torchrun")
        folds = []
        for path in asked.runs:
            folds.append(measure_fold(path, asked, world, partial(say, console)))
            fold = folds[-1]
            share = float((fold.probabilities.argmax(axis=1) == fold.labels).mean())
            say(console, f"{path}: {len(fold.index):,} held out, {with_interval(share, len(fold.index))} as labelled")
    content = joined(folds)
    with written(asked.file) as aside, open(aside, "wb") as file:
        np.savez(file, **content)
    say(console, f"{asked.file}: probabilities {content['probabilities'].shape}, labels, index, classes")
    return 0


def measure_fold(path: Path, asked: Arguments, world: World, tell: Callable[[str], None]) -> Fold:
    """The probabilities that the network of a run gives the images that it held out.

    Raises:
        FileNotFoundError, ValueError: the run is missing, not finished, held nothing out, chose its epoch by these
            images, or was trained on other images than those in the root.
    """
    path = checkpoint.find(path)
    content = checkpoint.load_classifier(path)
    if path.name == "best.pt":
        raise ValueError(f"{path} is the epoch that did best on the images it held out; give the run's last.pt")
    if not content["finished"]:
        raise ValueError(f"{path} is of a run that is not finished; its command goes on with it")
    file = file_of(path, content, content["recipe"], asked.recipe_file, tell)
    recipe = from_plain(content["recipe"], file)
    held_out = recipe.validation or float(recipe.fold is not None)
    if not held_out:
        raise ValueError(f"{path} held out no training images; train it with --fold")
    sources = read_sources(recipe.data, asked.root, validation=held_out)
    prepared = prepare_sources(recipe, sources, asked.root)
    if content["identity"]["images"] != prepared.identity():
        raise ValueError(f"{path} was trained on other images than {asked.root or 'the embedded digits'}; pass --root")
    source = prepared.held_out
    size = image_size(source, recipe.size)
    images = HeldOutImages(source, sources.kind, sources.num_classes, size, asked.batch_size, world, Stop())
    model = still(checkpoint.load_model(path, average=asked.average, file=file), world.device)
    network = Classifier(model, sources.num_classes, "float32", Stop())
    logits, labels = read_logits({str(path): network}, images)
    probabilities = logits[str(path)].double().softmax(dim=1).to(torch.float32).numpy()
    index = np.array(source.index, dtype=np.int64)
    return Fold(path, index, labels.numpy(), probabilities, len(sources.train), sources.classes)


def joined(folds: Sequence[Fold]) -> dict[str, Any]:
    """By name the arrays of the file, in the order of the data set: `index` (N,), `labels` (N,), `probabilities` (N, K)
    float32 and `classes` (K,).

    Raises:
        ValueError: an image is held out by two runs, or by none, or the runs are of other data or labels.
    """
    first = folds[0]
    for fold in folds:
        if (fold.total, fold.classes) != (first.total, first.classes):
            raise ValueError(f"{fold.path} is of other data than {first.path}")
    index = np.concatenate([fold.index for fold in folds])
    values, counts = np.unique(index, return_counts=True)
    if len(values) < len(index):
        twice = int(values[counts > 1][0])
        raise ValueError(
            f"image {twice} is held out by {int(counts.max())} runs ({len(index) - len(values):,} such images); give "
            "one run for each fold, all of one seed and one number of folds"
        )
    if len(values) < first.total:
        raise ValueError(
            f"{first.total - len(values):,} of {first.total:,} training images are held out by none of these "
            f"{len(folds)} runs; give all folds"
        )
    order = np.argsort(index)
    return {
        "index": index[order],
        "labels": np.concatenate([fold.labels for fold in folds])[order],
        "probabilities": np.concatenate([fold.probabilities for fold in folds])[order],
        "classes": np.array(first.classes),
    }


if __name__ == "__main__":
    raise SystemExit(run_command(main))
