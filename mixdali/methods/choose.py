"""One of several methods for each image."""

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import accumulate
from typing import Any

from mixdali.draws import Draws
from mixdali.methods.erasing import Erasing
from mixdali.methods.noisy import Noisy
from mixdali.mix import Mix, Per
from mixdali.plan import Layer, Plan
from mixdali.schedule import Ramp
from mixdali.worlds import World


@dataclass(frozen=True)
class Choose(Mix):
    """For each image (`per="batch"`: for the batch) one of `mixes`, with the chances `weights`.

    weights  one number from 0 up for each member, on any scale; None: all alike.

    The members' own `per`, `prob` and `partner` go on to hold; members with the same partner rule share its draw. So
    `Choose([MixUp(alpha=0.8, per="batch"), CutMix(alpha=1.0, per="batch")], per="batch")` is timm's switch in its batch
    mode, and RandomMix (Liu et al., arXiv:2205.08728) is a choice of MixUp, CutMix, FMix and ResizeMix. Whatever the
    number of members, the images are blended once. `plan.method` says which member it was.

    Members need partners: erasing and noise go around or behind a choice, as `Noisy(Choose(...))`.

    Draws: pick (N,) in [0, 1), coin, partner, and those of member i under "i.name", as in "0.lam".
    """

    mixes: Sequence[Mix]
    weights: Sequence[float] | None = None
    _: KW_ONLY
    prob: float | Ramp = 1.0
    per: Per = "image"
    start_epoch: int = 0
    stop_epoch: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        mixes = tuple(self.mixes) if isinstance(self.mixes, tuple | list) else ()
        if not mixes or not all(isinstance(mix, Mix) for mix in mixes):
            raise TypeError(f"Choose: mixes must be a list of one or more methods such as MixUp(), got {self.mixes!r}")
        for mix in mixes:
            if isinstance(mix, Erasing | Noisy):
                raise TypeError(
                    f"Choose: {type(mix).__name__} has no partner to choose; apply it apart from the choice"
                )
        object.__setattr__(self, "mixes", mixes)
        object.__setattr__(self, "weights", self._checked_weights())

    def _checked_weights(self) -> tuple[float, ...]:
        if self.weights is None:
            return (1.0,) * len(self.mixes)
        weights = self.weights if isinstance(self.weights, tuple | list) else ()
        numbers = [isinstance(w, int | float) and 0 <= w < float("inf") for w in weights]
        if len(weights) != len(self.mixes) or not all(numbers) or not sum(weights):
            wanted = f"{len(self.mixes)} numbers from 0 up, not all 0"
            raise ValueError(f"Choose: weights must be {wanted}, got {self.weights!r}")
        return tuple(map(float, weights))

    def plan(self, draws: Draws, world: World) -> Plan:
        hits = list(self._hits(draws.uniform("pick"), world))
        plans = [mix.fill(mix.plan(draws.member(i).per(mix.per), world)) for i, mix in enumerate(self.mixes)]
        boxes = regions = []
        # without any the images need have no height and no width
        if any(plan.box is not None for plan in plans):
            whole = world.box(0.0 * world.size, world.size)
            boxes = [whole if plan.box is None else plan.box for plan in plans]
            regions = [box if plan.region is None else plan.region for plan, box in zip(plans, boxes, strict=True)]

        def chosen(values: Sequence[Any]) -> Any:
            return world.select(hits, values)

        def partner() -> Any:
            first, *others = (plan.partner for plan in plans)
            return first if all(other is first for other in others) else chosen([first, *others])

        def kept(values: Sequence[Any]) -> Any:
            """The chosen one, and 1 where nothing is to be mixed; None if no member has any."""
            if all(value is None for value in values):
                return None
            filled = [1.0 if value is None else value for value in values]
            return self.keep_some(draws, world, chosen(filled))

        return Plan(
            partner=partner(),
            lam=kept([plan.lam for plan in plans]),
            box=chosen(boxes) if any(plan.box is not None for plan in plans) else None,
            weight=kept([plan.weight for plan in plans]),
            mask=kept([plan.mask for plan in plans]),
            outside=kept([plan.outside for plan in plans]),
            region=chosen(regions) if any(plan.region is not None for plan in plans) else None,
            more=self._layers(draws, world, hits, plans),
            method=chosen([float(i) for i in range(len(plans))]),
        )

    def _layers(self, draws: Draws, world: World, hits: Sequence[Any], plans: Sequence[Plan]) -> tuple[Layer, ...]:
        """The members' layers, laid on where that member was chosen."""
        layers = []
        for hit, plan in zip(hits, plans, strict=True):
            mixed = self.mixed(draws, world) * hit
            for layer in plan.more:
                weight = world.select([mixed, 1.0 - mixed], [layer.weight, 1.0])
                layers.append(Layer(layer.partner, mixed * layer.share, layer.box, weight, layer.region))
        return tuple(layers)

    def fill(self, plan: Plan) -> Plan:
        if plan.weight is None:
            raise ValueError("Choose cannot tell whose plan it is: plan.weight must be given, and plan.box for boxes")
        return plan

    def _hits(self, pick: Any, world: World) -> Iterator[Any]:
        """For each member 1.0 where it was picked and 0.0 elsewhere; the members share [0, 1) by their weights."""
        weights = self.weights or ()
        ends = [end / sum(weights) for end in accumulate(weights)]
        for start, end in zip([0.0, *ends[:-1]], [*ends[:-1], 2.0], strict=True):
            yield world.hit(pick >= start) * world.hit(pick < end)
