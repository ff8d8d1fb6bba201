"""SmoothAdv: adversarial training of the smoothed classifier.

Salman, Yang, Li, Zhang, Zhang, Razenshteyn and Bubeck, "Provably Robust Deep Learning via Adversarially Trained
Smoothed Classifiers", NeurIPS 2019, arXiv:1906.04584.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mixdali.checks import positive_int
from train.attacks import PGD, attacked
from train.attacks.images import check_stream
from train.objectives.adversarial import adversarial_loss, expected_start
from train.objectives.batch import Batch
from train.objectives.gaussian import Smoothed, copies, smoothed_loss, warmed
from train.objectives.objective import Draws, Metrics, checked_draws
from train.objectives.parts.draws import Expected


@dataclass(frozen=True, kw_only=True)
class SmoothAdv(Smoothed):
    """Cross-entropy of noisy adversarial images. The attack is made on the mean prediction under the same noises.

    The network is attacked in evaluation mode; every noisy copy of an adversarial image is trained on. The radius and
    the steps of the attack grow in the first `warmup` epochs. Targets may be soft or mixed.

    Draws: `noise`, as `Smoothed` has it, and `start`, what is added to the images before the first step.

    Raises, when called:
        ValueError: images that are not in [0, 1].
    """

    attack: PGD
    num_noises: int = 2
    warmup: int = 10
    """Epochs until the attack has its full radius; 1 is at once."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("SmoothAdv: warmup", self.warmup)

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        draws = super().draw(batch, generator)
        return draws | {"start": self.attack_at(batch.epoch).draw(batch.images, generator)}

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        start = expected_start(self.attack_at(batch.epoch), batch.images)
        return super().expected(batch, given) | {"start": start}

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        check_stream(batch.images, state)
        draws = checked_draws(self, batch, draws)
        noise = draws["noise"]
        with attacked(model, "eval") as network:
            adversarial = self.attack_at(batch.epoch).search(
                batch.images,
                lambda images: smoothed_loss(network, images, noise, batch.targets),
                start=draws["start"],
            )
        logits = model(copies(adversarial, noise))
        return adversarial_loss(logits, batch.targets.repeat(len(noise), 1))

    def attack_at(self, epoch: int) -> PGD:
        """The attack of an epoch, counted from 0: its radius and its steps grow alike."""
        share = warmed(epoch, self.warmup)
        return replace(self.attack, eps=share * self.attack.eps, step_size=share * self.attack.step_size)
