"""The randomness of objectives: from the generator they are given, and without waiting for the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixdali import derive_seed
from mixdali.draws import FINITE, WEIGHT, Law, check_law, check_partner, whole_between
from mixdali.names import nearest
from mixdali.worlds.tensor_draws import log_gamma, read_draw

Draws = dict[str, Tensor]
"""All the randomness of a training step, by name."""


class Made(Draws):
    """Draws that their objective made, of which nothing is read back from the device."""


@dataclass(frozen=True)
class Expected:
    """What a draw must be that is given to an objective."""

    shape: tuple[int, ...] | None
    """None: any, as of noise for hidden values. Of (N,) one number may be given for all."""
    check: Law | Callable[[str, Tensor], None] = FINITE
    """Raises ValueError for values that it cannot have."""
    needed: bool = True
    """Whether it must be there, where any are given."""


def expected_partner(count: int) -> Expected:
    return Expected((count,), lambda name, values: check_partner(f"draw {name}", values, count))


def expected_index(count: int) -> Expected:
    """() a whole number from 0 to count - 1."""
    return Expected((), whole_between(0, count - 1))


def expected_mix(count: int) -> dict[str, Expected]:
    """Of `draw_mix`."""
    return {"lam": Expected((), WEIGHT), "partner": expected_partner(count)}


def taken(owner: str, given: Mapping[str, Any], expected: Mapping[str, Expected], device: torch.device) -> Made:
    """Draws that somebody gives, as tensors on the device of the images, numbers for the batch where they are.

    ValueError or TypeError, in one line, for names that the objective does not draw, missing ones, and values of
    another shape or out of range.
    """
    for name in given:
        if name not in expected:
            raise TypeError(f"{owner} has no draw {name}; {nearest(name, list(expected), list(expected))}")
    missing = [name for name, wanted in expected.items() if wanted.needed and name not in given]
    if missing:
        raise ValueError(f"{owner} needs the draws {', '.join(expected)}; {', '.join(missing)} was not given")
    made = Made()
    for name, value in given.items():
        wanted, tensor = expected[name], read_draw(name, value)
        if wanted.shape is not None and len(wanted.shape) == 1 and tensor.shape in ((), (1,)):
            tensor = tensor.expand(wanted.shape)
        if wanted.shape is not None and tensor.shape != wanted.shape:
            raise ValueError(f"draw {name} must have the shape {wanted.shape}, got {tuple(tensor.shape)}")
        if isinstance(wanted.check, Law):
            check_law(name, tensor, wanted.check)
        else:
            wanted.check(name, tensor)
        made[name] = tensor if tensor.ndim == 0 else tensor.to(device)
    return made


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
