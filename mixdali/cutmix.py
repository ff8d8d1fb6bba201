"""CutMix."""

from dataclasses import dataclass, replace
from typing import Any

from mixdali.checks import positive
from mixdali.draws import Draws
from mixdali.mix import PairMix
from mixdali.plan import Plan
from mixdali.worlds import World


@dataclass(frozen=True, kw_only=True)
class CutMix(PairMix):
    """A box of the partner's pixels on the own image; lam is the share of the own pixels that are left.

    Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019,
    arXiv:1905.04899, section 3.1; clovaai/CutMix-PyTorch, train.py. Boxes follow the official code: see `cutmix_box`.
    lam ~ Beta(alpha, alpha) only sets the size of the box: what the target gets is measured from the box as it was
    clipped, so its mean is 0.68 to 0.70 for alpha = 1. As the official code: `per="batch", partner="permutation"`.

    Draws: partner, lam (N,) in [0, 1], cy and cx (N,) in [0, 1): the box's centre as a share of height and width, coin.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("CutMix: alpha", self.alpha, instead="; not to mix at all, use prob=0")

    def plan(self, draws: Draws, world: World) -> Plan:
        kept = self.keep_some(draws, world, draws.beta("lam", self.alpha))
        box = cutmix_box(kept, draws.uniform("cy"), draws.uniform("cx"), world)
        return Plan(draws.partner(self.partner), 1.0 - world.covered(box), box)

    def fill(self, plan: Plan) -> Plan:
        if plan.box is None:
            raise ValueError("CutMix needs plan.box: (N, 4) int, y0, x0, y1, x1, half-open")
        return plan if plan.weight is not None else replace(plan, weight=0.0 * plan.lam)


def cutmix_box(lam: Any, cy: Any, cx: Any, world: World) -> Any:
    """The official box (N, 4), y0, x0, y1, x1 in whole pixels, half-open, clipped to the image.

    lam (N,) is the share to be kept before clipping, cy and cx (N,) in [0, 1) are the centre. Along each axis the side
    is 2 * (int(size * sqrt(1 - lam)) // 2) and the centre one of the `size` pixels, each as likely.
    """
    share = (1.0 - lam) ** 0.5
    half = world.floor(world.floor(world.pair(share, share) * world.size) * 0.5)
    # in float32 a draw just below 1 times the size can round up to the size itself
    middle = world.clamp(world.floor(world.pair(cy, cx) * world.size), 0, world.size - 1)
    return world.box(world.clamp(middle - half, 0, world.size), world.clamp(middle + half, 0, world.size))
