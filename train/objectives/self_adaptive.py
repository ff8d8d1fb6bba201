"""Self-Adaptive Training.

Huang, Zhang and Zhang, "Self-Adaptive Training: beyond Empirical Risk Minimization", NeurIPS 2020, arXiv:2002.10319.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali.checks import count, fraction, require
from train.machine.gather import gather_rows, mean_of_all
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, Objective, checked_draws


class MovingTargets(nn.Module):
    """One row for each image of the data set, which moves towards what the network says of the image.

    A row begins as the target that the image has when it is first moved. In several processes all have the same rows:
    they exchange what they move.
    """

    targets: Tensor
    """(num_samples, size): memory on the device of num_samples * size floats."""
    moved: Tensor
    """(num_samples,) whether the row has begun."""

    def __init__(self, num_samples: int, size: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer(
            "targets", torch.zeros(num_samples, size, dtype=torch.promote_types(dtype, torch.float32), device="cpu")
        )
        self.register_buffer("moved", torch.zeros(num_samples, dtype=torch.bool, device="cpu"))

    @torch.no_grad()
    def move(self, index: Tensor, first: Tensor, towards: Tensor, momentum: float) -> Tensor:
        """momentum row + (1 - momentum) towards. -> (N, size) the rows after that.

        Args:
            index: (N,) the images' places in the data set. One that comes twice is moved once.
            first: (N, size) where rows begin.
            towards: (N, size).
            momentum: in [0, 1].
        """
        place = index.long()
        rows = torch.where(self.moved[place].unsqueeze(1), self.targets[place], first.to(self.targets.dtype))
        rows = momentum * rows + (1 - momentum) * towards.to(rows)
        everywhere = gather_rows(place)
        self.targets[everywhere] = gather_rows(rows)
        self.moved[everywhere] = True
        return self.targets[place]


@dataclass(frozen=True, kw_only=True)
class Remembers(Objective):
    """An objective with a moving target for each image. It must see each image as it is: no mixing."""

    needs_clean: ClassVar[str] = "keeps a target for each image"

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("images", "targets", "index")


@dataclass(frozen=True, kw_only=True)
class SelfAdaptiveTraining(Remembers):
    """Cross-entropy with targets that follow the network's own predictions, and less weight for images in doubt.

    For `start` epochs plain cross-entropy. From then on, with p_n the network's probabilities in this very step,

        s_n <- momentum s_n + (1 - momentum) p_n        w_n = max_k s_nk, scaled to a mean of 1 over the batch
        loss = mean w_n (CE(s_n, p_n) + reverse CE(p_n, s_n))

    s_n begins as the image's target, and no gradient passes through s_n and w_n. The mean of the weights is that over
    the batches of all processes, so several processes compute what one would with the whole batch.
    Differs: where a probability of s_n is 0 in floating point, its logarithm is that of the smallest number.
    """

    start: int = 60
    """Epochs before the targets move."""
    momentum: float = 0.9
    """How much of a target stays at each visit."""
    reverse: float = 0.0
    """Weight of the reverse cross-entropy; 0.3 is the authors' symmetric form."""

    def __post_init__(self) -> None:
        count("SelfAdaptiveTraining: start", self.start)
        fraction("SelfAdaptiveTraining: momentum", self.momentum)
        require(self.reverse >= 0, "SelfAdaptiveTraining: reverse", self.reverse, "must not be negative")

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        return MovingTargets(num_samples, num_classes, next(model.parameters()).dtype)

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        checked_draws(self, batch, draws)
        logits = model(batch.images)
        metrics = {"accuracy": accuracy(logits.detach(), batch.targets).mean()}
        if batch.epoch < self.start:
            loss = cross_entropy(logits, batch.targets).mean()
            return loss, {"loss": loss.detach(), **metrics, "relabelled": torch.zeros_like(loss)}
        targets, weights = adapt(logits, batch, state, self.momentum)
        losses = cross_entropy(logits, targets)
        if self.reverse > 0:
            losses = losses + self.reverse * reverse_cross_entropy(logits, targets)
        loss = (weights * losses).mean()
        relabelled = (targets.argmax(dim=1) != batch.targets.argmax(dim=1)).to(loss.dtype).mean()
        return loss, {"loss": loss.detach(), **metrics, "relabelled": relabelled}


def adapt(logits: Tensor, batch: Batch, state: nn.Module, momentum: float) -> tuple[Tensor, Tensor]:
    """Move the targets of the batch's images. -> targets (N, K) and weights (N,), of mean 1 over all processes.

    ValueError if the batch has no `index`.
    """
    assert isinstance(state, MovingTargets)
    if batch.index is None:
        raise ValueError("the targets of Self-Adaptive Training belong to images, so the batch must have an index")
    probabilities = precise_softmax(logits.detach())
    targets = state.move(batch.index, batch.targets, probabilities, momentum)
    weights = targets.amax(dim=1)
    return targets, weights / mean_of_all(weights.mean())


def precise_softmax(logits: Tensor) -> Tensor:
    """Probabilities in at least float32."""
    return F.softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=1)


def reverse_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """logits (N, K), targets (N, K) probabilities -> (N,) the probabilities' cross-entropy under the targets."""
    tiny = torch.finfo(targets.dtype).tiny
    return -(precise_softmax(logits) * targets.clamp_min(tiny).log()).sum(dim=1)
