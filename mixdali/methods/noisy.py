"""Noise on mixed images."""

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from mixdali.checks import boolean, positive
from mixdali.draws import Draws
from mixdali.mix import Layout, Mix, Per
from mixdali.plan import Plan
from mixdali.schedule import Ramp
from mixdali.worlds import World, world_of
from mixdali.worlds.output import UNCHANGED, Output


@dataclass(frozen=True)
class Noisy(Mix):
    """A mix, and then noise on every pixel: x (1 + multiplicative b_m (2 u - 1)) + additive b_a g. Targets get none.

    The input layer of Noisy Feature Mixup: Lim et al., ICLR 2022, arXiv:2110.02180; erichson/NFM. g ~ N(0, 1) and
    u ~ U(0, 1) for every pixel, b_a and b_m ~ Beta(2, 5) for every image (`per="batch"`: for the batch, as there).

    mix             what comes first; `MixUp(prob=0)` for noise alone.
    additive,       from 0 up, in units of the pixels: the authors' levels, 0.4 and 0.2, are for normalised images.
    multiplicative  Their deviation before that is about 0.25, so that additive=0.1 comes near.
    clip            True: the result is cut to [0, 1], since that is what images are here. False, as the authors' code:
                    it is not; also for images that were normalised.
    prob            chance that there is noise; the mix has its own.

    Draws: additive, multiplicative (N,) in [0, 1]: b_a and b_m; g, u (N, C, H, W); coin; those of the mix under
    "mix.name", and partner. A value for every pixel is drawn, which costs more than all mixing does.
    """

    mix: Mix
    _: KW_ONLY
    prob: float | Ramp = 1.0
    per: Per = "image"
    start_epoch: int = 0
    stop_epoch: int | None = None
    additive: float = 0.1
    multiplicative: float = 0.2
    clip: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.mix, Mix):
            raise TypeError(f"Noisy: mix must be a method such as MixUp(), got {self.mix!r}")
        for name in ("additive", "multiplicative"):
            if getattr(self, name) != 0:
                positive(f"Noisy: {name}", getattr(self, name), "; for none, use 0")
        boolean("Noisy: clip", self.clip)

    def plan(self, draws: Draws, world: World) -> Plan:
        inner = replace(draws, prefix=f"{draws.prefix}mix.", each=self.mix.per)
        plan = self.mix.fill(self.mix.plan(inner, world))
        mixed = self.mixed(draws, world)
        if self.additive:
            level = mixed * self.additive * draws.beta("additive", 2.0, 5.0)
            plan = replace(plan, noise=world.each(level, 3) * draws.pixels("g", "normal"))
        if self.multiplicative:
            level = mixed * self.multiplicative * draws.beta("multiplicative", 2.0, 5.0)
            scale = 1.0 + world.each(level, 3) * (2.0 * draws.pixels("u", "uniform") - 1.0)
            plan = replace(plan, scale=scale)
        return plan

    def fill(self, plan: Plan) -> Plan:
        return self.mix.fill(plan)

    def _apply(self, images: Any, targets: Any, plan: Plan, layout: Layout | None, output: Output) -> tuple[Any, Any]:
        if not self.clip:
            return super()._apply(images, targets, plan, layout, output)
        images, targets = super()._apply(images, targets, plan, layout, UNCHANGED)
        world = world_of(images, "CHW")
        clipped = world.clamp(images, 0.0, 1.0)
        return (clipped if output == UNCHANGED else world.call(world.to_float, clipped, output)), targets
