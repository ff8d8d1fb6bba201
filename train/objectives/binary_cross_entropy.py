"""A yes or no for every class, in place of one choice among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali.checks import one_of, require
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy
from train.objectives.objective import Draws, Metrics, Objective, checked_draws


@dataclass(frozen=True, kw_only=True)
class BinaryCrossEntropy(Objective):
    """Binary cross-entropy of every logit with the target's weight of its class:

        l = - sum_k ( t_k log s(z_k) + (1 - t_k) log (1 - s(z_k)) )        s the logistic function

    Beyer et al., "Are we done with ImageNet?", arXiv:2006.07159, and Wightman, Touvron and Jégou, "ResNet strikes
    back", arXiv:2110.00476, whose mixed images are of both classes: with a threshold both targets are 1.
    """

    threshold: float | None = None
    """Targets above it become 1 and all others 0; None: they stay what they are. In [0, 1)."""
    over: Literal["mean", "sum"] = "mean"
    """Of the classes: "mean" is timm's, whose rates go with it; "sum" is as large as a cross-entropy."""

    def __post_init__(self) -> None:
        if self.threshold is not None:
            require(0 <= self.threshold < 1, "objective.threshold", self.threshold, "must be in [0, 1), or None")
        one_of("objective.over", self.over, ("mean", "sum"))

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        checked_draws(self, batch, draws)
        logits = model(batch.images)
        losses = binary_cross_entropy(logits, batch.targets, self.threshold)
        loss = (losses.mean(dim=1) if self.over == "mean" else losses.sum(dim=1)).mean()
        return loss, {"loss": loss.detach(), "accuracy": accuracy(logits.detach(), batch.targets).mean()}


def binary_cross_entropy(logits: Tensor, targets: Tensor, threshold: float | None = None) -> Tensor:
    """logits (N, K), targets (N, K) in [0, 1] -> losses (N, K), in nats, at least float32."""
    precise = torch.promote_types(logits.dtype, torch.float32)
    wanted = targets.to(precise) if threshold is None else (targets > threshold).to(precise)
    return F.binary_cross_entropy_with_logits(logits.to(precise), wanted, reduction="none")
