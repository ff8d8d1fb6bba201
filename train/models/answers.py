"""What a network's logits say, where they are numbers; nan and infinity say nothing, and are never right."""

from __future__ import annotations

import torch
from torch import Tensor

NO_CLASS = -1
"""The class of an image whose logits are not all finite."""


def predicted(logits: Tensor) -> Tensor:
    """logits (N, K) -> (N,) int64, the class of the greatest logit; NO_CLASS, which no label is, where one of a row is
    nan or infinite: `argmax` would take the first nan for the greatest, and so often call class 0."""
    return torch.where(is_finite(logits), logits.argmax(dim=1), NO_CLASS)


def is_finite(logits: Tensor) -> Tensor:
    """logits (N, K) -> (N,) bool: whether all of a row are numbers."""
    return logits.isfinite().all(dim=1)


def finite(logits: Tensor, name: str = "the network") -> Tensor:
    """The logits as they are. ValueError if one is not finite; waits for their device."""
    if not bool(logits.isfinite().all()):
        raise ValueError(not_finite(name))
    return logits


def not_finite(name: str) -> str:
    """The error for logits that are not finite."""
    return (
        f"{name} must return finite logits, got nan or infinity; has it diverged? "
        "Where half precision is the reason, --precision float32 helps"
    )
