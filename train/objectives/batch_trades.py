"""TRADES as the code of Rebuffi et al. and of Gowal et al. has it.

Rebuffi, Gowal, Calian, Stimberg, Wiles and Mann, "Data Augmentation Can Improve Robustness", NeurIPS 2021,
arXiv:2111.05328, and "Fixing Data Augmentation to Improve Adversarial Robustness", arXiv:2103.01946; Gowal, Rebuffi,
Wiles, Stimberg, Calian and Mann, "Improving Robustness using Generated Data", NeurIPS 2021, arXiv:2110.09468.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mixdali.checks import one_of, require
from train.attacks import BatchNorm, Loss
from train.attacks.attack import precise
from train.attacks.network import in_mode, undistributed
from train.objectives.adversarial import Adversarial
from train.objectives.batch import Batch
from train.objectives.cross_entropy import cross_entropy
from train.objectives.objective import Metrics
from train.objectives.trades import trades_loss


@dataclass(frozen=True, kw_only=True)
class BatchTRADES(Adversarial):
    """TRADES with each batch normalised by its own statistics, of which only those of adversarial images are averaged.

        loss = CE(p(x), t) + beta KL(p(x) || p(x'))

    The attack and the clean images see the statistics of their batch and leave the running averages alone; then the
    adversarial images pass and move them. The gradient flows through both predictions.
    """

    batch_norm: BatchNorm = "frozen"
    beta: float = 6.0
    """Weight of the divergence."""
    away_from: Literal["prediction", "targets"] = "prediction"
    """What the attack leads away from: the prediction for the clean images, or their targets, as in the authors' code
    where CutMix has mixed those."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta >= 0, "BatchTRADES: beta", self.beta, "must not be negative")
        one_of("BatchTRADES: away_from", self.away_from, ("prediction", "targets"))

    def attack_loss(self, network: nn.Module, batch: Batch) -> Loss:
        if self.away_from == "targets":
            return super().attack_loss(network, batch)
        with torch.no_grad():
            clean = precise(network(batch.images)).softmax(dim=1)
        return lambda images: cross_entropy(network(images), clean)

    def loss(self, model: nn.Module, batch: Batch, adversarial: Tensor) -> tuple[Tensor, Metrics]:
        with in_mode(undistributed(model), "frozen"):
            clean = model(batch.images)
        return trades_loss(clean, model(adversarial), batch.targets, self.beta)
