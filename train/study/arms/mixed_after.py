"""The mixing of timm and of torchvision behind the loader, with the network and the loop of every other recipe.

One weight a batch, from Beta(alpha, alpha), as those two draw it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from train.objectives import CrossEntropy, Objective
from train.objectives.batch import Batch
from train.objectives.objective import Draws, Metrics, checked_draws
from train.objectives.parts.draws import Expected
from train.recipes import baseline

LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class MixedAfter(Objective):
    """The cross-entropy of a batch that another library has mixed.

    Draws: `seed` (), of the generators of numpy and torch that the library takes its weight from.
    """

    by: Literal["timm", "torchvision"]
    kind: Literal["mixup", "cutmix"]
    alpha: float = 1.0

    needs_clean = "mixes by itself"

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("images", "targets", "labels")

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        return {"seed": torch.randint(LARGEST_SEED, (), generator=generator, device=generator.device)}

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        return {"seed": Expected(())}

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        draws = checked_draws(self, batch, draws)
        assert batch.labels is not None
        mix = (_timm if self.by == "timm" else _torchvision)(self.kind, self.alpha, batch.targets.shape[1])
        with global_generators(int(draws["seed"])):
            images, targets = mix(batch.images.clone(), batch.labels.long())
        return CrossEntropy()(model, replace(batch, images=images, targets=targets), state)


Mixed = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _timm(kind: str, alpha: float, num_classes: int) -> Mixed:
    from timm.data import Mixup

    alphas = (
        {"mixup_alpha": alpha, "cutmix_alpha": 0.0} if kind == "mixup" else {"mixup_alpha": 0.0, "cutmix_alpha": alpha}
    )
    return Mixup(**alphas, prob=1.0, mode="batch", label_smoothing=0.0, num_classes=num_classes)


def _torchvision(kind: str, alpha: float, num_classes: int) -> Mixed:
    from torchvision.transforms import v2

    return (v2.MixUp if kind == "mixup" else v2.CutMix)(alpha=alpha, num_classes=num_classes)


@contextmanager
def global_generators(seed: int) -> Iterator[None]:
    """Numpy's and torch's own generators begin at `seed` inside the block, and go on after it where they were."""
    before = np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)
            yield
    finally:
        np.random.set_state(before)


recipe = replace(baseline.small, objective=MixedAfter(by="timm", kind="mixup"))
timm_cutmix = replace(recipe, objective=MixedAfter(by="timm", kind="cutmix"))
torchvision_mixup = replace(recipe, objective=MixedAfter(by="torchvision", kind="mixup"))
torchvision_cutmix = replace(recipe, objective=MixedAfter(by="torchvision", kind="cutmix"))
