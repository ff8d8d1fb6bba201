"""What people see of a run: lines, numbers, pictures and the table, all by the main process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from train.data.labels.noise import write_changes
from train.data.loaders import preview_batches
from train.data.sources import Sources
from train.data.stages import PATIENCE, explain_waiting
from train.data.streams import split_batch
from train.files import checkpoint
from train.files.classes import describe_hardest, write_classes
from train.files.folders import RunFolder
from train.files.log import Log
from train.loop.epochs import Training
from train.loop.trace import Trace
from train.machine.command import say
from train.machine.run import Run
from train.recipe import Recipe
from train.show.pictures import draw_curves, draw_mixed
from train.show.progress import new_progress
from train.show.table import result_table

SECONDS_BETWEEN_PICTURES = 30.0
CHANGES = "changed_labels.csv"
CLASSES = "classes.csv"
SHOWN_CLASSES = 3
SKIPPED = "skipped.txt"
FILES = ("curves.png", "mixed.png", "metrics.jsonl", "best.pt", "last.pt")


def announce(
    console: Console, title: str, overrides: list[str], training: Training, sources: Sources, folder: RunFolder
) -> None:
    """What is trained, on what, and where it begins; `overrides` is what the recipe changes of the stored one."""
    recipe, state, world = training.recipe, training.state, training.world
    parameters = sum(parameter.numel() for parameter in state.model.parameters())
    processes = f" x {world.size}" if world.size > 1 else ""
    parts = f", {state.parts} parts a step" if state.parts > 1 else ""
    lines = [
        title + (f", changed: {'; '.join(overrides)}" if overrides else ""),
        sources.found,
        f"{len(sources.train):,} images to train on, {len(sources.held_out):,} held out, {sources.num_classes} classes"
        + (f", {len(sources.also['test']):,} test images" if "test" in sources.also else ""),
        f"{recipe.model}, {parameters:,} parameters, {recipe.precision} on {world.device.type}{processes}{parts}",
        folder.verb(f"epoch {state.epoch}, step {state.epoch_step}"),
    ]
    counts = split_batch(recipe.streams, recipe.batch_size)
    for stream, source, count in zip(recipe.streams, sources.streams, counts[1:], strict=True):
        lines.append(f"{count:,} images of a batch of {recipe.batch_size:,} from {stream.root}, {len(source):,} images")
    if recipe.weights is not None:
        lines.append(f"starts from {recipe.weights}" + (f", anew: {', '.join(state.fresh)}" if state.fresh else ""))
    if recipe.robust is not None:
        held_out, own = (min(recipe.robust.num_images, len(part)) for part in (sources.held_out, sources.train))
        lines.append(f"accuracy under attack is measured on {held_out:,} held-out and {own:,} training images")
    if sources.changes is not None:
        changed = (sources.changes.original != sources.changes.given).mean()
        lines.append(f"{changed:.2%} of the training labels changed, listed in {folder.path / CHANGES}")
    for line in lines:
        say(console, line)


def fit_and_show(
    training: Training,
    train: Callable[[Callable[[dict[str, float]], None]], bool],
    title: str,
    run: Run,
    sources: Sources,
    folder: RunFolder,
    facts: dict[str, Any],
    console: Console,
) -> bool:
    """Train as the main process: numbers and pictures on the way, the table at the end."""
    state, recipe, path = training.state, training.recipe, folder.path
    header = {"run": title, "name": path.name, **facts}
    _show_images(training, title, run, sources, path, console)
    drawn, explained = time.perf_counter(), list[bool]()

    def draw() -> None:
        with unless_disk_refuses(path / "curves.png", console):
            draw_curves(path / "curves.png", state.history, title, mixed=recipe.mix is not None)

    def record(row: dict[str, float]) -> None:
        nonlocal drawn
        with unless_disk_refuses(log.path, console):
            log.add(row)
        training.progress.end_epoch(row)
        if row["waiting"] > PATIENCE and not explained:
            explained.append(True)
            say(console, explain_waiting(recipe, run, sources, training.world, row["waiting"]))
        if training.by_class is not None:
            with unless_disk_refuses(path / CLASSES, console):
                write_classes(path / CLASSES, training.by_class.tolist(), sources.classes)
        if training.skipped:
            say(console, _list_skipped(training.skipped, path / SKIPPED))
        if time.perf_counter() - drawn > SECONDS_BETWEEN_PICTURES:
            draw()
            drawn = time.perf_counter()

    if run.profile:
        training.trace = Trace(path / "trace.json", run.profile)
    with (
        closing(Log(path, header, state.history, run.boards, partial(say, console))) as log,
        closing(new_progress(console)) as training.progress,
    ):
        with unless_disk_refuses(log.path, console):
            log.write()
        finished = train(record)
    if training.trace is not None:
        say(console, training.trace.close())
    if state.history:
        draw()
    if finished:
        _show_result(training, title, sources, path, console)
    return finished


def _show_images(training: Training, title: str, run: Run, sources: Sources, path: Path, console: Console) -> None:
    """What is trained on: which labels were changed, and a picture."""
    changes = sources.changes
    if changes is not None and not (path / CHANGES).exists():
        with unless_disk_refuses(path / CHANGES, console):
            write_changes(path / CHANGES, changes.index, changes.original, changes.given, sources.classes)
    if not (path / "mixed.png").exists():
        batches = preview_batches(training.recipe, run, sources, training.world)
        names = (*sources.classes, "no class")
        with unless_disk_refuses(path / "mixed.png", console):
            draw_mixed(path / "mixed.png", batches, names, f"{title}: training images as the network sees them")


def _show_result(training: Training, title: str, sources: Sources, path: Path, console: Console) -> None:
    state, recipe = training.state, training.recipe
    if state.epoch < recipe.num_epochs:
        console.print(
            f"ended after epoch {state.epoch}: nothing better in --patience {recipe.patience}", highlight=False
        )
    console.print(result_table(title, state.history, recipe, sources))
    if training.by_class is not None and sources.num_classes > SHOWN_CLASSES:
        say(console, f"hardest: {describe_hardest(training.by_class.tolist(), sources.classes, SHOWN_CLASSES)}")
    _name_files(path, console)


def show_finished(title: str, recipe: Recipe, sources: Sources, folder: RunFolder, console: Console) -> None:
    """What a run reached that was finished before."""
    assert folder.start is not None
    say(console, f"{folder.path} is finished, and this is what it reached; delete the folder to train anew")
    console.print(result_table(title, checkpoint.load(folder.start)["history"], recipe, sources))
    _name_files(folder.path, console)


def _name_files(path: Path, console: Console) -> None:
    files = [name for name in FILES if (path / name).is_file()]
    say(console, f"{path}: {', '.join(files)}")


@contextmanager
def unless_disk_refuses(path: Path, console: Console) -> Iterator[None]:
    """What shows a run is not worth ending it."""
    try:
        yield
    except OSError as error:
        say(console, f"{path} cannot be written: {error.strerror or error}; training goes on")


def _list_skipped(skipped: Mapping[str, str], path: Path) -> str:
    """Writes their list, which --exclude takes. -> what to tell people."""
    from pipelines.sources.exclude import write_list  # here, because importing a pipeline loads DALI

    write_list(path, sorted(skipped))
    first = min(skipped)
    return f"{len(skipped):,} image files cannot be used, the first: {first} {skipped[first]}; all are listed in {path}"
