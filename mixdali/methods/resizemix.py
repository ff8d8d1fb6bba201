"""ResizeMix."""

from dataclasses import dataclass

from mixdali.checks import fraction, growing
from mixdali.draws import Draws
from mixdali.methods.boxes import BoxMix, clipped_box, drawn_place
from mixdali.plan import Plan
from mixdali.worlds import World


@dataclass(frozen=True, kw_only=True)
class ResizeMix(BoxMix):
    """The whole partner, made small, in a box on the own image; lam is the share of the own pixels that are left.

    Qin et al., "ResizeMix: Mixing Data with Preserved Object Information and True Labels", arXiv:2012.11101;
    Westlake-AI/openmixup, resizemix.py. As that code: `per="batch", partner="permutation"`. The paper does not say what
    happens at the border; as there, the box is cut off and the whole partner is resized to what is left of it. A pixel
    shows the one of the partner's that its centre falls into; that code takes the one that its corner falls into, and
    mixes up width and height for images that are not square.

    scope  the box's sides are int(side * tau), tau ~ U(scope): shares in [0, 1], growing.

    Draws: partner, tau (N,) in [0, 1): where in the scope, cy and cx (N,) in [0, 1) or pixels: the box's centre,
    coin.
    """

    scope: tuple[float, float] = (0.1, 0.8)

    def __post_init__(self) -> None:
        super().__post_init__()
        growing("ResizeMix: scope", self.scope, fraction)

    def plan(self, draws: Draws, world: World) -> Plan:
        low, high = self.scope
        tau = self.mixed(draws, world) * (low + (high - low) * draws.uniform("tau"))
        sides = world.floor(world.pair(tau, tau) * world.size)
        box = clipped_box(sides, drawn_place(draws, world.size, world), world)
        return Plan(
            draws.partner(self.partner), 1.0 - world.covered(box), box, region=world.box(0.0 * world.size, world.size)
        )

    def fill(self, plan: Plan) -> Plan:
        plan = super().fill(plan)
        if plan.region is None:
            raise ValueError("ResizeMix needs plan.region: (N, 4) int, the part of the partner shown in the box")
        return plan
