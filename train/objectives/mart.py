"""MART.

Wang, Zou, Yi, Bailey, Ma and Gu, "Improving Adversarial Robustness Requires Revisiting Misclassified Examples", ICLR
2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from mixdali.checks import require
from train.attacks.attack import precise
from train.attacks.losses import runner_up
from train.objectives.adversarial import Adversarial
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Metrics

# What the authors' code adds to a probability, to 1 less a wrong class's, and to 1 less the true class's.
INSIDE_LOG, WRONG, UNSURE = 1e-12, 1e-4, 1e-7


@dataclass(frozen=True, kw_only=True)
class MART(Adversarial):
    """Boosted cross-entropy of the adversarial images, plus beta times a divergence that counts where the network is
    unsure of the clean image.

        loss = mean of CE(p', y) - log(1 - max over k != y of p'_k) + beta KL(p || p') (1 - p_y)

    with p the probabilities of the clean and p' of the adversarial image. All of it has a gradient, p and the weight
    1 - p_y too. The attack maximises the cross-entropy. For soft and mixed targets the terms of y are means over the
    classes.
    """

    beta: float = 5.0
    """Weight of the divergence."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta >= 0, "MART: beta", self.beta, "must not be negative")

    def loss(self, model: nn.Module, batch: Batch, adversarial: Tensor) -> tuple[Tensor, Metrics]:
        clean, moved = precise(model(batch.images)), precise(model(adversarial))
        targets = batch.targets.to(clean)
        logs, probabilities = F.log_softmax(clean, dim=1), F.softmax(moved, dim=1)
        boost = -(targets * (1 + WRONG - runner_up(probabilities) + INSIDE_LOG).log()).sum(dim=1)
        distances = (logs.exp() * (logs - (probabilities + INSIDE_LOG).log())).sum(dim=1)
        unsure = 1 + UNSURE - (targets * logs.exp()).sum(dim=1)
        loss = (cross_entropy(moved, targets) + boost + self.beta * distances * unsure).mean()
        return loss, {
            "loss": loss.detach(),
            "accuracy": accuracy(clean.detach(), targets).mean(),
            "robust_accuracy": accuracy(moved.detach(), targets).mean(),
            "divergence": distances.detach().mean(),
        }
