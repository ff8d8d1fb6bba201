"""Small data and small runs for the tests of the trainer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mixdali import CutMix
from pipelines.sources.pickles import dump_pickle
from pipelines.sources.source import Source
from train.data.loaders import train_loader, val_loader
from train.data.sources import Sources, prepare_sources
from train.loop.epochs import Training, make_batch, train_step
from train.loop.state import State, new_state
from train.loop.under_attack import fixed_images
from train.machine.distributed import World
from train.machine.run import Run
from train.machine.stop import Stop
from train.recipe import Recipe
from train.recipes import demo

ALONE = World(torch.device("cpu"))

# Everything that has a state of its own is in it: mixing, augmentation, momentum, average, and a moving rate.
TINY = replace(
    demo.recipe,
    model="preact_resnet8_w4",
    num_epochs=3,
    batch_size=16,
    mix=CutMix(prob=0.5),
    ema_decay=0.8,
    precision="float32",
)


def coloured(count: int, num_classes: int = 4, seed: int = 0) -> Source:
    """Noisy 16 x 16 images whose colour tells their class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % num_classes
    colours = np.random.default_rng(7).integers(40, 215, (num_classes, 1, 1, 3))
    images = colours[labels] + rng.integers(-40, 40, (count, 16, 16, 3))
    return Source(images.astype(np.uint8), labels, tuple("abcdefgh"[:num_classes]))


def coloured_sources(count: int = 64, held_out: int = 22) -> Sources:
    return Sources("cifar", coloured(count), coloured(held_out, seed=1), 4)


def new_training(recipe: Recipe = TINY, sources: Sources | None = None) -> Training:
    sources = prepare_sources(recipe, sources or coloured_sources(), None)
    run = Run(num_threads=1)
    batches = train_loader(recipe, run, sources, ALONE, recipe.objective.outputs)
    state = new_state(recipe, sources, ALONE, len(batches))
    held_out, fixed = val_loader(recipe, run, sources, ALONE), fixed_images(recipe, run, sources, ALONE)
    return Training(recipe, state, batches, held_out, ALONE, fixed=fixed)


def run_steps(recipe: Recipe, steps: int, stop: int | None = None) -> Training:
    """So many steps without a validation; saved, built anew and loaded after `stop` of them."""
    training = new_training(recipe)
    while training.state.step < steps:
        for raw in training.train:
            state = training.state
            train_step(recipe, state, make_batch(raw, state.epoch, state.step, ALONE.device), ALONE)
            if state.step == stop:
                saved = state.to_checkpoint(training.train, ALONE)
                training = new_training(recipe)
                training.state.load_checkpoint(saved, training.train, ALONE)
                break
        else:
            training.state.epoch += 1
            training.state.epoch_step = 0
    return training


class StopAt(Stop):
    """Asks to stop once the run has done this many steps."""

    def __init__(self, state: State, step: int) -> None:
        self.state, self.step = state, step

    @property
    def requested(self) -> bool:  # type: ignore[override]
        return self.state.step >= self.step


def weights(state: State) -> dict[str, torch.Tensor]:
    """Everything learned, by name: weights, running means, their averages, and the optimiser's momentum."""
    assert state.ema is not None
    found = {f"model.{name}": value for name, value in state.model.state_dict().items()}
    found |= {f"ema.{name}": value for name, value in state.ema.module.state_dict().items()}
    momentum = state.optimizer.state_dict()["state"]
    return found | {f"momentum.{key}": value["momentum_buffer"] for key, value in momentum.items()}


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, msg=lambda text, name=name: f"{name}: {text}")


def write_cifar(folder: Path, count: int, held_out: int) -> Path:
    """Coloured 16 x 16 images in CIFAR-10's layout; `count` divides by 5."""
    folder.mkdir(parents=True)
    names = [f"data_batch_{number}" for number in range(1, 6)]
    for source, files in ((coloured(count), names), (coloured(held_out, seed=1), ["test_batch"])):
        assert isinstance(source.items, np.ndarray)
        rows = source.items.transpose(0, 3, 1, 2).reshape(len(source), -1)
        for file, places in zip(files, np.split(np.arange(len(source)), len(files)), strict=True):
            dump_pickle(folder / file, {"data": rows[places], "labels": source.labels[places].tolist()})
    dump_pickle(folder / "batches.meta", {"label_names": list("abcd")})
    return folder
