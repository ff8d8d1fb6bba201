"""A training from its settings to its picture: data, folder, steps, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from torch import Tensor

from pipelines.show.pictures import INK, write_figure
from train.autoencoder.training import Settings, State, new_state, train_step
from train.data.pixels import identify, read_pixels
from train.files import checkpoint
from train.files.folders import Claim, claim_folder
from train.machine.command import new_console, parse, say
from train.machine.distributed import open_world
from train.machine.run import Place
from train.machine.stop import Stop, stop_on_signals

STEPS_BETWEEN_LINES = 500
SECONDS_BETWEEN_SAVES = 30.0
SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Command:
    """All that the command line can set."""

    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)
    place: Annotated[Place, tyro.conf.arg(name="")] = field(default_factory=Place)


def main(words: Sequence[str]) -> int:
    """Train what the command line says; -> the exit code. Raises ValueError and others of one line for the user."""
    summary = "Train a small autoencoder of 32 px images, whose weights AdversarialAugment (calian2022defending) moves."
    command = parse(Command, words, program="train.autoencoder", summary=summary)
    return train_autoencoder(command.settings, command.place, new_console())


def train_autoencoder(settings: Settings, place: Place, console: Console) -> int:
    """Train, or go on with the same training where it was stopped. Leaves last.pt and reconstructed.png.

    Returns:
        0 if it is finished, 128 plus the signal's number if one stopped it.

    Raises:
        ValueError, FileNotFoundError: one line for the user.
    """
    with stop_on_signals() as stop, open_world(place.device) as world:
        if world.size > 1:
            raise ValueError("an autoencoder is trained by one process; start it without torchrun")
        source, pixels = read_pixels(place.root, settings.batch_size)
        pixels, identity = pixels.to(world.device), identify(settings, source, world)
        state, name = new_state(settings, world.device), place.name or "autoencoder"
        claim = Claim(identity=identity, settings=settings, exact=place.exact, resume=place.resume)
        with claim_folder(Path(place.folder), name, claim, asked=place.name is not None) as folder:
            if folder.start is not None:
                state.load_checkpoint(checkpoint.load(folder.start))
            say(console, f"{len(pixels):,} images on {world.kind}; {folder.verb(f'step {state.step}')}")
            for note in folder.notes:
                say(console, note)
            facts = {"identity": identity, "processes": 1, **folder.facts}
            finished = run_steps(state, pixels, folder.path, facts, stop, console)
            draw(folder.path / "reconstructed.png", state, pixels[:SHOWN])
            end = "Finished" if finished else "Stopped; the same command goes on"
            say(console, f"{end} at step {state.step}; saved in {folder.path}: last.pt, reconstructed.png")
            return 0 if finished else stop.exit_code


def run_steps(state: State, pixels: Tensor, path: Path, facts: dict[str, Any], stop: Stop, console: Console) -> bool:
    """Step until the end, or until asked to stop; -> whether it is the end. ValueError if the error is no number."""
    total, saved = state.settings.num_steps, time.perf_counter()
    sums, steps = torch.zeros((), device=pixels.device), 0
    while state.step < total and not stop.requested:
        sums, steps = sums + train_step(state, pixels), steps + 1
        if state.step % STEPS_BETWEEN_LINES == 0 or state.step == total:
            error = float(sums) / steps
            if not math.isfinite(error):
                raise ValueError(f"the error is no longer a number by step {state.step}; try a smaller --lr")
            say(console, f"step {state.step:,}/{total:,}  error {error:.5f}, {-10 * math.log10(error):.1f} dB")
            sums, steps = torch.zeros_like(sums), 0
        if time.perf_counter() - saved > SECONDS_BETWEEN_SAVES:
            _save(path, state, facts)
            saved = time.perf_counter()
    _save(path, state, facts)
    return state.step >= total


def _save(path: Path, state: State, facts: dict[str, Any]) -> None:
    finished = state.step >= state.settings.num_steps
    content = {**facts, "finished": finished, **state.to_checkpoint()}
    checkpoint.save(path / checkpoint.LAST, content, keep=checkpoint.KEPT)


@torch.no_grad()
def draw(path: Path, state: State, pixels: Tensor) -> None:
    """Images (N, 3, H, W) uint8 above what the network makes of them."""
    images = pixels.float() / 255
    figure = Figure(figsize=(0.9 * len(images), 2.1), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, len(images), squeeze=False)
    for row, shown in zip(grid, (images, state.network(images).clamp(0, 1)), strict=True):
        for axes, image in zip(row, shown.permute(0, 2, 3, 1).cpu().numpy(), strict=True):
            axes.imshow(image, interpolation="nearest")
            axes.axis("off")
    title = f"images, and what the network makes of them after {state.step:,} steps"
    figure.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left", parse_math=False)
    write_figure(figure, path, 130)
