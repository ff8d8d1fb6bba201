"""Adversarial training as in "A Light Recipe to Train Robust Vision Transformers".

Debenedetti, Sehwag and Mittal, SaTML 2023, arXiv:2209.07399.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali.checks import count, require
from mixdali.draws import between
from train.attacks import PGD, Loss
from train.attacks.network import undistributed
from train.objectives.adversarial import Adversarial, adversarial_loss, pass_images
from train.objectives.batch import Batch
from train.objectives.cross_entropy import cross_entropy
from train.objectives.objective import Draws, Metrics
from train.objectives.parts.draws import Expected
from train.objectives.trades import away_from_prediction, trades_loss

# Added to every pixel of a start, so that two predictions that are compared differ.
OFFSET = 1e-5


@dataclass(frozen=True, kw_only=True)
class Growing(Adversarial):
    """An objective whose attack reaches further from epoch to epoch.

    The radius is that of the attack times epoch / warmup, counted from 0, until it is whole; the first epoch is clean
    training. The step size stays as it is, so that at first a step leads to a corner of the ball.
    """

    attack: PGD
    warmup: int = 0
    """Epochs until the radius is whole; 0: from the first one on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        count(f"{name}: warmup", self.warmup)
        require(self.attack.start == "uniform", f"{name}: attack.start", self.attack.start, "must be uniform")

    def attack_at(self, epoch: int) -> PGD:
        if epoch >= self.warmup:
            return self.attack
        return replace(self.attack, eps=self.attack.eps * epoch / self.warmup)

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        return {"start": super().draw(batch, generator)["start"] + OFFSET}

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        reach = self.attack_at(batch.epoch).eps + 2 * OFFSET
        return {"start": replace(super().expected(batch, given)["start"], check=between(-reach, reach))}


@dataclass(frozen=True, kw_only=True)
class LightTraining(Growing):
    """Cross-entropy of the adversarial images; they are attacked away from the greatest of their targets.

    Smoothed labels, or mixed ones, are thus for the loss alone. Before the adversarial images the clean ones pass the
    network, which only running averages tell.
    """

    def attack_loss(self, network: nn.Module, batch: Batch) -> Loss:
        targets = F.one_hot(batch.targets.argmax(dim=1), batch.targets.shape[1])
        return lambda images: cross_entropy(network(images), targets)

    def loss(self, model: nn.Module, batch: Batch, adversarial: Tensor) -> tuple[Tensor, Metrics]:
        pass_images(undistributed(model), batch.images)
        return adversarial_loss(model(adversarial), batch.targets)


@dataclass(frozen=True, kw_only=True)
class LightTRADES(Growing):
    """Cross-entropy of the clean images, plus beta times how far the attack moves the prediction.

        loss = CE(p(x), t) + beta KL(p(x) || p(x'))

    The attack maximises the divergence from the prediction before the attack, which is computed once.
    """

    beta: float = 6.0
    """Weight of the divergence."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta >= 0, "LightTRADES: beta", self.beta, "must not be negative")

    def attack_loss(self, network: nn.Module, batch: Batch) -> Loss:
        return away_from_prediction(network, batch.images)

    def loss(self, model: nn.Module, batch: Batch, adversarial: Tensor) -> tuple[Tensor, Metrics]:
        return trades_loss(model(batch.images), model(adversarial), batch.targets, self.beta)
