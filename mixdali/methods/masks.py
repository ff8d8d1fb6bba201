"""What the methods with a mask share."""

from dataclasses import dataclass, replace
from typing import Any

from mixdali.mix import PairMix
from mixdali.plan import Plan
from mixdali.worlds import World


@dataclass(frozen=True, kw_only=True)
class MaskMix(PairMix):
    """A method that weighs the own image pixel by pixel."""

    def fill(self, plan: Plan) -> Plan:
        if plan.mask is None:
            raise ValueError(f"{type(self).__name__} needs plan.mask: (N, H, W) float, the own pixels' weights")
        return plan if plan.weight is not None else replace(plan, weight=1.0 + 0.0 * plan.lam)


def bell(centre: Any, width: Any, world: World) -> tuple[Any, Any]:
    """exp(-d ** 2 / (2 * width ** 2)) for the distance d of every pixel from a centre, as its two factors.

    centre (N, 2) and width (N,) in pixels; the middle of the first pixel is at 0. -> (N, H) along the height and (N, W)
    along the width; the bell is their outer product, and its mean the product of their means.
    """
    factors = []
    for axis in (0, 1):
        distance = (world.row(axis) - world.each(world.at(centre, axis))) / world.each(width)
        factors.append(world.exp(distance * distance * -0.5))
    return factors[0], factors[1]
