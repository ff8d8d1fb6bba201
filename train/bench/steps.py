"""What a training step costs beside the passes through the network that it cannot do without."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, quantiles

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from train.attacks import PGD, BatchNorm
from train.attacks.network import attacked
from train.loop.epochs import train_step
from train.loop.state import State
from train.machine.distributed import World
from train.machine.precision import autocast
from train.objectives import Objective
from train.objectives.adversarial import Attacking
from train.objectives.batch import Batch
from train.recipe import Recipe


@dataclass(frozen=True)
class Cost:
    """Seconds of one step in every round: of the CPU on a CPU, else of the clock.

    `step` is the recipe's, `passes` are the passes alone, taken in the same round.
    """

    step: tuple[float, ...]
    passes: tuple[float, ...]

    @property
    def ratio(self) -> tuple[float, float]:
        """Median of step / passes over the rounds, and half the distance of the quartiles."""
        ratios = [step / passes for step, passes in zip(self.step, self.passes, strict=True)]
        if len(ratios) == 1:
            return ratios[0], 0.0
        low, middle, high = quantiles(ratios, method="inclusive")
        return middle, (high - low) / 2

    @property
    def medians(self) -> tuple[float, float]:
        return median(self.step), median(self.passes)


def attack_of(objective: Objective) -> tuple[int, BatchNorm]:
    """How many gradients of the images a step takes for its attack, and in which mode the network is then."""
    inner = getattr(objective, "objective", objective)
    if not isinstance(inner, Attacking):
        return 0, "eval"
    attack = inner.attack_at(0)
    return (attack.num_steps * attack.restarts if isinstance(attack, PGD) else 1), inner.batch_norm


def compare_steps(
    recipe: Recipe, state: State, network: nn.Module, batch: Batch, world: World, *, rounds: int, seconds: float
) -> Cost:
    """The recipe's step and the passes alone, in turns on one batch.

    The passes are a forward pass and the gradient of the images for every step of the attack, in its batch norms' mode,
    and a forward and a backward pass of the whole network in training mode, all of the plain cross-entropy. The step
    has besides: its random numbers, the moves of the attack, what its own loss needs, the optimiser and the average of
    the weights.

    Args:
        network: with weights of its own, as the step moves those of the state.
        seconds: a round of each takes about so long.
    """
    gradients, mode = attack_of(recipe.objective)

    def passes() -> None:
        with autocast(recipe.precision, world.device):
            with attacked(network, mode) as still:
                for _ in range(gradients):
                    images = batch.images.detach().requires_grad_()
                    torch.autograd.grad(cross_entropy(still(images), batch.targets), images)
            loss = cross_entropy(network(batch.images), batch.targets)
        network.zero_grad(set_to_none=True)
        loss.backward()

    def step() -> None:
        train_step(recipe, state, batch, world)

    state.parallel.train()
    network.train()
    clock = _synchronised if world.device.type == "cuda" else time.process_time
    turns = max(1, round(seconds / max(1e-4, min(_each(passes, 1, clock) for _ in range(3)))))
    _each(step, turns, clock)
    found = [(_each(step, turns, clock), _each(passes, turns, clock)) for _ in range(rounds)]
    steps, alone = zip(*found, strict=True)
    return Cost(steps, alone)


def _each(run: Callable[[], None], turns: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(turns):
        run()
    return (clock() - start) / turns


def _synchronised() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()
