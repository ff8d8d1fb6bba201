"""Where the boxes of box methods lie, and what these methods share."""

from dataclasses import dataclass, replace
from typing import Any

from mixdali.draws import Draws
from mixdali.mix import PairMix
from mixdali.plan import Plan
from mixdali.worlds import World


@dataclass(frozen=True, kw_only=True)
class BoxMix(PairMix):
    """A method that shows the partner in a box and nothing of the own image there."""

    def fill(self, plan: Plan) -> Plan:
        if plan.box is None:
            raise ValueError(f"{type(self).__name__} needs plan.box: (N, 4) int, y0, x0, y1, x1, half-open")
        return plan if plan.weight is not None else replace(plan, weight=0.0 * plan.lam)


def place_of(share: Any, size: Any, world: World) -> Any:
    """One of the pixels 0 to size - 1, each as likely, for a share in [0, 1)."""
    # in float32 a draw just below 1 times the size can round up to the size itself
    return world.clamp(world.floor(share * size), 0.0, size - 1.0)


def drawn_place(draws: Draws, number: Any, world: World, names: tuple[str, str] = ("cy", "cx")) -> Any:
    """(N, 2) the draws of a place, shares in [0, 1) that stand for one of so many pixels, `number` (N, 2) or (2,)."""
    return world.pair(*(draws.place(name, world.at(number, axis)) for axis, name in enumerate(names)))


def clipped_box(sides: Any, centre: Any, world: World) -> Any:
    """A box (N, 4) around a pixel, y0, x0, y1, x1, half-open, cut off where it leaves the image.

    sides (N, 2) in whole pixels, of which 2 * (side // 2) are used, as CutMix's official code does; centre (N, 2) in
    [0, 1).
    """
    half = world.floor(sides * 0.5)
    middle = place_of(centre, world.size, world)
    return world.box(world.clamp(middle - half, 0.0, world.size), world.clamp(middle + half, 0.0, world.size))


def inside_box(sides: Any, place: Any, world: World) -> Any:
    """A box (N, 4) of these sides, in whole pixels, wholly inside the image, every place as likely; place in [0, 1)."""
    start = place_of(place, world.size - sides + 1.0, world)
    return world.box(start, start + sides)
