"""How tight the classes lie in the embedding, and how evenly all images."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from train.evaluate.parts.inside import EMBEDDING, read_inside
from train.evaluate.parts.shifts import Batches, Network, Networks, Remember, forget

HEAT = 2.0
"""t of the uniformity."""
ROWS = 1000
"""Images that are compared with all others at once."""


def measure_embedding(networks: Networks, batches: Batches, *, remember: Remember = forget) -> dict[str, Any]:
    """For each network what `tightness` says of its embeddings: what enters its last linear layer.

    Args:
        remember: by network.
    """
    return {name: remember(name, partial(_measure, network, batches)) for name, network in networks.items()}


def _measure(network: Network, batches: Batches) -> dict[str, Any]:
    values, labels = read_inside(network, batches, [EMBEDDING])
    return tightness(values[EMBEDDING], labels)


def tightness(values: Tensor, labels: Tensor) -> dict[str, Any]:
    """Alignment and uniformity of embeddings, each brought to length 1, over all pairs of two images.

    Wang and Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere", ICML 2020, arXiv:2005.10242, with images of one class as the positive pairs, as MultiMix
    (arXiv:2311.05538) measures its embeddings.

    Args:
        values: (N, D), N >= 2.
        labels: (N,) int.

    Returns:
        alignment: mean squared distance of two images of one class, 0 to 4; smaller is tighter.
        apart: the same of two images of different classes.
        uniformity: logarithm of the mean of exp(-2 squared distance) over all pairs, -8 to 0; smaller is more even.
        zero: embeddings that are 0 and stay so, having no direction.
        dimensions: D.

    Raises:
        ValueError: no two images of one class, or of two classes.
    """
    if len(values) != len(labels):
        raise ValueError(f"labels must be one for each of {len(values)} embeddings, got {len(labels)}")
    unit = torch.nn.functional.normalize(values.double(), dim=1)
    sums = {"alike": 0.0, "apart": 0.0, "heat": 0.0}
    num_alike = 0
    for start in range(0, len(unit), ROWS):
        rows = unit[start : start + ROWS]
        own = torch.arange(start, start + len(rows))
        squares = (rows.square().sum(1, keepdim=True) + unit.square().sum(1) - 2 * rows @ unit.T).clamp(0, 4)
        other = own.unsqueeze(1) != torch.arange(len(unit))
        alike = (labels[own].unsqueeze(1) == labels) & other
        num_alike += int(alike.sum())
        sums["alike"] += float(squares[alike].sum())
        sums["apart"] += float(squares[other & ~alike].sum())
        sums["heat"] += float((-HEAT * squares[other]).exp().sum())
    pairs = len(unit) * (len(unit) - 1)
    if not 0 < num_alike < pairs:
        raise ValueError("embedding needs two images of one class and two classes at least")
    return {
        "alignment": sums["alike"] / num_alike,
        "apart": sums["apart"] / (pairs - num_alike),
        "uniformity": math.log(sums["heat"] / pairs),
        "zero": int((unit == 0).all(dim=1).sum()),
        "dimensions": values.shape[1],
    }
