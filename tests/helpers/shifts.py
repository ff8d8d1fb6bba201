"""Small images and networks with known answers, for the measures beside attacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Piece:
    """A batch."""

    images: Tensor
    labels: Tensor
    index: Tensor


def batches(images: Tensor, labels: Tensor, size: int = 100, first: int = 0) -> list[Piece]:
    """Images, labelled and counted from `first`, `size` at a time."""
    index = torch.arange(first, first + len(images))
    parts = zip(images.split(size), labels.split(size), index.split(size), strict=True)
    return [Piece(*part) for part in parts]


def random_images(count: int, size: tuple[int, int] = (8, 8), seed: int = 0) -> Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def brightness(images: Tensor) -> Tensor:
    """Two classes, dark (0) and bright (1); logits that differ by twice the mean's distance from the middle."""
    means = images.mean(dim=(1, 2, 3)) - 0.5
    return torch.stack([-means, means], dim=1)


def memory() -> tuple[dict[str, Any], Callable[[str, Callable[[], dict[str, Any]]], dict[str, Any]]]:
    """What was computed so far, by name, and a `Remember` that fills it."""
    known: dict[str, Any] = {}

    def remember(name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if name not in known:
            known[name] = compute()
        return known[name]

    return known, remember
