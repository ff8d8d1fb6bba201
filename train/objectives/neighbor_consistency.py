"""Neighbor Consistency Regularization.

Iscen, Valmadre, Arnab and Schmid, "Learning with Neighbor Consistency for Noisy Labels", CVPR 2022, arXiv:2202.02200.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali.checks import count, fraction, positive, positive_int
from train.machine.gather import gather_rows
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, Objective, checked_draws
from train.objectives.parts.hidden import classifier, recorded
from train.objectives.self_adaptive import precise_softmax

# What the authors add to each neighbour's probabilities.
ADDED = 1e-16


@dataclass(frozen=True, kw_only=True)
class NeighborConsistency(Objective):
    """Cross-entropy, and each image's prediction drawn to those of its neighbours in the batch.

    For `start` epochs plain cross-entropy. From then on

        loss = (1 - weight) mean CE + weight T^2 mean KL(t_n || p_n)        t_n = sum_j a_nj p_j

    with p the softmax of logits / T, and a_nj the similarities (cosine of the features that the last linear layer
    takes, if positive, to the power gamma) to the nearest images of the batch, scaled to a sum of 1. The batch is that
    of all processes together. Nothing is held fixed: gradients reach the neighbours' logits and all features too.

    The image most similar to n is left out of its neighbours, since it is n itself; images that come twice in a batch
    can break that, as in the authors' code.
    Differs: an image without a neighbour of positive similarity adds 0, and features that are all 0 are similar to
    none; the authors' code gives nan for both. Elsewhere nothing is added to a denominator, as in their code. They
    begin one step before the epoch `start`.
    """

    start: int = 10
    """Epochs of cross-entropy alone."""
    num_neighbors: int = 10
    """Nearest images that count; the batch minus one if that is less. The authors take 10 for up to 20 % of wrong
    labels, 100 for 40 % and 5 for 80 %, with batches of 128."""
    weight: float = 0.3
    """Share of the consistency in the loss."""
    temperature: float = 2.0
    """T, which flattens the predictions that are compared."""
    gamma: float = 1.0
    """Power of the similarities."""

    def __post_init__(self) -> None:
        count("NeighborConsistency: start", self.start)
        positive_int("NeighborConsistency: num_neighbors", self.num_neighbors)
        fraction("NeighborConsistency: weight", self.weight)
        positive("NeighborConsistency: temperature", self.temperature)
        positive("NeighborConsistency: gamma", self.gamma)

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        """ValueError if the model does not end in a linear layer."""
        classifier(model)
        return nn.Module()

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        checked_draws(self, batch, draws)
        with recorded(classifier(model), inputs=True) as seen:
            logits = model(batch.images)
        loss = cross_entropy(logits, batch.targets).mean()
        consistency = torch.zeros_like(loss)
        if batch.epoch >= self.start:
            with torch.autocast(logits.device.type, enabled=False):
                consistency = self._consistency(_precise(logits), _precise(seen[-1].flatten(1)))
            loss = (1 - self.weight) * loss + self.weight * consistency
        return loss, {
            "loss": loss.detach(),
            "accuracy": accuracy(logits.detach(), batch.targets).mean(),
            "consistency": consistency.detach(),
        }

    def _consistency(self, logits: Tensor, features: Tensor) -> Tensor:
        """T^2 times the mean divergence of the batch's predictions from those of their neighbours."""
        shares, has_neighbors = self._shares(features, gather_rows(features))
        targets = shares @ (precise_softmax(gather_rows(logits) / self.temperature) + ADDED)
        own = F.log_softmax(logits / self.temperature, dim=1)
        divergence = (targets * (targets.clamp_min(torch.finfo(targets.dtype).tiny).log() - own)).sum(dim=1)
        return self.temperature**2 * torch.where(has_neighbors, divergence, 0.0).mean()

    def _shares(self, features: Tensor, everyone: Tensor) -> tuple[Tensor, Tensor]:
        """-> a (N, M), the shares of all images in each image's target, and which rows have neighbours at all (N,)."""
        similarity = F.normalize(features, dim=1) @ F.normalize(everyone, dim=1).T
        nearest, place = similarity.topk(min(self.num_neighbors + 1, len(everyone)), dim=1)
        nearest, place = nearest[:, 1:], place[:, 1:]
        tiny = torch.finfo(nearest.dtype).tiny
        # The power of what is above 0 alone: that of 0 may have no finite slope.
        positive = torch.where(nearest > 0, nearest.clamp_min(tiny) ** self.gamma, 0.0)
        total = positive.sum(dim=1, keepdim=True)
        has_neighbors = total > tiny
        # Rows without neighbours get shares that are harmless to differentiate, and their divergence is left out.
        shares = torch.where(has_neighbors, positive / total.clamp_min(tiny), torch.ones_like(positive))
        return torch.zeros_like(similarity).scatter(1, place, shares), has_neighbors.squeeze(1)


def _precise(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
