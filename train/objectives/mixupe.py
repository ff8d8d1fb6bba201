"""MixupE.

Zou, Verma, Mittal, Tang, Pham, Kannala, Bengio, Solin and Kawaguchi, "MixupE: Understanding and Improving Mixup from
Directional Derivative Perspective", UAI 2023, arXiv:2212.13381.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mixdali.checks import require
from train.models import Normalise
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, Objective, checked_draws
from train.objectives.parts.draws import Expected, draw_mix, expected_mix
from train.objectives.parts.hidden import bare, mix


@dataclass(frozen=True, kw_only=True)
class MixupE(Objective):
    """mixup, and a regulariser from the directional derivative of the loss towards the mean image.

    With logits f, probabilities p and targets t of a second forward pass, on the clean images, and
    m = (1 - (alpha + 1) / (2 alpha + 1)):

        version 1   r_n = <d (f_n . (p_n - t_n)) / d x_n, mean image - x_n>, p and the distance held fixed;
                    R = m / N times the sum of the r_n below `threshold`; the loss is mixup's + eta R
        version 2   as 1, with the sum of all |r_n|
        version 3   r_n = f_n . (t_n - p_n), nothing held fixed; R as in 1; the loss is mixup's - eta R
        version 4   as 3 with p held fixed, and the sum of all r_n

    Then the loss is scaled so that its value is mixup's: only the direction of its gradient tells the versions apart.
    Both passes run in the model's own mode, so in training both move the running averages of batch norm, the mixed
    images first.

    Draws: `lam` (), `partner` (N,). A draw `mean_image`, any shape that broadcasts against the images, replaces the
    state's, which is the mean of each channel that the model normalises with, and 0 for a model that does not.
    Differs: the authors' mean image is the average of the augmented training images, place by place.
    """

    needs_clean: ClassVar[str] = "mixes the images itself"

    version: Literal[1, 2, 3, 4] = 3
    """Which regulariser; 3 is the authors' choice. 1 and 2 differentiate twice."""
    alpha: float = 2.0
    """lam is Beta(alpha, alpha), one for the batch; 0 mixes nothing."""
    eta: float = 0.001
    """Weight of the regulariser."""
    threshold: float = 1.0
    """Versions 1 and 3 leave out images whose r_n is not below this."""

    def __post_init__(self) -> None:
        require(self.version in (1, 2, 3, 4), "MixupE: version", self.version, "must be 1, 2, 3 or 4")
        require(self.alpha >= 0, "MixupE: alpha", self.alpha, "must not be negative")
        require(self.eta >= 0, "MixupE: eta", self.eta, "must not be negative")

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        state = nn.Module()
        normalisers = [module for module in bare(model).modules() if isinstance(module, Normalise)]
        mean = (
            normalisers[0].mean.detach().clone() if normalisers else torch.zeros((), dtype=torch.float32, device="cpu")
        )
        state.register_buffer("mean_image", mean)
        return state

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        return draw_mix(self.alpha, len(batch.images), generator)

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        return expected_mix(len(batch.images)) | {"mean_image": Expected(None, needed=False)}

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        draws = checked_draws(self, batch, draws)
        lam, partner = draws["lam"], draws["partner"]
        logits, targets = model(mix(batch.images, partner, lam)), mix(batch.targets, partner, lam)
        mixup = cross_entropy(logits, targets).mean()
        if self.version in (1, 2):
            given = draws.get("mean_image")
            slopes, sign = _exact_slopes(model, batch, state.get_buffer("mean_image") if given is None else given), 1
        else:
            slopes, sign = _fast_slopes(model, batch, fixed=self.version == 4), -1
        regulariser = self._sum(slopes) * self.alpha / (2 * self.alpha + 1) / len(slopes)
        total = mixup + sign * self.eta * regulariser
        loss = total * (mixup.detach().abs() / total.detach().abs())
        return loss, {
            "loss": loss.detach(),
            "accuracy": accuracy(logits.detach(), targets).mean(),
            "regulariser": regulariser.detach(),
        }

    def _sum(self, slopes: Tensor) -> Tensor:
        if self.version == 2:
            return slopes.abs().sum()
        if self.version == 4:
            return slopes.sum()
        return torch.where(slopes.detach() < self.threshold, slopes, 0.0).sum()


def _exact_slopes(model: nn.Module, batch: Batch, mean_image: Tensor) -> Tensor:
    """(N,) how fast each image's loss rises towards the mean image, differentiable.

    In pixels of [0, 1] it is the same number as in normalised ones: the scale of the derivative and that of the
    distance cancel.
    """
    images = batch.images.detach().requires_grad_(True)
    logits, targets = _precise(model(images), batch.targets)
    errors = (logits.softmax(dim=1) - targets).detach()
    (gradient,) = torch.autograd.grad((logits * errors).sum(), images, create_graph=True)
    return (gradient * (mean_image.to(images) - images.detach())).flatten(1).sum(dim=1)


def _fast_slopes(model: nn.Module, batch: Batch, *, fixed: bool) -> Tensor:
    """(N,) each image's logits times (targets - probabilities)."""
    logits, targets = _precise(model(batch.images), batch.targets)
    errors = targets - logits.softmax(dim=1)
    return (logits * (errors.detach() if fixed else errors)).sum(dim=1)


def _precise(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    work = torch.promote_types(logits.dtype, torch.float32)
    return logits.to(work), targets.to(work)
