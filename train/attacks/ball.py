"""The images that an attack may reach."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

Norm = Literal["Linf", "L2"]


@dataclass(frozen=True, eq=False)
class Ball:
    """What is at most `eps` away from each of `images`, and in [0, 1]."""

    images: Tensor
    """(N, ...) in [0, 1]."""
    eps: float
    norm: Norm
    box_first: bool = False
    """L2: cut to [0, 1] before moving into the ball, as TRADES's code does, and not after, as that of Rice et al."""
    guard: float = 0.0
    """L2: what is added to a length before dividing by it."""

    def project(self, points: Tensor) -> Tensor:
        """Points (N, ...), moved into the ball and into [0, 1]. In L2 not always the nearest point, but always in."""
        if self.norm == "Linf":
            return torch.clamp(points, self._low, self._high)
        if self.box_first:
            return self.images + self._shrink(points.clamp(0, 1) - self.images)
        return (self.images + self._shrink(points - self.images)).clamp(0, 1)

    def _shrink(self, moves: Tensor) -> Tensor:
        lengths = norms(moves)
        return moves * torch.where(lengths > self.eps, self.eps / (lengths + self.guard), 1.0)

    @cached_property
    def _low(self) -> Tensor:
        return (self.images - self.eps).clamp_min(0)

    @cached_property
    def _high(self) -> Tensor:
        return (self.images + self.eps).clamp_max(1)


def norms(values: Tensor) -> Tensor:
    """(N, ...) -> (N, 1, ...) the length of each row."""
    return torch.linalg.vector_norm(values, dim=tuple(range(1, values.ndim)), keepdim=True)


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """(N,) -> (N, 1, ...) with as many axes as `like`."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))
