"""How well a network does on held-out images."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from train.machine.distributed import World
from train.machine.precision import autocast
from train.machine.stop import Stop
from train.models.answers import not_finite
from train.objectives.cross_entropy import accuracy, cross_entropy


@torch.no_grad()
def evaluate(model: nn.Module, loader: Iterable[Any], precision: str, world: World, stop: Stop) -> dict[str, float]:
    """Loss (nats), accuracy (0 to 1) and number of the images of all processes together; nothing is counted twice.

    Outputs of the model beyond the classes of the targets are left out.

    Raises:
        ValueError: logits that are not finite.
        Stopped: a single process was asked to stop; several go on to the end, since they must stay in step.
    """
    model.eval()
    sums = torch.zeros(3, dtype=torch.float64, device=world.device)
    for batch in loader:
        images, targets = to_device(batch.images, world.device), to_device(batch.targets, world.device)
        with autocast(precision, world.device):
            logits = model(images)[:, : targets.shape[1]]
        hits, losses = accuracy(logits, targets), cross_entropy(logits, targets)
        sums += torch.stack([losses.sum(), hits.sum(), losses.new_tensor(len(losses))])
        if world.size == 1:
            stop.check()
    loss, hits, count = world.sum(sums).tolist()
    if not math.isfinite(loss):
        # One logit of nan or infinity makes the sum of the losses one.
        raise ValueError(not_finite("the network"))
    return {"loss": loss / count, "accuracy": hits / count, "images": count}


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`tensor` on `device`, images with their channels last in memory, which the convolutions prefer."""
    layout = torch.channels_last if tensor.dim() == 4 else torch.preserve_format
    return tensor.to(device, non_blocking=True, memory_format=layout)
