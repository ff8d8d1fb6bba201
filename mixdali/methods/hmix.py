"""HMix."""

from dataclasses import dataclass

from mixdali.checks import fraction
from mixdali.draws import Draws
from mixdali.methods.boxes import BoxMix, clipped_box, drawn_place
from mixdali.plan import Plan
from mixdali.schedule import Alpha, check_alpha
from mixdali.worlds import World


@dataclass(frozen=True, kw_only=True)
class HMix(BoxMix):
    """CutMix in a box and mixup around it, so that lam of the whole image is the own one's.

    Park et al., "A Unified Analysis of Mixed Sample Data Augmentation: A Loss Function Perspective", NeurIPS 2022,
    arXiv:2208.09913, section 5; naver-ai/hmix-gmix. As the official code: `per="batch", partner="permutation"`.

    alpha  the law of lam, as in `MixUp`.
    ratio  of what is the partner's the share that its box has, in [0, 1]: 1 is CutMix, 0 mixup. The sides are
           int(side * sqrt(1 - lam) * sqrt(ratio)); where the border cuts the box off, more is mixed around it.

    Draws: partner, lam (N,) in [0, 1], cy and cx (N,) in [0, 1) or pixels: the box's centre, coin.
    """

    alpha: Alpha = 1.0
    ratio: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha("HMix: alpha", self.alpha)
        fraction("HMix: ratio", self.ratio)

    def plan(self, draws: Draws, world: World) -> Plan:
        kept = self.keep_some(draws, world, self.lam(draws, world, self.alpha))
        share = world.sqrt(1.0 - kept) * self.ratio**0.5
        sides = world.floor(world.pair(share, share) * world.size)
        box = clipped_box(sides, drawn_place(draws, world.size, world), world)
        around = 1.0 - world.covered(box)
        # with ratio = 1 and no rounding the quotient is 1; a box of the whole image has nothing around it
        outside = world.clamp(kept / world.clamp(around, 1e-6, 1.0), 0.0, 1.0)
        return Plan(draws.partner(self.partner), outside * around, box, outside=outside)
