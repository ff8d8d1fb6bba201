"""Self-Adaptive Training for selective classification: a network that may say that it does not know.

Huang, Zhang and Zhang, "Self-Adaptive Training: beyond Empirical Risk Minimization", NeurIPS 2020, arXiv:2002.10319.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixdali.checks import count, fraction
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, checked_draws
from train.objectives.self_adaptive import MovingTargets, Remembers, precise_softmax


@dataclass(frozen=True, kw_only=True)
class SelectiveTraining(Remembers):
    """A network with one more output than there are classes, "I do not know", learns to use it on images in doubt.

    For `start` epochs cross-entropy of the classes' outputs alone. From then on, with p_n the probabilities over the
    classes alone and y_n the label,

        s_n <- momentum s_n + (1 - momentum) p_n
        loss = mean CE(s_n,y_n on class y_n and 1 - s_n,y_n on the extra output, all K + 1 probabilities)

    s_n begins as the image's target, and no gradient passes through it. What the extra output says of an image is the
    score by which `train.selective` rejects it.
    """

    start: int = 150
    """Epochs before the targets move."""
    momentum: float = 0.9
    """How much of a target stays at each visit."""

    def __post_init__(self) -> None:
        count("SelectiveTraining: start", self.start)
        fraction("SelectiveTraining: momentum", self.momentum)

    def num_outputs(self, num_classes: int) -> int:
        """How many outputs the network must have."""
        return num_classes + 1

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        return MovingTargets(num_samples, num_classes, next(model.parameters()).dtype)

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        checked_draws(self, batch, draws)
        logits, num_classes = model(batch.images), batch.targets.shape[1]
        if logits.shape[1] != num_classes + 1:
            raise ValueError(
                f"SelectiveTraining needs a model with one output more than the {num_classes} classes, "
                f"got {logits.shape[1]} outputs"
            )
        classes = logits[:, :num_classes]
        metrics = {
            "accuracy": accuracy(classes.detach(), batch.targets).mean(),
            "rejection": precise_softmax(logits.detach())[:, -1].mean(),
        }
        if batch.epoch < self.start:
            loss = cross_entropy(classes, batch.targets).mean()
        else:
            assert isinstance(state, MovingTargets)
            assert batch.index is not None
            moved = state.move(batch.index, batch.targets, precise_softmax(classes.detach()), self.momentum)
            sure = batch.targets * moved
            targets = torch.cat([sure, 1 - sure.sum(dim=1, keepdim=True)], dim=1)
            loss = cross_entropy(logits, targets).mean()
        return loss, {"loss": loss.detach(), **metrics}
