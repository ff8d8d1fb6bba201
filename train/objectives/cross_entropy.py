"""Soft-target cross-entropy, the plain objective of classification."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.models.answers import is_finite
from train.objectives.batch import Batch
from train.objectives.objective import Draws, Metrics, Objective, checked_draws


@dataclass(frozen=True)
class CrossEntropy(Objective):
    """Mean cross-entropy between the targets and the model's probabilities.

    With mixed targets this equals lam CE(own label) + (1 - lam) CE(partner's label), the form of the mixup paper.
    """

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        checked_draws(self, batch, draws)
        logits = model(batch.images)
        loss = cross_entropy(logits, batch.targets).mean()
        return loss, {"loss": loss.detach(), "accuracy": accuracy(logits.detach(), batch.targets).mean()}


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """logits (N, K), targets (N, K) probabilities -> cross-entropy of each row (N,), in nats, at least float32."""
    precise = torch.promote_types(logits.dtype, torch.float32)
    return -(targets.to(precise) * F.log_softmax(logits.to(precise), dim=1)).sum(dim=1)


def accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """logits (N, K), targets (N, K) -> (N,) the target's weight of the class with the largest logit.

    For a mixed image that is lam if the own class is hit and 1 - lam if the partner's is; for a clean one 0 or 1. Where
    a logit is nan or infinite it is 0: no class was named.
    """
    hits = targets.gather(1, logits.argmax(dim=1, keepdim=True)).squeeze(1)
    return torch.where(is_finite(logits), hits, 0.0)
