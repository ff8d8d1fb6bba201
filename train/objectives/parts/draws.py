"""The randomness of objectives: from the generator they are given, and without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor

from mixdali import derive_seed
from mixdali.worlds.tensor import log_gamma

Draws = dict[str, Tensor]
"""All the randomness of a training step, by name."""


def host_generator(generator: torch.Generator) -> torch.Generator:
    """A generator on the CPU for the numbers that Python must know, such as which layer is mixed.

    On the CPU that is `generator` itself. A GPU's generator keeps its state on the host, so another one is seeded from
    that without waiting for the GPU, and the GPU's moves on by one draw.
    """
    if generator.device.type == "cpu":
        return generator
    seed = derive_seed(0, generator.get_state().numpy().tobytes().hex())
    torch.rand((), generator=generator, device=generator.device)
    return torch.Generator().manual_seed(seed)


def draw_index(count: int, generator: torch.Generator) -> Tensor:
    """() int64 on the generator's device, each of 0 to count - 1 as likely."""
    return torch.randint(count, (), generator=generator, device=generator.device)


def draw_permutation(count: int, generator: torch.Generator) -> Tensor:
    """(count,) int64 on the generator's device: any permutation, fixed points allowed, as the papers' code has it."""
    return torch.randperm(count, generator=generator, device=generator.device)


def draw_beta(alpha: float, beta: float, generator: torch.Generator, shape: tuple[int, ...] = ()) -> Tensor:
    """Beta(alpha, beta), float64 on the generator's device. Both may be tiny: the draws are then 0 and 1."""
    first, second = (
        log_gamma(torch.full(shape, value, dtype=torch.float64, device=generator.device), generator)
        for value in (alpha, beta)
    )
    return torch.sigmoid(first - second)


def draw_lam(alpha: float, generator: torch.Generator) -> Tensor:
    """() float64: Beta(alpha, alpha), and 1 for alpha = 0, as the papers' code has it."""
    if alpha == 0:
        return torch.ones((), dtype=torch.float64, device=generator.device)
    return draw_beta(alpha, alpha, generator)


def draw_mix(alpha: float, count: int, generator: torch.Generator) -> Draws:
    """`lam` () for a batch and a `partner` (count,) for each of its images."""
    return {"lam": draw_lam(alpha, host_generator(generator)), "partner": draw_permutation(count, generator)}


def draw_dirichlet(alpha: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """alpha (n,) above 0 -> (n, count) float64; row n is Dirichlet(alpha[n], ..., alpha[n])."""
    rows = alpha.to(generator.device, torch.float64).unsqueeze(1).expand(-1, count)
    return torch.softmax(log_gamma(rows, generator), dim=1)
