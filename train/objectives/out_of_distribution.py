"""Training with images of no class, against attacks and without.

Lee, Park, Lee, Yi, Lee and Yoon, "Removing Undesirable Feature Contributions Using Out-of-Distribution Data", ICLR
2021, arXiv:2101.06639.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from train.attacks import Loss
from train.objectives.adversarial import AdversarialTraining
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, Objective, checked_draws
from train.objectives.trades import TRADES, divergence

JOINED = ("images", "targets", "mask", "weights")


@dataclass(frozen=True, kw_only=True)
class OutOfDistributionTraining(AdversarialTraining):
    """Adversarial training in which each image has a weight, that of its stream.

    The images of all streams are attacked and pass the network together. For such as belong to no class the target is
    the same for every class (a stream with smoothing 1), and the attack leads to where the network is sure of any. The
    loss is the mean over all images of weight times cross-entropy. Accuracies are those of the training images.
    """

    @property
    def outputs(self) -> tuple[str, ...]:
        return JOINED

    def attack_loss(self, network: nn.Module, batch: Batch) -> Loss:
        _, weights = _streams_of(batch)
        return lambda images: weights * cross_entropy(network(images), batch.targets)

    def loss(self, model: nn.Module, batch: Batch, adversarial: Tensor) -> tuple[Tensor, Metrics]:
        mask, weights = _streams_of(batch)
        logits = model(adversarial)
        losses = cross_entropy(logits, batch.targets)
        loss = (weights * losses).mean()
        hits = _mean_of(accuracy(logits.detach(), batch.targets), mask == 0)
        return loss, {
            "loss": loss.detach(),
            "accuracy": hits,
            "robust_accuracy": hits,
            "stream_loss": _mean_of(losses.detach(), mask != 0),
        }


@dataclass(frozen=True, kw_only=True)
class OutOfDistributionTRADES(TRADES):
    """TRADES in which each image has a weight, that of its stream, for its cross-entropy and its divergence.

    As in `OutOfDistributionTraining`; the authors' code has no weights, which are all 1.
    """

    @property
    def outputs(self) -> tuple[str, ...]:
        return JOINED

    def loss(self, model: nn.Module, batch: Batch, adversarial: Tensor) -> tuple[Tensor, Metrics]:
        mask, weights = _streams_of(batch)
        clean, moved = self._logits(model, batch.images, adversarial)
        losses, distances = cross_entropy(clean, batch.targets), divergence(clean, moved)
        loss = (weights * (losses + self.beta * distances)).mean()
        own = mask == 0
        return loss, {
            "loss": loss.detach(),
            "accuracy": _mean_of(accuracy(clean.detach(), batch.targets), own),
            "robust_accuracy": _mean_of(accuracy(moved.detach(), batch.targets), own),
            "divergence": distances.detach().mean(),
            "stream_loss": _mean_of(losses.detach(), ~own),
        }


@dataclass(frozen=True, kw_only=True)
class OutOfDistributionCrossEntropy(Objective):
    """Cross-entropy in which each image has a weight, that of its stream: the paper's standard training, without an
    attack. Accuracy is that of the training images."""

    @property
    def outputs(self) -> tuple[str, ...]:
        return JOINED

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        checked_draws(self, batch, draws)
        mask, weights = _streams_of(batch)
        logits = model(batch.images)
        losses = cross_entropy(logits, batch.targets)
        loss = (weights * losses).mean()
        return loss, {
            "loss": loss.detach(),
            "accuracy": _mean_of(accuracy(logits.detach(), batch.targets), mask == 0),
            "stream_loss": _mean_of(losses.detach(), mask != 0),
        }


def _streams_of(batch: Batch) -> tuple[Any, Any]:
    if batch.mask is None or batch.weights is None:
        raise ValueError("images of several streams need a mask and weights, got a batch without; join two loaders")
    return batch.mask, batch.weights


def _mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean of the values (N,) at the chosen places (N,), of which there are some."""
    return (values * chosen).sum() / chosen.sum()
