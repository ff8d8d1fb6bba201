"""Telling images of the classes a network knows from others, by how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from mixdali import derive_seed
from train.evaluate.parts.shifts import Batches, Images, Networks, Remember, forget, read_logits

if TYPE_CHECKING:
    from pipelines.sources.source import Source

NOISE = ("uniform", "gaussian")
"""Images of noise that every network is tested on."""

NUM_BINS = 20
"""Of the histograms."""

# How many of the known images are to be kept, where the share of the others kept with them is measured.
KEPT = 0.95


def measure_detection(
    networks: Networks,
    batches: Batches,
    others: Mapping[str, Batches],
    *,
    seed: int,
    remember: Remember = forget,
) -> dict[str, Any]:
    """How well the networks tell images of their classes from others, by how sure they are.

    Args:
        batches: images of the networks' classes.
        others: by name, images of other classes; their labels are not looked at. Images of noise are always added.
        seed: of the noise.
        remember: by name of the others.

    Returns:
        For each network, "known": a histogram of its confidence (the greatest probability) in its own images, shares in
        20 bins from 0 to 1, and by the name of each of the others ("uniform", "gaussian", ...) their "histogram" and by
        score, "softmax" and "energy", the `separation`.
    """
    twice = set(others) & set(NOISE)
    if twice:
        raise ValueError(f"images of other classes must not be named {twice.pop()!r}, which is a kind of noise")
    known: dict[str, Tensor] = {}

    def measure(images: Batches, change: Callable[[Images], Tensor] | None) -> dict[str, Any]:
        # Once, and only where something is left to do.
        if not known:
            known.update(read_logits(networks, batches)[0])
        logits, _ = read_logits(networks, images, change)
        return {
            name: {
                "known": histogram(known[name]),
                "histogram": histogram(logits[name]),
                **detection(known[name], logits[name]),
            }
            for name in networks
        }

    rows = {kind: remember(kind, partial(measure, batches, partial(_noise, kind, seed))) for kind in NOISE}
    rows |= {name: remember(name, partial(measure, images, None)) for name, images in others.items()}
    return {
        network: {
            "known": rows[NOISE[0]][network]["known"],
            **{
                name: {key: value for key, value in row[network].items() if key != "known"}
                for name, row in rows.items()
            },
        }
        for network in networks
    }


def _noise(kind: str, seed: int, batch: Images) -> Tensor:
    return noise_images(kind, batch.index, tuple(batch.images.shape[1:]), seed).to(batch.images.device)


def histogram(logits: Tensor) -> list[float]:
    """Shares, from 0 to 1, of images whose greatest probability falls into each of 20 bins from 0 to 1."""
    confidences = np.exp(softmax_score(logits))
    counts, _ = np.histogram(confidences.clip(0, 1), bins=NUM_BINS, range=(0, 1))
    return [float(count) / len(confidences) for count in counts]


def softmax_score(logits: Tensor) -> np.ndarray:
    """logits (N, K) -> (N,) float64: the logarithm of the greatest probability, which keeps apart what rounds to 1.

    The score of Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in
    Neural Networks", ICLR 2017, arXiv:1610.02136, and of CutMix (arXiv:1905.04899); the logarithm keeps the order.
    """
    return np.asarray(logits.detach().cpu().double().log_softmax(dim=1).amax(dim=1).numpy())


def energy_score(logits: Tensor) -> np.ndarray:
    """logits (N, K) -> (N,) float64: the logarithm of the sum of their exponentials.

    The negative energy of Liu, Wang, Owens and Li, "Energy-based Out-of-distribution Detection", NeurIPS 2020,
    arXiv:2010.03759, at temperature 1.
    """
    return np.asarray(logits.detach().cpu().double().logsumexp(dim=1).numpy())


SCORES: dict[str, Callable[[Tensor], np.ndarray]] = {"softmax": softmax_score, "energy": energy_score}


def separation(known: np.ndarray, others: np.ndarray) -> dict[str, float]:
    """How well scores tell known images, which should get the greater ones, from others.

    Returns:
        auroc: the chance, 0 to 1, that a known image has a greater score than another one; a tie counts half.
        fpr95: the share of the others that score at least as high as the best scored 95 % of the known images.

    Raises:
        ValueError: no scores of one kind, or such as are not finite.
    """
    for name, scores in (("known", known), ("other", others)):
        if not len(scores):
            raise ValueError(f"detection needs scores of {name} images, got none")
        if not np.isfinite(scores).all():
            raise ValueError(f"scores of {name} images must be finite, got nan or infinity; the network has diverged")
    is_known = np.concatenate([np.ones(len(known)), np.zeros(len(others))])
    # The least threshold of the most certain: rounding must not demand one image more.
    threshold = np.sort(known)[::-1][ceil(KEPT * len(known) - 1e-9) - 1]
    return {
        "auroc": float(roc_auc_score(is_known, np.concatenate([known, others]))),
        "fpr95": float((others >= threshold).mean()),
    }


def detection(known: Tensor, others: Tensor) -> dict[str, dict[str, float]]:
    """For each score of `SCORES` the `separation` of logits (N, K) of known images from those (M, K) of others."""
    return {name: separation(score(known), score(others)) for name, score in SCORES.items()}


def read_others(folder: Path) -> Source:
    """Images of other classes, each labelled 0: the test images of CIFAR's pickles, or an image folder's.

    folder  with CIFAR's pickles, with class folders (or val/CLASS), or with nothing but images in it.

    Raises:
        FileNotFoundError, NotADirectoryError, ValueError: one line on what is missing or wrong.
    """
    from pipelines.sources.datasets.known import find
    from pipelines.sources.files import EXTENSIONS, find_kind, read_cifar, read_folder
    from pipelines.sources.source import Source

    folder = folder.expanduser()
    loose = [path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS] if folder.is_dir() else []
    if loose:
        return Source(sorted(str(path) for path in loose), np.zeros(len(loose), dtype=np.int64))
    if (own := find(folder)) is not None:
        source = own.read("test")
    else:
        source = read_cifar(folder, "test") if find_kind(folder) == "cifar" else read_folder(folder, "val", whole=True)
    return Source(source.items, np.zeros(len(source), dtype=np.int64))


def noise_images(kind: str, index: Tensor, shape: tuple[int, ...], seed: int) -> Tensor:
    """Images that show nothing, (N, *shape) float32 in [0, 1], each by the seed and its index.

    kind  uniform: every value uniform in [0, 1]. gaussian: normal around 0.5 with deviation 1, cut to [0, 1]. As in the
          test of CutMix, which takes them from ODIN (Liang, Li and Srikant, ICLR 2018, arXiv:1706.02690).
    """
    made = []
    for number in index.tolist():
        rng = np.random.default_rng(derive_seed(seed, "detection", kind, number))
        values = rng.random(shape) if kind == "uniform" else np.clip(rng.normal(0.5, 1.0, shape), 0, 1)
        made.append(torch.from_numpy(values.astype(np.float32)))
    return torch.stack(made)
