"""The loss of Deep Gamblers, for selective classification.

Liu, Wang, Liang, Salakhutdinov, Morency and Ueda, "Deep Gamblers: Learning to Abstain with Portfolio Theory", NeurIPS
2019, arXiv:1907.00208.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali.checks import count, require
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, Objective, checked_draws


@dataclass(frozen=True, kw_only=True)
class GamblersLoss(Objective):
    """A bet on the classes, of which a part may be kept: the output "I do not know", one more than there are classes.

        loss = mean -log(p_y + p_keep / reward)

    with all K + 1 probabilities. For `start` epochs it is cross-entropy of the classes' outputs alone, so that there is
    something to bet on. Targets may be soft or mixed: p_y then is the mean under the target. What the extra output says
    of an image is the score by which `train.selective` rejects it.
    """

    reward: float = 2.2
    """What a right bet pays, above 1 and at most the number of classes: the lower, the sooner the network keeps."""
    start: int = 100
    """Epochs of cross-entropy."""

    def __post_init__(self) -> None:
        require(self.reward > 1, "GamblersLoss: reward", self.reward, "must be above 1")
        count("GamblersLoss: start", self.start)

    def num_outputs(self, num_classes: int) -> int:
        """ValueError if keeping all of the bet pays more than any bet on the classes."""
        rule = f"must be at most the number of classes, {num_classes}"
        require(self.reward <= num_classes, "GamblersLoss: reward", self.reward, rule)
        return num_classes + 1

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        checked_draws(self, batch, draws)
        logits, num_classes = model(batch.images), batch.targets.shape[1]
        if logits.shape[1] != num_classes + 1:
            raise ValueError(
                f"GamblersLoss needs a model with one output more than the {num_classes} classes, "
                f"got {logits.shape[1]} outputs"
            )
        classes = logits[:, :num_classes]
        if batch.epoch < self.start:
            loss = cross_entropy(classes, batch.targets).mean()
        else:
            loss = gamblers_loss(logits, batch.targets, self.reward).mean()
        kept = F.softmax(logits.detach().float(), dim=1)[:, -1].mean()
        return loss, {
            "loss": loss.detach(),
            "accuracy": accuracy(classes.detach(), batch.targets).mean(),
            "rejection": kept,
        }


def gamblers_loss(logits: Tensor, targets: Tensor, reward: float) -> Tensor:
    """logits (N, K + 1), targets (N, K) probabilities -> (N,), in at least float32."""
    work = torch.promote_types(logits.dtype, torch.float32)
    logs = F.log_softmax(logits.to(work), dim=1)
    shares = torch.cat([targets.to(work), logs.new_full((len(logs), 1), 1 / reward)], dim=1)
    return -torch.logsumexp(logs + shares.log(), dim=1)
