"""NoisyMix.

Erichson, Lim, Xu, Utrera, Cao and Mahoney, "NoisyMix: Boosting Model Robustness to Common Corruptions",
arXiv:2202.01263.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mixdali.checks import require
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.manifold_mixup import draw_hidden_mix, expected_hidden_mix
from train.objectives.noisy_feature_mixup import check_levels, draw_noise, expected_noise, noise, pick_level
from train.objectives.objective import Draws, Metrics, Objective, checked_draws
from train.objectives.parts.draws import Expected, host_generator
from train.objectives.parts.hidden import INPUT, changed, check_stages, mix, pick_stage

VIEWS = 3


@dataclass(frozen=True, kw_only=True)
class NoisyMix(Objective):
    """Noisy Feature Mixup of three views of each image, with a loss for predicting the views alike.

    The image and its two AugMix views pass the model as one batch. At one stage each view is mixed with the same lam
    and partners and gets noise of its own, as in `NoisyFeatureMixup`, whose additive level counts once for the image,
    twice for the first view and three times for the second; `sparsity` of all noise is left out. The loss is
    cross-entropy of the image's logits with the mixed targets, plus `consistency` times the Jensen-Shannon divergence
    of the three predictions.

    Draws: as `NoisyFeatureMixup`, with `add_scale` and `mult_scale` (3,), one for each view. Draws shaped as the hidden
    values of the three views (3 N, ...) replace what `noise_seed` decides: `add_noise`, `mult_noise`, and `add_keep`,
    `mult_keep`, uniform in [0, 1], where below `sparsity` the noise is left out.
    """

    needs_clean: ClassVar[str] = "mixes hidden values itself"

    alpha: float = 1.0
    """lam is Beta(alpha, alpha), one for the batch."""
    stages: tuple[str, ...] = (INPUT, "stage1", "stage2", "stage3")
    """Where to mix, each as likely: names as `train.objectives.parts.hidden.stages` gives them, or modules' names."""
    add_levels: tuple[float, ...] = (0.5,)
    """Level of the additive noise: one for all stages, or one for each."""
    mult_levels: tuple[float, ...] = (0.5,)
    """Level of the multiplicative noise: one for all stages, or one for each."""
    sparsity: float = 0.65
    """Share of the hidden values that get no noise."""
    consistency: float = 12.0
    """Weight of the divergence."""

    def __post_init__(self) -> None:
        require(self.alpha > 0, "NoisyMix: alpha", self.alpha, "must be above 0")
        require(0 <= self.sparsity <= 1, "NoisyMix: sparsity", self.sparsity, "must be in [0, 1]")
        require(self.consistency >= 0, "NoisyMix: consistency", self.consistency, "must not be negative")
        check_levels("NoisyMix: add_levels", self.add_levels, self.stages)
        check_levels("NoisyMix: mult_levels", self.mult_levels, self.stages)

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("images", "targets", "view1", "view2")

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        """ValueError if the model has not all of `stages`."""
        check_stages(model, self.stages)
        return nn.Module()

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        draws = draw_hidden_mix(self.alpha, len(self.stages), len(batch.images), generator)
        return draws | draw_noise(host_generator(generator), (VIEWS,))

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        draws = expected_hidden_mix(len(self.stages), len(batch.images))
        return draws | expected_noise(given, ("add_noise", "mult_noise", "add_keep", "mult_keep"), (VIEWS,))

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        draws = checked_draws(self, batch, draws)
        assert batch.view1 is not None
        assert batch.view2 is not None
        stage = pick_stage(self.stages, draws["layer"])
        with changed(model, stage, lambda hidden: self._mix_and_disturb(hidden, draws)):
            logits = model(torch.cat([batch.images, batch.view1, batch.view2])).chunk(VIEWS)
        targets = mix(batch.targets, draws["partner"], draws["lam"])
        divergence = jensen_shannon(*logits).mean()
        loss = cross_entropy(logits[0], targets).mean() + self.consistency * divergence
        return loss, {
            "loss": loss.detach(),
            "accuracy": accuracy(logits[0].detach(), targets).mean(),
            "divergence": divergence.detach(),
        }

    def _mix_and_disturb(self, hidden: Tensor, draws: Draws) -> Tensor:
        mixed = torch.cat([mix(view, draws["partner"], draws["lam"]) for view in hidden.chunk(VIEWS)])
        values = mixed.to(torch.promote_types(mixed.dtype, torch.float32))
        add = (
            pick_level(self.add_levels, draws["layer"])
            * draws["add_scale"].cpu()
            * torch.arange(1, VIEWS + 1, device="cpu")
        )
        mult = pick_level(self.mult_levels, draws["layer"]) * draws["mult_scale"].cpu()
        factors = 1 + _each_view(mult, values) * self._sparse("mult", 2 * noise("mult_noise", values, draws) - 1, draws)
        added = _each_view(add, values) * self._sparse("add", noise("add_noise", values, draws), draws)
        return (values * factors + added).to(hidden.dtype)

    def _sparse(self, name: str, values: Tensor, draws: Draws) -> Tensor:
        return torch.where(noise(f"{name}_keep", values, draws) < self.sparsity, 0.0, values)


def jensen_shannon(*logits: Tensor) -> Tensor:
    """Logits (N, K) of several predictions -> (N,) their Jensen-Shannon divergence in nats, at least float32.

    The mean prediction is kept from falling below 1e-7, as in AugMix's code.
    """
    work = torch.promote_types(logits[0].dtype, torch.float32)
    logs = torch.stack([each.to(work) for each in logits]).log_softmax(dim=2)
    mean = logs.exp().mean(dim=0).clamp(1e-7, 1).log()
    return (logs.exp() * (logs - mean)).sum(dim=2).mean(dim=0)


def _each_view(numbers: Tensor, values: Tensor) -> Tensor:
    """(3,), one for each view -> (3 N, 1, ...), one for each row of `values`."""
    rows = numbers.to(values, non_blocking=True).repeat_interleave(len(values) // VIEWS)
    return rows.reshape(-1, *(1,) * (values.ndim - 1))
