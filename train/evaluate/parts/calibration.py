"""Whether a network is as sure as it is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixdali.checks import positive_int
from train.evaluate.parts.shifts import Batches, Networks, check_labels, read_logits

NUM_BINS = 15


def measure_calibration(networks: Networks, batches: Batches, *, num_bins: int = NUM_BINS) -> dict[str, Any]:
    """For each network what `calibration` says of it on these images."""
    logits, labels = read_logits(networks, batches)
    return {name: calibration(found, labels, num_bins) for name, found in logits.items()}


def calibration(logits: Tensor, labels: Tensor, num_bins: int = NUM_BINS) -> dict[str, Any]:
    """How well the probabilities of a network (the softmax of its logits) tell how often it is right.

    A network's confidence in an image is its greatest probability. The images fall into bins by their confidence; the
    expected calibration error is the mean distance, weighed by the images, of a bin's mean confidence from its
    accuracy. Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, arXiv:1706.04599.

    Args:
        logits: (N, K) of at least one image and two classes.
        labels: (N,) int, 0 to K - 1.
        num_bins: of both kinds.

    Returns:
        accuracy, confidence: means, 0 to 1.
        nll: mean negative log-likelihood of the labels, nats.
        brier: mean over the images of the squared distance between probabilities and one-hot label, 0 to 2.
        ece: calibration error of bins that are equally wide; a confidence on an edge is in the lower bin.
        ece_equal_mass: of bins that hold equally many images, or one more.
        bins: of the equally wide bins, from 0 up, `low`, `high`, `count`, and `confidence` and `accuracy`, which are
            None in an empty bin.

    Raises:
        ValueError: shapes that do not fit, no image, a label that is none of the classes, logits that are not finite.
    """
    positive_int("num_bins", num_bins)
    check_labels(logits, labels)
    if not bool(logits.isfinite().all()):
        raise ValueError("logits must be finite, got nan or infinity; the network has diverged")
    logs = logits.detach().cpu().double().log_softmax(dim=1)
    labels = labels.detach().cpu().long()
    probabilities = logs.exp()
    confidences, guesses = (part.numpy() for part in probabilities.max(dim=1))
    hits = (guesses == labels.numpy()).astype(np.float64)
    bins = _bins(confidences, hits, num_bins)
    return {
        "accuracy": float(hits.mean()),
        "confidence": float(confidences.mean()),
        "nll": float(-logs.gather(1, labels.unsqueeze(1)).mean()),
        "brier": float((probabilities - torch.nn.functional.one_hot(labels, logits.shape[1])).square().sum(1).mean()),
        "ece": _distance(bins),
        "ece_equal_mass": _equal_mass(confidences, hits, num_bins),
        "bins": bins,
    }


def _bins(confidences: np.ndarray, hits: np.ndarray, num_bins: int) -> list[dict[str, Any]]:
    edges = np.linspace(0, 1, num_bins + 1)
    # Rounding may lift a confidence above 1.
    places = np.clip(np.searchsorted(edges, confidences, side="left") - 1, 0, num_bins - 1)
    bins = []
    for number in range(num_bins):
        inside = places == number
        count = int(inside.sum())
        bins.append(
            {
                "low": float(edges[number]),
                "high": float(edges[number + 1]),
                "count": count,
                "confidence": float(confidences[inside].mean()) if count else None,
                "accuracy": float(hits[inside].mean()) if count else None,
            }
        )
    return bins


def _distance(bins: list[dict[str, Any]]) -> float:
    filled = [one for one in bins if one["count"]]
    total = sum(one["count"] for one in filled)
    return sum(one["count"] * abs(one["confidence"] - one["accuracy"]) for one in filled) / total


def _equal_mass(confidences: np.ndarray, hits: np.ndarray, num_bins: int) -> float:
    _, group = np.unique(confidences, return_inverse=True)
    # Images of one confidence may fall into two bins. Each counts as their mean, so that their order is irrelevant.
    shares = (np.bincount(group, weights=hits) / np.bincount(group))[group]
    order = np.argsort(confidences, kind="stable")
    parts = [part for part in np.array_split(order, num_bins) if len(part)]
    gaps = [len(part) * abs(confidences[part].mean() - shares[part].mean()) for part in parts]
    return float(sum(gaps) / len(confidences))
