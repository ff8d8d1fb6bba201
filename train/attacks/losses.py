"""Losses of logits for attacks, beside cross-entropy. For soft and mixed targets they are means over the classes."""

from __future__ import annotations

import torch
from torch import Tensor

from train.attacks.attack import precise

# Keeps the ratio finite where all logits are alike.
GUARD = 1e-12


def margin(logits: Tensor, targets: Tensor) -> Tensor:
    """logits (N, K), targets (N, K) probabilities -> (N,): the greatest other logit minus the target's own.

    Above 0 where a hard target is missed.
    """
    logits = precise(logits)
    return (targets.to(logits) * (runner_up(logits) - logits)).sum(dim=1)


def dlr(logits: Tensor, targets: Tensor) -> Tensor:
    """logits (N, K), targets (N, K) probabilities -> (N,): the margin over the distance of the greatest to the third.

    The difference of logits ratio of Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of
    diverse parameter-free attacks", ICML 2020, arXiv:2003.01690, which does not change when logits are scaled or
    shifted. Above 0 where a hard target is missed.

    Raises:
        ValueError: fewer than 4 classes.
    """
    top = _greatest(logits)
    return margin(logits, targets) / (top[:, 0] - top[:, 2] + GUARD)


def targeted_dlr(logits: Tensor, targets: Tensor, goals: Tensor | None) -> Tensor:
    """The difference of logits ratio towards the classes `goals` (N,) int, of the same paper; (N,).

    Above 0 where the goal's logit is above the one of a hard target.

    Raises:
        ValueError: fewer than 4 classes, or no goals.
    """
    if goals is None:
        raise ValueError("a targeted attack needs goals, (N,) the classes to reach, got None")
    top = _greatest(logits)
    logits = precise(logits)
    own = (targets.to(logits) * logits).sum(dim=1)
    goal = logits.gather(1, goals.long().unsqueeze(1)).squeeze(1)
    return (goal - own) / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + GUARD)


def runner_up(values: Tensor) -> Tensor:
    """(N, K) -> (N, K): for each class the greatest value of all other classes."""
    top = values.topk(2, dim=1)
    is_first = torch.arange(values.shape[1], device=values.device) == top.indices[:, :1]
    return torch.where(is_first, top.values[:, 1:], top.values[:, :1])


def _greatest(logits: Tensor) -> Tensor:
    """(N, 4) the greatest logits, falling."""
    if logits.shape[1] < 4:
        raise ValueError(
            f"the difference of logits ratio needs at least 4 classes, got {logits.shape[1]}; use cross-entropy"
        )
    return precise(logits).topk(4, dim=1).values
