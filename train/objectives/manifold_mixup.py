"""Manifold Mixup.

Verma, Lamb, Beckham, Najafi, Mitliagkas, Lopez-Paz and Bengio, "Manifold Mixup: Better Representations by Interpolating
Hidden States", ICML 2019, arXiv:1806.05236.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali.checks import one_of, require
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, Objective, checked_draws
from train.objectives.parts.draws import (
    Expected,
    draw_index,
    draw_lam,
    draw_permutation,
    expected_index,
    expected_mix,
    host_generator,
)
from train.objectives.parts.hidden import INPUT, changed, check_stages, mix, pick_stage


@dataclass(frozen=True, kw_only=True)
class ManifoldMixup(Objective):
    """Mix the hidden values of one stage, drawn anew for each step, and the targets with them.

    The images that reach the stage are clean, so batch norms before it see clean images and those after it mixed ones.
    Gradients flow to both images of a pair.

    Draws: `layer` () int, the place in `stages`; `lam` (), the weight of the image that keeps its place; `partner`
    (N,). In several processes each draws its own layer; all parameters have a gradient whichever it is.
    """

    needs_clean: ClassVar[str] = "mixes hidden values itself"

    alpha: float = 2.0
    """lam is Beta(alpha, alpha), one for the batch; 0 mixes nothing, which with loss "bce" is the authors' baseline."""
    stages: tuple[str, ...] = (INPUT, "stage1", "stage2")
    """Where to mix, each as likely: names as `train.objectives.parts.hidden.stages` gives them, or modules' names."""
    loss: Literal["bce", "ce"] = "bce"
    """"bce": binary cross-entropy of the probabilities, averaged over images and classes, as the authors' code has it;
    its gradient is about num_classes times smaller. "ce": cross-entropy."""

    def __post_init__(self) -> None:
        require(self.alpha >= 0, "ManifoldMixup: alpha", self.alpha, "must not be negative")
        one_of("ManifoldMixup: loss", self.loss, ("bce", "ce"))

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        """ValueError if the model has not all of `stages`."""
        check_stages(model, self.stages)
        return nn.Module()

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        return draw_hidden_mix(self.alpha, len(self.stages), len(batch.images), generator)

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        return expected_hidden_mix(len(self.stages), len(batch.images))

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        draws = checked_draws(self, batch, draws)
        lam, partner = draws["lam"], draws["partner"]
        with changed(model, pick_stage(self.stages, draws["layer"]), lambda hidden: mix(hidden, partner, lam)):
            logits = model(batch.images)
        targets = mix(batch.targets, partner, lam)
        measure = binary_cross_entropy if self.loss == "bce" else cross_entropy
        loss = measure(logits, targets).mean()
        return loss, {"loss": loss.detach(), "accuracy": accuracy(logits.detach(), targets).mean()}


def draw_hidden_mix(alpha: float, num_stages: int, num_images: int, generator: torch.Generator) -> Draws:
    """One `layer` (), one `lam` () and a `partner` (N,): what mixing at a random stage needs."""
    host = host_generator(generator)
    return {
        "layer": draw_index(num_stages, host),
        "lam": draw_lam(alpha, host),
        "partner": draw_permutation(num_images, generator),
    }


def expected_hidden_mix(num_stages: int, num_images: int) -> dict[str, Expected]:
    return {"layer": expected_index(num_stages), **expected_mix(num_images)}


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """logits (N, K), targets (N, K) -> (N,): binary cross-entropy of the softmax's probabilities, mean over classes."""
    work = torch.promote_types(logits.dtype, torch.float32)
    with torch.autocast(logits.device.type, enabled=False):
        probabilities = logits.to(work).softmax(dim=1)
        return F.binary_cross_entropy(probabilities, targets.to(work), reduction="none").mean(dim=1)
