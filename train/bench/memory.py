"""Many steps as a run makes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from train.data.batches import Loader
from train.loop.epochs import make_batch, train_step
from train.loop.state import State
from train.machine.clock import Clock
from train.machine.distributed import World
from train.recipe import Recipe

# Steps until buffers have the size that they keep.
SETTLED = 0.1


@dataclass(frozen=True)
class Stretch:
    """How a number of steps went.

    waiting    share of the time of all steps but the first that passed before their batches were there.
    early      MiB that the process held after a tenth of the steps; on a GPU the memory that torch held there.
    late       MiB after the last one.
    """

    steps: int
    waiting: float
    early: float
    late: float


def run_steps(recipe: Recipe, state: State, loader: Loader, world: World, steps: int) -> Stretch:
    """Train for so many steps, over as many epochs as they take, without measuring anything else on the way."""
    batches = _endless(loader, state)
    state.parallel.train()
    train_step(recipe, state, make_batch(next(batches), state.epoch, state.step, world.device), world)
    clock, early = Clock(), 0.0
    for number, raw in enumerate(clock.watch(batches), start=2):
        train_step(recipe, state, make_batch(raw, state.epoch, state.step, world.device), world)
        clock.tick()
        if number == max(2, round(SETTLED * steps)):
            early = held(world)
        if number >= steps:
            break
    return Stretch(steps, clock.waited / clock.seconds, early, held(world))


def held(world: World) -> float:
    """MiB of memory that this process holds."""
    if world.device.type == "cuda":
        return torch.cuda.memory_allocated(world.device) / 2**20
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _endless(loader: Loader, state: State) -> Iterator[Any]:
    while True:
        yield from loader
        state.epoch, state.epoch_step = state.epoch + 1, 0
