"""Adversarial Weight Perturbation.

Wu, Xia and Wang, "Adversarial Weight Perturbation Helps Robust Generalization", NeurIPS 2020, arXiv:2004.05884.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mixdali.checks import count, require
from train.attacks.network import in_mode, undistributed
from train.machine.gather import mean_of_all
from train.objectives.adversarial import Adversarial
from train.objectives.batch import Batch
from train.objectives.objective import Draws, Metrics, Objective, checked_draws
from train.objectives.parts.draws import Expected


@dataclass(frozen=True, kw_only=True)
class WeightPerturbation(Objective):
    """Another objective's loss, at weights that were moved to where it is larger.

    Each step attacks the images at the weights as they are, moves the weights, w + gamma |w| g / |g| with g the
    gradient of the loss and the norms those of each tensor by itself, and takes loss and gradient there; after the
    optimiser's step the same move is taken back. Tensors of more than one axis with "weight" in their name are moved:
    convolutions and linear layers, no biases and no batch norms. The optimiser computes its weight decay at the moved
    weights. Several processes move alike, by the mean of their gradients.

    Draws: those of the objective.

    Raises, when called:
        ValueError: `after_step` was not called after the last step.
    """

    objective: Adversarial
    """Which attack, and which loss."""
    gamma: float = 0.01
    """Length of the move of each tensor, as a share of its norm."""
    start: int = 0
    """Epochs without it, which are cheaper."""

    def __post_init__(self) -> None:
        require(self.gamma >= 0, "WeightPerturbation: gamma", self.gamma, "must not be negative")
        count("WeightPerturbation: start", self.start)

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
        memory: Any = state
        if getattr(memory, "moved_weights", None):
            raise ValueError("the weights are still moved: call after_step after each step of the optimiser")
        draws = checked_draws(self, batch, draws)
        if batch.epoch < self.start:
            return self.objective(model, batch, state, draws)
        adversarial = self.objective.perturb(model, batch, state, draws)
        weights, moves = self._moves(undistributed(model), batch, adversarial)
        with torch.no_grad():
            torch._foreach_add_(weights, moves)
        memory.moved_weights = (weights, moves)
        # It holds copies of the weights before the move.
        torch.clear_autocast_cache()
        return self.objective.loss(model, batch, adversarial)

    def after_step(self, model: nn.Module, batch: Batch, state: nn.Module) -> None:
        memory: Any = state
        if moved := getattr(memory, "moved_weights", None):
            with torch.no_grad():
                torch._foreach_sub_(*moved)
            memory.moved_weights = None
        self.objective.after_step(model, batch, state)

    def _moves(self, network: nn.Module, batch: Batch, adversarial: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The weights to move, and by what."""
        weights: list[Tensor] = [
            parameter
            for name, parameter in network.named_parameters()
            if parameter.ndim > 1 and "weight" in name and parameter.requires_grad
        ]
        # A pass that an attack ends with sees what this one sees.
        with in_mode(network, "train" if self.objective.measured else "frozen"), torch.enable_grad():
            loss, _ = self.objective.loss(network, batch, adversarial)
            # The length does not matter; a sum over the images does not get lost in half precision.
            found = torch.autograd.grad(loss * len(adversarial), weights, allow_unused=True)
        slopes = [
            mean_of_all(torch.zeros_like(weight) if slope is None else slope)
            for weight, slope in zip(weights, found, strict=True)
        ]
        lengths, norms = torch.stack(torch._foreach_norm(slopes)), torch.stack(torch._foreach_norm(weights)).detach()
        # One that overflowed must not stay in the weights.
        usable = lengths.isfinite() & (lengths > 0)
        factors = torch.where(usable, self.gamma * norms / lengths, 0.0)
        moves = torch._foreach_mul([slope.nan_to_num(0.0, 0.0, 0.0) for slope in slopes], list(factors.unbind()))
        return weights, list(moves)
