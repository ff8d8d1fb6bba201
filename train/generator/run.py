"""A training from its settings to its pictures: data, folder, steps, checkpoints."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from rich.console import Console

from train.data.pixels import identify, read_pixels
from train.data.streams.samples import draw_images
from train.files import checkpoint
from train.files.folders import Claim, claim_folder
from train.files.sealed import written
from train.generator.picture import draw_grid
from train.generator.settings import Settings
from train.generator.training import Images, State, new_state, train_step
from train.machine.command import new_console, parse, say
from train.machine.distributed import World, open_world
from train.machine.precision import resolve_precision
from train.machine.run import Place
from train.machine.stop import Stop, stop_on_signals

STEPS_BETWEEN_ROWS = 100
SECONDS_BETWEEN_SAVES = 60.0
GRID_COLUMNS = 12


@dataclass(frozen=True, kw_only=True)
class Command:
    """All that the command line can set."""

    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)
    place: Annotated[Place, tyro.conf.arg(name="")] = field(default_factory=Place)


def main(words: Sequence[str]) -> int:
    """Train what the command line says; -> the exit code. Raises ValueError and others of one line for the user."""
    summary = "Train a small class-conditional GAN on 32 px images, as a source of labelled synthetic data."
    command = parse(Command, words, program="train.generator", summary=summary)
    return train_generator(command.settings, command.place, new_console())


def train_generator(settings: Settings, place: Place, console: Console) -> int:
    """Train, or go on with the same training where it was stopped. Leaves last.pt, metrics.jsonl and samples.png.

    Returns:
        0 if it is finished, 128 plus the signal's number if one stopped it.

    Raises:
        ValueError, FileNotFoundError: one line for the user.
    """
    with stop_on_signals() as stop, open_world(place.device) as world:
        if world.size > 1:
            raise ValueError("a generator is trained by one process; start it without torchrun")
        # Not float16, which would need its losses scaled.
        auto = settings.precision == "auto"
        native = resolve_precision(settings.precision, world.device)
        settings = replace(settings, precision="float32" if native == "float16" else native)
        images, facts = read_images(place.root, settings, world, auto=auto)
        state = new_state(settings, images.pixels.shape[2], len(facts["classes"]), world.device)
        name = place.name or "generator"
        claim = Claim(identity=facts["identity"], settings=settings, exact=place.exact, resume=place.resume)
        with claim_folder(Path(place.folder), name, claim, asked=place.name is not None) as folder:
            history: list[dict[str, float]] = []
            if folder.start is not None:
                content = checkpoint.load(folder.start)
                state.load_checkpoint(content)
                history = content["history"]
            verb = folder.verb(f"step {state.step}")
            say(console, f"{len(images.labels):,} images, {settings.precision} on {world.kind}; {verb}")
            for note in folder.notes:
                say(console, note)
            training = Training(settings, state, images, facts | folder.facts, folder.path, history)
            finished = training.run(stop, console)
            end = "Finished" if finished else "Stopped; the same command goes on"
            say(console, f"{end} at step {state.step}; saved in {folder.path}: last.pt, samples.png, metrics.jsonl")
            if finished:
                say(console, f"Labelled images: python -m train.generator.draw {folder.last}")
            return 0 if finished else stop.exit_code


@dataclass
class Training:
    """A training in its folder."""

    settings: Settings
    state: State
    images: Images
    facts: dict[str, Any]
    path: Path
    history: list[dict[str, float]]

    def run(self, stop: Stop, console: Console) -> bool:
        """Step until the end, or until asked to stop; -> whether it is the end. Saves on the way."""
        self.save()
        saved = time.perf_counter()
        while self.state.step < self.settings.num_steps and not stop.requested:
            row = self.steps(min(STEPS_BETWEEN_ROWS, self.settings.num_steps - self.state.step), stop)
            self.history.append(row)
            self.write_metrics()
            say(console, describe(row, self.settings.num_steps))
            if time.perf_counter() - saved > SECONDS_BETWEEN_SAVES:
                self.save()
                saved = time.perf_counter()
        self.save()
        return self.state.step >= self.settings.num_steps

    def steps(self, count: int, stop: Stop) -> dict[str, float]:
        """Up to so many steps; -> their mean losses. ValueError if one is no number; the last checkpoint is kept."""
        began, first = time.perf_counter(), self.state.step
        sums: dict[str, torch.Tensor] = {}
        while self.state.step < first + count and not stop.requested:
            for name, value in train_step(self.settings, self.state, self.images).items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value
        done = max(1, self.state.step - first)
        means = {name: float(total) / done for name, total in sums.items()}
        if not all(map(math.isfinite, means.values())):
            raise ValueError(
                f"a loss is no longer a number by step {self.state.step}; the last checkpoint is kept. "
                "Try a smaller --lr"
            )
        seconds = time.perf_counter() - began
        return {"step": self.state.step, **means, "seconds_per_step": round(seconds / done, 4)}

    def write_metrics(self) -> None:
        """metrics.jsonl: a line for the training, and one for each row."""
        lines = [{"run": "generator", **self.facts}, *self.history]
        with written(self.path / "metrics.jsonl") as aside:
            aside.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def save(self) -> None:
        """Write checkpoint, numbers and picture."""
        finished = self.state.step >= self.settings.num_steps
        content = {**self.facts, "finished": finished, "history": self.history, **self.state.to_checkpoint()}
        checkpoint.save(self.path / checkpoint.LAST, content, keep=checkpoint.KEPT)
        self.write_metrics()
        classes = self.facts["classes"]
        drawn, labels = draw_images(self.state.averaged(), GRID_COLUMNS * len(classes), seed=0)
        draw_grid(self.path / "samples.png", drawn, labels, classes, f"generated images, step {self.state.step:,}")


def read_images(root: str | None, settings: Settings, world: World, *, auto: bool) -> tuple[Images, dict[str, Any]]:
    """The training images on the device, and what a checkpoint says about the training."""
    source, pixels = read_pixels(root, settings.batch_size)
    labels = torch.from_numpy(source.labels.astype("int64"))
    facts = {"classes": list(source.classes), "processes": 1, "identity": identify(settings, source, world, auto=auto)}
    return Images(pixels.to(world.device), labels.to(world.device)), facts


def describe(row: dict[str, float], num_steps: int) -> str:
    """A row of metrics.jsonl in one line."""
    return (
        f"step {row['step']:,.0f}/{num_steps:,}  discriminator {row['discriminator']:.3f}  "
        f"generator {row['generator']:.3f}  {row['seconds_per_step']:.3f} s a step"
    )
