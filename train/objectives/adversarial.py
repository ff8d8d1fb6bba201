"""Adversarial training, and what the objectives with an attack share.

Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018,
arXiv:1706.06083.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixdali.checks import one_of, positive_int
from train.attacks import FGSM, PGD, BatchNorm, Loss, attacked
from train.attacks.attack import Attack
from train.attacks.images import check_stream
from train.attacks.network import counted, tracking, undistributed
from train.attacks.robust import WITHIN_8
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, Objective, checked_draws
from train.objectives.parts.draws import Expected


@dataclass(frozen=True, kw_only=True)
class Attacking(Objective):
    """An objective that attacks the images of its batch, with the weights as they are and the batch's own targets.

    Soft and mixed targets are attacked as such: what is maximised is the cross-entropy with them. The attack gives
    parameters no gradient, and each process makes its own.

    Draws: `start`, what is added to the images before the first step.

    Raises, when called:
        ValueError: images that are not in [0, 1]; on a GPU at the first step, and later within 256 steps.
    """

    attack: PGD | FGSM = WITHIN_8
    """How adversarial images are found; 10 steps of PGD within 8 / 255 where nothing else is said."""
    batch_norm: BatchNorm = "eval"
    """What normalises during the attack: the running averages, with the network in evaluation mode ("eval"), the
    statistics of the batch, which move the averages ("train"), or such that do not ("frozen")."""

    def __post_init__(self) -> None:
        one_of(f"{type(self).__name__}: batch_norm", self.batch_norm, ("eval", "train", "frozen"))

    def attack_at(self, epoch: int) -> PGD | FGSM:
        """The attack of an epoch, counted from 0."""
        return self.attack

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        return {"start": self.attack_at(batch.epoch).draw(batch.images, generator)}

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        return {"start": expected_start(self.attack_at(batch.epoch), batch.images)}

    def perturb(self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws) -> Tensor:
        """The adversarial images of a batch, in at least float32."""
        check_stream(batch.images, state)
        with attacked(model, self.batch_norm) as network:
            attack = self.attack_at(batch.epoch)
            return attack.search(batch.images, self.attack_loss(network, batch), start=draws["start"])

    def attack_loss(self, network: nn.Module, batch: Batch) -> Loss:
        """What the attack maximises; called with the network in the attack's mode."""
        return lambda images: cross_entropy(network(images), batch.targets)


def expected_start(attack: Attack, images: Tensor) -> Expected:
    """Of a draw `start` for an attack on these images."""
    return Expected(attack.shape_of_start(images), lambda name, start: attack.check_start(images, start))


@dataclass(frozen=True, kw_only=True)
class Adversarial(Attacking):
    """An objective that first attacks its batch, and then has a loss of the images and the adversarial ones."""

    @property
    def measured(self) -> bool:
        """Whether the attack, in mode "train", ends with a forward pass of its result, as running averages see it."""
        return False

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        draws = checked_draws(self, batch, draws)
        adversarial = self.perturb(model, batch, state, draws)
        # That pass and the one below see the same images through the same weights.
        with counted(undistributed(model), 2) if self.measured else nullcontext():
            return self.loss(model, batch, adversarial)

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch, adversarial: Tensor) -> tuple[Tensor, Metrics]:
        """As a call, with the adversarial images given."""


@dataclass(frozen=True, kw_only=True)
class AdversarialTraining(Adversarial):
    """Cross-entropy of the adversarial images. `accuracy` is that under the attack."""

    def loss(self, model: nn.Module, batch: Batch, adversarial: Tensor) -> tuple[Tensor, Metrics]:
        return adversarial_loss(model(adversarial), batch.targets)


def adversarial_loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Metrics]:
    """Of logits (N, K) for adversarial images and targets (N, K) the mean cross-entropy, and metrics."""
    loss = cross_entropy(logits, targets).mean()
    hits = accuracy(logits.detach(), targets).mean()
    return loss, {"loss": loss.detach(), "accuracy": hits, "robust_accuracy": hits}


@dataclass(frozen=True, kw_only=True)
class LoggedAdversarialTraining(AdversarialTraining):
    """Adversarial training with the running averages that the code of Rice et al. leaves.

    There the attack measures its result with a forward pass, and after the optimiser's step the clean images pass the
    network for the log; both in training mode. The first costs nothing here, the second is a forward pass.
    """

    batch_norm: BatchNorm = "train"
    attack_passes: int = 1
    """Forward passes in each step of the attack, as the running averages count them; with mixup their code makes 2."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("LoggedAdversarialTraining: attack_passes", self.attack_passes)

    @property
    def measured(self) -> bool:
        return self.batch_norm == "train"

    def perturb(self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws) -> Tensor:
        with counted(undistributed(model), self.attack_passes) if self.attack_passes > 1 else nullcontext():
            return super().perturb(model, batch, state, draws)

    def after_step(self, model: nn.Module, batch: Batch, state: nn.Module) -> None:
        pass_images(undistributed(model), batch.images)


@torch.no_grad()
def pass_images(network: nn.Module, images: Tensor) -> None:
    """A forward pass that moves the running averages and does nothing else; none where none would move."""
    if any(norm.training for norm in tracking(network)):
        network(images)
