"""The command: a network in, a report on it out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from train.data.batches import image_size
from train.data.images import HeldOutImages, identify_images, labels_of, spread
from train.evaluate.available import PARTS, Setup, own_settings, why_not
from train.evaluate.lines import summarise_part
from train.evaluate.models import (
    Classifier,
    Subject,
    check_outputs,
    read_checkpoint,
    read_function,
    read_robustbench,
    read_source,
    still,
)
from train.evaluate.parts.adversarial import read_adversarial
from train.evaluate.parts.attacks import Ascent
from train.evaluate.parts.auto import Ensemble
from train.evaluate.parts.boxes import digit_boxes, read_boxes
from train.evaluate.parts.corrupted_files import read_corrupted
from train.evaluate.parts.detection import read_others
from train.evaluate.parts.published import Variant, read_real, read_variant
from train.evaluate.presets import choose_ascent
from train.evaluate.report import print_report, write_report
from train.evaluate.saving import Saving
from train.evaluate.settings import ATTACKS, RESTARTS, Arguments, radius, read_number
from train.evaluate.subsets import choose_places
from train.files import checkpoint
from train.files.folders import Claim, claim_folder
from train.files.plain import differences
from train.machine.circumstances import circumstances
from train.machine.command import new_console, parse, say
from train.machine.distributed import World, open_world
from train.machine.precision import resolve_precision, tf32
from train.machine.stop import Stop, Stopped, stop_on_signals
from train.recipe import Data

SUMMARY = "Measure a trained network: accuracy, calibration, shifted images, attacks, and doubts about them."
SECONDS_BETWEEN_SAVES = 1.0
TIMES_AS_LONG = 20
"""Between two saves so many times as long as the last one took, so that saving costs a twentieth at most."""
FORM = 2
"""Of the results: a folder with results of another form is left as it is, and a new one begun."""


def main(words: Sequence[str]) -> int:
    """Evaluate what the command line says; -> the exit code. Raises ValueError and others of one line for the user."""
    asked = parse(Arguments, words, program="train.evaluate", summary=SUMMARY)
    return evaluate(asked, new_console())


def evaluate(asked: Arguments, console: Console) -> int:
    """Measure the parts that are asked for, or go on where it was stopped. Leaves evaluate.json, pictures and last.pt.

    Returns:
        0 if it is finished, 128 plus the signal's number if one stopped it.

    Raises:
        ValueError, FileNotFoundError, ImportError: one line for the user.
    """
    with stop_on_signals() as stop, open_world(asked.device) as world, tf32(False):
        if world.size > 1:
            raise ValueError("one process evaluates; start it without torchrun")
        asked = replace(asked, precision=resolve_precision(asked.precision, world.device))
        subject = _read_subject(asked, console)
        setup = set_up(asked, subject, world, stop, console)
        names = choose_parts(asked, setup, console)
        saving = open_saving(asked, setup)
        if saving is not None:
            setup = replace(setup, keep=saving.keep)
        identity = identify(asked, setup, world)
        runs, name = _place(asked)
        claim = Claim(identity=identity, exact=asked.exact)
        with claim_folder(runs, name, claim, asked=asked.name is not None) as folder:
            notes = Notes(folder.last, identity, folder.facts)
            if folder.resumes:
                notes.load()
            verb = "goes on in" if folder.resumes else "writes to"
            images = f"{len(setup.images):,} of {len(subject.sources.held_out):,} test images"
            say(console, f"{subject.title}: {images}, {asked.precision} on {world.kind}; {verb} {folder.path}")
            for note in folder.notes:
                say(console, note)
            finished = _measure(names, setup, notes, folder.path, subject, console, saving)
            print_report(console, notes.results(), len(setup.images))
            end = "" if finished else "Stopped; the same command goes on. "
            say(console, f"{end}{folder.path}: {', '.join(_files(folder.path))}")
            return 0 if finished else stop.exit_code


def set_up(asked: Arguments, subject: Subject, world: World, stop: Stop, console: Console) -> Setup:
    """Networks on the device, images, and all that single parts need.

    Raises:
        ValueError, FileNotFoundError: something does not fit; one line.
    """
    sources = subject.sources
    full = sources.held_out
    size = image_size(full, subject.size)
    chosen = full.select(choose_places(full, asked.num_images, asked.first, asked.subset))
    images = HeldOutImages(chosen, sources.kind, sources.num_classes, size, asked.batch_size, world, stop, subject.form)
    networks = subject.classifiers(world, asked.precision, stop)
    check_outputs(networks, images)
    source = None
    if asked.source is not None:
        other = read_source(asked.source, asked.root, sources, asked.recipe_file, partial(say, console))
        module = still(other, world.device)
        source = Classifier(module, sources.num_classes, asked.precision, stop)
        check_outputs({"source": source}, images)
    published = None
    if asked.corruptions is not None:
        published = read_corrupted(asked.corruptions, full.labels, sources.classes, size)
    return Setup(
        networks=networks,
        images=images,
        classes=sources.classes,
        ascents=choose_ascents(asked, sources.kind),
        ensemble=Ensemble(
            eps=radius(asked.eps, asked.norm_or_usual, sources.kind),
            norm=asked.norm_or_usual,
            version=asked.version,
            attacks=asked.attacks,
            passes=asked.eot,
        ),
        seed=asked.seed,
        source=source,
        source_name=None if source is None else f"{asked.source} {source.fingerprint()}",
        published=published,
        others=_read_others(asked, images),
        variants=_read_variants(asked, images, sources.classes),
        boxes=_read_boxes(asked, images),
        real=None if asked.real is None else read_real(asked.real, chosen, sources.classes),
        saved=None if asked.adversarial is None else read_adversarial(asked.adversarial),
    )


def _read_boxes(asked: Arguments, images: HeldOutImages) -> np.ndarray | None:
    """None where they are not asked for or not known."""
    if asked.boxes is not None:
        return read_boxes(asked.boxes, images)
    if not {"localisation", "all"} & set(asked.parts) or asked.root is not None or images.kind != "cifar":
        return None
    return digit_boxes(images)


def _read_variants(
    asked: Arguments, images: HeldOutImages, classes: Sequence[str]
) -> dict[str, tuple[Variant, HeldOutImages]]:
    found: dict[str, tuple[Variant, HeldOutImages]] = {}
    for folder in asked.variants:
        variant = read_variant(folder, classes)
        name = folder.resolve().name if folder.resolve().name not in found else str(folder)
        found[name] = variant, replace(images, source=variant.source, kind="imagenet")
    return found


def choose_ascents(asked: Arguments, kind: Data) -> dict[str, Ascent]:
    """How the parts that climb a gradient go about it; none in a norm that they do not know."""
    norm = asked.norm_or_usual
    if norm == "L1":
        return {}
    usual = radius(asked.eps, norm, kind)
    shared: dict[str, Any] = {"iterate": asked.iterate, "passes": asked.eot}
    preset = choose_ascent(
        asked.preset,
        read_number("eps", asked.eps),
        norm,
        usual,
        num_steps=asked.num_steps,
        step_size=read_number("step_size", asked.step_size),
        restarts=asked.restarts or (RESTARTS if asked.preset is None else None),
        **shared,
    )
    restarts = asked.restarts or RESTARTS
    usually = {
        f"pgd{steps}": choose_ascent(None, usual, norm, usual, num_steps=steps, restarts=restarts, **shared)
        for steps in (20, 50)
    }
    return {"pgd": preset, **usually, "doubts": Ascent(eps=usual, norm=norm)}


def _read_others(asked: Arguments, images: HeldOutImages) -> dict[str, HeldOutImages]:
    found: dict[str, HeldOutImages] = {}
    for folder in asked.ood:
        source = read_others(folder)
        name = folder.resolve().name if folder.resolve().name not in found else str(folder)
        kind: Data = "cifar" if isinstance(source.items, np.ndarray) else "imagenet"
        chosen = source.select(spread(len(source), asked.num_images))
        form = images.form if kind == images.kind else {}
        found[name] = replace(images, source=chosen, kind=kind, num_classes=1, form=form)
    return found


def choose_parts(asked: Arguments, setup: Setup, console: Console) -> list[str]:
    """The parts that are asked for, in their order; of `all` those that can be measured.

    Raises:
        ValueError: one that is named cannot be.
    """
    chosen = []
    for name in PARTS:
        if name not in asked.parts and "all" not in asked.parts:
            continue
        reason = why_not(name, setup)
        if reason is None:
            chosen.append(name)
        elif name in asked.parts:
            raise ValueError(reason)
        else:
            say(console, f"left out: {reason}")
    return chosen


@dataclass
class Notes:
    """All that an evaluation has found so far, in a file that is always whole."""

    path: Path
    identity: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    """What else the folder knows of its past."""
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By part its `settings`, its `rows` by name, and its `result`, None while it is not finished."""
    saved: float = 0.0
    took: float = 0.0
    """Seconds that the last save took: with adversarial images there may be gigabytes to write."""

    def load(self) -> None:
        self.parts = checkpoint.load(self.path)["parts"]

    def save(self) -> None:
        # Never finished: further parts may be asked for.
        content = {"identity": self.identity, **self.facts, "processes": 1, "finished": False, "parts": self.parts}
        begun = time.perf_counter()
        checkpoint.save(self.path, content)
        self.saved = time.perf_counter()
        self.took = self.saved - begun

    def begin(self, name: str, settings: dict[str, Any]) -> None:
        """ValueError if the part was measured, or begun, with other settings."""
        part = self.parts.setdefault(name, {"settings": settings, "rows": {}, "result": None})
        changes = differences({"type": "", **part["settings"]}, {"type": "", **settings})
        if changes:
            raise ValueError(
                f"{self.path.parent} holds {name} with other settings ({'; '.join(changes)}); pass another --name"
            )

    def remember(self, part: str, name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What is known under a name of a part, or is now computed and kept."""
        rows = self.parts[part]["rows"]
        if name not in rows:
            rows[name] = compute()
            if time.perf_counter() - self.saved > max(SECONDS_BETWEEN_SAVES, TIMES_AS_LONG * self.took):
                self.save()
        return rows[name]

    def finish(self, name: str, result: dict[str, Any]) -> None:
        """The part is measured; its rows are needed no more."""
        self.parts[name] |= {"rows": {}, "result": result}
        self.save()

    def results(self) -> dict[str, dict[str, Any]]:
        """Of the parts that are finished."""
        return {name: self.parts[name]["result"] for name in PARTS if self.parts.get(name, {}).get("result")}


def open_saving(asked: Arguments, setup: Setup) -> Saving | None:
    """Where adversarial images go; None if they are not wanted."""
    if asked.save_adversarial is None:
        return None
    index = np.array(setup.images.source.index, dtype=np.int64)
    return Saving.open(
        asked.save_adversarial, index, labels_of(setup.images).numpy(), partial(own_settings, setup=setup)
    )


def _measure(
    names: Sequence[str],
    setup: Setup,
    notes: Notes,
    path: Path,
    subject: Subject,
    console: Console,
    saving: Saving | None,
) -> bool:
    """What is not known yet; -> whether all is. Saves on the way, and in the end writes what is finished."""
    for name in names:
        notes.begin(name, own_settings(name, setup))
        if saving is not None and name in ATTACKS and notes.parts[name]["result"] is not None:
            saving.check_holds(name)
    notes.save()
    try:
        for name in names:
            if notes.parts[name]["result"] is None:
                result = PARTS[name](setup, partial(notes.remember, name))
                if saving is not None and name in ATTACKS:
                    saving.write(name)
                notes.finish(name, result)
                say(console, f"{name}: {summarise_part(name, result, len(setup.images))}")
    except Stopped:
        notes.save()
        return False
    finally:
        changed = {"changed": notes.facts["changed"]} if notes.facts.get("changed") else {}
        write_report(path, subject.title, notes.identity | changed, notes.parts)
    return True


def identify(asked: Arguments, setup: Setup, world: World) -> dict[str, Any]:
    """All that must be equal for two evaluations to share a folder; what decides single parts alone is not in it."""
    images = setup.images
    return {
        "networks": {name: network.fingerprint() for name, network in setup.networks.items()},  # type: ignore[attr-defined]
        "images": {**identify_images(images.source), "size": list(images.size)},
        "form": FORM,
        "seed": asked.seed,
        "batch_size": asked.batch_size,
        "precision": asked.precision,
        "processes": world.size,
        **circumstances(world),
    }


def _read_subject(asked: Arguments, console: Console) -> Subject:
    if asked.model is not None:
        return read_function(asked.model, asked.root)
    if asked.state_dict is not None:
        assert asked.network is not None
        subject, said = read_robustbench(asked.state_dict, asked.network, asked.root, asked.mean, asked.std)
        say(console, said)
        return subject
    assert asked.checkpoint is not None
    return read_checkpoint(asked.checkpoint, asked.root, asked.weights, asked.recipe_file, partial(say, console))


def _place(asked: Arguments) -> tuple[Path, str]:
    """The folder in which the folder of the result lies, and its name."""
    if asked.model is not None:
        return Path(asked.folder or "runs"), asked.name or f"evaluate-{asked.model.replace(':', '-')}"
    if asked.state_dict is not None:
        return Path(asked.folder or asked.state_dict.parent), asked.name or f"evaluate-{asked.state_dict.stem}"
    assert asked.checkpoint is not None
    path = asked.checkpoint / "last.pt" if asked.checkpoint.is_dir() else asked.checkpoint
    name = f"evaluate-{path.stem}" if asked.folder is None else f"evaluate-{path.resolve().parent.name}-{path.stem}"
    return Path(asked.folder or path.parent), asked.name or name


def _files(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir() if file.suffix in (".json", ".png"))
