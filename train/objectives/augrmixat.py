"""AugRmixAT: the clean, an augmented and an adversarial view of each image, each mixed by a method chosen at random.

Liu, Shen, Zhao and Nie, "AugRmixAT: A Data Processing and Training Method for Improving Multiple Robustness and
Generalization Performance", ICME 2022, arXiv:2207.10290.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mixdali import Choose, CutMix, FMix, Mix, MixUp, Plan, ResizeMix
from mixdali.checks import require
from mixdali.draws import FINITE, WEIGHT
from train.objectives.adversarial import Attacking
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, checked_draws
from train.objectives.parts.draws import Expected, expected_partner, host_generator

VIEWS = ("clean", "augmented", "adversarial")

# RandomMix, of the same authors (arXiv:2205.08728): one permutation for whichever method is chosen.
RANDOM_MIX = Choose(
    (
        MixUp(partner="permutation"),
        CutMix(partner="permutation"),
        FMix(partner="permutation"),
        ResizeMix(partner="permutation"),
    )
)


@dataclass(frozen=True, kw_only=True)
class AugRmixAT(Attacking):
    """The weighted sum of the cross-entropies of three views of each image: as it is, after AugMix, and attacked.

    No code is public and the abstract names the parts only, so how they are put together is our reconstruction: the
    attack is made on the clean image; each view is mixed by `mix` with draws of its own, and so are its targets; the
    three mixed views pass the network as one batch. A term for predicting the views alike is left out, since each is
    mixed with other partners.

    Draws: `start`, of the attack; and for each view the parts of its plan, such as `clean.lam`, `augmented.partner`
    and `adversarial.box`.

    Raises, when called:
        ValueError: images that are not in [0, 1].
    """

    needs_clean: ClassVar[str] = "mixes by itself, after the attack (objective.mix)"

    mix: Mix = RANDOM_MIX
    """How each view is mixed."""
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Of the losses of the clean, the augmented and the adversarial view."""

    def __post_init__(self) -> None:
        super().__post_init__()
        usable = len(self.weights) == 3 and min(self.weights) >= 0 and sum(self.weights) > 0
        require(usable, "AugRmixAT: weights", self.weights, "must be three numbers from 0 up, not all 0")

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("images", "targets", "view1")

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        draws = super().draw(batch, generator)
        for view in VIEWS:
            plan = self.mix.draw(batch.images, targets=batch.targets, rng=host_generator(generator), epoch=batch.epoch)
            draws |= {f"{view}.{name}": value for name, value in plan.parts().items()}
        return draws

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        # of any mix: its plan has the parts, and their shapes, that every plan of it has
        plan = self.mix.draw(batch.images, targets=batch.targets, epoch=batch.epoch).parts()
        parts = {name: _expected_part(name, value) for name, value in plan.items()}
        of_views = {f"{view}.{name}": wanted for view in VIEWS for name, wanted in parts.items()}
        return super().expected(batch, given) | of_views

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        assert batch.view1 is not None
        draws = checked_draws(self, batch, draws)
        adversarial = self.perturb(model, batch, state, draws)
        views = zip(VIEWS, (batch.images, batch.view1, adversarial), strict=True)
        mixed = [self.mix.apply(images, batch.targets, _plan(view, draws)) for view, images in views]
        logits = model(torch.cat([images for images, _ in mixed])).chunk(len(VIEWS))
        losses = [cross_entropy(own, targets).mean() for own, (_, targets) in zip(logits, mixed, strict=True)]
        loss = torch.stack([weight * own for weight, own in zip(self.weights, losses, strict=True)]).sum()
        hits = [accuracy(own.detach(), targets).mean() for own, (_, targets) in zip(logits, mixed, strict=True)]
        return loss, {
            "loss": loss.detach(),
            "accuracy": hits[0],
            "augmented_accuracy": hits[1],
            "robust_accuracy": hits[2],
        }


def _expected_part(name: str, value: Tensor) -> Expected:
    if name.endswith("partner"):
        return expected_partner(len(value))
    weighs = name.rpartition(".")[2] in ("lam", "share", "weight", "outside", "mask", "fill")
    return Expected(tuple(value.shape), WEIGHT if weighs else FINITE)


def _plan(view: str, draws: Draws) -> Plan:
    """The plan of a view, from its parts among the draws."""
    start = f"{view}."
    return Plan.of_parts({name.removeprefix(start): value for name, value in draws.items() if name.startswith(start)})
