"""Self-Adaptive Training against attacks: TRADES whose clean term follows the network's own predictions.

Huang, Zhang and Zhang, "Self-Adaptive Training: beyond Empirical Risk Minimization", NeurIPS 2020, arXiv:2002.10319.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixdali.checks import count, fraction, require
from train.attacks import PGD, attacked
from train.attacks.images import check_stream
from train.objectives.adversarial import expected_start
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, checked_draws
from train.objectives.parts.draws import Expected
from train.objectives.self_adaptive import MovingTargets, Remembers, adapt
from train.objectives.trades import away_from_prediction, divergence

ATTACK = PGD(eps=0.031, step_size=0.007, num_steps=10, start="gaussian", project_start=False)


@dataclass(frozen=True, kw_only=True)
class SelfAdaptiveTRADES(Remembers):
    """loss = clean term + beta mean KL(p(image) || p(adversarial image)), as TRADES (Zhang et al., arXiv:1901.08573).

    The clean term is cross-entropy for `start` epochs, then that of `SelfAdaptiveTraining`. The attack raises the same
    divergence, in evaluation mode; then the clean images and the adversarial ones pass the network once each, in this
    order and in its own mode, and gradients flow through both.

    Draws: `start` (N, 3, H, W), what the attack adds to the images before its first step.
    """

    attack: PGD = ATTACK
    """How adversarial images are found."""
    beta: float = 6.0
    """Weight of the divergence."""
    start: int = 69
    """Epochs before the targets move; the authors' 70, counted from 1."""
    momentum: float = 0.9
    """How much of a target stays at each visit."""

    def __post_init__(self) -> None:
        require(self.beta >= 0, "SelfAdaptiveTRADES: beta", self.beta, "must not be negative")
        count("SelfAdaptiveTRADES: start", self.start)
        fraction("SelfAdaptiveTRADES: momentum", self.momentum)

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        return MovingTargets(num_samples, num_classes, next(model.parameters()).dtype)

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        return {"start": self.attack.draw(batch.images, generator)}

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        return {"start": expected_start(self.attack, batch.images)}

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        draws = checked_draws(self, batch, draws)
        check_stream(batch.images, state)
        adversarial = self._attack(model, batch.images, draws["start"])
        logits = model(batch.images)
        if batch.epoch < self.start:
            clean = cross_entropy(logits, batch.targets).mean()
        else:
            targets, weights = adapt(logits, batch, state, self.momentum)
            clean = (weights * cross_entropy(logits, targets)).mean()
        moved = model(adversarial)
        distance = divergence(logits, moved).mean()
        loss = clean + self.beta * distance
        return loss, {
            "loss": loss.detach(),
            "accuracy": accuracy(logits.detach(), batch.targets).mean(),
            "robust_accuracy": accuracy(moved.detach(), batch.targets).mean(),
            "divergence": distance.detach(),
        }

    def _attack(self, model: nn.Module, images: Tensor, start: Tensor) -> Tensor:
        with attacked(model, "eval") as network:
            return self.attack.search(images, away_from_prediction(network, images), start=start)
