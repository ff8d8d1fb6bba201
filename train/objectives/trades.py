"""TRADES.

Zhang, Yu, Jiao, Xing, El Ghaoui and Jordan, "Theoretically Principled Trade-off between Robustness and Accuracy", ICML
2019, arXiv:1901.08573.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali.checks import require
from train.attacks import Loss
from train.attacks.attack import precise
from train.attacks.network import counted, undistributed
from train.objectives.adversarial import Adversarial, pass_images
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Metrics


@dataclass(frozen=True, kw_only=True)
class TRADES(Adversarial):
    """Cross-entropy of the clean images, plus beta times how far the attack moves the prediction.

        loss = CE(p(x), t) + beta KL(p(x) || p(x'))

    The attack maximises the same divergence, with p(x) held fixed; the loss has a gradient through both predictions.
    As in the authors' code the clean images pass the network a second time after the adversarial ones, which only the
    running averages of batch norm tell; networks without any are spared it.
    """

    beta: float = 6.0
    """Weight of the divergence."""
    adversarial_first: bool = False
    """The adversarial images pass first and the clean ones twice after them, as in the code of AWP."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta >= 0, "TRADES: beta", self.beta, "must not be negative")

    def attack_loss(self, network: nn.Module, batch: Batch) -> Loss:
        return away_from_prediction(network, batch.images)

    def loss(self, model: nn.Module, batch: Batch, adversarial: Tensor) -> tuple[Tensor, Metrics]:
        clean, moved = self._logits(model, batch.images, adversarial)
        return trades_loss(clean, moved, batch.targets, self.beta)

    def _logits(self, model: nn.Module, images: Tensor, adversarial: Tensor) -> tuple[Tensor, Tensor]:
        network = undistributed(model)
        if self.adversarial_first:
            moved = model(adversarial)
            with counted(network, 2):
                return model(images), moved
        clean, moved = model(images), model(adversarial)
        pass_images(network, images)
        return clean, moved


def away_from_prediction(network: nn.Module, images: Tensor) -> Loss:
    """What an attack maximises: how far the prediction moves from the one for images (N, 3, H, W), computed once."""
    with torch.no_grad():
        clean = network(images)
    return lambda moved: divergence(clean, network(moved))


def trades_loss(clean: Tensor, moved: Tensor, targets: Tensor, beta: float) -> tuple[Tensor, Metrics]:
    """Of logits (N, K) for clean and for adversarial images and targets (N, K) the loss of `TRADES`, and metrics."""
    distance = divergence(clean, moved).mean()
    loss = cross_entropy(clean, targets).mean() + beta * distance
    return loss, {
        "loss": loss.detach(),
        "accuracy": accuracy(clean.detach(), targets).mean(),
        "robust_accuracy": accuracy(moved.detach(), targets).mean(),
        "divergence": distance.detach(),
    }


def divergence(logits: Tensor, others: Tensor) -> Tensor:
    """Logits (N, K) of two predictions p and q -> (N,) KL(p || q) in nats, at least float32."""
    logs, other_logs = F.log_softmax(precise(logits), dim=1), F.log_softmax(precise(others), dim=1)
    return (logs.exp() * (logs - other_logs)).sum(dim=1)
