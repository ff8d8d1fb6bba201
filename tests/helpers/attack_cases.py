"""Attacks to test, and what they read back from the device."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helpers.nets import seeded
from train.attacks import APGD, FGSM, PGD

EPS = 8 / 255
LINF = PGD(eps=EPS, step_size=2 / 255, num_steps=5)
L2 = PGD(norm="L2", eps=0.5, step_size=0.1, num_steps=5)


def uniform(*shape: int, width: float = EPS, seed: int = 2) -> Tensor:
    return (2 * torch.rand(shape, generator=seeded(seed), dtype=torch.float64) - 1) * width


ATTACKS = {
    "linf": LINF,
    "l2": L2,
    "l2-box-first": PGD(norm="L2", eps=0.5, step_size=0.3, num_steps=4, box_first=True),
    "adam": PGD(eps=EPS, step_size=0.1, num_steps=6, step="adam", drops=(3,)),
    "adam-l2": PGD(norm="L2", eps=0.5, step_size=0.1, num_steps=4, step="adam"),
    "gaussian": PGD(eps=0.031, step_size=0.007, num_steps=3, start="gaussian", project_start=False),
    "none": PGD(eps=EPS, step_size=2 / 255, num_steps=3, start="none"),
    "restarts": PGD(eps=EPS, step_size=2 / 255, num_steps=3, restarts=2),
    "fgsm": FGSM(eps=EPS, step_size=10 / 255),
    "apgd": APGD(eps=EPS, num_steps=8),
    "apgd-l2": APGD(norm="L2", eps=0.5, num_steps=8),
}
every_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


class Reads(TorchDispatchMode):
    """Counts the operations that make the host wait for a GPU."""

    waiting = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "unique", "masked_select", "index_put")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").partition(".")[0]
        if name.strip("_") in [word.strip("_") for word in self.waiting]:
            self.found.append(name)
        return func(*args, **(kwargs or {}))
