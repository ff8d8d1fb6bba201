"""`python -m train.study.arms.grid`: a grid of small networks, and which predictor tells how well they generalise.

A study reads what it leaves (numbers.json): each seed is a grid of its own, so that what is said of a predictor has an
interval over grids. The networks differ in width, number of training images and weight decay, as those of the
competition "Predicting Generalization in Deep Learning" differ in three or more of their settings.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import tyro

from mixdali.checks import require
from train.compare.run import read_run
from train.machine.command import new_console, parse, run_command, say
from train.machine.distributed import open_world
from train.machine.precision import tf32
from train.predict.frechet import measure_sets
from train.predict.measure import measure, read_networks
from train.predict.report import result_table, score
from train.predict.run import describe
from train.predict.synthetic import read_synthetic
from train.study.numbers import claim, write_numbers

SUMMARY = "Train a grid of small networks, and predict their test accuracy from synthetic images."
TRAINING = "--size 16 16 --evaluate_every 1000 --batch_size 64 --ema_decay None"
"""Of every network, beside `baseline small`."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides the numbers, beside the data."""

    synthetic: str
    """Labelled synthetic images: a generator's checkpoint, an .npz with `image` and `label`, or a folder of folders."""
    widths: tuple[int, ...] = (8, 32)
    """Channels of the networks' first layers."""
    images: tuple[int, ...] = (500, 2000)
    """Training images."""
    weight_decays: tuple[float, ...] = (0.0, 5e-3)
    """Weight decays."""
    num_epochs: int = 20
    """Epochs of each network."""
    num_synthetic: int = 5000
    """Images that a generator draws."""
    seed: int = 0
    """The one seed all randomness is derived from."""

    def __post_init__(self) -> None:
        for name in ("widths", "images", "weight_decays"):
            values = getattr(self, name)
            require(len(set(values)) == len(values) >= 2, name, values, "must be two different values or more")
        require(self.num_epochs > 0, "num_epochs", self.num_epochs, "must be above 0")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All that the command line can set."""

    settings: Annotated[Settings, tyro.conf.arg(name="")]
    root: str | None = None
    """Folder with CIFAR's pickles; None: the embedded digits."""
    name: str | None = None
    """Folder of the grid inside `folder`; None is grid, with -2, -3, ... where that has others."""
    folder: str = "runs"
    """Where it lies."""


def main(words: Sequence[str]) -> int:
    """Train what is missing, predict, and write numbers.json; -> the exit code. Raises ValueError of one line."""
    asked = parse(Arguments, words, program="train.study.arms.grid", summary=SUMMARY)
    settings, console = asked.settings, new_console()
    place = claim(Path(asked.folder), asked.name, "grid", {**asdict(settings), "root": asked.root})
    paths = list(train_networks(settings, asked.root, place / "networks", partial(say, console)))
    with open_world("cpu") as world, tf32(False):
        # the widest, which has seen most images, comes first: its features are those that distances are measured in
        networks = read_networks(paths[::-1], asked.root, tell=partial(say, console))
        synthetic = read_synthetic(
            Path(settings.synthetic), networks.sources.classes, settings.num_synthetic, settings.seed
        )
        measured = []
        for network in measure(networks, synthetic, world, average=False):
            measured.append(network)
            say(console, describe(network))
        found = score(measured)
        near = measure_sets(networks, {"synthetic": synthetic}, world, settings.num_synthetic, average=False)
    write_numbers(place, {"prediction": {"grid": numbers(found, near)}})
    console.print(result_table(found, len(measured)))
    say(console, f"{place}: numbers.json")
    return 0


def train_networks(settings: Settings, root: str | None, folder: Path, tell: Callable[[str], None]) -> Iterator[Path]:
    """The runs of the grid, one after the other; those that are finished are taken as they are.

    Raises:
        RuntimeError: one failed; its last line.
    """
    for width, images, decay in product(settings.widths, settings.images, settings.weight_decays):
        name = f"w{width}-n{images}-d{decay:g}"
        place = folder / name
        if not _is_finished(place):
            words = ["baseline", "small", *TRAINING.split(), "--model", f"preact_resnet8_w{width}"]
            words += ["--num_images", str(images), "--weight_decay", str(decay), "--seed", str(settings.seed)]
            words += ["--num_epochs", str(settings.num_epochs), "--folder", str(folder), "--name", name]
            words += [] if root is None else ["--root", root]
            done = subprocess.run([sys.executable, "-m", "train", *words], capture_output=True, text=True, check=False)
            if done.returncode:
                said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
                raise RuntimeError(f"network {name} failed with code {done.returncode}: {said}")
            tell(f"trained {name}")
        yield place


def _is_finished(place: Path) -> bool:
    try:
        read_run(place)
    except (FileNotFoundError, ValueError):
        return False
    return True


def numbers(found: dict[str, Any], near: dict[str, Any]) -> dict[str, Any]:
    """Of `score` and `measure_sets`, what a study may ask for: by predictor "kendall", "pgdl" and "mean_error", where
    there is one; and the mean over classes of the squared Frechet distance from the test images, of the synthetic and
    of the training images, which are as many."""
    predictors = {
        name: {key: row[key] for key in ("kendall", "pgdl", "mean_error") if row[key] is not None}
        for name, row in found["predictors"].items()
    }
    distances = {
        "synthetic images": near["sets"]["synthetic"]["test"]["by_class"],
        "training images": near["training"]["test"]["by_class"],
    }
    return {**predictors, "distance": {name: value for name, value in distances.items() if value is not None}}


if __name__ == "__main__":
    raise SystemExit(run_command(main))
