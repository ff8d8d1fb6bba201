"""What passes inside a network: the outputs of its stages, and its embedding of each image."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

from train.attacks.attack import precise
from train.evaluate.parts.shifts import Batches, Network
from train.objectives.parts.hidden import changed, classifier, recorded, stages

EMBEDDING = "embedding"
"""The place before the last linear layer."""


def opened(network: Network) -> nn.Module:
    """The module of a network, to look into. ValueError for a function."""
    module = getattr(network, "module", network)
    if not isinstance(module, nn.Module):
        raise ValueError(f"what passes inside a network can be seen in a torch module alone, got {network!r:.80}")
    return module


def has_classifier(network: Network) -> bool:
    """Whether it ends in a linear layer, so that there is an embedding."""
    return any(isinstance(module, nn.Linear) for module in opened(network).modules())


def places_of(network: Network) -> list[str]:
    """Where it can be looked into: its stages (`train.objectives.parts.hidden.stages`), and the embedding."""
    return [*stages(opened(network)), *([EMBEDDING] if has_classifier(network) else [])]


@torch.no_grad()
def read_inside(network: Network, batches: Batches, places: list[str]) -> tuple[dict[str, Tensor], Tensor]:
    """By place what passes there, (N, D), at least float32 and on the CPU, and the labels (N,).

    Raises:
        ValueError: no images, a place that there is not, one that gives no tensor with a row for each image or does
            not run once, or values that are not finite.
    """
    found: dict[str, list[Tensor]] = {place: [] for place in places}
    labels = []
    for batch in batches:
        labels.append(batch.labels.detach().cpu().long())
        for place, values in _pass(network, batch.images, places).items():
            found[place].append(values)
    if not labels:
        raise ValueError("nothing to measure: no images")
    joined = {place: torch.cat(values) for place, values in found.items()}
    for place, values in joined.items():
        if not bool(values.isfinite().all()):
            raise ValueError(f"what passes at {place} must be finite, got nan or infinity; the network has diverged")
    return joined, torch.cat(labels)


def _pass(network: Network, images: Tensor, places: list[str]) -> dict[str, Tensor]:
    module, found = opened(network), dict[str, Tensor]()

    def keep(place: str, hidden: Tensor) -> Tensor:
        if hidden.ndim < 2 or len(hidden) != len(images):
            raise ValueError(f"{place} gives {tuple(hidden.shape)} for {len(images)} images, not a row for each")
        # a copy: the next layer may change it in place
        found[place] = precise(hidden.detach()).flatten(1).cpu().clone()
        return hidden

    with ExitStack() as hooks:
        for place in places:
            if place != EMBEDDING:
                hooks.enter_context(changed(module, place, partial(keep, place)))
        seen = hooks.enter_context(recorded(classifier(module), inputs=True)) if EMBEDDING in places else []
        network(images)
        for hidden in seen[-1:]:
            keep(EMBEDDING, hidden)
    return found
