"""CutMix."""

from dataclasses import dataclass

from mixdali.checks import boolean, fraction, growing
from mixdali.draws import Draws
from mixdali.methods.boxes import BoxMix, clipped_box, drawn_place, inside_box, place_of
from mixdali.plan import Plan
from mixdali.schedule import Alpha, check_alpha
from mixdali.worlds import World


@dataclass(frozen=True, kw_only=True)
class CutMix(BoxMix):
    """A box of the partner's pixels on the own image; lam is the share of the own pixels that are left.

    Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019,
    arXiv:1905.04899, section 3.1; clovaai/CutMix-PyTorch, train.py. As the official code: `per="batch",
    partner="permutation"`.

    alpha        the law of the drawn lam, as in `MixUp`; the box has the share 1 - lam of the image before it is cut
                 off at the border. Its sides are int(side * sqrt(1 - lam)), its centre is any pixel.
    inside       True: the box is never cut off but moved inside, each place as likely.
    correct_lam  True: the target's weight is measured from the box as it lies, so that it says what is seen; its mean
                 is 0.68 to 0.70 for alpha = 1. False: the target gets the drawn lam, as in the first version of the
                 official code and in timm with correct_lam=False; then the own image is on average worth more pixels
                 than its target says.

    Draws: partner, lam (N,) in [0, 1], cy and cx (N,) in [0, 1) or pixels: the box's centre as a share of height and
    width (with inside=True its place among those that are possible, or its first pixel), coin.
    """

    alpha: Alpha = 1.0
    inside: bool = False
    correct_lam: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha("CutMix: alpha", self.alpha)
        boolean("CutMix: inside", self.inside)
        boolean("CutMix: correct_lam", self.correct_lam)

    def plan(self, draws: Draws, world: World) -> Plan:
        kept = self.keep_some(draws, world, self.lam(draws, world, self.alpha))
        share = world.sqrt(1.0 - kept)
        sides = world.floor(world.pair(share, share) * world.size)
        if self.inside:
            box = inside_box(sides, drawn_place(draws, world.size - sides + 1.0, world), world)
        else:
            box = clipped_box(sides, drawn_place(draws, world.size, world), world)
        return Plan(draws.partner(self.partner), 1.0 - world.covered(box) if self.correct_lam else kept, box)


@dataclass(frozen=True, kw_only=True)
class CutMixMinMax(BoxMix):
    """CutMix with a box whose sides are drawn apart, each uniform between two shares of the image's side.

    This is `cutmix_minmax` of timm (timm/data/mixup.py): sides are whole numbers from int(size * min) to
    int(size * max) - 1, places whole numbers that leave the box inside and never touching the far border, lam is
    measured. If int(size * max) is not above int(size * min), the side is int(size * min).

    minmax  two shares in [0, 1], growing.

    Draws: partner, height and width (N,) in [0, 1): which of the sides, cy and cx (N,) in [0, 1): which of the places,
    or the box's first pixel, coin.
    """

    minmax: tuple[float, float] = (0.2, 0.8)

    def __post_init__(self) -> None:
        super().__post_init__()
        growing("CutMixMinMax: minmax", self.minmax, fraction)

    def plan(self, draws: Draws, world: World) -> Plan:
        low, high = (world.floor(world.size * share) for share in self.minmax)
        choices = world.clamp(high - low, 1.0, world.size)
        drawn = world.pair(draws.uniform("height"), draws.uniform("width"))
        sides = low + place_of(drawn, choices, world)
        mixed = self.mixed(draws, world)
        sides = sides * world.pair(mixed, mixed)
        free = world.clamp(world.size - sides, 1.0, world.size)
        start = place_of(drawn_place(draws, free, world), free, world)
        box = world.box(start, start + sides)
        return Plan(draws.partner(self.partner), 1.0 - world.covered(box), box)
