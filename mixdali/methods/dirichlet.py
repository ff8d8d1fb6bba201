"""mixup of more than two images."""

from dataclasses import dataclass
from typing import Any, ClassVar

from mixdali.checks import positive
from mixdali.draws import Draws
from mixdali.mix import PairMix
from mixdali.plan import Layer, Plan
from mixdali.worlds import World


@dataclass(frozen=True, kw_only=True)
class DirichletMixUp(PairMix):
    """Every pixel, and the target, is a weighted mean of several images; the weights ~ Dirichlet(alpha, ..., alpha).

    The input form of MultiMix: Venkataramanan et al., "Embedding Space Interpolation Beyond Mini-Batch, Beyond Pairs
    and Beyond Examples", NeurIPS 2023, arXiv:2311.05538. With two images it is `MixUp`.

    num_images  how many, the own one among them.
    alpha       above 0.
    partner     as elsewhere, but not "flip", which knows one partner only. In batches of fewer than num_images an image
                comes more than once.

    Draws: partner, kept1, kept2, ... (N,) in [0, 1], coin; partner.1, ... (N,) where they do not follow from `partner`.
    With weights w0 (the own one), w1, ... of sum 1, kept_k = (w0 + ... + w_(k-1)) / (w0 + ... + w_k), which is
    Beta(k * alpha, alpha) and independent of the others.
    """

    num_images: int = 3
    alpha: float = 1.0

    rules: ClassVar[tuple[str, ...]] = ("cycle", "permutation", "roll", "same_class", "other_class")

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("DirichletMixUp: alpha", self.alpha)
        if isinstance(self.num_images, bool) or not isinstance(self.num_images, int) or self.num_images < 2:
            raise ValueError(f"DirichletMixUp: num_images must be a whole number from 2 up, got {self.num_images!r}")

    def plan(self, draws: Draws, world: World) -> Plan:
        steps = range(1, self.num_images)
        kept = [self.keep_some(draws, world, draws.beta(f"kept{k}", k * self.alpha, self.alpha)) for k in steps]
        left: Any = 1.0  # what later images leave of an earlier one
        shares = []
        for share in reversed(kept):
            shares.append((1.0 - share) * left)
            left = share * left
        partners = draws.partners(self.partner, len(kept))
        _, *later = reversed(shares)
        more = zip(partners[1:], later, kept[1:], strict=True)
        return Plan(partners[0], left, weight=kept[0], more=tuple(Layer(p, s, weight=w) for p, s, w in more))

    def fill(self, plan: Plan) -> Plan:
        if plan.weight is None:
            raise ValueError("DirichletMixUp needs plan.weight, and plan.more for its other images")
        return plan
