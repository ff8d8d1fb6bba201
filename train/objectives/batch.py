"""What one training step sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from mixdali import Plan


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One batch on the model's device. An output that the objective did not ask for is None."""

    epoch: int
    """Epochs finished before this one."""
    step: int
    """Steps finished in the whole run."""
    images: Tensor
    """(N, 3, H, W) float in [0, 1], mixed."""
    targets: Tensor
    """(N, num_classes) probabilities."""
    labels: Tensor | None = None
    """(N,) class indices of the images before mixing."""
    index: Tensor | None = None
    """(N,) positions in the full data set, whatever the shuffle, shard or subset."""
    unmixed: Tensor | None = None
    """(N, 3, H, W) the same images before mixing."""
    view1: Tensor | None = None
    """(N, 3, H, W) the same images, augmented another way."""
    view2: Tensor | None = None
    """(N, 3, H, W) the same images, augmented a third way."""
    plan: Plan | None = None
    """How the images were mixed."""
    mask: Tensor | None = None
    """(N,) from which of several streams an image comes."""
    weights: Tensor | None = None
    """(N,) weight of each image in the loss."""
