"""SmoothMix: training of a classifier to be smoothed, on the way from each image to an adversary far off.

Jeong, Park, Kim, Lee, Kim and Shin, "SmoothMix: Training Confidence-calibrated Smoothed Classifiers for Certified
Robustness", NeurIPS 2021, arXiv:2111.09277. The mixing method `mixdali.SmoothMix` is another of that name.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali.checks import count, positive, positive_int, require
from mixdali.draws import between
from train.attacks import attacked
from train.attacks.attack import gradient, precise
from train.attacks.ball import Ball, norms
from train.attacks.images import check_stream
from train.attacks.pgd import RENORM_GUARD
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.gaussian import Smoothed, copies, smoothed_loss, smoothed_prediction, warmed
from train.objectives.objective import Draws, Metrics, checked_draws
from train.objectives.parts.draws import Expected

# Added to the length of a gradient before dividing by it, as in the authors' code.
GUARD = 1e-8


@dataclass(frozen=True, kw_only=True)
class SmoothMixTraining(Smoothed):
    """Cross-entropy of the noisy images, and a price for being too sure on the way to where the class is lost.

        loss = CE(p(x + n_i), t) + eta w [argmax s = t] KL(y || p(x' + n_i))
        x' = (1 - lam) x + lam a,    y = (1 - lam) s + lam / K

    s is the mean prediction over the noises n_i at x, and its gradient is kept; a is found from x by steps of one
    length up the cross-entropy of that mean, in evaluation mode, kept in [0, 1] but in no ball; lam is uniform in
    [0, 1/2]. Attack, clean and mixed images see the same noises, and means are over all noisy copies, also those whose
    image is left out by [.]. The weight w grows to 1 in the first `warmup` epochs.

    With a `mix_step` of 1 or more the images after so many steps, brought back to w mix_step step_size around the
    clean ones, stand in for the clean images everywhere (the one-step variant).

    Draws: `noise` (num_noises, N, 3, H, W), what is added to the images; `lam` (N,) in [0, 1/2].

    Raises, when called:
        ValueError: images that are not in [0, 1].
    """

    needs_clean: ClassVar[str] = "mixes each image with its own adversary"

    num_noises: int = 2
    step_size: float = 0.5
    """Length of a step of the attack in L2, in units of images in [0, 1]."""
    num_steps: int = 4
    """Steps of the attack."""
    mix_step: int = 0
    """After how many of them the images are taken for the clean ones; 0 takes these themselves."""
    eta: float = 5.0
    """Weight of the divergence."""
    warmup: int = 10
    """Epochs until the divergence has its full weight; 1 is at once."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("SmoothMixTraining: step_size", self.step_size)
        positive_int("SmoothMixTraining: num_steps", self.num_steps)
        count("SmoothMixTraining: mix_step", self.mix_step)
        rule = f"must be below num_steps, {self.num_steps}"
        require(self.mix_step < self.num_steps, "SmoothMixTraining: mix_step", self.mix_step, rule)
        require(self.eta >= 0, "SmoothMixTraining: eta", self.eta, "must not be negative")
        positive_int("SmoothMixTraining: warmup", self.warmup)

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        draws = super().draw(batch, generator)
        images = precise(batch.images)
        lam = torch.rand(len(images), generator=generator, device=images.device, dtype=images.dtype)
        return draws | {"lam": lam / 2}

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        lam = Expected((len(batch.images),), between(0.0, 0.5))
        return super().expected(batch, given) | {"lam": lam}

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        check_stream(batch.images, state)
        draws = checked_draws(self, batch, draws)
        noise, strength = draws["noise"], warmed(batch.epoch, self.warmup)
        near, far = self.ends(model, batch, noise, strength)
        logits = model(copies(near, noise))
        prediction = smoothed_prediction(logits, len(noise))
        lam = draws["lam"].to(near).view(-1, *(1,) * (near.ndim - 1))
        mixed_logits = model(copies(torch.lerp(near, far, lam), noise))
        divergence = self._divergence(prediction, mixed_logits, draws["lam"])
        right = prediction.argmax(dim=1) == batch.targets.argmax(dim=1)
        targets = batch.targets.repeat(len(noise), 1)
        mixed_loss = (right.repeat(len(noise)) * divergence).mean()
        loss = cross_entropy(logits, targets).mean() + self.eta * strength * mixed_loss
        return loss, {
            "loss": loss.detach(),
            "accuracy": accuracy(logits.detach(), targets).mean(),
            "smoothed_accuracy": accuracy(prediction.detach(), batch.targets).mean(),
            "divergence": mixed_loss.detach(),
        }

    def ends(self, model: nn.Module, batch: Batch, noise: Tensor, strength: float) -> tuple[Tensor, Tensor]:
        """Between which images is mixed: x and a, both (N, 3, H, W) in [0, 1], without a gradient."""
        images = precise(batch.images.detach())
        near, far = images, images
        with attacked(model, "eval") as network:
            for number in range(self.num_steps):
                if number == self.mix_step:
                    near = far
                _, slopes = gradient(lambda some: smoothed_loss(network, some, noise, batch.targets), far)
                lengths = norms(slopes)
                moves = torch.where(lengths.isfinite(), slopes / (lengths + GUARD), 0.0)
                far = torch.add(far, moves, alpha=self.step_size).clamp(0, 1)
        reach = strength * self.mix_step * self.step_size
        return Ball(images, reach, "L2", guard=RENORM_GUARD).project(near), far

    def _divergence(self, prediction: Tensor, logits: Tensor, lam: Tensor) -> Tensor:
        """prediction (N, K), logits (m N, K) of the mixed images, lam (N,) -> (m N,) in nats."""
        lam = lam.to(prediction).unsqueeze(1)
        soft = ((1 - lam) * prediction + lam / prediction.shape[1]).repeat(len(logits) // len(prediction), 1)
        # Where a probability underflows its own logarithm has no finite slope.
        own = soft * soft.clamp_min(torch.finfo(soft.dtype).tiny).log()
        return (own - soft * F.log_softmax(precise(logits), dim=1)).sum(dim=1)
