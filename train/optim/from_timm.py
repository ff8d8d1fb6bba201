"""Rules of timm's: LAMB, Lion and Muon, as timm has them. It has to be installed."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import torch

from mixdali.checks import positive_int, require
from train.optim.optimizers import Optimizer

OLDEST = "1.0.21"


@dataclass(frozen=True, kw_only=True)
class LAMB(Optimizer):
    """Adam whose step in each layer is as long, relative to the layer's weights, as the rate says.

    You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", ICLR 2020, arXiv:1904.00962.
    Weight decay is a part of the step, before it gets its length. The defaults are timm's.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay a step of the averages of gradient and of squared gradient."""
    eps: float = 1e-6
    """Added to the root of the latter."""
    max_grad_norm: float | None = 1.0
    """Gradients longer than this, all together, are shortened to it; None: they are taken as they are."""

    def __post_init__(self) -> None:
        _check_betas(self.betas)
        require(self.eps > 0, "optimizer.eps", self.eps, "must be above 0")
        if self.max_grad_norm is not None:
            require(self.max_grad_norm > 0, "optimizer.max_grad_norm", self.max_grad_norm, "must be above 0, or None")

    def build(self, groups: list[dict[str, object]], lr: float) -> torch.optim.Optimizer:
        return _rule("Lamb")(groups, lr=lr, betas=self.betas, eps=self.eps, max_grad_norm=self.max_grad_norm)


@dataclass(frozen=True, kw_only=True)
class Lion(Optimizer):
    """Steps of the sign of an average of the gradients; weights shrink by lr times weight_decay.

    Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023, arXiv:2302.06675. All weights move by
    the rate itself, so it takes a rate 3 to 10 times below that of AdamW, and a decay as much above its.
    """

    betas: tuple[float, float] = (0.9, 0.99)
    """Share of the average in a step's direction, and decay a step of the average."""

    def __post_init__(self) -> None:
        _check_betas(self.betas)

    def build(self, groups: list[dict[str, object]], lr: float) -> torch.optim.Optimizer:
        return _rule("Lion")(groups, lr=lr, betas=self.betas)


@dataclass(frozen=True, kw_only=True)
class Muon(Optimizer):
    """Momentum whose steps are made orthogonal, of matrices and convolutions; all else moves by AdamW.

    Jordan et al., https://kellerjordan.github.io/posts/muon. Steps are as long as those of AdamW, so that its rates and
    decays serve both.
    """

    momentum: float = 0.95
    """How much of the last step goes into the next."""
    nesterov: bool = True
    """Nesterov's form of the momentum."""
    num_steps: int = 5
    """Iterations that make a step orthogonal."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Those of AdamW, for weights with fewer than two axes."""

    def __post_init__(self) -> None:
        require(0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "must be in [0, 1)")
        positive_int("optimizer.num_steps", self.num_steps)
        _check_betas(self.betas)

    def build(self, groups: list[dict[str, object]], lr: float) -> torch.optim.Optimizer:
        own = {"momentum": self.momentum, "nesterov": self.nesterov, "ns_steps": self.num_steps, "betas": self.betas}
        return _rule("Muon")(groups, lr=lr, **own)


def _check_betas(betas: tuple[float, float]) -> None:
    require(all(0 <= beta < 1 for beta in betas), "optimizer.betas", betas, "must be in [0, 1)")


def _rule(name: str) -> Any:
    """A class of timm.optim. ValueError if timm is missing, or too old to have it."""
    try:
        found = getattr(importlib.import_module("timm.optim"), name, None)
    except ImportError:
        found = None
    if found is None:
        raise ValueError(f"optimizer {name} is timm's: pip install 'timm>={OLDEST}'")
    return found
