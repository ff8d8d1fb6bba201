"""Self-Adaptive Training without labels.

Huang, Zhang and Zhang, "Self-Adaptive Training: Bridging Supervised and Self-Supervised Learning", TPAMI 2022,
arXiv:2101.08732. The authors have published no code for this form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali.checks import fraction, one_of, positive_int
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, checked_draws
from train.objectives.parts.hidden import classifier, recorded
from train.objectives.self_adaptive import MovingTargets, Remembers


class Heads(nn.Module):
    """What the objective learns beside the network, and the targets it remembers."""

    def __init__(self, num_features: int, hidden: int, size: int, num_samples: int, like: Tensor) -> None:
        super().__init__()
        self.projector = _perceptron(num_features, hidden, size).to(like)
        self.predictor = _perceptron(size, hidden, size).to(like)
        self.memory = MovingTargets(num_samples, size, like.dtype)


@dataclass(frozen=True, kw_only=True)
class SelfSupervisedTraining(Remembers):
    """A network learns to predict, from an image, a moving target of its own for that image. No label is used.

    With f_n the features that the last linear layer takes, z_n = projector(f_n) and q_n = predictor(z_n), all scaled to
    length 1 where they are compared,

        s_n <- momentum s_n + (1 - momentum) z_n        loss = mean |q_n - s_n|^2

    averaged over the views; with two of them, s_n moves towards the mean of both z_n. s_n begins as the first such
    mean, and no gradient passes through it. Projector and predictor are perceptrons with one hidden layer, batch norm
    and ReLU, as in BYOL (Grill et al., arXiv:2006.07733); one network does all, there is no second one that follows it.

    The last linear layer of the model learns the labels from the features meanwhile, and what it learns does not reach
    the features: so "accuracy" is that of a linear classifier on what was learned without labels.
    Differs: which settings and which first targets the authors have is not known exactly.
    """

    views: Literal[1, 2] = 1
    """1 learns from the images, 2 from the outputs `view1` and `view2` of the pipeline."""
    momentum: float = 0.7
    """How much of a target stays at each visit."""
    hidden: int = 512
    """Width of the hidden layers of projector and predictor."""
    size: int = 128
    """Length of the targets."""

    def __post_init__(self) -> None:
        one_of("SelfSupervisedTraining: views", self.views, (1, 2))  # type: ignore[arg-type]
        fraction("SelfSupervisedTraining: momentum", self.momentum)
        positive_int("SelfSupervisedTraining: hidden", self.hidden)
        positive_int("SelfSupervisedTraining: size", self.size)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (*super().outputs, *(("view1", "view2") if self.views == 2 else ()))

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        """Draws the first weights of its heads from torch's global generator, as layers do."""
        layer = classifier(model)
        return Heads(layer.in_features, self.hidden, self.size, num_samples, layer.weight)

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        checked_draws(self, batch, draws)
        assert isinstance(state, Heads)
        assert batch.index is not None
        layer = classifier(model)
        logits, projected, predicted = [], [], []
        for images in self._views(batch):
            with recorded(layer, inputs=True) as seen:
                model(images)
            logits.append(layer(seen[0].detach()))
            projection = state.projector(seen[0])
            projected.append(_direction(projection))
            predicted.append(_direction(state.predictor(projection)))
        towards = torch.stack(projected).mean(dim=0).detach()
        targets = F.normalize(state.memory.move(batch.index, towards, towards, self.momentum), dim=1)
        distances = [(prediction - targets).square().sum(dim=1).mean() for prediction in predicted]
        probe = torch.stack([cross_entropy(of_view, batch.targets).mean() for of_view in logits]).mean()
        loss = torch.stack(distances).mean() + probe
        return loss, {
            "loss": loss.detach(),
            "accuracy": accuracy(logits[0].detach(), batch.targets).mean(),
            "distance": (loss - probe).detach(),
            # 1 / sqrt(size) for directions that fill the space, 0 for a collapse to one point.
            "spread": projected[0].detach().std(dim=0).mean(),
        }

    def _views(self, batch: Batch) -> tuple[Tensor, ...]:
        if self.views == 1:
            return (batch.images,)
        assert batch.view1 is not None
        assert batch.view2 is not None
        return batch.view1, batch.view2


def _perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def _direction(values: Tensor) -> Tensor:
    """(N, d) scaled to length 1, in at least float32."""
    return F.normalize(values.to(torch.promote_types(values.dtype, torch.float32)), dim=1)
