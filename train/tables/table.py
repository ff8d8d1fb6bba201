"""Samples in memory, their division into training and held-out ones, and their standardisation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mixdali import derive_seed


@dataclass(frozen=True)
class Table:
    """Rows of a table, or sequences."""

    name: str
    features: Tensor
    """(N, D) rows or (N, C, T) sequences, float32."""
    labels: Tensor
    """(N,) int64, 0 to the number of classes less 1."""
    classes: tuple[str, ...]
    held_out: Tensor | None = None
    """(N,) bool, where the set comes divided; None: it is divided by the seed."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Split:
    """A table, standardised by its training samples, and which these are."""

    table: Table
    train: Tensor
    """(M,) indices of the training samples."""
    held_out: Tensor
    """(N - M,) those of the others."""


def split(table: Table, share: float, seed: int) -> Split:
    """Divide a table, class by class, and standardise it.

    Every column of a table, and every channel of sequences, gets mean 0 and deviation 1 over the training samples; one
    that is constant there only loses its mean.

    Args:
        share: of each class that is trained on; two samples at least.
        seed: decides which.

    Raises:
        ValueError: a class has too few samples, or the division that comes with the set leaves nothing on one side.
    """
    held_out = _drawn(table, share, seed) if table.held_out is None else table.held_out
    train = (~held_out).nonzero().squeeze(1)
    rest = held_out.nonzero().squeeze(1)
    if not len(train) or not len(rest):
        raise ValueError(
            f"{table.name} has {len(train)} samples to train on and {len(rest)} held out; both must be some"
        )
    return Split(replace(table, features=standardised(table.features, train)), train, rest)


def standardised(features: Tensor, train: Tensor) -> Tensor:
    """features (N, D) or (N, C, T) -> the same, by the mean and deviation of the rows `train`."""
    axes = [axis for axis in range(features.ndim) if axis != 1]
    known = features[train].double()
    mean, deviation = known.mean(dim=axes, keepdim=True), known.std(dim=axes, correction=0, keepdim=True)
    # What differs by rounding alone is constant.
    constant = deviation <= 1e-7 * mean.abs().clamp_min(1e-30)
    return ((features.double() - mean) / deviation.masked_fill(constant, 1.0)).float()


def _drawn(table: Table, share: float, seed: int) -> Tensor:
    held_out = torch.ones(len(table), dtype=torch.bool)
    for label, name in enumerate(table.classes):
        own = (table.labels == label).nonzero().squeeze(1)
        if len(own) < 3:
            raise ValueError(
                f"{table.name}: class {name!r} has {len(own)} samples and needs 3, two to train on and one held out"
            )
        generator = torch.Generator().manual_seed(derive_seed(seed, "split", label))
        count = min(len(own) - 1, max(2, round(share * len(own))))
        held_out[own[torch.randperm(len(own), generator=generator)[:count]]] = False
    return held_out
