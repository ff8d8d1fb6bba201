"""The network while it is attacked: its mode, its batch norms and its parameters, all put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from train.machine.precision import tf32

BatchNorm = Literal["eval", "train", "frozen"]
"""eval: the running averages normalise, and the network is in evaluation mode. train: the statistics of the batch
normalise and move the averages, as in training. frozen: the statistics of the batch normalise, the averages stay."""


@contextmanager
def attacked(model: nn.Module, batch_norm: BatchNorm) -> Iterator[nn.Module]:
    """The network to attack: its parameters take no gradient, no process waits for another, and float32 is whole.

    Args:
        model: may be wrapped in DistributedDataParallel, compiled, or both.
        batch_norm: the mode inside the block; see `BatchNorm`. Mode, parameters and, unless it is "train", running
            averages are afterwards as before, also after an exception.
    """
    network = undistributed(model)
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with in_mode(network, batch_norm), tf32(False):
        try:
            # Compiled networks compute gradients of all that takes one; and autocast remembers copies of such
            # parameters, which would outlive the block.
            for parameter in learned:
                parameter.requires_grad_(False)
            yield network
        finally:
            for parameter in learned:
                parameter.requires_grad_(True)


@contextmanager
def in_mode(network: nn.Module, batch_norm: BatchNorm) -> Iterator[None]:
    """The network in a mode; afterwards each module is in its own again."""
    modes = [(module, module.training) for module in network.modules()]
    norms = tracking(network) if batch_norm == "frozen" else []
    # Batch norm asks for the one, instance norm for the other.
    settings = [(norm, norm.track_running_stats, norm.momentum) for norm in norms]
    try:
        network.train(batch_norm != "eval")
        for norm in norms:
            norm.track_running_stats, norm.momentum = False, 0.0
        yield
    finally:
        for norm, tracks, momentum in settings:
            norm.track_running_stats, norm.momentum = tracks, momentum
        for module, training in modes:
            module.training = training


@contextmanager
def counted(network: nn.Module, times: int) -> Iterator[None]:
    """A forward pass inside the block moves the running averages as `times` passes of the same images would.

    For where a paper's code runs the same images through the same weights again. Averages without a momentum, which
    weigh all batches alike, move once.
    """
    norms = [norm for norm in tracking(network) if norm.training and norm.momentum is not None]
    momenta = [norm.momentum for norm in norms]
    counts = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
    before = [count.clone() for count in counts]
    try:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = 1 - (1 - momentum) ** times
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for count, old in zip(counts, before, strict=True):
            count += (count - old) * (times - 1)


def tracking(network: nn.Module) -> list[Any]:
    """The norms whose running averages move when they are in training mode."""
    modules: list[Any] = list(network.modules())
    return [
        module
        for module in modules
        if getattr(module, "track_running_stats", False) and getattr(module, "running_mean", None) is not None
    ]


def undistributed(model: nn.Module) -> nn.Module:
    """The network whose gradients stay in this process. A network that was compiled inside its wrapper stays so."""
    inner = getattr(model, "_orig_mod", None)
    if isinstance(inner, DistributedDataParallel):
        model = inner
    return model.module if isinstance(model, DistributedDataParallel) else model
