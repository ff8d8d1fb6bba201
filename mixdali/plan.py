"""What one mix of one batch does, in numbers."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Plan:
    """Everything random about one mix, after which nothing is left to chance.

    partner  (N,) int: which image of the batch each image is mixed with.
    lam      (N,) float in [0, 1]: weight of the own target; the partner's target gets 1 - lam.
    box      (N, 4) int: y0, x0, y1, x1 in pixels, half-open; None is the whole image.
    weight   (N,) float in [0, 1]: weight of the own pixels inside the box. Outside it they weigh 1.
    mask     (N, H, W) float in [0, 1]: weight of the own pixels, one by one; it multiplies what box and weight say.

    What a method says itself may be left out: `MixUp` takes `weight` from `lam`, `CutMix` takes 0.
    The values are torch tensors, or nodes of a DALI graph or batches of its dynamic mode (there without the N, as DALI
    counts).
    """

    partner: Any
    lam: Any
    box: Any = None
    weight: Any = None
    mask: Any = None
