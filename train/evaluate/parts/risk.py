"""How often a network is wrong where it is asked for the images alone that it is surest of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from train.attacks.attack import precise
from train.evaluate.parts.inside import opened
from train.evaluate.parts.shifts import Batches, Network, Networks, Remember, forget
from train.objectives.parts.hidden import recorded

COVERAGES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)


def measure_selective(
    networks: Networks, batches: Batches, num_classes: int, *, remember: Remember = forget
) -> dict[str, Any]:
    """Risk against coverage.

    Args:
        num_classes: outputs of the networks that are classes; one more is what `SelectiveTraining` adds.
        remember: by network.

    Returns:
        For each network, by score what `risk_coverage` says: "softmax", 1 minus the greatest probability of a class
        (softmax response: Geifman and El-Yaniv, NeurIPS 2017, arXiv:1705.08500), and of a network with one output more
        "abstention", what that says.
    """
    return {
        name: remember(name, partial(_measure, network, batches, num_classes)) for name, network in networks.items()
    }


@torch.no_grad()
def _measure(network: Network, batches: Batches, num_classes: int) -> dict[str, Any]:
    outputs, labels = [], []
    for batch in batches:
        with recorded(opened(network)) as seen:
            network(batch.images)
        outputs.append(precise(seen[-1]).cpu())
        labels.append(batch.labels.cpu())
    logits = torch.cat(outputs).double()
    wrong = (logits[:, :num_classes].argmax(dim=1) != torch.cat(labels)).numpy()
    scores = {"softmax": rejection_scores(logits[:, :num_classes], num_classes)}
    if logits.shape[1] == num_classes + 1:
        scores["abstention"] = rejection_scores(logits, num_classes)
    return {name: risk_coverage(values.numpy(), wrong) for name, values in scores.items()}


def rejection_scores(logits: Tensor, num_classes: int) -> Tensor:
    """logits (N, num_classes) or (N, num_classes + 1) -> (N,) in [0, 1]: the higher, the sooner rejected."""
    probabilities = logits.softmax(dim=1)
    if logits.shape[1] == num_classes:
        return 1 - probabilities.amax(dim=1)
    return probabilities[:, num_classes]


def risk_coverage(scores: np.ndarray, wrong: np.ndarray, coverages: Sequence[float] = COVERAGES) -> dict[str, Any]:
    """The share of wrong answers among the images with the lowest scores, for every number of them.

    Images with one score are answered in any order: each counts as their mean.

    Args:
        scores: (N,), the higher, the sooner rejected.
        wrong: (N,) bool.
        coverages: shares of the images that are answered, in (0, 1]; rounded to whole images, at least one.

    Returns:
        aurc: the mean of these shares over 1, 2, ... N images, the area under the curve of risk against coverage.
        excess: what it has above that of scores which put all errors last (Geifman, Uziel and El-Yaniv, ICLR 2019,
            arXiv:1805.08206).
        risk: by coverage ("0.9"), the share.
        curve: the shares at a hundredth, two hundredths, ... of the images.

    Raises:
        ValueError: no image, or a coverage that is none.
    """
    if not len(scores) or len(scores) != len(wrong):
        raise ValueError(f"risk needs a score for each of {len(wrong)} images and at least one, got {len(scores)}")
    for coverage in coverages:
        if not 0 < coverage <= 1:
            raise ValueError(f"coverage must be above 0 and at most 1, got {coverage}")
    _, group = np.unique(scores, return_inverse=True)
    means = (np.bincount(group, weights=wrong) / np.bincount(group))[group]
    risks = _running(means[np.argsort(scores, kind="stable")])
    best = _running(np.sort(wrong.astype(np.float64)))

    def at(coverage: float) -> float:
        return float(risks[max(1, round(coverage * len(risks))) - 1])

    return {
        "aurc": float(risks.mean()),
        "excess": float(risks.mean() - best.mean()),
        "risk": {f"{coverage:g}": at(coverage) for coverage in coverages},
        "curve": [at(number / 100) for number in range(1, 101)],
    }


def _running(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.cumsum(values) / np.arange(1, len(values) + 1))
