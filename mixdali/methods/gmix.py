"""GMix."""

from dataclasses import dataclass
from math import pi

from mixdali.draws import Draws
from mixdali.methods.boxes import drawn_place, place_of
from mixdali.methods.masks import MaskMix, bell
from mixdali.plan import Plan
from mixdali.schedule import Alpha, check_alpha
from mixdali.worlds import World


@dataclass(frozen=True, kw_only=True)
class GMix(MaskMix):
    """The image with the smaller share shows through a soft round spot, a Gaussian of that area.

    Park et al., "A Unified Analysis of Mixed Sample Data Augmentation: A Loss Function Perspective", NeurIPS 2022,
    arXiv:2208.09913, section 5; naver-ai/hmix-gmix. As the official code: `per="batch", partner="permutation"`.
    The spot is exp(-pi d ** 2 / (share * area)), whose integral is the share; where the border cuts it off it is
    less, and the target's weight is measured from what is left. The official code takes height ** 2 for the area, which
    is the same for square images.

    alpha  the law of lam before it is measured, as in `MixUp`.

    Draws: partner, lam (N,) in [0, 1], cy and cx (N,) in [0, 1) or pixels: the centre, coin.
    """

    alpha: Alpha = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha("GMix: alpha", self.alpha)

    def plan(self, draws: Draws, world: World) -> Plan:
        drawn = self.lam(draws, world, self.alpha)
        own_is_smaller = world.hit(drawn < 0.5)
        share = world.select([own_is_smaller, 1.0 - own_is_smaller], [drawn, 1.0 - drawn])
        area = world.at(world.size, 0) * world.at(world.size, 1)
        # a spot of no size would be a division by zero: it is one pixel at the least
        width = world.sqrt(world.clamp(share * area, 1.0, area) * (0.5 / pi))
        centre = place_of(drawn_place(draws, world.size, world), world.size, world)
        rows, columns = bell(centre, width, world)
        # the own weight is spot where the own image is the smaller and 1 - spot where it is not; unmixed it is 1
        mixed = self.mixed(draws, world)
        base, slope = 1.0 - mixed * own_is_smaller, mixed * (2.0 * own_is_smaller - 1.0)
        lam = base + slope * (world.mean(rows) * world.mean(columns))
        mask = world.outer(base, rows * world.each(slope), columns)
        return Plan(draws.partner(self.partner), lam, mask=mask)
