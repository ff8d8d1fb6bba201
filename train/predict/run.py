"""The command: checkpoints and a synthetic set in, a prediction out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from train.files.recipe_file import NamedFile
from train.machine.command import new_console, parse, say
from train.machine.distributed import open_world
from train.machine.precision import tf32
from train.predict.measure import Measured, measure, read_networks
from train.predict.report import draw_prediction, result_table, score
from train.predict.synthetic import read_synthetic
from train.show.as_json import as_json
from train.show.intervals import with_interval

SUMMARY = "Predict the test accuracy of trained networks from their accuracy on labelled synthetic images."
FEWEST = 3


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is compared, and where the result is written."""

    checkpoints: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Checkpoints of classifiers, or folders of their runs; at least three."""
    synthetic: Path
    """Synthetic images: a generator's checkpoint, an .npz with `image` and `label`, or a folder of class folders."""
    root: str | None = None
    """Folder of the data the networks were trained on. None: the embedded digits."""
    recipe_file: NamedFile = None
    num_images: int = 10_000
    """Images that a generator draws."""
    seed: int = 0
    """Which images a generator draws."""
    average: bool = True
    """Take the averaged weights of the networks that have them."""
    folder: Path = Path("runs/prediction")
    """Where prediction.json and prediction.png go; with -2, -3, ... where that is taken."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto takes a GPU if there is one."""


def main(words: Sequence[str]) -> int:
    """Measure, score and show. Raises ValueError and others of one line for the user."""
    asked = parse(Arguments, words, program="train.predict", summary=SUMMARY)
    if len(asked.checkpoints) < FEWEST:
        raise ValueError(
            f"{FEWEST} or more checkpoints are needed to compare predictions, got {len(asked.checkpoints)}"
        )
    console = new_console()
    with open_world(asked.device) as world, tf32(False):
        if world.size > 1:
            raise ValueError("a prediction is made by one process; start it without torchrun")
        networks = read_networks(asked.checkpoints, asked.root, asked.recipe_file, partial(say, console))
        measured = []
        synthetic = read_synthetic(asked.synthetic, networks.sources.classes, asked.num_images, asked.seed)
        for network in measure(networks, synthetic, world, average=asked.average):
            measured.append(network)
            say(console, describe(network))
    found = score(measured)
    folder = new_folder(asked.folder)
    write(folder, measured, found, str(asked.synthetic))
    console.print(result_table(found, len(measured)))
    if found["pgdl_missing"]:
        say(console, f"No PGDL score: {found['pgdl_missing']}.")
    say(console, f"{folder}: prediction.json, prediction.png")
    return 0


def describe(network: Measured) -> str:
    """A network in one line, with 95 % intervals."""
    return (
        f"{network.path}  training {with_interval(network.train_accuracy, network.images['train'])}"
        f"  synthetic {with_interval(network.synthetic_accuracy, network.images['synthetic'])}"
        f"  test {with_interval(network.test_accuracy, network.images['test'])}"
    )


def write(folder: Path, measured: Sequence[Measured], found: dict[str, Any], synthetic: str) -> None:
    """Leave prediction.json and prediction.png in a folder of their own."""
    networks = [dataclasses.asdict(network) | {"intervals": network.intervals()} for network in measured]
    content = {"synthetic": synthetic, **found, "networks": networks}
    temporary = folder / ".prediction.json.writing"
    temporary.write_text(as_json(content))
    os.replace(temporary, folder / "prediction.json")
    draw_prediction(
        folder / "prediction.png", measured, found, f"{len(measured)} networks, synthetic images of {synthetic}"
    )


def new_folder(path: Path) -> Path:
    """The first of PATH, PATH-2, PATH-3, ... that is not there yet, made."""
    for number in count(1):
        folder = path if number == 1 else path.with_name(f"{path.name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError
