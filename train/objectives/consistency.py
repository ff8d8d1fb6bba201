"""Consistency regularisation of a classifier to be smoothed.

Jeong and Shin, "Consistency Regularization for Certified Robustness of Smoothed Classifiers", NeurIPS 2020,
arXiv:2006.04062.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from mixdali.checks import require
from train.attacks.attack import precise
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.gaussian import LEAST, Smoothed, copies, smoothed_prediction
from train.objectives.objective import Draws, Metrics, checked_draws


@dataclass(frozen=True, kw_only=True)
class ConsistencyTraining(Smoothed):
    """Cross-entropy of the noisy images, and a price for predicting an image otherwise from noise to noise.

        loss = mean CE(p_i, t) + consistency KL(s || p_i) + entropy H(s)        s = mean over i of p_i

    with p_i the prediction under the noise i; means are over noises and images. Targets may be soft or mixed.
    """

    num_noises: int = 2
    consistency: float = 20.0
    """Weight of the divergence."""
    entropy: float = 0.5
    """Weight of the mean prediction's entropy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = "must be 2 or more, so that there are predictions to compare"
        require(self.num_noises > 1, "ConsistencyTraining: num_noises", self.num_noises, rule)
        for name in ("consistency", "entropy"):
            value = getattr(self, name)
            require(value >= 0, f"ConsistencyTraining: {name}", value, "must not be negative")

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        draws = checked_draws(self, batch, draws)
        logits = model(copies(batch.images, draws["noise"]))
        targets = batch.targets.repeat(self.num_noises, 1)
        prediction = smoothed_prediction(logits, self.num_noises)
        entropy = -(prediction * prediction.clamp_min(LEAST).log()).sum(dim=1)
        logs = F.log_softmax(precise(logits), dim=1).unflatten(0, (self.num_noises, -1))
        divergence = -(prediction * logs).sum(dim=2).mean(dim=0) - entropy
        loss = cross_entropy(logits, targets).mean() + (self.consistency * divergence + self.entropy * entropy).mean()
        return loss, {
            "loss": loss.detach(),
            "accuracy": accuracy(logits.detach(), targets).mean(),
            "smoothed_accuracy": accuracy(prediction.detach(), batch.targets).mean(),
            "divergence": divergence.detach().mean(),
        }
