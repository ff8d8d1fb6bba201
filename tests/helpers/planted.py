"""Mixing methods with a bug: those that libraries have shipped, and those that are easily made."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from mixdali import (
    CutMix,
    Cutout,
    DirichletMixUp,
    FMix,
    GMix,
    GridMix,
    HMix,
    MixUp,
    Mosaic,
    Noisy,
    Plan,
    RandomErasing,
    ResizeMix,
    SmoothMix,
)
from mixdali.draws import Draws
from mixdali.schedule import Alpha
from mixdali.worlds import World


class Wrapped:
    """A world with one thing changed."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world, name)


class HeightForWidth(Wrapped):
    @property
    def size(self) -> Any:
        return self.world.size.flip(0)


class NeverTheLastPlace(Wrapped):
    def pair(self, y: Any, x: Any) -> Any:
        pair = self.world.pair(y, x)
        return pair if y is x else pair * (self.world.size - 1) / self.world.size


class OneMinus:
    """Draws, of which one is taken for its inverse."""

    def __init__(self, draws: Draws, name: str) -> None:
        self.draws, self.name = draws, name

    def uniform(self, name: str) -> Any:
        return 1.0 - self.draws.uniform(name) if name == self.name else self.draws.uniform(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.draws, name)


# What images and targets have in common


@dataclass(frozen=True, kw_only=True)
class LamOfThePartner(MixUp):
    def fill(self, plan: Plan) -> Plan:
        return replace(plan, weight=1.0 - plan.lam)


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
class LamInHalfPrecision(MixUp):
    def apply(self, images: Any, targets: Any, plan: Plan, **_: Any) -> tuple[Any, Any]:
        other = replace(plan, lam=plan.lam.bfloat16())
        return super().apply(images, targets, plan)[0], super().apply(images, targets, other)[1]


@dataclass(frozen=True, kw_only=True)
class ImagesCutToBytes(MixUp):
    def apply(self, images: Any, targets: Any, plan: Plan, **_: Any) -> tuple[Any, Any]:
        images, targets = super().apply(images, targets, plan)
        return (images * 255).to(torch.uint8) / 255, targets


@dataclass(frozen=True, kw_only=True)
class LamOfTheUnclippedBox(CutMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        return replace(super().plan(draws, world), lam=self.lam(draws, world, self.alpha))


@dataclass(frozen=True, kw_only=True)
class LamOfTheUnclippedSize(ResizeMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        tau = self.scope[0] + (self.scope[1] - self.scope[0]) * draws.uniform("tau")
        return replace(super().plan(draws, world), lam=1 - tau**2)


@dataclass(frozen=True, kw_only=True)
class LamWithoutTheOutside(HMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        plan = super().plan(draws, world)
        return replace(plan, lam=1.0 - world.covered(plan.box))


@dataclass(frozen=True, kw_only=True)
class LamOfTheSpot(SmoothMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        plan = super().plan(draws, world)
        return replace(plan, lam=1.0 - plan.lam)


@dataclass(frozen=True, kw_only=True)
class LamOfTheGridAsDrawn(GridMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        return replace(super().plan(draws, world), lam=self.lam(draws, world, self.alpha))


@dataclass(frozen=True, kw_only=True)
class LamOfTheGaussianAsDrawn(GMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        return replace(super().plan(draws, world), lam=self.lam(draws, world, self.alpha))


@dataclass(frozen=True, kw_only=True)
class SharesOfTheFieldsSwapped(Mosaic):
    def plan(self, draws: Draws, world: World) -> Plan:
        plan = super().plan(draws, world)
        below, across, own = plan.more
        return replace(plan, more=(replace(below, share=across.share), replace(across, share=below.share), own))


@dataclass(frozen=True, kw_only=True)
class SharesInTheWrongOrder(DirichletMixUp):
    def plan(self, draws: Draws, world: World) -> Plan:
        plan = super().plan(draws, world)
        (last,) = plan.more
        return replace(plan, more=(replace(last, share=1.0 - plan.lam - last.share),))


# What is drawn


@dataclass(frozen=True, kw_only=True)
class ProbabilityTwice(MixUp):
    def keep_some(self, draws: Draws, world: World, kept: Any) -> Any:
        mixed = 1.0 * (draws.uniform("coin") < self.prob) * (draws.uniform("again") < self.prob)
        return world.select([mixed, 1.0 - mixed], [kept, 1.0])


@dataclass(frozen=True, kw_only=True)
class MixedWhereTheCoinIsTheProbability(MixUp):
    def mixed(self, draws: Draws, world: World) -> Any:
        return 1.0 * (draws.uniform("coin") <= self.prob)


@dataclass(frozen=True, kw_only=True)
class OnePlaceForTheBatch(CutMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        draws.per("batch").uniform("cy")  # a name stands for one draw: the plan takes this one
        draws.per("batch").uniform("cx")
        return super().plan(draws, world)


@dataclass(frozen=True, kw_only=True)
class PerImageWhateverIsAsked(CutMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        return super().plan(draws.per("image"), world)


@dataclass(frozen=True, kw_only=True)
class LastPlacesNeverDrawn(CutMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        return super().plan(draws, NeverTheLastPlace(world))


@dataclass(frozen=True, kw_only=True)
class LastCentresNeverDrawn(Cutout):
    def plan(self, draws: Draws, world: World) -> Plan:
        return super().plan(draws, NeverTheLastPlace(world))


@dataclass(frozen=True, kw_only=True)
class RatioOfGammaDraws(MixUp):
    """0 / 0 where both underflow, which they mostly do at a small alpha."""

    def lam(self, draws: Draws, world: World, alpha: Alpha, name: str = "lam") -> Any:
        shape = torch.full((world.data.shape[0],), float(alpha), dtype=torch.float32)
        one, other = (torch._standard_gamma(shape, generator=draws.source.rng) for _ in range(2))
        draws.uniform(name)
        return one / (one + other)


# What follows from the draws


@dataclass(frozen=True, kw_only=True)
class SidesSwapped(CutMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        return super().plan(draws, HeightForWidth(world))


@dataclass(frozen=True, kw_only=True)
class SidesOfTheResizedSwapped(ResizeMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        return super().plan(draws, HeightForWidth(world))


@dataclass(frozen=True, kw_only=True)
class CutShareForKeptShare(CutMix):
    def keep_some(self, draws: Draws, world: World, kept: Any) -> Any:
        return 1.0 - kept


@dataclass(frozen=True, kw_only=True)
class RatioMeansItsInverse(HMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        return HMix(ratio=1 - self.ratio).plan(draws, world)


@dataclass(frozen=True, kw_only=True)
class SizeMeansItsInverse(ResizeMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        return super().plan(OneMinus(draws, "tau"), world)


@dataclass(frozen=True, kw_only=True)
class MaskOfThePartner(FMix):
    def plan(self, draws: Draws, world: World) -> Plan:
        plan = super().plan(draws, world)
        return replace(plan, mask=1.0 - plan.mask, lam=1.0 - plan.lam)


@dataclass(frozen=True, kw_only=True)
class AspectOfWidthByHeight(RandomErasing):
    def sides(self, draws: Draws, world: World) -> Any:
        return super().sides(draws, world).flip(-1)


@dataclass(frozen=True)
class NoiseNotCentred(Noisy):
    def plan(self, draws: Draws, world: World) -> Plan:
        plan = super().plan(draws, world)
        return replace(plan, scale=1.0 + (plan.scale - 1.0).abs())
