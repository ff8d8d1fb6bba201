"""Early-learning regularisation, for labels that may be wrong.

Liu, Niles-Weed, Razavian and Fernandez-Granda, "Early-Learning Regularization Prevents Memorization of Noisy Labels",
NeurIPS 2020, arXiv:2007.00151.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixdali.checks import fraction, require
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, checked_draws
from train.objectives.self_adaptive import MovingTargets, Remembers, precise_softmax

# What the authors' code keeps probabilities away from 0 and 1 by.
EDGE = 1e-4


@dataclass(frozen=True, kw_only=True)
class EarlyLearning(Remembers):
    """Cross-entropy, and a reward for agreeing with what the network said of the image before.

        s_n <- momentum s_n + (1 - momentum) p_n        loss = mean CE(p_n, y_n) + strength log(1 - <s_n, p_n>)

    with p_n the probabilities in this step. s_n begins at 0, and no gradient passes through it.
    """

    momentum: float = 0.7
    """How much of s_n stays at each visit."""
    strength: float = 3.0
    """Weight of the second term."""

    def __post_init__(self) -> None:
        fraction("EarlyLearning: momentum", self.momentum)
        require(self.strength >= 0, "EarlyLearning: strength", self.strength, "must not be negative")

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        return MovingTargets(num_samples, num_classes, next(model.parameters()).dtype)

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        checked_draws(self, batch, draws)
        assert isinstance(state, MovingTargets)
        assert batch.index is not None
        logits = model(batch.images)
        probabilities = precise_softmax(logits).clamp(EDGE, 1 - EDGE)
        towards = probabilities.detach()
        towards = towards / towards.sum(dim=1, keepdim=True)
        moved = state.move(batch.index, torch.zeros_like(towards), towards, self.momentum)
        agreement = (moved * probabilities).sum(dim=1)
        loss = (cross_entropy(logits, batch.targets) + self.strength * (1 - agreement).log()).mean()
        return loss, {
            "loss": loss.detach(),
            "accuracy": accuracy(logits.detach(), batch.targets).mean(),
            "agreement": agreement.detach().mean(),
        }
