"""What every mixing method shares: draw a plan, apply it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

from mixdali.checks import fraction, one_of
from mixdali.draws import Draws
from mixdali.plan import Plan
from mixdali.worlds import World, world_of

Per = Literal["image", "batch", "pair"]
Partner = Literal["cycle", "permutation", "flip", "roll"]
Layout = Literal["HWC", "CHW"]


@dataclass(frozen=True, kw_only=True)
class Mix(ABC):
    """A mixing method: settings, and no state.

    prob  chance that an image is mixed (`per="batch"`: that the batch is). One left alone is one mixed with lam = 1.
    per   "image": every image has its own draws. "batch": one set of draws for all, as most papers' code has it.
          "pair": image n and image N - 1 - n share theirs; with partner="flip" the two are each other's partners, which
          is timm's mode of that name.

    A method adds its own fields and says what follows from its draws (`plan`) and what a plan may leave out (`fill`).
    """

    prob: float = 1.0
    per: Per = "image"

    def __post_init__(self) -> None:
        fraction(f"{type(self).__name__}: prob", self.prob)
        one_of(f"{type(self).__name__}: per", self.per, ("image", "batch", "pair"))

    def __call__(self, images: Any, targets: Any, *, rng: Any = None, layout: Layout | None = None) -> tuple[Any, Any]:
        """Draw and apply: images and targets, mixed. Arguments as in `draw` and `apply`."""
        plan = self.draw(images, rng=rng, layout=layout)
        return self.apply(images, targets, plan, layout=layout)

    def draw(self, images: Any, *, rng: Any = None, layout: Layout | None = None, **given: Any) -> Plan:
        """All the randomness of one mix of `images`; only their number and size matter.

        rng     torch: a CPU torch.Generator; None takes fresh entropy (never the global generator), so the draws cannot
                be repeated. DALI graph: an int seed; None derives one from the pipeline's seed, another for every mix.
                Dynamic mode: an RNG of its `random`; None takes fresh entropy.
        layout  DALI: what the images are, "HWC" (default) or "CHW".
        given   draws by name that are not to be drawn but taken, (N,) or one for all: `mix.draw(images, lam=lam)`. A
                method's docstring lists its names. Every method whose prob is not 1 has `coin`, (N,) in [0, 1): an
                image is mixed where coin < prob.
        """
        world = world_of(images, layout)
        draws = Draws(world.randomness(rng), given, each=self.per)
        plan = world.finish(self.fill(self.plan(draws, world)))
        draws.check_used()
        return plan

    def apply(self, images: Any, targets: Any, plan: Plan, *, layout: Layout | None = None) -> tuple[Any, Any]:
        """Mix as the plan says; nothing is drawn. Targets of None stay None.

        DALI, both modes: images uint8 HWC -> float32 CHW in [0, 1], so that the mix is the conversion too. With
        layout="CHW" they are float CHW before and after. targets (num_classes,) float.
        Torch: images (N, C, H, W) float and targets (N, num_classes) float, before and after; any device.
        """
        world = world_of(images, layout)
        plan = self.fill(plan)
        return world.blend(images, plan), None if targets is None else world.blend_targets(targets, plan)

    @abstractmethod
    def plan(self, draws: Draws, world: World) -> Plan:
        """What follows from the draws."""

    @abstractmethod
    def fill(self, plan: Plan) -> Plan:
        """The plan with what this method says itself where it was None; at least `weight`."""

    def keep_some(self, draws: Draws, world: World, kept: Any) -> Any:
        """`kept` where the coin says mix and 1 where it does not: no branch, so that a graph keeps its batch whole."""
        if self.prob == 1:
            return kept
        mixed = 1.0 * (draws.uniform("coin") < self.prob)
        return world.select([mixed, 1.0 - mixed], [kept, 1.0])


@dataclass(frozen=True, kw_only=True)
class PairMix(Mix):
    """A method that gives every image one partner from its own batch.

    partner  "cycle": one random cycle through the batch, nobody is his own partner. "permutation": any permutation,
             fixed points allowed, as the papers' code has it. "flip": the batch read backwards (timm). "roll": the
             image before (torchvision). In a DALI graph "flip" and "roll" are an external source: one Python call a
             batch, and a batch of the pipeline's full size.
    """

    partner: Partner = "cycle"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(f"{type(self).__name__}: partner", self.partner, ("cycle", "permutation", "flip", "roll"))
