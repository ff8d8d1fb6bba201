"""The command: `python -m train.tables SET ...`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import tyro

from mixdali import Mix
from pipelines.expressions import read
from train.files import manifest
from train.files.plain import to_plain
from train.machine.command import new_console, parse, say
from train.machine.distributed import open_world
from train.objectives import Objective
from train.recipe import vocabulary
from train.study.numbers import claim, write_numbers
from train.tables.picture import draw_boundaries
from train.tables.sources import NAMES, read_table
from train.tables.table import split
from train.tables.training import Settings, measure, train_network

SUMMARY = "Train a small network on tables or sequences, with mixing or without, and tell held-out samples."
USUAL = Settings()


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Which sets, and how they are learned."""

    sets: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """iris, wine, breast_cancer, digits; cylinder_bell_funnel, control_charts; circles, moons, line; speech_commands
    with --root; FILE.csv:COLUMN, all numbers but the column that is to be told. Each is learned alone."""
    mix: str = "None"
    """How batches are mixed: 'MixUp(alpha=0.2)'."""
    objective: str = "CrossEntropy()"
    """What is minimised: CrossEntropy, MixupE, GenLabel or ManifoldMixup, with settings: 'MixupE(alpha=0.2)'."""
    num_epochs: int = USUAL.num_epochs
    """Passes over the training samples."""
    batch_size: int = USUAL.batch_size
    """Samples a step."""
    lr: float = USUAL.lr
    """Rate of AdamW at the start; it falls to 0 along half a cosine."""
    weight_decay: float = USUAL.weight_decay
    """Decay of the weights."""
    width: int = USUAL.width
    """Hidden units of a layer, or channels."""
    train_share: float = USUAL.train_share
    """Share of each class that is trained on, where a set does not come divided."""
    seed: int = USUAL.seed
    """Decides all that is random."""
    root: str | None = None
    """Folder of speech_commands: a folder of .wav files for each word."""
    per_class: int | None = None
    """So many words of each at most, of speech_commands."""
    name: str | None = None
    """Folder of the numbers inside `folder`; None is tables, with -2, -3, ... where that has others."""
    folder: str = "runs"
    """Where it lies."""

    def settings(self) -> Settings:
        """ValueError for an expression or a number that does not fit."""
        known = vocabulary()
        given: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(Settings)}
        given["mix"] = read(self.mix, known, Mix | None, "--mix")
        given["objective"] = read(self.objective, known, Objective, "--objective")
        return Settings(**given)


def main(words: Sequence[str]) -> int:
    """Train on each set and write numbers.json, and a picture for sets in the plane; -> the exit code.

    Raises:
        ValueError, FileNotFoundError: one line for the user.
    """
    asked = parse(Arguments, words, program="train.tables", summary=SUMMARY)
    if not asked.sets:
        raise ValueError(f"name one set or more: {', '.join(NAMES)}, or FILE.csv:COLUMN")
    if asked.per_class is not None and asked.per_class < 1:
        raise ValueError(f"per_class must be 1 or more, got {asked.per_class}")
    settings, console = asked.settings(), new_console()
    tables = [read_table(name, settings.seed, asked.root, asked.per_class) for name in asked.sets]
    names = [table.name for table in tables]
    if len(set(names)) < len(names):
        raise ValueError(f"sets must have different names, got {', '.join(names)}")
    decisive = {"sets": list(asked.sets), "root": asked.root, "per_class": asked.per_class, **to_plain(settings)}
    folder = claim(Path(asked.folder), asked.name, "tables", decisive)
    with open_world("cpu") as world:
        manifest.add_start(folder, world, settings.seed)
    parts = {}
    for table in tables:
        divided = split(table, settings.train_share, settings.seed)
        model = train_network(divided, settings)
        found = measure(model, divided)
        parts[table.name] = {"last": found}
        say(
            console,
            f"{table.name}: {len(table.classes)} classes, {found['train_samples']} samples to train on; of "
            f"{found['held_out_samples']} held out {found['accuracy']:.1%} right, NLL {found['nll']:.3f}, "
            f"ECE {found['ece']:.3f}",
        )
        if tuple(table.features.shape[1:]) == (2,):
            draw_boundaries(folder / f"{table.name}.png", {"": model}, divided, table.name)
    path = write_numbers(folder, parts)
    say(console, f"{path}")
    return 0
