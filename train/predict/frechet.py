"""How far synthetic images are from test and from training images, in the features of a classifier.

    python -m train.predict.frechet runs/NAME --synthetic runs/generator/last.pt --root CIFAR

This is not the FID that papers on generators report, which is of Inception's features: the numbers of two classifiers
cannot be compared, those of two generators by one classifier can.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
import tyro
from rich.table import Table
from torch import Tensor, nn

from train.data.images import spread
from train.data.loaders import val_loader
from train.files import checkpoint
from train.files.recipe_file import NamedFile
from train.files.sealed import written
from train.machine.command import new_console, parse, run_command, say
from train.machine.distributed import World, open_world
from train.machine.precision import tf32
from train.machine.run import Run
from train.objectives.parts.hidden import classifier, recorded
from train.predict.measure import Networks, read_networks, sized
from train.predict.run import new_folder
from train.predict.synthetic import read_synthetic
from train.recipe import Data
from train.show.as_json import as_json

if TYPE_CHECKING:
    from pipelines.sources.source import Source

KEYS = ("all", "by_class")
SUMMARY = "Frechet distances of synthetic images from test and from training images, in features of our own classifier."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is compared, and where the result is written."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """The classifier whose features are taken, or the folder of its run."""
    synthetic: tuple[Path, ...]
    """Synthetic images: generators' checkpoints, .npz files with `image` and `label`, or folders of class folders."""
    root: str | None = None
    """Folder of the data the classifier was trained on. None: the embedded digits."""
    recipe_file: NamedFile = None
    num_images: int = 10_000
    """Images that a generator draws; as many test and training images are taken at most, evenly spread."""
    seed: int = 0
    """Which images a generator draws."""
    average: bool = True
    """Take the averaged weights where the run kept them."""
    folder: Path = Path("runs/frechet")
    """Where frechet.json goes; with -2, -3, ... where that is taken."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto takes a GPU if there is one."""


def main(words: Sequence[str]) -> int:
    """Measure and show; -> the exit code. ValueError and others of one line for the user."""
    asked = parse(Arguments, words, program="train.predict.frechet", summary=SUMMARY)
    console = new_console()
    with open_world(asked.device) as world, tf32(False):
        if world.size > 1:
            raise ValueError("one process is enough; start it without torchrun")
        networks = read_networks([asked.checkpoint], asked.root, asked.recipe_file, partial(say, console))
        classes = networks.sources.classes
        sets = {str(path): read_synthetic(path, classes, asked.num_images, asked.seed) for path in asked.synthetic}
        found = measure_sets(networks, sets, world, asked.num_images, average=asked.average)
    folder = new_folder(asked.folder)
    with written(folder / "frechet.json") as aside:
        aside.write_text(as_json({"classifier": str(networks.paths[0]), **found}))
    console.print(result_table(found))
    say(console, f"{folder}: frechet.json. In features of {networks.paths[0]}, not Inception's: no FID of a paper.")
    return 0


def measure_sets(
    networks: Networks, sets: dict[str, Source], world: World, num_images: int, *, average: bool
) -> dict[str, Any]:
    """In features of the first of the networks, by synthetic set `distances` from the test and the training images,
    under "sets"; under "training" those of the training images from the test images, as the measure of what is near;
    and "images", how many of each.

    A distance is the greater the fewer images it is of. So as many training as test images are taken, evenly spread.
    """
    sources = networks.sources
    number = min(num_images, len(sources.held_out), len(networks.trained_on[0]))
    real = {
        "test": sources.held_out.select(spread(len(sources.held_out), number)),
        "training": networks.trained_on[0].select(spread(len(networks.trained_on[0]), number)),
    }
    path, file = networks.paths[0], networks.recipe_files[0]
    model = checkpoint.load_model(path, average=average, file=file).to(world.device).eval()
    recipe = sized(networks.recipes[0], sources)

    def features(images: Source) -> tuple[np.ndarray, np.ndarray]:
        kind: Data = "cifar" if isinstance(images.items, np.ndarray) else "imagenet"
        return read_features(model, val_loader(recipe, Run(), replace(sources, kind=kind, held_out=images), world))

    known = {name: features(images) for name, images in real.items()}
    found = {}
    for name, images in sets.items():
        own = features(images)
        found[name] = {other: distances(*own, *known[other]) for other in real}
    counts = {name: len(images) for name, images in {**real, **sets}.items()}
    return {"sets": found, "training": {"test": distances(*known["training"], *known["test"])}, "images": counts}


@torch.no_grad()
def read_features(model: nn.Module, loader: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Batches with images and targets -> what enters the last linear layer, (N, D) float64, and labels (N,).

    Raises:
        ValueError: the network has no linear layer, or features that are not finite.
    """
    head, rows, labels = classifier(model), list[Tensor](), list[Tensor]()
    device = next(model.parameters()).device
    for batch in loader:
        with recorded(head, inputs=True) as seen:
            model(batch.images.to(device))
        rows.append(seen[-1].flatten(1).double().cpu())
        labels.append(batch.targets.argmax(dim=1).cpu())
    features = torch.cat(rows).numpy()
    if not np.isfinite(features).all():
        raise ValueError("features must be finite, got nan or infinity; the classifier has diverged")
    return features, torch.cat(labels).numpy()


def distances(one: np.ndarray, one_labels: np.ndarray, other: np.ndarray, other_labels: np.ndarray) -> dict[str, Any]:
    """Features (N, D) and labels (N,) of two sets -> `all`: `frechet` of all images; `by_class`: the mean of those of
    each class that has two images in both; `classes`: how many these are. `by_class` is None where there is none."""
    labels = [
        label for label in np.unique(one_labels) if min((one_labels == label).sum(), (other_labels == label).sum()) > 1
    ]
    own = [frechet(one[one_labels == label], other[other_labels == label]) for label in labels]
    return {"all": frechet(one, other), "by_class": float(np.mean(own)) if own else None, "classes": len(own)}


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """The squared Frechet distance of two normal distributions with the means and covariances of features (N, D) and
    (M, D), N and M at least 2: |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)).

    Dowson and Landau, Journal of Multivariate Analysis 12, 1982; of images: Heusel et al., NeurIPS 2017,
    arXiv:1706.08500.
    """
    if min(len(one), len(other)) < 2:
        raise ValueError(f"a Frechet distance needs two images on either side, got {len(one)} and {len(other)}")
    first, second = (np.cov(part, rowvar=False).reshape(part.shape[1], -1) for part in (one, other))
    # the eigenvalues of C C' are those of the symmetric C^(1/2) C' C^(1/2)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    apart = float(np.square(one.mean(axis=0) - other.mean(axis=0)).sum())
    return max(0.0, apart + float(np.trace(first) + np.trace(second) - 2 * cross))


def result_table(found: dict[str, Any]) -> Table:
    """A line for each set, and the training images."""
    table = Table(
        title="squared Frechet distances, of all images and as the mean of the classes'", title_justify="left"
    )
    for name in ("", "from test", "by class", "from training", "by class"):
        table.add_column(name, justify="right" if name else "left")
    for name, one in {**found["sets"], "training images": found["training"]}.items():
        cells = [_cell(one[other][key]) if other in one else "" for other in ("test", "training") for key in KEYS]
        table.add_row(name, *cells)
    return table


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    raise SystemExit(run_command(main))
