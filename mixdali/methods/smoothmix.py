"""SmoothMix."""

from dataclasses import dataclass

from mixdali.checks import growing, positive
from mixdali.draws import Draws
from mixdali.methods.boxes import drawn_place, place_of
from mixdali.methods.masks import MaskMix, bell
from mixdali.plan import Plan
from mixdali.worlds import World


@dataclass(frozen=True, kw_only=True)
class SmoothMix(MaskMix):
    """The partner shows through a soft round spot: its weight is a Gaussian around a random place.

    Lee et al., "SmoothMix: a Simple Yet Effective Data Augmentation to Train Robust Classifiers", CVPR Workshops 2020;
    Westlake-AI/openmixup, smoothmix.py. As that code: `per="batch", partner="permutation"`. The partner's weight is the
    mean of the spot and the own image's what is left; that code gives the first label the spot's mean, the wrong way
    round.

    spread  the Gaussian's width is U(spread) of the image's height, growing shares above 0.

    Draws: partner, spread (N,) in [0, 1): where in the range, cy and cx (N,) in [0, 1) or pixels: the pixel whose
    upper left corner is the centre, as in that code, coin.
    """

    spread: tuple[float, float] = (0.25, 0.5)

    def __post_init__(self) -> None:
        super().__post_init__()
        growing("SmoothMix: spread", self.spread, positive)

    def plan(self, draws: Draws, world: World) -> Plan:
        low, high = self.spread
        width = (low + (high - low) * draws.uniform("spread")) * world.at(world.size, 0)
        # Between four pixels: half a pixel before the middle of the one drawn.
        centre = place_of(drawn_place(draws, world.size, world), world.size, world) - 0.5
        rows, columns = bell(centre, width, world)
        mixed = self.mixed(draws, world)
        lam = 1.0 - mixed * (world.mean(rows) * world.mean(columns))
        mask = world.outer(1.0, rows * world.each(0.0 - mixed), columns)
        return Plan(draws.partner(self.partner), lam, mask=mask)
