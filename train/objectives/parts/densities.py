"""How likely features are in each class: densities fitted to labelled features, one for each class.

Fitted and evaluated by torch where the features are. scipy and scikit-learn have both densities too, and the tests hold
these against theirs; but they evaluate on the host, and on a CPU a batch takes them about eight times as long.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mixdali.checks import one_of, require


class Densities(nn.Module):
    """A density for each of K classes: the mean of Gaussians of one shape around one or several centres.

    Empty until it is fitted or loaded from a checkpoint. All buffers are float64.
    """

    mean: Tensor
    """(K, D) the middle of each class."""
    scale: Tensor
    """(K, D, D) lower triangular, with scale scale' the covariance around each centre of a class; or (1, D, D)."""
    centres: Tensor
    """(M, D) the centres of all classes in a row, in units of `scale` from the middle of their class."""
    counts: Tensor
    """(K,) int64 on the CPU: how many of the centres belong to each class."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("mean", "scale", "centres"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.float64, device="cpu"))
        self.register_buffer("counts", torch.zeros(0, dtype=torch.int64, device="cpu"))

    @property
    def fitted(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.centres.numel())

    @torch.no_grad()
    def log_prob(self, features: Tensor) -> Tensor:
        """features (N, D) -> (N, K) float64, the logarithm of the density of each class. They get no gradient."""
        features = features.detach().to(self.mean)
        if features.shape[1] != self.mean.shape[1]:
            raise ValueError(f"the densities are of {self.mean.shape[1]} features, got {features.shape[1]}")
        away = (features.unsqueeze(0) - self.mean.unsqueeze(1)).mT
        scaled = torch.linalg.solve_triangular(self.scale, away, upper=False).mT
        volume = self.scale.diagonal(dim1=1, dim2=2).log().sum(dim=1) + 0.5 * features.shape[1] * math.log(2 * math.pi)
        counts = self.counts.tolist()
        # One class after the other: the distances to all centres of all classes at once would fill the memory.
        columns = [
            torch.logsumexp(-0.5 * torch.cdist(own, centres).square(), dim=1) - math.log(count)
            for own, centres, count in zip(scaled, self.centres.split(counts), counts, strict=True)
        ]
        return torch.stack(columns, dim=1) - volume

    def _apply(self, fn: Any, recurse: bool = True) -> Densities:
        super()._apply(fn, recurse)
        # Sizes are needed on the host in every step.
        self.counts = self.counts.cpu()
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        take_sizes(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


@dataclass(frozen=True, kw_only=True)
class Density(ABC):
    """A kind of density, with its settings."""

    @abstractmethod
    def fit(self, features: Tensor, labels: Tensor, num_classes: int) -> Densities:
        """features (M, D), labels (M,) class indices -> the densities of all classes, on the device of the features.

        Raises:
            ValueError: a class with too few features, features that are no numbers, or a covariance that is singular.
        """


@dataclass(frozen=True, kw_only=True)
class Gaussian(Density):
    """One Gaussian for each class, of maximum likelihood.

    Sohn et al., "GenLabel", ICML 2022; UW-Madison-Lee-Lab/GenLabel_official, OpenML/train_test.py (ridge 1e-4),
    utils.py (ridge 1e-5) and 2dcube_model.py (identity).
    """

    covariance: Literal["full", "identity"] = "full"
    """"full" is fitted; "identity" is taken for granted, so that the class with the nearest mean is the densest."""
    ridge: float = 1e-4
    """What is added to the diagonal of a full covariance."""

    def __post_init__(self) -> None:
        one_of("Gaussian: covariance", self.covariance, ("full", "identity"))
        require(self.ridge >= 0, "Gaussian: ridge", self.ridge, "must not be negative")

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor, num_classes: int) -> Densities:
        full = self.covariance == "full"
        classes = _by_class(features, labels, num_classes, least=2 if full else 1)
        found = Densities().to(features.device)
        found.mean = torch.stack([own.mean(dim=0) for own in classes])
        if full:
            found.scale = torch.stack([_root(own, 0, self.ridge, label) for label, own in enumerate(classes)])
        else:
            found.scale = torch.eye(features.shape[1], device=found.mean.device).to(found.mean).unsqueeze(0)
        found.centres = torch.zeros_like(found.mean)
        found.counts = torch.ones(num_classes, dtype=torch.int64, device="cpu")
        return found


@dataclass(frozen=True, kw_only=True)
class Kernel(Density):
    """A Gaussian kernel around every feature of a class, shaped as the covariance of the class.

    As scipy's `gaussian_kde`, with a ridge as the code of GenLabel has it.
    """

    bandwidth: float | None = None
    """Kernels have this times the spread of their class; None is Scott's rule, M ** (-1 / (D + 4)) for M features."""
    ridge: float = 1e-8
    """What is added to the diagonal of a class's covariance."""

    def __post_init__(self) -> None:
        if self.bandwidth is not None:
            require(self.bandwidth > 0, "Kernel: bandwidth", self.bandwidth, "must be above 0")
        require(self.ridge >= 0, "Kernel: ridge", self.ridge, "must not be negative")

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor, num_classes: int) -> Densities:
        classes = _by_class(features, labels, num_classes, least=2)
        scales, centres = [], []
        for label, own in enumerate(classes):
            factor = self.bandwidth or len(own) ** (-1 / (own.shape[1] + 4))
            scales.append(factor * _root(own, 1, self.ridge, label))
            away = (own - own.mean(dim=0)).T
            centres.append(torch.linalg.solve_triangular(scales[-1], away, upper=False).T)
        found = Densities().to(features.device)
        found.mean = torch.stack([own.mean(dim=0) for own in classes])
        found.scale, found.centres = torch.stack(scales), torch.cat(centres)
        found.counts = torch.tensor([len(own) for own in classes], device="cpu")
        return found


def take_sizes(module: nn.Module, state_dict: dict[str, Any], prefix: str) -> None:
    """Give the buffers of `module` the sizes and dtypes of the stored ones, so that they can be loaded."""
    for name, buffer in list(module.named_buffers(recurse=False)):
        stored = state_dict.get(prefix + name)
        if stored is not None:
            setattr(module, name, torch.empty_like(stored, device=buffer.device))


def _by_class(features: Tensor, labels: Tensor, num_classes: int, least: int) -> list[Tensor]:
    """The features of each class, float64."""
    if features.ndim != 2 or len(features) != len(labels):
        raise ValueError(
            f"features must be (M, D) with a label each, got {tuple(features.shape)} and {len(labels)} labels"
        )
    if not bool(features.isfinite().all()):
        raise ValueError("some features are nan or infinite, so no density fits them; try a smaller --lr")
    counts = torch.bincount(labels, minlength=num_classes).tolist()
    if len(counts) > num_classes:
        raise ValueError(f"labels must be from 0 to {num_classes - 1}, got {len(counts) - 1}")
    few = [label for label, count in enumerate(counts) if count < least]
    if few:
        raise ValueError(
            f"class {few[0]} has {counts[few[0]]} samples and a density needs at least {least} ({len(few)} such "
            f"classes of {num_classes}); use more images, or smaller batches so that fewer are left over"
        )
    return [features[labels == label].double() for label in range(num_classes)]


def _root(features: Tensor, correction: int, ridge: float, label: int) -> Tensor:
    """The lower triangular root of the covariance of (M, D), with a ridge."""
    size = features.shape[1]
    covariance = torch.cov(features.T, correction=correction).reshape(size, size)
    root, info = torch.linalg.cholesky_ex(covariance + ridge * torch.eye(size, device=covariance.device).to(covariance))
    if bool(info):
        raise ValueError(
            f"class {label} has {len(features)} samples of {size} features, whose covariance is singular; use a ridge "
            f"above {ridge:g}"
        )
    return root
