"""How the loss rises where the weights are moved: how flat the place is that training has found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mixdali import derive_seed
from train.attacks import PGD
from train.attacks.ball import Norm
from train.data.images import HeldOutImages
from train.evaluate.parts.inside import opened
from train.evaluate.parts.shifts import Change, Network, Networks, Remember, check_labels, forget, read_logits
from train.evaluate.parts.transfer import attacking

DISTANCES = (0.25, 0.5, 1.0)
"""Along a direction, on both sides; 1 moves each filter by its own length."""
NUM_DIRECTIONS = 5
MOST = 1000
"""Images that the loss is the mean of, evenly spread."""
MOST_ATTACKED = 128
"""Likewise where they are attacked at each place."""
NUM_STEPS = 10
"""Of that attack, as AWP's landscapes have it."""


def measure_landscape(
    networks: Networks,
    images: HeldOutImages,
    *,
    seed: int,
    eps: float | None = None,
    norm: Norm = "Linf",
    remember: Remember = forget,
) -> dict[str, Any]:
    """The loss along random directions of the weights.

    A direction is normal noise, each of whose filters (of a linear layer: rows) is as long as the network's own; biases
    and batch norms stay as they are. Li, Xu, Taylor, Studer and Goldstein, "Visualizing the Loss Landscape of Neural
    Nets", NeurIPS 2018, arXiv:1712.09913. Batch norms use the averages that they had. With `eps` the images are
    attacked anew at each place, by 10 steps of eps / 4, as Wu, Xia and Wang (AWP, arXiv:2004.05884) draw it; there of
    training images, here of the test images.

    Args:
        seed: of the directions, which are the same for networks of one shape, and of the attack's starts.
        eps: radius of the attack, in units of images in [0, 1]; None: none.
        norm: of the attack.
        remember: by network, direction and distance.

    Returns:
        For each network: `loss`, the mean cross-entropy in nats where the weights are; `losses`, by distance ("-1",
        "-0.5", ... "1"), means over five directions; `rises`, by distance ("0.25", "0.5", "1"), how much more that is
        than `loss`, mean of both sides; `rise`, that at 1, which says how flat the place is, and `deviation`, that of
        it among the directions; `images`, how many, and `directions`.
    """
    chosen = images.spread(MOST if eps is None else MOST_ATTACKED)
    attack = None if eps is None else PGD(eps=eps, norm=norm, step_size=eps / 4, num_steps=NUM_STEPS)
    found = {}
    for name, network in networks.items():
        change = None if attack is None else attacking(network, attack, seed)
        centre = remember(f"{name} centre", partial(_loss, network, chosen, change))["loss"]
        losses: dict[float, list[float]] = {sign * far: [] for far in DISTANCES for sign in (-1, 1)}
        for number in range(NUM_DIRECTIONS):
            for distance, row in losses.items():
                measure = partial(_loss_at, network, chosen, change, number, distance, seed)
                row.append(remember(f"{name} {number} {distance:g}", measure)["loss"])
        found[name] = {**_summary(centre, losses), "images": len(chosen), "directions": NUM_DIRECTIONS}
    return found


def _summary(centre: float, losses: Mapping[float, list[float]]) -> dict[str, Any]:
    rises = {far: (np.array(losses[far]) + np.array(losses[-far])) / 2 - centre for far in DISTANCES}
    means = {0.0: centre, **{distance: float(np.mean(row)) for distance, row in losses.items()}}
    return {
        "loss": centre,
        "losses": {f"{distance:g}": means[distance] for distance in sorted(means)},
        "rises": {f"{far:g}": float(row.mean()) for far, row in rises.items()},
        "rise": float(rises[DISTANCES[-1]].mean()),
        "deviation": float(rises[DISTANCES[-1]].std(ddof=1)),
    }


def _loss_at(
    network: Network, images: HeldOutImages, change: Change | None, number: int, distance: float, seed: int
) -> dict[str, float]:
    module = opened(network)
    with moved(module, draw_direction(module, derive_seed(seed, "landscape", number)), distance):
        return _loss(network, images, change)


def _loss(network: Network, images: HeldOutImages, change: Change | None) -> dict[str, float]:
    logits, labels = read_logits({"": network}, images, change)
    check_labels(logits[""], labels)
    return {"loss": float(torch.nn.functional.cross_entropy(logits[""].double(), labels))}


def draw_direction(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """By the name of each tensor of parameters with more than one axis, noise whose filters are as long as its own."""
    found = {}
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            generator = torch.Generator().manual_seed(derive_seed(seed, name))
            noise = torch.randn(parameter.shape, generator=generator).to(parameter.device, parameter.dtype)
            lengths, own = (part.detach().flatten(1).norm(dim=1) for part in (noise, parameter))
            found[name] = noise * (own / lengths).reshape(-1, *(1,) * (noise.ndim - 1))
    return found


@contextmanager
def moved(module: nn.Module, direction: Mapping[str, Tensor], distance: float) -> Iterator[None]:
    """The weights moved along a direction inside the block, and to the bit as they were after it."""
    parameters = {name: parameter for name, parameter in module.named_parameters() if name in direction}
    kept = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    try:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.add_(direction[name], alpha=distance)
        yield
    finally:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(kept[name])
