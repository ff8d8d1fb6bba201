"""How well a network does on held-out images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from train.data.batches import Loader
from train.machine.distributed import World
from train.machine.precision import autocast
from train.machine.stop import Stop, Stopped
from train.models.answers import not_finite
from train.objectives.cross_entropy import accuracy, cross_entropy

GRAIN = 2.0**-30
FEWEST = 16
LARGEST = 2.0**16
"""Losses of an image from here on are added as they are: as whole numbers too many of them would not fit."""


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: Loader,
    precision: str,
    world: World,
    stop: Stop,
    by_class: list[Tensor] | None = None,
) -> dict[str, float]:
    """Loss (nats), accuracy (0 to 1) and number of the images of all processes together; nothing is counted twice.

    Outputs of the model beyond the classes of the targets are left out. Losses are added as whole numbers of
    2 ** -30 nats, so that their sum does not depend on how the images are shared out and in which order they come.

    by_class  gets a tensor (2, num_classes): how many images of each class were right, and how many there are.

    Raises:
        ValueError: logits that are not finite.
        Stopped: a process was asked to stop.
    """
    model.eval()
    sums = torch.zeros(3, dtype=torch.int64, device=world.device)
    large = torch.zeros(1, dtype=torch.float64, device=world.device)
    counts: Tensor | None = None
    for batch in together(loader, world, stop):
        images, targets = to_device(batch.images, world.device), to_device(batch.targets, world.device)
        with autocast(precision, world.device):
            logits = model(_filled(images))[: len(images), : targets.shape[1]]
        hits, losses = accuracy(logits, targets), cross_entropy(logits, targets)
        small = losses.abs() < LARGEST  # False for what is no number
        sums += torch.stack([_in_grains(losses[small]), _in_grains(hits), torch.tensor(len(hits)).to(sums)])
        large += losses[~small].double().sum()
        labels = targets.argmax(dim=1)
        if counts is None:
            counts = torch.zeros(2, targets.shape[1], dtype=torch.int64, device=world.device)
        counts[0].index_add_(0, labels, (logits.argmax(dim=1) == labels).long())
        counts[1].index_add_(0, labels, torch.ones_like(labels))
    loss, hit, count = world.sum(sums).tolist()
    beyond = world.sum(large).item()
    if not math.isfinite(beyond):
        # One logit of nan or infinity makes the loss of its image one.
        raise ValueError(not_finite("the network"))
    if by_class is not None and counts is not None:
        by_class.append(world.sum(counts).cpu())
    return {"loss": (loss * GRAIN + beyond) / count, "accuracy": hit * GRAIN / count, "images": count}


def _filled(images: torch.Tensor) -> torch.Tensor:
    """A small batch with copies of its images: for fewer rows torch takes other kernels, whose last digits differ."""
    times = -(-FEWEST // len(images))
    return images if times == 1 else torch.cat([images] * times)[:FEWEST]


def _in_grains(values: torch.Tensor) -> torch.Tensor:
    return (values.double() / GRAIN).round().long().sum()


def together(batches: Any, world: World, stop: Stop) -> Iterator[Any]:
    """This process's batches, of which there is a number. They end with `Stopped` if any process is asked to stop, in
    all of them after as many batches; before those that not all have nobody asks."""
    asked = min(world.gather(len(batches)))
    for number, batch in enumerate(batches, start=1):
        yield batch
        if world.size == 1:
            stop.check()
        elif number <= asked and world.any(stop.requested):
            raise Stopped


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`tensor` on `device`, images with their channels last in memory, which the convolutions prefer."""
    layout = torch.channels_last if tensor.dim() == 4 else torch.preserve_format
    return tensor.to(device, non_blocking=True, memory_format=layout)
