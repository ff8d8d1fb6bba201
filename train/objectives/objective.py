"""What every objective has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mixdali import derive_seed
from train.objectives.batch import Batch
from train.objectives.parts.draws import Draws as Draws
from train.objectives.parts.draws import Expected as Expected
from train.objectives.parts.draws import Made, taken

Metrics = dict[str, Tensor]


class Objective(ABC):
    """Turns a batch into a loss. Subclasses are frozen dataclasses that hold the paper's settings.

    The loop calls, for every step: `draw`, the objective itself, then (the optimiser has stepped) `after_step`.
    """

    needs_clean: ClassVar[str] = ""
    """Why the loader must not mix the images, in a few words; empty for an objective that takes mixed ones too."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The fields of `Batch` that the loader has to fill."""
        return ("images", "targets")

    def num_outputs(self, num_classes: int) -> int:
        """How many logits the model has to give."""
        return num_classes

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        """What the objective remembers between steps, as buffers of a module that is saved in the checkpoint."""
        return nn.Module()

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        """All the randomness of one step, by name. `generator` lives on the device of the batch."""
        return {}

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        """What the draws of a step must be, where those of these names are given."""
        return {}

    @abstractmethod
    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        """-> loss () to minimise, and metrics: mean numbers () of the batch, among them "loss" and "accuracy".

        draws: those of `step_draws`, or any numbers, arrays and tensors by the names that the docstring lists, all of
            them; None makes the call's own, the same for the same step.

        Raises TypeError or ValueError for draws of another name, shape or range, and for missing ones.
        """

    def after_step(self, model: nn.Module, batch: Batch, state: nn.Module) -> None:
        """Runs after the optimiser's step, also after a skipped one, and before the weight average sees the model."""
        return None


def step_draws(objective: Objective, batch: Batch, generator: torch.Generator) -> Made:
    """What the objective draws for a step, to be passed to it as it is."""
    return Made(objective.draw(batch, generator))


def checked_draws(objective: Objective, batch: Batch, draws: Mapping[str, Any] | None) -> Made:
    """The draws of a call: as they were made, those that somebody gives, or, of a call that was given none, those of
    its step, so that the same call gives the same loss."""
    if isinstance(draws, Made):
        return draws
    if draws is None:
        seed = derive_seed(0, type(objective).__name__, batch.epoch, batch.step)
        return step_draws(objective, batch, torch.Generator(batch.images.device).manual_seed(seed))
    expected = objective.expected(batch, draws.keys())
    return taken(type(objective).__name__, draws, expected, batch.images.device)
