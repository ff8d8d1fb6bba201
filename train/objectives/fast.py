"""Fast adversarial training, with an eye on catastrophic overfitting.

Wong, Rice and Kolter, "Fast is better than free: Revisiting adversarial training", ICLR 2020, arXiv:2001.03994.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixdali.checks import fraction, positive_int, require
from train.attacks import FGSM, PGD, BatchNorm, attacked
from train.machine.gather import mean_of_all
from train.objectives.adversarial import AdversarialTraining
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy
from train.objectives.objective import Draws, Metrics, checked_draws

# The attack of the monitor: the authors' early stopping takes as many steps.
MONITOR_STEPS = 5


ATTACK = FGSM(eps=8 / 255, step_size=10 / 255)


class Watched(nn.Module):
    """What the monitor saw last."""

    pgd_accuracy: Tensor
    """() under PGD, at the last look."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pgd_accuracy", torch.zeros((), dtype=torch.float64, device="cpu"))


@dataclass(frozen=True, kw_only=True)
class FastAdversarialTraining(AdversarialTraining):
    """Adversarial training by a single step, and a monitor.

    Training by single steps can collapse within an epoch: the network learns to mask its gradient, the accuracy under
    the single step shoots up and that under PGD falls to 0. Every `every` steps the monitor attacks the batch with
    PGD-5, with the batch's own statistics, and compares. `pgd_accuracy` is what it saw last.

    Raises, when called:
        ValueError: the accuracy under the single step is more than `max_gap` above that under PGD, over all processes
            together. The run then ends, and its last checkpoint is from before.
    """

    attack: FGSM = ATTACK
    batch_norm: BatchNorm = "train"
    every: int = 50
    """Steps between two looks; a look costs as much as two steps."""
    max_gap: float = 0.3
    """Largest difference between the two accuracies; 1 never stops. A network that has not collapsed shows 0.1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(isinstance(self.attack, FGSM), "FastAdversarialTraining: attack", self.attack, "must be an FGSM")
        positive_int("FastAdversarialTraining: every", self.every)
        fraction("FastAdversarialTraining: max_gap", self.max_gap)

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        return Watched()

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        assert isinstance(state, Watched)
        draws = checked_draws(self, batch, draws)
        adversarial = self.perturb(model, batch, state, draws)
        if batch.step % self.every == 0:
            self._look(model, batch, adversarial, state)
        loss, metrics = self.loss(model, batch, adversarial)
        return loss, {**metrics, "pgd_accuracy": state.pgd_accuracy.clone()}

    def _look(self, model: nn.Module, batch: Batch, adversarial: Tensor, state: Watched) -> None:
        monitor = PGD(eps=self.attack.eps, step_size=self.attack.eps / 4, num_steps=MONITOR_STEPS, start="none")
        with attacked(model, "frozen") as network:
            stronger = monitor.search(batch.images, self.attack_loss(network, batch))
            with torch.no_grad():
                seen = [accuracy(network(images), batch.targets).mean() for images in (adversarial, stronger)]
        single, pgd = mean_of_all(torch.stack(seen).double()).tolist()
        state.pgd_accuracy.fill_(pgd)
        if single - pgd > self.max_gap:
            raise ValueError(
                f"catastrophic overfitting in epoch {batch.epoch + 1}: accuracy {single:.0%} under the single step of "
                f"the training, {pgd:.0%} under PGD; the last checkpoint is from before. Try noise 2 without project "
                "(N-FGSM), a smaller step_size, or fewer epochs; with objective.max_gap 1 the run goes on"
            )
