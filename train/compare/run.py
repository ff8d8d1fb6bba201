"""`python -m train.compare RUN ...`: what finished runs reached, with mean and deviation over their seeds."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.table import Table

from train.files import checkpoint
from train.machine.command import new_console, parse
from train.show.intervals import wilson

SUMMARY = "Compare finished runs: those that differ in nothing but their seed share a line, with mean and deviation."

# Of the last epoch's numbers: what each is called here. A column is shown if any run has it.
COLUMNS = {
    "accuracy": "held-out, last",
    "ema_accuracy": "averaged, last",
    "test_accuracy": "test, last",
    "robust_accuracy": "robust, last",
    "ema_robust_accuracy": "averaged robust, last",
    "training_robust_accuracy": "training robust",
    "train_accuracy": "training",
    "real_accuracy": "training, real labels",
    "corrupted_accuracy": "training, wrong labels",
}
# Of all measurements, after the column of the last one.
BEST = {"accuracy": "held-out, best", "robust_accuracy": "robust, best", "ema_robust_accuracy": "averaged robust, best"}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Which runs, and how they are shown."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of finished runs."""
    markdown: bool = False
    """Print the table as Markdown."""


@dataclass(frozen=True)
class Finished:
    """One finished run."""

    path: Path
    title: str
    """Recipe and variant."""
    settings: Mapping[str, Any]
    """The fields of its recipe by their dotted names, but for the seed, and how many images and classes it saw."""
    seed: int
    numbers: Mapping[str, float]
    """What it reached, by column; shares of 1."""
    images: Mapping[str, int]
    """How many images these are shares of, where the run says so."""


def main(words: Sequence[str]) -> int:
    """Read, group and show. Raises ValueError and others of one line for the user."""
    asked = parse(Arguments, words, program="train.compare", summary=SUMMARY)
    if not asked.runs:
        raise ValueError("name the folders of one or more runs: python -m train.compare runs/*")
    header, rows = compare(once_a_seed(_finished(asked.runs)))
    if asked.markdown:
        print("\n".join("| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)))
        return 0
    table = Table(caption="in brackets 95 % intervals", caption_justify="left")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    new_console().print(table)
    return 0


def _finished(paths: Sequence[Path]) -> list[Finished]:
    """The finished runs among these folders; why the others are none is a line each on stderr.

    Raises:
        ValueError, FileNotFoundError: there is no finished run among them.
    """
    runs, reasons = list[Finished](), list[Exception]()
    for path in paths:
        try:
            runs.append(read_run(path))
        except (ValueError, FileNotFoundError) as error:
            reasons.append(error)
    if not runs:
        raise reasons[0]
    for reason in reasons:
        print(f"left out: {reason}", file=sys.stderr)
    return runs


def read_run(path: Path) -> Finished:
    """A finished run from its folder.

    Raises:
        FileNotFoundError: the folder has no last.pt.
        ValueError: it is of something else, or of a run that is not finished.
    """
    if path.is_file():
        raise ValueError(f"{path} is a file; give the folder of the run, {path.parent}")
    content = checkpoint.load(checkpoint.find(path))
    if "recipe" not in content or "network" not in content:
        raise ValueError(f"{path} is no run of python -m train")
    recipe, history = content["recipe"], content["history"]
    if not content["finished"]:
        raise ValueError(
            f"{path} is not finished: {content['epoch']} of {recipe['num_epochs']} epochs; its command goes on with it"
        )
    numbers = {name: history[-1][key] for key, name in COLUMNS.items() if key in history[-1]}
    for key, name in BEST.items():
        if any(key in row for row in history):
            numbers[name] = max(row[key] for row in history if key in row)
    images = {column: number for column in numbers if (number := _images(column, content)) is not None}
    numbers |= derived(numbers)
    settings = {name: value for name, value in _flat(recipe).items() if name not in ("seed", "claim", "paper")}
    settings |= {"images": content["identity"]["images"]["num_images"], "classes": len(content["classes"])}
    return Finished(path, _title(path), settings, recipe["seed"], numbers, images)


def derived(numbers: Mapping[str, float]) -> dict[str, float]:
    """What follows from a run's numbers by column, in no table of `compare`, for studies: "accuracy" and "robust" of
    the network that is kept after the last epoch, the averaged one where there is one; "robust gap", how much more of
    the training images than of the held-out ones withstand the attack."""
    found: dict[str, float] = {}
    for name, columns in (
        ("accuracy", ("averaged, last", "held-out, last")),
        ("robust", ("averaged robust, last", "robust, last")),
    ):
        values = [numbers[column] for column in columns if column in numbers]
        found |= {name: values[0]} if values else {}
    if "training robust" in numbers and "robust, last" in numbers:
        found["robust gap"] = numbers["training robust"] - numbers["robust, last"]
    return found


def _images(column: str, content: Mapping[str, Any]) -> int | None:
    """How many images the number in a column is a share of; None where the checkpoint does not say."""
    last, own = content["history"][-1], content["identity"]["images"]["num_images"]
    held_out = last.get("held_out_images")
    key = next(key for key, name in (*COLUMNS.items(), *BEST.items()) if name == column)
    if "robust" in key:
        of, robust = own if key.startswith("training") else held_out, content["recipe"].get("robust")
        return None if of is None or robust is None else min(int(of), robust["num_images"])
    places = {"train_accuracy": own, "test_accuracy": last.get("test_images")}
    places |= {f"{name}_accuracy": last.get(f"{name}_images") for name in ("real", "corrupted")}
    found = places.get(key, held_out)
    return None if found is None else int(found)


def _title(path: Path) -> str:
    """The recipe and variant that a run was started as; the name of its folder where that is not to be found."""
    file = path / "metrics.jsonl"
    first = file.read_text().partition("\n")[0] if file.is_file() else ""
    return json.loads(first)["run"] if first else path.resolve().name


def once_a_seed(runs: Sequence[Finished]) -> list[Finished]:
    """The first of those that differ in nothing, not even their seed; a line on stderr for each that is left out."""
    taken: dict[str, Finished] = {}
    for run in runs:
        first = taken.setdefault(json.dumps([run.title, dict(run.settings), run.seed], sort_keys=True), run)
        if first is not run:
            print(f"left out: {run.path} has the recipe and seed {run.seed} of {first.path}", file=sys.stderr)
    return list(taken.values())


def compare(runs: Sequence[Finished]) -> tuple[list[str], list[list[str]]]:
    """-> the names of the columns, and a row of texts for each group of runs, in the order in which they came."""
    groups: dict[str, list[Finished]] = {}
    for run in runs:
        groups.setdefault(json.dumps([run.title, dict(run.settings)], sort_keys=True), []).append(run)
    wanted = [name for key, last in COLUMNS.items() for name in (last, BEST.get(key)) if name is not None]
    columns = [name for name in wanted if any(name in run.numbers for run in runs)]
    firsts = [members[0] for members in groups.values()]
    rows = [
        [_label(members[0], firsts), str(len(members)), *(_summary(name, members) for name in columns)]
        for members in groups.values()
    ]
    return ["run", "seeds", *columns], rows


def _label(run: Finished, others: Sequence[Finished]) -> str:
    """Its title, and the settings that tell it from others of that title."""
    alike = [other.settings for other in others if other.title == run.title]
    apart = [
        f"{name} {_brief(value)}"
        for name, value in run.settings.items()
        if any(settings.get(name) != value for settings in alike)
    ]
    return ", ".join([run.title, *apart])


def _summary(name: str, runs: Sequence[Finished]) -> str:
    values = [100 * run.numbers[name] for run in runs if name in run.numbers]
    if not values:
        return ""
    mean = statistics.mean(values)
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    totals = [run.images.get(name) for run in runs if name in run.numbers]
    if None in totals:
        return f"{mean:.2f}{spread}"
    # Other seeds are measured on the same images, so that these count once.
    low, high = wilson(min(1.0, mean / 100), min(total for total in totals if total is not None))
    return f"{mean:.2f}{spread} [{100 * low:.2f}, {100 * high:.2f}]"


def _brief(value: Any) -> str:
    return os.path.basename(value) if isinstance(value, str) else str(value)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = {str(i): item for i, item in enumerate(value)}.items()
    else:
        return {prefix.removesuffix("."): value}
    return {name: item for key, part in items for name, item in _flat(part, f"{prefix}{key}.").items()}
