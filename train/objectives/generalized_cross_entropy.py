"""Generalised cross-entropy, for labels that may be wrong.

Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels", NeurIPS 2018,
arXiv:1805.07836.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali.checks import require
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy
from train.objectives.objective import Draws, Metrics, Objective, checked_draws


@dataclass(frozen=True, kw_only=True)
class GeneralizedCrossEntropy(Objective):
    """The mean of (1 - p_y ** q) / q, with p_y the probability of the label.

    Its gradient is that of cross-entropy times p_y ** q, so that an image whose label the network does not believe
    counts less. q of 1 is half of the mean absolute error; towards 0 it becomes cross-entropy. For soft and mixed
    targets it is the mean over the classes.
    Differs: the paper's truncated form, which leaves out what the network is least sure of, is not here.
    """

    q: float = 0.7
    """In (0, 1]."""

    def __post_init__(self) -> None:
        require(0 < self.q <= 1, "GeneralizedCrossEntropy: q", self.q, "must be above 0 and at most 1")

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        checked_draws(self, batch, draws)
        logits = model(batch.images)
        loss = generalized_cross_entropy(logits, batch.targets, self.q).mean()
        return loss, {"loss": loss.detach(), "accuracy": accuracy(logits.detach(), batch.targets).mean()}


def generalized_cross_entropy(logits: Tensor, targets: Tensor, q: float) -> Tensor:
    """logits (N, K), targets (N, K) probabilities, q in (0, 1] -> (N,), in at least float32."""
    work = torch.promote_types(logits.dtype, torch.float32)
    # By the logarithm: p ** q has no finite slope where a probability underflows to 0.
    powers = (q * F.log_softmax(logits.to(work), dim=1)).exp()
    return (targets.to(powers) * (1 - powers)).sum(dim=1) / q
