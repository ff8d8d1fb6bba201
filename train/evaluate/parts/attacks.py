"""Accuracy under projected gradient ascent on the network itself."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from mixdali import derive_seed, one_hot
from train.attacks import PGD, Loss, Misses, margin
from train.attacks.ball import Norm
from train.attacks.starts import starts
from train.data.images import HeldOutBatch, HeldOutImages
from train.evaluate.parts.shifts import Network, Networks, Remember, forget
from train.models import finite
from train.objectives.cross_entropy import cross_entropy

STEP = 0.25
"""Length of a step over the radius: 2/255 at 8/255, as in the papers on adversarial training."""


def measure_pgd(
    networks: Networks,
    images: HeldOutImages,
    *,
    eps: float,
    norm: Norm,
    num_steps: int,
    restarts: int,
    seed: int,
    remember: Remember = forget,
) -> dict[str, Any]:
    """Accuracy where each image is shown at its worst.

    Every restart starts anew, uniformly in the ball, and takes `num_steps` steps of eps / 4; an image that is missed
    anywhere on the way is missed. The first maximises the cross-entropy, the second the margin of the classes' logits,
    the third the cross-entropy again, and so on. The network is in evaluation mode, batch norms use their averages. An
    image that is missed after one restart, or from the beginning, is not attacked again.

    Args:
        eps: in units of images in [0, 1].
        seed: of the starts; an image's start follows from it and the image's index.
        remember: by network and batch.

    Returns:
        For each network, `accuracy`, 0 to 1; `after`: accuracies on the images as they are, after the first restart,
        and so on; `robust`: for each image 1 if it withstood all, else 0; and the settings.
    """
    settings = {"eps": eps, "norm": norm, "steps": num_steps, "step_size": STEP * eps, "restarts": restarts}
    rows: dict[str, list[int]] = {name: [] for name in networks}
    for number, batch in enumerate(images):
        for name, network in networks.items():
            attack = partial(_withstood, network, batch, eps, norm, num_steps, restarts, seed)
            rows[name] += remember(f"{name} {number}", attack)["withstood"]
    return {
        name: {
            "accuracy": sum(lasted > restarts for lasted in row) / len(row),
            "after": [sum(lasted > number for lasted in row) / len(row) for number in range(restarts + 1)],
            "robust": [int(lasted > restarts) for lasted in row],
            **settings,
        }
        for name, row in rows.items()
    }


def _withstood(*arguments: Any) -> dict[str, Any]:
    return {"withstood": withstands(*arguments).tolist()}


def withstands(
    network: Network, batch: HeldOutBatch, eps: float, norm: Norm, num_steps: int, restarts: int, seed: int
) -> Tensor:
    """(N,) int64: 0 for an image that is missed as it is, 1 for one that the first restart finds an error for, and so
    on; restarts + 1 for one that withstands all."""
    lasted = (predict(network, batch.images) == batch.labels).long()
    attack = PGD(eps=eps, norm=norm, step_size=STEP * eps, num_steps=num_steps, keep="best")
    for number in range(restarts):
        rows = (lasted == number + 1).nonzero().squeeze(1)
        if not len(rows):
            break
        chosen, labels = batch.images[rows], batch.labels[rows]
        start = starts(attack, chosen, batch.index[rows], derive_seed(seed, "pgd", number))
        misses = Misses(chosen, labels)
        attack(chosen, attack_loss(network, labels, number, misses), start=start)
        lasted[rows] += (~misses.found).long()
    return lasted


def attack_loss(network: Network, labels: Tensor, number: int, misses: Misses | None = None) -> Loss:
    """What the restart of this number maximises; `misses` takes note of all images on the way."""

    def loss(images: Tensor) -> Tensor:
        logits = network(images)
        if misses is not None:
            misses.seen(images, logits)
        targets = one_hot(labels, logits.shape[1]).to(logits.device)
        return margin(logits, targets) if number % 2 else cross_entropy(logits, targets)

    return loss


@torch.no_grad()
def predict(network: Network, images: Tensor) -> Tensor:
    """(N,) int64, the class of the greatest logit. ValueError for logits that are not finite."""
    return finite(network(images)).argmax(dim=1)
