"""The rules by which weights follow their gradients, and which of them decay."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from mixdali.checks import require

Decayed = Literal["all", "layers", "matrices"]
"""all: every parameter. layers: weights and biases of convolutions and linear layers, nothing of a norm. matrices:
tensors with at least two axes, so neither biases nor norms, and none that the network names in `no_weight_decay()`, as
timm has it."""

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class Optimizer(ABC):
    """The rule of a step. Subclasses are frozen dataclasses that hold its settings."""

    @abstractmethod
    def build(self, groups: list[dict[str, object]], lr: float) -> torch.optim.Optimizer:
        """The optimiser of the parameters in `groups`, each with its own `weight_decay`, at the rate `lr`."""


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum; weight decay is a part of the gradient (L2)."""

    momentum: float = 0.9
    """How much of the last step goes into the next."""
    nesterov: bool = False
    """Nesterov's form of the momentum."""

    def __post_init__(self) -> None:
        require(0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "must be in [0, 1)")
        require(
            self.momentum > 0 or not self.nesterov, "optimizer.momentum", self.momentum, "must be above 0 with nesterov"
        )

    def build(self, groups: list[dict[str, object]], lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=lr, momentum=self.momentum, nesterov=self.nesterov, fused=True)


@dataclass(frozen=True, kw_only=True)
class AdamW(Optimizer):
    """Adam whose weight decay is a step of its own: weights shrink by lr times weight_decay.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv:1711.05101.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay a step of the averages of gradient and of squared gradient."""
    eps: float = 1e-8
    """Added to the root of the latter."""

    def __post_init__(self) -> None:
        require(all(0 <= beta < 1 for beta in self.betas), "optimizer.betas", self.betas, "must be in [0, 1)")
        require(self.eps > 0, "optimizer.eps", self.eps, "must be above 0")

    def build(self, groups: list[dict[str, object]], lr: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(groups, lr=lr, betas=self.betas, eps=self.eps, fused=True)


def decay_groups(
    model: nn.Module, others: list[nn.Parameter], weight_decay: float, decayed: Decayed
) -> list[dict[str, object]]:
    """The parameters of a network, and others learned beside it, for torch's optimisers: decayed ones, then the rest.

    Args:
        model: the bare network.
        others: go by their axes with "matrices", and decay otherwise.
        weight_decay: of those that decay.
    """
    left_out = _left_out(model, decayed)
    parameters = [*model.parameters(), *others]
    if decayed == "matrices":
        left_out |= {id(parameter) for parameter in parameters if parameter.ndim < 2}
    groups: list[dict[str, object]] = []
    for decay, wanted in ((weight_decay, False), (0.0, True)):
        chosen = [parameter for parameter in parameters if (id(parameter) in left_out) == wanted]
        if chosen:
            groups.append({"params": chosen, "weight_decay": decay})
    return groups


def _left_out(model: nn.Module, decayed: Decayed) -> set[int]:
    """Parameters of the network that do not decay, beside those with fewer than two axes."""
    found: set[int] = set()
    for module in model.modules():
        if decayed == "layers" and isinstance(module, NORMS):
            found |= {id(parameter) for parameter in module.parameters(recurse=False)}
        named = getattr(module, "no_weight_decay", None)
        if decayed == "matrices" and callable(named):
            names = set(named())
            found |= {id(parameter) for name, parameter in module.named_parameters() if name in names}
    return found
