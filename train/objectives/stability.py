"""Stability training, for a classifier to be smoothed.

Li, Chen, Wang and Carin, "Certified Adversarial Robustness with Additive Noise", NeurIPS 2019, arXiv:1809.03113.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from mixdali.checks import require
from train.attacks.attack import precise
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.gaussian import Smoothed, copies
from train.objectives.objective import Draws, Metrics, checked_draws


@dataclass(frozen=True, kw_only=True)
class StabilityTraining(Smoothed):
    """Cross-entropy of the clean images, and a price for predicting the noisy ones otherwise.

        loss = mean CE(p, t) + stability CE(p_i, p)

    with p the prediction of the clean image, through which both terms have a gradient, and p_i that under the noise i.
    Targets may be soft or mixed. Clean and noisy images pass the network one after the other.
    """

    stability: float = 2.0
    """Weight of the second term."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.stability >= 0, "StabilityTraining: stability", self.stability, "must not be negative")

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        draws = checked_draws(self, batch, draws)
        clean = model(batch.images)
        noisy = model(copies(batch.images, draws["noise"]))
        prediction = F.softmax(precise(clean), dim=1).repeat(self.num_noises, 1)
        moved = cross_entropy(noisy, prediction).mean()
        loss = cross_entropy(clean, batch.targets).mean() + self.stability * moved
        return loss, {
            "loss": loss.detach(),
            "accuracy": accuracy(noisy.detach(), batch.targets.repeat(self.num_noises, 1)).mean(),
            "clean_accuracy": accuracy(clean.detach(), batch.targets).mean(),
            "moved": moved.detach(),
        }
