"""What the authors' code computes, in double precision and with given draws: attacks, and moves of weights."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.nets import seeded
from train.cli.main import find_recipe
from train.objectives import Objective
from train.objectives.batch import Batch

Pair = tuple[Tensor, Tensor, float]
"""Labels, the partners' labels and lam of a mixed batch."""

EPS, STEP = 8 / 255, 2 / 255


def of_recipe(name: str, variant: str = "recipe") -> Any:
    return find_recipe(name, variant)[1].objective


def drawn(objective: Objective, batch: Batch, seed: int = 4) -> dict[str, Tensor]:
    return objective.draw(batch, seeded(seed))


def nll(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(model(images), labels)


def lengths(values: Tensor) -> Tensor:
    return values.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def mixed_cross_entropy(logits: Tensor, labels: Tensor | Pair, reduction: str = "mean") -> Tensor:
    if isinstance(labels, Tensor):
        return F.cross_entropy(logits, labels, reduction=reduction)
    own, other, lam = labels
    first, second = (F.cross_entropy(logits, these, reduction=reduction) for these in (own, other))
    return lam * first + (1 - lam) * second


def slope(loss: Tensor, images: Tensor) -> Tensor:
    return torch.autograd.grad(loss, images)[0]


def rice_attack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor | Pair,
    starts: list[Tensor],
    *,
    eps: float,
    step: float,
    steps: int,
    norm: str = "Linf",
) -> Tensor:
    """`attack_pgd` of locuslab/robust_overfitting, train_cifar.py; the moves. Its mode is the model's."""
    greatest, chosen = torch.zeros(len(images), dtype=images.dtype), torch.zeros_like(images)
    for start in starts:
        move = torch.max(torch.min(start, 1 - images), -images)
        for _ in range(steps):
            move.requires_grad_()
            logits = model(images + move)
            if not isinstance(labels, Tensor):
                logits = model(images + move)
            found = slope(mixed_cross_entropy(logits, labels), move)
            with torch.no_grad():
                if norm == "Linf":
                    move = (move + step * found.sign()).clamp(-eps, eps)
                else:
                    move = move + step * found / (lengths(found) + 1e-10)
                    move = move.view(len(move), -1).renorm(p=2, dim=0, maxnorm=eps).view_as(move)
                move = torch.max(torch.min(move, 1 - images), -images)
        with torch.no_grad():
            losses = mixed_cross_entropy(model(images + move), labels, reduction="none")
            chosen[losses >= greatest] = move[losses >= greatest]
            greatest = torch.max(greatest, losses)
    return chosen


def kl_sum(model: nn.Module, moved: Tensor, images: Tensor) -> Tensor:
    return F.kl_div(F.log_softmax(model(moved), dim=1), F.softmax(model(images), dim=1), reduction="sum")


def trades_attack(
    model: nn.Module, images: Tensor, start: Tensor, *, eps: float, step: float, steps: int, norm: str = "Linf"
) -> Tensor:
    """The first half of `trades_loss` of yaodongyu/TRADES, trades.py, in evaluation mode."""
    model.eval()
    if norm == "Linf":
        moved = images + start
        for _ in range(steps):
            moved.requires_grad_()
            found = slope(kl_sum(model, moved, images), moved)
            moved = moved.detach() + step * found.sign()
            moved = torch.min(torch.max(moved, images - eps), images + eps)
            moved = moved.clamp(0, 1)
    else:
        move = start.clone()
        for _ in range(steps):
            move.requires_grad_()
            found = slope(kl_sum(model, images + move, images), move)
            with torch.no_grad():
                move = move + 2 * eps / steps * found / lengths(found)
                move = (move + images).clamp(0, 1) - images
                move = move.view(len(move), -1).renorm(p=2, dim=0, maxnorm=eps).view_as(move)
        moved = images + move
    model.train()
    return moved.detach().clamp(0, 1)


def trades_loss(model: nn.Module, images: Tensor, labels: Tensor, moved: Tensor, beta: float) -> Tensor:
    """The second half of `trades_loss`: the clean images pass twice."""
    logits = model(images)
    robust = F.kl_div(F.log_softmax(model(moved), dim=1), F.softmax(model(images), dim=1), reduction="sum")
    return F.cross_entropy(logits, labels) + beta * robust / len(images)


def cross_entropy_attack(
    model: nn.Module, images: Tensor, labels: Tensor, start: Tensor, *, eps: float, step: float, steps: int
) -> Tensor:
    """The attack in the code of MART and of the IAT reimplementation: as TRADES's in Linf, of the cross-entropy. Its
    mode is the model's."""
    moved = images + start
    for _ in range(steps):
        moved.requires_grad_()
        found = slope(F.cross_entropy(model(moved), labels), moved)
        moved = moved.detach() + step * found.sign()
        moved = torch.min(torch.max(moved, images - eps), images + eps).clamp(0, 1)
    return moved


def adam_attack(model: nn.Module, images: Tensor, targets: Tensor, start: Tensor, *, eps: float) -> Tensor:
    """DeepMind's attack, adversarial_robustness/jax/attacks.py: ten Adam steps, five at 0.1 and five at 0.01, down the
    sum of -cross-entropy."""

    def project(points: Tensor) -> Tensor:
        return (images + (points - images).clamp(-eps, eps)).clamp(0, 1)

    moved, mean, square = project(images + start), torch.zeros_like(images), torch.zeros_like(images)
    for count in range(10):
        moved.requires_grad_()
        falling = slope((targets * F.log_softmax(model(moved), dim=1)).sum(), moved)
        mean = 0.9 * mean + 0.1 * falling
        square = 0.999 * square + 0.001 * falling**2
        update = mean / (1 - 0.9 ** (count + 1)) / ((square / (1 - 0.999 ** (count + 1))).sqrt() + 1e-9)
        moved = project(moved.detach() - (0.1 if count < 5 else 0.01) * update)
    return moved


def weight_moves(model: nn.Module, proxy: nn.Module, loss: Any, rate: float) -> dict[str, Tensor]:
    """`calc_awp` of csdongxian/AWP, utils_awp.py: where a plain step of a copy, up the loss, leads; as long as the
    weights."""
    proxy.load_state_dict(model.state_dict())
    proxy.train()
    optimizer = torch.optim.SGD(proxy.parameters(), lr=rate)
    optimizer.zero_grad()
    (-loss(proxy)).backward()
    optimizer.step()
    moves = {}
    for (name, old), new in zip(model.state_dict().items(), proxy.state_dict().values(), strict=True):
        if old.ndim > 1 and "weight" in name:
            moves[name] = old.norm() / ((new - old).norm() + 1e-20) * (new - old)
    return moves
