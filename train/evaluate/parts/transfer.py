"""Adversarial images of one network, shown to others; and those of one step, shown to the network itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor

from mixdali import one_hot
from train.attacks import FGSM, PGD, Attack
from train.attacks.starts import starts
from train.evaluate.parts.adversarial import check_adversarial
from train.evaluate.parts.shifts import (
    Batches,
    Change,
    Images,
    Network,
    Networks,
    Remember,
    accuracies,
    eps_name,
    forget,
)
from train.objectives.cross_entropy import cross_entropy

SOURCE = "source"


def fgsm(eps: float) -> FGSM:
    """One step of eps, without noise: Goodfellow, Shlens and Szegedy, ICLR 2015, arXiv:1412.6572."""
    return FGSM(eps=eps, step_size=eps, noise=0)


def pgd20(eps: float) -> PGD:
    """20 steps of a quarter of eps from a uniform start."""
    return PGD(eps=eps, step_size=eps / 4, num_steps=20)


ATTACKS = {"fgsm": fgsm, "pgd20": pgd20}


def measure_fgsm(
    networks: Networks, batches: Batches, *, eps: Sequence[float], remember: Remember = forget
) -> dict[str, Any]:
    """Accuracy under one step of eps by the sign of the network's own gradient.

    It flatters a network: one step is the weakest of attacks. The papers on mixing report it.

    Args:
        eps: radii in Linf, in units of images in [0, 1].
        remember: by radius.

    Returns:
        For each network, by radius ("8/255"): accuracy, 0 to 1.
    """

    def measure(radius: float) -> dict[str, Any]:
        return {
            name: accuracies({name: network}, batches, attacking(network, fgsm(radius), seed=0))[name]
            for name, network in networks.items()
        }

    rows = {eps_name(radius): remember(eps_name(radius), partial(measure, radius)) for radius in eps}
    return {name: {radius: row[name] for radius, row in rows.items()} for name in networks}


def measure_transfer(
    networks: Networks,
    batches: Batches,
    *,
    source: Network,
    eps: Sequence[float],
    seed: int,
    remember: Remember = forget,
) -> dict[str, Any]:
    """Accuracies on images that are adversarial for another network: the black-box attack by transfer.

    Args:
        networks: whom the images are shown to.
        source: for whom they are made, from the true labels; differentiable.
        eps: radii in Linf, in units of images in [0, 1].
        seed: of the start of PGD.
        remember: by attack and radius, and "clean".

    Returns:
        For each network, and for "source", by attack ("fgsm", "pgd20") and radius ("8/255"; "0/255": the images as they
        are): accuracy, 0 to 1.
    """
    if SOURCE in networks:
        raise ValueError(f"a network that is measured must not be named {SOURCE!r}, which is the one attacked")
    shown = {**networks, SOURCE: source}

    def measure(attack: Attack) -> dict[str, Any]:
        return accuracies(shown, batches, attacking(source, attack, seed))

    clean = remember("clean", partial(accuracies, shown, batches))
    found: dict[str, Any] = {name: {kind: {eps_name(0): clean[name]} for kind in ATTACKS} for name in shown}
    for kind, make in ATTACKS.items():
        for radius in eps:
            row = remember(f"{kind} {eps_name(radius)}", partial(measure, make(radius)))
            for name in shown:
                found[name][kind][eps_name(radius)] = row[name]
    return found


def attacking(network: Network, attack: Attack, seed: int) -> Change:
    """Images on which the cross-entropy of a network with the true labels is large."""

    def change(batch: Images) -> Tensor:
        def loss(images: Tensor) -> Tensor:
            logits = network(images)
            return cross_entropy(logits, one_hot(batch.labels.long(), logits.shape[1]).to(logits.device))

        reached = attack(batch.images, loss, start=starts(attack, batch.images, batch.index, seed))
        check_adversarial(reached, batch.images, attack.eps, attack.norm, type(attack).__name__)
        return reached

    return change
