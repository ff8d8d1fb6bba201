"""In how many directions the representations of a class vary, stage by stage."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from train.data.images import HeldOutImages, labels_of, spread
from train.evaluate.parts.inside import places_of, read_inside
from train.evaluate.parts.shifts import Network, Networks, Remember, forget

MOST = 200
"""Images of a class that are looked at: they bound the number of directions."""
SHARE = 0.9
"""Of the variance, that is to be reached."""
CURVE = 50
"""Directions of the curve."""
SMALL = 64 * 64
"""Pixels of images whose stages are all looked at in one pass."""
COLUMNS = 1 << 16
"""Values of all images that are multiplied at once."""


def measure_spectrum(networks: Networks, images: HeldOutImages, *, remember: Remember = forget) -> dict[str, Any]:
    """Singular values of the representations of each class, centred on the class's mean, at each stage of a network.

    Manifold Mixup flattens them: Verma et al., "Manifold Mixup: Better Representations by Interpolating Hidden States",
    ICML 2019, arXiv:1806.05236. A representation is all that passes at the place, as one row. Of each class the first
    200 images, evenly spread, are taken, and classes of fewer than two left out.

    Args:
        remember: by network and class.

    Returns:
        For each network, by place ("input": the normalised images; "stage1", ...; "embedding": before the last linear
        layer), means over the classes of what `spectrum` returns, and `classes`, how many there are.

    Raises:
        ValueError: there are not two images of any class.
    """
    labels = labels_of(images).numpy()
    chosen = {label: np.flatnonzero(labels == label) for label in np.unique(labels).tolist()}
    chosen = {label: places[spread(len(places), MOST)] for label, places in chosen.items() if len(places) > 1}
    if not chosen:
        raise ValueError("spectrum needs two images of a class at least")
    found: dict[str, Any] = {}
    for name, network in networks.items():
        rows = [
            remember(f"{name} {label}", partial(_of_class, network, images.select(places)))
            for label, places in chosen.items()
        ]
        found[name] = {place: _mean([row[place] for row in rows]) for place in rows[0]}
    return found


def _of_class(network: Network, images: HeldOutImages) -> dict[str, Any]:
    places, (height, width) = places_of(network), images.size
    # of large images a stage alone fills the memory
    together = [places] if height * width <= SMALL else [[place] for place in places]
    found: dict[str, Any] = {}
    for some in together:
        found |= {place: spectrum(values) for place, values in read_inside(network, images, some)[0].items()}
    return found


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = {key: float(np.mean([row[key] for row in rows])) for key in ("largest", "rest", "share", "needed")}
    return {**numbers, "curve": np.mean([row["curve"] for row in rows], axis=0).tolist(), "classes": len(rows)}


def singular_values(values: Tensor) -> Tensor:
    """(N, D), N >= 2 -> those of the rows less their mean, over the root of N - 1, largest first, (N,) float64: the
    deviations along the principal directions."""
    centred = values - values.mean(dim=0)
    # of N x N numbers, since rows are few and long
    gram = torch.zeros(len(values), len(values), dtype=torch.float64)
    for part in centred.split(COLUMNS, dim=1):
        gram += part.double() @ part.double().T
    squares = torch.linalg.eigvalsh(gram).flip(0).clamp_min(0)
    # what rounding leaves of directions in which nothing varies
    squares[squares < squares[0] * len(values) * torch.finfo(values.dtype).eps ** 2] = 0
    return (squares / (len(values) - 1)).sqrt()


def spectrum(values: Tensor) -> dict[str, Any]:
    """How the rows (N, D) of one class, N >= 2, vary.

    Returns:
        largest: the largest of `singular_values`, in units of the representation.
        rest: the sum of all others.
        share: the largest one's share of the variance, 0 to 1; 0 where nothing varies.
        needed: directions that hold 90 % of the variance; 0 where nothing varies.
        curve: share of the variance in the first 1, 2, ... 50 directions.
    """
    found = singular_values(values)
    total = float(found.square().sum())
    shares = (found.square().cumsum(0) / (total or 1.0)).clamp(max=1).tolist()
    shares += [shares[-1]] * (CURVE - len(shares))
    return {
        "largest": float(found[0]),
        "rest": float(found[1:].sum()),
        "share": shares[0],
        "needed": 1 + sum(share < SHARE for share in shares[: len(found)]) if total else 0,
        "curve": shares[:CURVE],
    }
