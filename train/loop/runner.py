"""One run from its recipe to its table: data, folder, training, pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from train.data.labels.noise import write_changes
from train.data.loaders import batches_per_run, check_hints, preview_batches, train_loader, val_loader
from train.data.sources import Sources, prepare_sources, read_sources
from train.data.stages import PATIENCE, explain_waiting
from train.data.streams import split_batch
from train.files import checkpoint, manifest
from train.files.boards import installed
from train.files.classes import describe_hardest, write_classes
from train.files.folders import Claim, RunFolder, claim_folder
from train.files.log import Log
from train.files.plain import to_plain
from train.files.recipe_file import RecipeFile, own_names
from train.loop.epochs import Training, fit, score_name
from train.loop.memory import estimate_memory
from train.loop.saves import Saves
from train.loop.state import new_state
from train.loop.trace import Trace
from train.loop.under_attack import fixed_images
from train.machine.circumstances import circumstances
from train.machine.command import say
from train.machine.distributed import World, open_world
from train.machine.lost import notice_lost
from train.machine.precision import resolve_precision, tf32
from train.machine.run import Run
from train.machine.stop import Stop, stop_on_signals
from train.objectives import Objective
from train.recipe import Recipe
from train.show.pictures import draw_curves, draw_mixed
from train.show.progress import Progress, new_progress
from train.show.table import result_table

SECONDS_BETWEEN_PICTURES = 30.0
CHANGES = "changed_labels.csv"
CLASSES = "classes.csv"
SHOWN_CLASSES = 3
SKIPPED = "skipped.txt"
FILES = ("curves.png", "mixed.png", "metrics.jsonl", "best.pt", "last.pt")
INSTEAD = "--weights starts a new run from its weights"


def train_recipe(
    title: str, recipe: Recipe, run: Run, *, overrides: list[str], console: Console, file: RecipeFile | None = None
) -> int:
    """Train, or go on with the same run where it was stopped. Leaves checkpoints, numbers and pictures in its folder.

    Args:
        title: recipe and variant, such as "zhang2017mixup small"; with hyphens the default name of the run.
        overrides: what the recipe changes of the stored one, for people.
        file: the recipe file that defines parts of the recipe.

    Returns:
        The exit code: 0 if the run is finished, 128 plus the signal's number if one stopped it.

    Raises:
        ValueError, OSError: one line for the user.
    """
    if run.parts > 1 and type(recipe.objective).after_step is not Objective.after_step:
        name = type(recipe.objective).__name__
        raise ValueError(f"parts must be 1, got {run.parts}: {name} does something with the whole batch after a step")
    installed(run.boards)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        world = stack.enter_context(open_world(run.device))
        saves: Saves | None = None
        advise = lambda: "start the same command again" if saves is None else saves.advise()  # noqa: E731
        stack.enter_context(notice_lost(world, advise))
        stack.enter_context(tf32(recipe.tf32))
        stack.enter_context(torch.random.fork_rng([world.device.index] if world.device.type == "cuda" else []))
        auto = recipe.precision == "auto"
        recipe = replace(recipe, precision=resolve_precision(recipe.precision, world.device))
        read = read_sources(
            recipe.data,
            run.root,
            validation=recipe.validation or float(recipe.fold is not None),
            exclude=run.exclude,
            keep_empty=run.on_error == "skip",
        )
        sources = prepare_sources(recipe, read, run.root)
        facts = describe_run(recipe, sources, world, file, auto=auto, parts=run.parts)
        hint = check_hints(run, sources, world)
        folder = _enter_folder(stack, title, recipe, run, world, facts["identity"])
        if folder.finished:
            if world.is_main:
                _show_finished(title, recipe, sources, folder, console)
            return 0
        facts |= folder.facts
        training = _build(recipe, run, sources, world, stop, file)
        notes = [*folder.notes, *([hint] if hint else [])]
        if folder.start is not None:
            notes += _go_on(training, folder)

        saves = Saves(training, folder, facts, run.keep, partial(say, console))
        if not folder.resumes:
            saves(False)
            if trouble := world.from_main(saves.trouble):
                raise trouble
        stack.enter_context(_advised(saves.advise))

        def train(record: Callable[[dict[str, float]], None]) -> bool:
            if fit(training, saves, record):
                return True
            # Perhaps only another process was asked to stop.
            stop.exit_code = max(world.gather(stop.exit_code if stop.requested else 0))
            return False

        if not world.is_main:
            return 0 if train(lambda row: None) else stop.exit_code
        _announce(console, title, overrides, training, sources, folder)
        memory = estimate_memory(recipe, run, sources, training.state, world, batches_per_run(training.train))
        for note in (*memory.lines(), *notes):
            say(console, note)
        with _unless_disk_refuses(folder.path / manifest.PLACE, console):
            manifest.add_start(folder.path, world, recipe.seed, memory.plain())
        finished = _fit_and_show(training, train, title, run, sources, folder, facts, console)
        if saves.trouble is not None:
            raise saves.trouble
        if not finished:
            state = training.state
            say(
                console,
                f"Stopped in epoch {state.epoch + 1}, step {state.epoch_step}; saved in {folder.path}. "
                "The same command goes on from there.",
            )
        return 0 if finished else stop.exit_code


def describe_run(
    recipe: Recipe,
    sources: Sources,
    world: World,
    file: RecipeFile | None = None,
    *,
    auto: bool = False,
    parts: int = 1,
) -> dict[str, Any]:
    """What a checkpoint says about its run: the recipe, and all that must be the same to continue it exactly.

    auto   the machine chose the recipe's precision.
    parts  in which a step goes through its batch.
    """
    plain = to_plain(recipe)
    # A file that only puts known parts together is told by the recipe.
    own = file if own_names(plain) else None
    decisive = {name: value for name, value in plain.items() if name not in ("paper", "claim")}
    return {
        "recipe": plain,
        **({} if own is None else {"recipe_file": own.remembered()}),
        "classes": list(sources.classes),
        "processes": world.size,
        "identity": {
            **decisive,
            **({} if own is None else {"code": own.digest}),
            "images": sources.identity(),
            **(
                {}
                if recipe.weights is None
                else {"weights": checkpoint.digest_file(checkpoint.find(Path(recipe.weights)))}
            ),
            "processes": world.size,
            "parts": parts,
            "auto": ["precision"] if auto else [],
            **circumstances(world),
        },
    }


def _enter_folder(
    stack: ExitStack, title: str, recipe: Recipe, run: Run, world: World, identity: dict[str, Any]
) -> RunFolder:
    """Rank 0 claims the folder; the others learn which, or what is wrong with it."""
    answer: RunFolder | Exception | None = None
    if world.is_main:
        name = run.name or title.replace(" ", "-")
        claim = Claim(
            identity=identity,
            settings=recipe,
            exact=run.exact,
            resume=run.resume,
            once=run.once,
            instead=INSTEAD,
        )
        try:
            answer = stack.enter_context(claim_folder(Path(run.folder), name, claim, asked=run.name is not None))
        except (ValueError, OSError) as error:
            answer = error
    answer = world.from_main(answer)
    if isinstance(answer, RunFolder):
        return answer
    assert isinstance(answer, Exception)
    raise answer


def _go_on(training: Training, folder: RunFolder) -> list[str]:
    """Take the state of the folder's checkpoint. -> what to tell people."""
    assert folder.start is not None
    state, world, notes = training.state, training.world, list[str]()
    content = checkpoint.load(folder.start)
    same_images = state.load_checkpoint(content, training.train, world, exact=not folder.loose)
    if not same_images:
        notes.append(f"from here, epoch {state.epoch + 1}, step {state.epoch_step}, images come in another order")
    if world.is_main and not folder.resumes and not _bring_best(folder, content, score_name(training.recipe)):
        notes.append(f"{folder.start} has no best.pt beside it; one is written once an epoch is above {state.best:.2%}")
    return notes


def _bring_best(folder: RunFolder, content: dict[str, Any], score: str) -> bool:
    """Copy the best checkpoint of the run elsewhere, whose `content` is gone on with. -> False if it is lost."""
    assert folder.start is not None
    if not any(score in row for row in content["history"]):
        return True
    for path in (folder.start, folder.start.with_name("best.pt")):
        found = checkpoint.load(path) if path.is_file() else {"history": []}
        rows = found["history"]
        if rows and rows == content["history"][: len(rows)] and rows[-1].get(score) == content["best"]:
            checkpoint.save(folder.best, found)
            return True
    return False


def _build(recipe: Recipe, run: Run, sources: Sources, world: World, stop: Stop, file: RecipeFile | None) -> Training:
    batches = train_loader(recipe, run, sources, world, recipe.objective.outputs)
    lengths = world.gather(len(batches))
    if min(lengths) != max(lengths) or min(lengths) == 0:
        raise ValueError(
            f"{len(sources.train)} training images give the processes {lengths} batches an epoch; all need the same "
            f"number, at least one: change --batch_size {recipe.batch_size}"
        )
    num_steps = len(batches) // run.parts
    if not num_steps:
        raise ValueError(
            f"{len(sources.train)} training images do not fill the {run.parts} parts of a step; take fewer --parts"
        )
    own = None if file is None else file.names
    state = new_state(recipe, sources, world, num_steps, own, parts=run.parts)
    held_out = val_loader(recipe, run, sources, world)
    also = {
        name: val_loader(recipe, run, sources, world, images)
        for name, images in sources.also.items()
        if len(images) >= world.size
    }
    fixed = fixed_images(recipe, run, sources, world)
    return Training(recipe, state, batches, held_out, world, Progress(), stop, also, fixed, 60 * run.save_every)


def _announce(
    console: Console, title: str, overrides: list[str], training: Training, sources: Sources, folder: RunFolder
) -> None:
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


def _fit_and_show(
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
    changes = sources.changes
    if changes is not None and not (path / CHANGES).exists():
        with _unless_disk_refuses(path / CHANGES, console):
            write_changes(path / CHANGES, changes.index, changes.original, changes.given, sources.classes)
    if not (path / "mixed.png").exists():
        batches = preview_batches(recipe, run, sources, training.world)
        names = (*sources.classes, "no class")
        with _unless_disk_refuses(path / "mixed.png", console):
            draw_mixed(path / "mixed.png", batches, names, f"{title}: training images as the network sees them")
    drawn, explained = time.perf_counter(), list[bool]()

    def draw() -> None:
        with _unless_disk_refuses(path / "curves.png", console):
            draw_curves(path / "curves.png", state.history, title, mixed=recipe.mix is not None)

    def record(row: dict[str, float]) -> None:
        nonlocal drawn
        with _unless_disk_refuses(log.path, console):
            log.add(row)
        training.progress.end_epoch(row)
        if row["waiting"] > PATIENCE and not explained:
            explained.append(True)
            say(console, explain_waiting(recipe, run, sources, training.world, row["waiting"]))
        if training.by_class is not None:
            with _unless_disk_refuses(path / CLASSES, console):
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
        with _unless_disk_refuses(log.path, console):
            log.write()
        finished = train(record)
    if training.trace is not None:
        say(console, training.trace.close())
    if state.history:
        draw()
    if finished:
        if state.epoch < recipe.num_epochs:
            console.print(
                f"ended after epoch {state.epoch}: nothing better in --patience {recipe.patience}", highlight=False
            )
        console.print(result_table(title, state.history, recipe, sources))
        if training.by_class is not None and sources.num_classes > SHOWN_CLASSES:
            say(console, f"hardest: {describe_hardest(training.by_class.tolist(), sources.classes, SHOWN_CLASSES)}")
        _name_files(path, console)
    return finished


def _show_finished(title: str, recipe: Recipe, sources: Sources, folder: RunFolder, console: Console) -> None:
    """What a run reached that was finished before."""
    assert folder.start is not None
    say(console, f"{folder.path} is finished, and this is what it reached; delete the folder to train anew")
    console.print(result_table(title, checkpoint.load(folder.start)["history"], recipe, sources))
    _name_files(folder.path, console)


def _name_files(path: Path, console: Console) -> None:
    files = [name for name in FILES if (path / name).is_file()]
    say(console, f"{path}: {', '.join(files)}")


@contextmanager
def _advised(advise: Callable[[], str]) -> Iterator[None]:
    """What the machine does not do any more, such as reading or writing, says how to go on too."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{error}; {advise()}") from error


@contextmanager
def _unless_disk_refuses(path: Path, console: Console) -> Iterator[None]:
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
