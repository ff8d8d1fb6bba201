"""A price for the absolute value of weights, beside another objective's loss."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixdali.checks import require
from train.attacks.network import undistributed
from train.objectives.adversarial import Adversarial
from train.objectives.batch import Batch
from train.objectives.objective import Draws, Metrics, Objective, checked_draws
from train.objectives.parts.draws import Expected


@dataclass(frozen=True, kw_only=True)
class L1Penalty(Objective):
    """The loss of an adversarial objective plus `strength` times the sum of |w| over the weights.

    Weights are the tensors of more than one axis, those of convolutions and linear layers, as in the code of Rice, Wong
    and Kolter, ICML 2020, arXiv:2002.11569. The metric "loss" is without the penalty, which is the metric "penalty".

    Draws: those of the objective.
    """

    objective: Adversarial
    """Which attack, and which loss."""
    strength: float = 5e-6
    """Price of an absolute value of 1."""

    def __post_init__(self) -> None:
        require(self.strength >= 0, "L1Penalty: strength", self.strength, "must not be negative")

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.objective.outputs

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        return self.objective.setup(model, num_samples, num_classes)

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        return self.objective.draw(batch, generator)

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        return self.objective.expected(batch, given)

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        draws = checked_draws(self, batch, draws)
        loss, metrics = self.objective(model, batch, state, draws)
        penalty = self.strength * sum_of_absolute(undistributed(model))
        return loss + penalty, {**metrics, "penalty": penalty.detach()}

    def after_step(self, model: nn.Module, batch: Batch, state: nn.Module) -> None:
        self.objective.after_step(model, batch, state)


def sum_of_absolute(network: nn.Module) -> Tensor:
    """() the sum of |w| over the learned tensors of more than one axis, in at least float32."""
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1 and parameter.requires_grad]
    return torch.stack(
        [weight.abs().sum(dtype=torch.promote_types(weight.dtype, torch.float32)) for weight in weights]
    ).sum()
