"""mixup."""

from dataclasses import dataclass, replace

from mixdali.draws import Draws
from mixdali.mix import PairMix
from mixdali.plan import Plan
from mixdali.schedule import Alpha, check_alpha
from mixdali.worlds import World


@dataclass(frozen=True, kw_only=True)
class MixUp(PairMix):
    """Every pixel, and the target, is lam of the own image and 1 - lam of the partner's; lam ~ Beta(alpha, alpha).

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, arXiv:1710.09412, section 2;
    facebookresearch/mixup-cifar10, train.py. As the official code: `per="batch", partner="permutation"`.
    The official code reads alpha <= 0 as "do not mix"; here it is refused, `prob=0` says that.

    alpha  above 0; or (a, b) of Beta(a, b), a `Ramp` over the epochs, or `Fixed(lam)`. 1 is the uniform law.

    Draws: partner, lam (N,) in [0, 1], coin.
    """

    alpha: Alpha = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha("MixUp: alpha", self.alpha)

    def plan(self, draws: Draws, world: World) -> Plan:
        return Plan(draws.partner(self.partner), self.keep_some(draws, world, self.lam(draws, world, self.alpha)))

    def fill(self, plan: Plan) -> Plan:
        return plan if plan.weight is not None else replace(plan, weight=plan.lam)
