"""An exponential average of a network's weights."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

Buffers = Literal["averaged", "live"]
"""averaged: running means and variances are averaged as the weights are. live: they are those of the network."""


class Average:
    """average <- d average + (1 - d) weights after each step.

    Without warm-up d is `decay`, and the first update copies the weights. With it the average begins as the initial
    weights, and update t (from 0 on) has d = min(decay, (1 + t) / (10 + t)), as DeepMind's code does
    (arXiv:2103.01946). Whole numbers in buffers are copied.
    """

    def __init__(self, model: nn.Module, decay: float, *, warmup: bool = False, buffers: Buffers = "averaged") -> None:
        self.module = copy.deepcopy(model)
        """The network with averaged weights."""
        self.module.requires_grad_(False)
        self.decay, self.warmup, self.buffers = decay, warmup, buffers
        self.count = 0
        """Updates so far."""

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights of `model` as they are now."""
        averaged, copied = self._pairs(model)
        decay = min(self.decay, (1 + self.count) / (10 + self.count)) if self.warmup else self.decay
        if self.count == 0 and not self.warmup:
            averaged, copied = [], [*averaged, *copied]
        if averaged:
            own, new = zip(*averaged, strict=True)
            torch._foreach_lerp_(own, new, 1 - decay)
        for old, live in copied:
            old.copy_(live)
        self.count += 1

    def _pairs(self, model: nn.Module) -> tuple[list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]]]:
        """What is averaged and what is copied, each as (here, in `model`)."""
        pairs: list[tuple[Tensor, Tensor]] = list(zip(self.module.parameters(), model.parameters(), strict=True))
        copied: list[tuple[Tensor, Tensor]] = []
        for old, live in zip(self.module.buffers(), model.buffers(), strict=True):
            is_averaged = self.buffers == "averaged" and live.is_floating_point()
            (pairs if is_averaged else copied).append((old, live))
        return pairs, copied
