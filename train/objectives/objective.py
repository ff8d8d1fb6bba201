"""What every objective has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from mixdali import derive_seed
from train.objectives.batch import Batch
from train.objectives.parts.draws import Draws as Draws

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

    @abstractmethod
    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        """-> loss () to minimise, and metrics: mean numbers () of the batch, among them "loss" and "accuracy"."""

    def after_step(self, model: nn.Module, batch: Batch, state: nn.Module) -> None:
        """Runs after the optimiser's step, also after a skipped one, and before the weight average sees the model."""
        return None


def own_draws(objective: Objective, batch: Batch) -> Draws:
    """The draws of a call that was given none: those of its step, so that the same call gives the same loss."""
    seed = derive_seed(0, type(objective).__name__, batch.epoch, batch.step)
    return objective.draw(batch, torch.Generator(batch.images.device).manual_seed(seed))
