"""Training under Gaussian noise, for classifiers that are smoothed and certified, and what such objectives share.

Cohen, Rosenfeld and Kolter, "Certified Adversarial Robustness via Randomized Smoothing", ICML 2019, arXiv:1902.02918.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixdali.checks import positive, positive_int
from train.attacks.attack import precise
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, Objective, checked_draws
from train.objectives.parts.draws import Expected

# Probabilities are kept from falling below it before their logarithm is taken, as in the authors' code.
LEAST = 1e-20


@dataclass(frozen=True, kw_only=True)
class Smoothed(Objective):
    """An objective for a network that `python -m train.certify` will see under Gaussian noise.

    Draws: `noise` (num_noises, N, 3, H, W), what is added to the images: normal, of deviation `sigma`. A step sees no
    other noise. Noisy images are not cut to [0, 1].
    """

    sigma: float = 0.25
    """Deviation of the noise, in units of images in [0, 1]."""
    num_noises: int = 1
    """Noisy copies of each image."""

    def __post_init__(self) -> None:
        positive(f"{type(self).__name__}: sigma", self.sigma)
        positive_int(f"{type(self).__name__}: num_noises", self.num_noises)

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        images = precise(batch.images)
        noise = images.new_empty(self.num_noises, *images.shape)
        return {"noise": noise.normal_(std=self.sigma, generator=generator)}

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        return {"noise": Expected((self.num_noises, *batch.images.shape))}


@dataclass(frozen=True, kw_only=True)
class GaussianTraining(Smoothed):
    """Cross-entropy of the noisy images."""

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        draws = checked_draws(self, batch, draws)
        logits = model(copies(batch.images, draws["noise"]))
        targets = batch.targets.repeat(len(draws["noise"]), 1)
        loss = cross_entropy(logits, targets).mean()
        return loss, {"loss": loss.detach(), "accuracy": accuracy(logits.detach(), targets).mean()}


def warmed(epoch: int, warmup: int) -> float:
    """In (0, 1]: the share of full strength that an epoch, counted from 0, has if it grows over so many."""
    return min(1.0, (epoch + 1) / warmup)


def copies(images: Tensor, noise: Tensor) -> Tensor:
    """images (N, 3, H, W), noise (m, N, 3, H, W) -> (m N, 3, H, W): all images with the first noise, and so on."""
    noisy = (images + noise).flatten(0, 1)
    return noisy.contiguous(memory_format=torch.channels_last)


def smoothed_prediction(logits: Tensor, num_noises: int) -> Tensor:
    """Logits (m N, K) of `copies` -> (N, K) the mean of the probabilities over the noises, in at least float32."""
    return precise(logits).softmax(dim=1).unflatten(0, (num_noises, -1)).mean(dim=0)


def smoothed_loss(network: nn.Module, images: Tensor, noise: Tensor, targets: Tensor) -> Tensor:
    """(N,): the cross-entropy of targets (N, K) with the mean prediction under the noises, in nats."""
    prediction = smoothed_prediction(network(copies(images, noise)), len(noise))
    return -(targets.to(prediction) * prediction.clamp_min(LEAST).log()).sum(dim=1)
