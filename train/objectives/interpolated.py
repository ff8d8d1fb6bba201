"""Interpolated Adversarial Training.

Lamb, Verma, Kawaguchi, Matyasko, Khosla, Kannala and Bengio, "Interpolated Adversarial Training: Achieving robust
neural networks without sacrificing too much accuracy", Neural Networks 2022, arXiv:1906.06784.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mixdali import MixUp, Plan
from mixdali.draws import WEIGHT
from train.attacks.images import STEPS_BETWEEN_LOOKS
from train.objectives.adversarial import Attacking
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, checked_draws
from train.objectives.parts.draws import Expected, expected_partner, host_generator

HALVES = ("clean", "adversarial")
MIXUP = MixUp(alpha=1.0, per="batch", partner="permutation")

# Above what rounding makes of two equal probabilities.
SLACK = 1e-4


@dataclass(frozen=True, kw_only=True)
class InterpolatedAdversarialTraining(Attacking):
    """The mean of two losses: of the mixed clean images, and of the mixed adversarial images.

    The attack comes before the mixing: it is made on the images as they are and their own targets. The two halves are
    mixed independently of each other. They pass the network one after the other, the attack between them.

    Draws: `start`; and for each half its mixing, `clean.lam`, `clean.partner`, `adversarial.lam` and
    `adversarial.partner`, (N,) each.

    Raises, when called:
        ValueError: images that are not in [0, 1], or that are mixed already.
    """

    needs_clean: ClassVar[str] = "mixes by itself, after the attack (objective.mix)"

    mix: MixUp = MIXUP
    """How each half is mixed."""

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        draws = super().draw(batch, generator)
        for half in HALVES:
            plan = self.mix.draw(batch.images, rng=host_generator(generator))
            draws |= {f"{half}.lam": plan.lam, f"{half}.partner": plan.partner}
        return draws

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        count = len(batch.images)
        of_half = {"lam": Expected((count,), WEIGHT), "partner": expected_partner(count)}
        mixes = {f"{half}.{name}": wanted for half in HALVES for name, wanted in of_half.items()}
        return super().expected(batch, given) | mixes

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        _check_unmixed(batch.targets, state)
        draws = checked_draws(self, batch, draws)
        clean, hits = self._loss("clean", model, batch.images, batch.targets, draws)
        adversarial = self.perturb(model, batch, state, draws)
        robust, robust_hits = self._loss("adversarial", model, adversarial, batch.targets, draws)
        loss = (clean + robust) / 2
        return loss, {
            "loss": loss.detach(),
            "accuracy": hits,
            "robust_accuracy": robust_hits,
            "clean_loss": clean.detach(),
            "robust_loss": robust.detach(),
        }

    def _loss(
        self, half: str, model: nn.Module, images: Tensor, targets: Tensor, draws: Draws
    ) -> tuple[Tensor, Tensor]:
        """Loss () and accuracy () of one half, mixed by its plan."""
        plan = Plan(partner=draws[f"{half}.partner"], lam=draws[f"{half}.lam"])
        mixed, mixed_targets = self.mix.apply(images, targets, plan)
        logits = model(mixed)
        return cross_entropy(logits, mixed_targets).mean(), accuracy(logits.detach(), mixed_targets).mean()


def _check_unmixed(targets: Tensor, state: nn.Module) -> None:
    """ValueError if a target (N, K) has two classes that stand out; on a GPU looked at every so many steps."""
    memory: Any = state
    steps = getattr(memory, "steps_of_targets", 0)
    memory.steps_of_targets = steps + 1
    if targets.device.type != "cpu" and steps % STEPS_BETWEEN_LOOKS:
        return
    # Smoothed targets have one class that stands out, and all others alike.
    second, least = targets.topk(2, dim=1).values[:, 1], targets.amin(dim=1)
    if bool((second - least > SLACK).any()):
        raise ValueError(
            "mix must be None: InterpolatedAdversarialTraining mixes by itself, after the attack (objective.mix), "
            "and got targets that are mixed already"
        )
