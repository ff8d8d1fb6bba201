"""Bugs that mixing libraries have shipped, planted here: the tests of the claims notice every one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import reference
import torch
from test_laws import assert_beta, assert_independent, assert_official_boxes, assert_share_mixed, torch_draws
from test_painted import assert_target_follows_pixels
from worlds import torch_mix

from mixdali import CutMix, Mix, MixUp, Plan
from mixdali.draws import Draws
from mixdali.worlds import World


@dataclass(frozen=True, kw_only=True)
class LamOfThePartner(MixUp):
    def fill(self, plan: Plan) -> Plan:
        return replace(plan, weight=1.0 - plan.lam)


@dataclass(frozen=True, kw_only=True)
class LamOfTheUnclippedBox(CutMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        return replace(super().plan(draws, world), lam=self.lam(draws, world, self.alpha))


@dataclass(frozen=True, kw_only=True)
class AnotherPartnerForTheTarget(MixUp):
    def apply(self, images: Any, targets: Any, plan: Plan, **_: Any) -> tuple[Any, Any]:
        other = replace(plan, partner=plan.partner.roll(1))
        return super().apply(images, targets, plan)[0], super().apply(images, targets, other)[1]


@dataclass(frozen=True, kw_only=True)
class AnotherLamForTheTarget(MixUp):
    def apply(self, images: Any, targets: Any, plan: Plan, **_: Any) -> tuple[Any, Any]:
        other = replace(plan, lam=plan.lam.roll(1))
        return super().apply(images, targets, plan)[0], super().apply(images, targets, other)[1]


@dataclass(frozen=True, kw_only=True)
class ProbabilityTwice(MixUp):
    def keep_some(self, draws: Draws, world: World, kept: Any) -> Any:
        mixed = 1.0 * (draws.uniform("coin") < self.prob) * (draws.uniform("again") < self.prob)
        return world.select([mixed, 1.0 - mixed], [kept, 1.0])


@dataclass(frozen=True, kw_only=True)
class OnePlaceForTheBatch(CutMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        draws.per("batch").uniform("cy")  # a name stands for one draw: the plan takes this one
        draws.per("batch").uniform("cx")
        return super().plan(draws, world)


class Wrapped:
    """A world with one thing changed."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world, name)


class NeverTheLastPlace(Wrapped):
    def pair(self, y: Any, x: Any) -> Any:
        pair = self.world.pair(y, x)
        return pair if y is x else pair * (self.world.size - 1) / self.world.size


class HeightForWidth(Wrapped):
    @property
    def size(self) -> Any:
        return self.world.size.flip(0)


@dataclass(frozen=True, kw_only=True)
class LastPlacesNeverDrawn(CutMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        return super().plan(draws, NeverTheLastPlace(world))


@dataclass(frozen=True, kw_only=True)
class SidesSwapped(CutMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        return super().plan(draws, HeightForWidth(world))


@dataclass(frozen=True, kw_only=True)
class CutShareForKeptShare(CutMix):
    def keep_some(self, draws: Draws, world: World, kept: Any) -> Any:
        return 1.0 - kept


def painted(mix: Mix) -> None:
    assert_target_follows_pixels("torch", mix, 8, (7, 9))


def share_mixed(mix: Mix) -> None:
    assert_share_mixed(torch_draws(replace(mix, prob=0.3), 40, 50), 0.3)


def independent(mix: Mix) -> None:
    assert_independent(torch_draws(mix, 400, 4))


def official_boxes(mix: Mix) -> None:
    assert_official_boxes(torch_draws(mix, 40, 50))


def beta(mix: Mix) -> None:
    assert_beta(torch_draws(mix, 40, 50), 1.0)


def slow_reference(mix: Mix) -> None:
    """CutMix with given draws on an image that is not square."""
    images, targets = np.zeros((2, 7, 9, 1), np.uint8), np.eye(2, dtype=np.float32)
    box = torch_mix(mix, images, targets, lam=0.3, cy=3.5 / 7, cx=8.5 / 9).plan.box
    assert box[0].tolist() == list(reference.cutmix_box(0.3, 3, 8, 7, 9))


PLANTED = [
    (LamOfThePartner(), MixUp(), painted),
    (LamOfTheUnclippedBox(), CutMix(), painted),
    (AnotherPartnerForTheTarget(), MixUp(), painted),
    (AnotherLamForTheTarget(), MixUp(), painted),
    (ProbabilityTwice(), MixUp(), share_mixed),
    (OnePlaceForTheBatch(), CutMix(), independent),
    (LastPlacesNeverDrawn(), CutMix(), official_boxes),
    (SidesSwapped(), CutMix(), slow_reference),
    (CutShareForKeptShare(), CutMix(), slow_reference),
    (CutMix(alpha=0.2), CutMix(), official_boxes),
    (MixUp(alpha=0.2), MixUp(), beta),
]


@pytest.mark.parametrize(
    ("bug", "right", "claim"),
    PLANTED,
    ids=lambda value: type(value).__name__ if isinstance(value, Mix) else value.__name__,
)
def test_the_claim_notices_the_bug(bug: Mix, right: Mix, claim: Callable[[Mix], None]) -> None:
    claim(right)
    with pytest.raises(AssertionError):
        claim(bug)


def test_the_planted_mixes_run() -> None:
    """So that a bug is noticed by what it does, and not because it crashes."""
    images = torch.rand(4, 3, 7, 9)
    for bug, _, _ in PLANTED:
        bug(images, torch.eye(4))
