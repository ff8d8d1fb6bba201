"""Networks on changed images: what all measures share that do not attack the network they measure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from train.attacks.attack import precise

Network = Callable[[Tensor], Tensor]
"""Images (N, 3, H, W) in [0, 1], on the network's device -> logits (N, K) of the classes, in evaluation mode."""

Networks = Mapping[str, Network]
"""By name: the weights of one network, the averaged ones, ..."""

Remember = Callable[[str, Callable[[], dict[str, Any]]], dict[str, Any]]
"""A name, and what computes the numbers of that name: computed where they are not known from an earlier run."""


class Images(Protocol):
    """A batch."""

    @property
    def images(self) -> Tensor:
        """(N, 3, H, W) float in [0, 1], on the device of the networks."""

    @property
    def labels(self) -> Tensor:
        """(N,) int."""

    @property
    def index(self) -> Tensor:
        """(N,) int, the places of the images in the full data set."""


Batches = Iterable[Images]
"""Can be gone through again and again, always in the same order."""

Change = Callable[[Images], Tensor]
"""A batch -> the images to measure instead of its own, (N, 3, H, W) in [0, 1] on the same device."""


def forget(name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Remember nothing."""
    return compute()


def read_logits(networks: Networks, batches: Batches, change: Change | None = None) -> tuple[dict[str, Tensor], Tensor]:
    """Each network's logits (N, K), at least float32, for all images, changed or as they are; and the labels (N,).

    Both on the CPU.

    Raises:
        ValueError: no images, no networks, or logits that are not finite.
    """
    if not networks:
        raise ValueError("nothing to measure: no networks")
    found: dict[str, list[Tensor]] = {name: [] for name in networks}
    labels = []
    for batch in batches:
        images = batch.images if change is None else change(batch)
        labels.append(batch.labels.detach().cpu().long())
        for name, network in networks.items():
            with torch.no_grad():
                found[name].append(precise(network(images)).cpu())
    if not labels:
        raise ValueError("nothing to measure: no images")
    logits = {name: torch.cat(parts) for name, parts in found.items()}
    for name, values in logits.items():
        if not bool(values.isfinite().all()):
            raise ValueError(f"logits of {name} must be finite, got nan or infinity; the network has diverged")
    return logits, torch.cat(labels)


def accuracies(networks: Networks, batches: Batches, change: Change | None = None) -> dict[str, float]:
    """Of each network the share, 0 to 1, of images that it classifies rightly; its greatest logit decides."""
    logits, labels = read_logits(networks, batches, change)
    for values in logits.values():
        check_labels(values, labels)
    return {name: float((values.argmax(dim=1) == labels).double().mean()) for name, values in logits.items()}


def by_level(
    networks: Networks,
    levels: Mapping[Any, Sequence[float]],
    measure: Callable[[str, float], dict[str, Any]],
    remember: Remember,
) -> dict[str, Any]:
    """For each network, by kind and level ("0.1"), what `measure` finds for it at that level of that kind."""
    found: dict[str, Any] = {name: {kind: {} for kind in levels} for name in networks}
    for kind, values in levels.items():
        for level in values:
            row = remember(f"{kind} {level:g}", partial(measure, kind, level))
            for name in networks:
                found[name][kind][f"{level:g}"] = row[name]
    return found


def check_labels(logits: Tensor, labels: Tensor) -> None:
    """ValueError unless logits are (N, K), and labels (N,) are classes of theirs."""
    if logits.ndim != 2 or not len(logits) or logits.shape[1] < 2:
        raise ValueError(f"logits must be (images, classes), at least one and two, got {tuple(logits.shape)}")
    if labels.shape != logits.shape[:1]:
        raise ValueError(f"labels must be one for each of {len(logits)} rows of logits, got {tuple(labels.shape)}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= logits.shape[1]:
        wrong = low if low < 0 else high
        raise ValueError(f"labels must be 0 to {logits.shape[1] - 1}, as many as there are logits, got {wrong}")


def eps_name(eps: float) -> str:
    """8 / 255 -> "8/255"; what is no whole number of steps of a byte as it is."""
    steps = round(eps * 255)
    return f"{steps}/255" if abs(eps * 255 - steps) < 1e-6 else f"{eps:g}"
