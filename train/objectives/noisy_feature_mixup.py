"""Noisy Feature Mixup.

Lim, Erichson, Utrera, Xu and Mahoney, "Noisy Feature Mixup", ICLR 2022, arXiv:2110.02180.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mixdali import derive_seed
from mixdali.checks import require
from mixdali.draws import FINITE, WEIGHT
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.manifold_mixup import draw_hidden_mix, expected_hidden_mix
from train.objectives.objective import Draws, Metrics, Objective, checked_draws
from train.objectives.parts.draws import Expected, draw_beta, expected_index, host_generator
from train.objectives.parts.hidden import INPUT, changed, check_stages, mix, pick_stage


@dataclass(frozen=True, kw_only=True)
class NoisyFeatureMixup(Objective):
    """Manifold Mixup with noise: hidden values h of one stage, mixed to h', go on as

        (1 + mult_level b_m (2 u - 1)) h' + add_level b_a g

    with u uniform in [0, 1] and g normal for each number, b_m and b_a Beta(2, 5), one each for the batch (mean 2/7).
    The targets are mixed and stay free of noise; the loss is cross-entropy. At the stage `input` the levels are in
    units of the normalised images.

    `alpha` 0 mixes nothing and adds no noise, as in the authors' code; a tiny one such as 1e-8 makes lam 0 or 1, which
    is their form with noise only.

    Draws: `layer` () int, the place in `stages`; `lam` (); `partner` (N,); `add_scale` b_a and `mult_scale` b_m ();
    `noise_seed` () int, which decides g and u. Draws `add_noise` g and `mult_noise` u, shaped as h, replace these.
    """

    needs_clean: ClassVar[str] = "mixes hidden values itself"

    alpha: float = 1.0
    """lam is Beta(alpha, alpha), one for the batch; 0 switches everything off."""
    stages: tuple[str, ...] = (INPUT, "stage1", "stage2", "stage3")
    """Where to mix, each as likely: names as `train.objectives.parts.hidden.stages` gives them, or modules' names."""
    add_levels: tuple[float, ...] = (0.4,)
    """Level of the additive noise: one for all stages, or one for each."""
    mult_levels: tuple[float, ...] = (0.2,)
    """Level of the multiplicative noise: one for all stages, or one for each."""

    def __post_init__(self) -> None:
        require(self.alpha >= 0, "NoisyFeatureMixup: alpha", self.alpha, "must not be negative")
        check_levels("NoisyFeatureMixup: add_levels", self.add_levels, self.stages)
        check_levels("NoisyFeatureMixup: mult_levels", self.mult_levels, self.stages)

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        """ValueError if the model has not all of `stages`."""
        check_stages(model, self.stages)
        return nn.Module()

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        draws = draw_hidden_mix(self.alpha, len(self.stages), len(batch.images), generator)
        return draws | draw_noise(host_generator(generator))

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        draws = expected_hidden_mix(len(self.stages), len(batch.images))
        return draws | expected_noise(given, ("add_noise", "mult_noise"))

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        draws = checked_draws(self, batch, draws)
        if self.alpha == 0:
            logits, targets = model(batch.images), batch.targets
        else:
            stage = pick_stage(self.stages, draws["layer"])
            with changed(model, stage, lambda hidden: self._mix_and_disturb(hidden, draws)):
                logits = model(batch.images)
            targets = mix(batch.targets, draws["partner"], draws["lam"])
        loss = cross_entropy(logits, targets).mean()
        return loss, {"loss": loss.detach(), "accuracy": accuracy(logits.detach(), targets).mean()}

    def _mix_and_disturb(self, hidden: Tensor, draws: Draws) -> Tensor:
        mixed = mix(hidden, draws["partner"], draws["lam"])
        work = torch.promote_types(mixed.dtype, torch.float32)
        add, mult = pick_level(self.add_levels, draws["layer"]), pick_level(self.mult_levels, draws["layer"])
        noisy = mixed.to(work)
        if mult > 0:
            signs = 2 * noise("mult_noise", noisy, draws) - 1
            noisy = noisy * (1 + mult * draws["mult_scale"].to(noisy, non_blocking=True) * signs)
        if add > 0:
            noisy = noisy + add * draws["add_scale"].to(noisy, non_blocking=True) * noise("add_noise", noisy, draws)
        return noisy.to(hidden.dtype)


def check_levels(name: str, levels: tuple[float, ...], stages: tuple[str, ...]) -> None:
    """ValueError unless there is one level or one for each stage, none negative."""
    require(len(levels) in (1, len(stages)), name, levels, f"must be one number or {len(stages)}, one for each stage")
    require(min(levels, default=0) >= 0, name, levels, "must not be negative")


def pick_level(levels: tuple[float, ...], layer: Tensor) -> float:
    """The level of the stage with the number `layer` ()."""
    return levels[0] if len(levels) == 1 else levels[int(layer)]


def draw_noise(generator: torch.Generator, shape: tuple[int, ...] = ()) -> Draws:
    """`add_scale` and `mult_scale`, Beta(2, 5) of this shape, and `noise_seed` (); `generator` lives on the CPU."""
    return {
        "add_scale": draw_beta(2, 5, generator, shape),
        "mult_scale": draw_beta(2, 5, generator, shape),
        "noise_seed": torch.randint(2**62, (), generator=generator, device="cpu"),
    }


def expected_noise(given: Collection[str], noises: tuple[str, ...], shape: tuple[int, ...] = ()) -> dict[str, Expected]:
    """Of `draw_noise`, and of the noises by their names, which replace the seed where all are given."""
    of_seed = {"noise_seed": expected_index(1 << 62)} if not set(noises) <= set(given) or "noise_seed" in given else {}
    scales = {name: Expected(shape, WEIGHT) for name in ("add_scale", "mult_scale")}
    laws = {name: FINITE if name == "add_noise" else WEIGHT for name in noises}
    return scales | of_seed | {name: Expected(None, law, needed=False) for name, law in laws.items()}


def noise(name: str, values: Tensor, draws: Draws) -> Tensor:
    """The draw `name`, or noise shaped as `values` that `noise_seed` decides: "add_noise" normal, others uniform."""
    if name in draws:
        return draws[name].to(values)
    seed = derive_seed(int(draws["noise_seed"]), name)
    generator = torch.Generator(values.device).manual_seed(seed)
    blank = torch.empty_like(values)
    return blank.normal_(generator=generator) if name == "add_noise" else blank.uniform_(generator=generator)
