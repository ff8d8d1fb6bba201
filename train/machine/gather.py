"""Rows of all processes together, for objectives that look beyond their own batch.

Every process calls these, in the same order and with as many rows. One process alone gets back what it passes in.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather_rows(rows: Tensor) -> Tensor:
    """(n, ...) of each process -> (n * processes, ...) of all, by rank. Gradients find their way back to every process.

    A process's gradient is then that of the sum of all processes' losses, so that the mean over the processes, which
    data parallelism takes, is the gradient of the mean loss.
    """
    if _size() == 1:
        return rows
    gathered: Tensor = _Gather.apply(rows)
    return gathered


def mean_of_all(value: Tensor) -> Tensor:
    """The mean of a value over the processes, without a gradient."""
    if _size() == 1:
        return value.detach()
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / _size()


def _size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(_size())]
        dist.all_gather(parts, rows.detach().contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(_size())[dist.get_rank()]
