"""Whether a network is as sure as it is right: as it is, with a temperature, and under attack."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from mixdali import derive_seed
from mixdali.checks import positive_int
from train.attacks.attack import precise
from train.data.images import HeldOutBatch, HeldOutImages
from train.evaluate.parts.attacks import Ascent, reach
from train.evaluate.parts.shifts import Batches, Network, Networks, Remember, check_labels, forget, read_logits

NUM_BINS = 15
WIDEST = 50.0
"""A temperature beyond this says that the images which set it are all right, or tell nothing."""


def measure_calibration(networks: Networks, batches: Batches, *, seed: int, num_bins: int = NUM_BINS) -> dict[str, Any]:
    """For each network what `calibration` says of it on these images, and "scaled", what `scaled` says."""
    logits, labels = read_logits(networks, batches)
    index = torch.cat([batch.index.cpu() for batch in batches]).numpy()
    return {
        name: {
            **calibration(found, labels, num_bins),
            "scaled": scaled(found, found, labels, index, seed, num_bins),
        }
        for name, found in logits.items()
    }


def measure_attacked(
    networks: Networks, images: HeldOutImages, ascent: Ascent, *, seed: int, remember: Remember = forget
) -> dict[str, Any]:
    """As `measure_calibration`, where each image is shown as PGD left it.

    The temperature is fitted on images as they are: who uses a network does not know that it is attacked.

    Args:
        ascent: of the attack; its last restart's images count where an image withstands.
        seed: of the attack's starts, and of the halves.
        remember: by network and batch.
    """
    clean, labels = read_logits(networks, images)
    index = np.array(images.source.index)
    attacked: dict[str, list[Tensor]] = {name: [] for name in networks}
    for number, batch in enumerate(images):
        for name, network in networks.items():
            row = remember(f"{name} {number}", partial(_under_attack, network, batch, ascent, seed))
            attacked[name].append(row["logits"])
    found = {}
    for name, parts in attacked.items():
        logits = torch.cat(parts)
        own = calibration(logits, labels)
        found[name] = {**own, "scaled": scaled(clean[name], logits, labels, index, seed), "attack": ascent.plain()}
    return found


def _under_attack(network: Network, batch: HeldOutBatch, ascent: Ascent, seed: int) -> dict[str, Any]:
    reached = reach(network, batch, ascent, seed)[1]
    with torch.no_grad():
        return {"logits": precise(network(reached)).cpu()}


def scaled(
    fit: Tensor, logits: Tensor, labels: Tensor, index: np.ndarray, seed: int, num_bins: int = NUM_BINS
) -> dict[str, Any] | None:
    """Calibration with logits divided by a temperature, which a half of the images sets and the other half tells.

    Temperature scaling is of Guo et al., ICML 2017, arXiv:1706.04599, where validation images set it. Here it is a half
    of the images that are evaluated, drawn by the seed and the images' indices, and none of it is counted.

    Args:
        fit: (N, K) logits that the temperature is fitted on.
        logits: (N, K) logits that are measured.
        labels, index: (N,)
        seed: which half.

    Returns:
        `temperature`; `fitted_on` and `measured_on`, numbers of images; `before` and `after`, of the half that is
        measured, as `calibration` returns it but for the bins. None for fewer than two images.
    """
    half = len(labels) // 2
    if not half:
        return None
    draws = np.random.default_rng(derive_seed(seed, "temperature")).random(int(index.max()) + 1)[index]
    order = torch.from_numpy(np.argsort(draws, kind="stable"))
    first, rest = order[:half], order[half:]
    temperature = fit_temperature(fit[first], labels[first])
    before, after = (calibration(logits[rest] / by, labels[rest], num_bins) for by in (1.0, temperature))
    for one in (before, after):
        del one["bins"]
    counts = {"fitted_on": len(first), "measured_on": len(rest)}
    return {"temperature": temperature, **counts, "before": before, "after": after}


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature, from 1/50 to 50, with which logits (N, K) give labels (N,) the greatest likelihood."""
    check_labels(logits, labels)
    values, own = logits.detach().cpu().double(), labels.detach().cpu().long().unsqueeze(1)

    def nll(log: float) -> float:
        return float(-(values / math.exp(log)).log_softmax(dim=1).gather(1, own).mean())

    edge = math.log(WIDEST)
    return math.exp(float(minimize_scalar(nll, bounds=(-edge, edge), method="bounded").x))


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
    bins = reliability_bins(confidences, hits, num_bins)
    return {
        "accuracy": float(hits.mean()),
        "confidence": float(confidences.mean()),
        "nll": float(-logs.gather(1, labels.unsqueeze(1)).mean()),
        "brier": float((probabilities - torch.nn.functional.one_hot(labels, logits.shape[1])).square().sum(1).mean()),
        "ece": expected_error(bins),
        "ece_equal_mass": _equal_mass(confidences, hits, num_bins),
        "bins": bins,
    }


def reliability_bins(confidences: np.ndarray, hits: np.ndarray, num_bins: int = NUM_BINS) -> list[dict[str, Any]]:
    """ "bins" of `calibration`, of confidences (N,) in [0, 1] and whether each image is right (N,), 0 or 1."""
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


def expected_error(bins: list[dict[str, Any]]) -> float:
    """ "ece" of `calibration`."""
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
