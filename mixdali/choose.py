"""One of several methods for each image."""

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import accumulate
from typing import Any

from mixdali.draws import Draws
from mixdali.mix import Mix, Per
from mixdali.plan import Plan
from mixdali.worlds import World


@dataclass(frozen=True)
class Choose(Mix):
    """For each image (`per="batch"`: for the batch) one of `mixes`, with the chances `weights`.

    weights  one number from 0 up for each member, on any scale; None: all alike.

    The members' own `per`, `prob` and `partner` go on to hold; members with the same partner rule share its draw. So
    `Choose([MixUp(alpha=0.8, per="batch"), CutMix(alpha=1.0, per="batch")], per="batch")` is timm's switch in its batch
    mode. Whatever the number of members, the images are blended once.

    Draws: pick (N,) in [0, 1), coin, partner, and those of member i under "i.name", as in "0.lam".
    """

    mixes: Sequence[Mix]
    weights: Sequence[float] | None = None
    _: KW_ONLY
    prob: float = 1.0
    per: Per = "image"

    def __post_init__(self) -> None:
        super().__post_init__()
        mixes = tuple(self.mixes)
        if not mixes or not all(isinstance(mix, Mix) for mix in mixes):
            raise TypeError(f"Choose: mixes must be one or more methods such as MixUp(), got {self.mixes!r}")
        weights = tuple(1.0 for _ in mixes) if self.weights is None else tuple(map(float, self.weights))
        if len(weights) != len(mixes) or not all(0 <= w < float("inf") for w in weights) or not sum(weights):
            raise ValueError(f"Choose: weights must be {len(mixes)} numbers from 0 up, not all 0, got {self.weights!r}")
        object.__setattr__(self, "mixes", mixes)
        object.__setattr__(self, "weights", weights)

    def plan(self, draws: Draws, world: World) -> Plan:
        hits = list(self._hits(draws.uniform("pick")))
        plans = [mix.fill(mix.plan(draws.member(i).per(mix.per), world)) for i, mix in enumerate(self.mixes)]
        whole = world.box(0 * world.size, world.size)
        boxes = [whole if plan.box is None else plan.box for plan in plans]
        masks = [1.0 if plan.mask is None else plan.mask for plan in plans]
        return Plan(
            partner=world.select(hits, [plan.partner for plan in plans]),
            lam=self.keep_some(draws, world, world.select(hits, [plan.lam for plan in plans])),
            box=world.select(hits, boxes) if any(plan.box is not None for plan in plans) else None,
            weight=self.keep_some(draws, world, world.select(hits, [plan.weight for plan in plans])),
            mask=self.keep_some(draws, world, world.select(hits, masks))
            if any(plan.mask is not None for plan in plans)
            else None,
        )

    def fill(self, plan: Plan) -> Plan:
        if plan.weight is None:
            raise ValueError("Choose cannot tell whose plan it is: plan.weight must be given, and plan.box for boxes")
        return plan

    def _hits(self, pick: Any) -> Iterator[Any]:
        """For each member 1.0 where it was picked and 0.0 elsewhere; the members share [0, 1) by their weights."""
        weights = self.weights or ()
        ends = [end / sum(weights) for end in accumulate(weights)]
        for start, end in zip([0.0, *ends[:-1]], [*ends[:-1], 2.0], strict=True):
            yield 1.0 * (pick >= start) * (pick < end)
