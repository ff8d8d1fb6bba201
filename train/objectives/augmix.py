"""AugMix's training: a network that predicts an image and its augmented views alike.

Hendrycks, Mu, Cubuk, Zoph, Gilmer and Lakshminarayanan, "AugMix: A Simple Data Processing Method to Improve Robustness
and Uncertainty", ICLR 2020, arXiv:1912.02781.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mixdali.checks import require
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.noisymix import jensen_shannon
from train.objectives.objective import Draws, Metrics, Objective, checked_draws

VIEWS = 3


@dataclass(frozen=True, kw_only=True)
class AugMixTraining(Objective):
    """Cross-entropy of the images, and a price for predicting their AugMix views otherwise.

        loss = mean CE(p, t) + consistency JS(p; p_1; p_2)

    with JS the Jensen-Shannon divergence of the predictions of the image and of its two views, which pass the network
    as one batch.
    """

    needs_clean: ClassVar[str] = "compares each image with views of it that are not mixed"

    consistency: float = 12.0
    """Weight of the divergence."""

    def __post_init__(self) -> None:
        require(self.consistency >= 0, "AugMixTraining: consistency", self.consistency, "must not be negative")

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("images", "targets", "view1", "view2")

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        checked_draws(self, batch, draws)
        assert batch.view1 is not None
        assert batch.view2 is not None
        logits = model(torch.cat([batch.images, batch.view1, batch.view2])).chunk(VIEWS)
        divergence = jensen_shannon(*logits).mean()
        loss = cross_entropy(logits[0], batch.targets).mean() + self.consistency * divergence
        return loss, {
            "loss": loss.detach(),
            "accuracy": accuracy(logits[0].detach(), batch.targets).mean(),
            "divergence": divergence.detach(),
        }
