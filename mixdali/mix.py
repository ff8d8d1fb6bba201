"""What every mixing method shares: draw a plan, apply it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, TypeVar

from mixdali.checks import count, fraction, one_of
from mixdali.draws import Draws
from mixdali.plan import Plan
from mixdali.schedule import Alpha, Fixed, Ramp, check_setting
from mixdali.worlds import World, world_of
from mixdali.worlds.output import Output

Per = Literal["image", "batch", "pair"]
Partner = Literal["cycle", "permutation", "flip", "roll", "same_class", "other_class"]
Layout = Literal["HWC", "CHW"]
# What goes in comes out: torch tensors, nodes of a DALI graph, batches of its dynamic mode.
Images = TypeVar("Images")
Targets = TypeVar("Targets")


@dataclass(frozen=True, kw_only=True)
class Mix(ABC):
    """A mixing method: settings, and no state.

    prob         chance that an image is mixed (`per="batch"`: that the batch is). One left alone is one mixed with
                 lam = 1. A number, or a `Ramp` over the epochs.
    per          "image": every image has its own draws. "batch": one set of draws for all, as most papers' code has it.
                 "pair": image n and image N - 1 - n share theirs; with partner="flip" the two are each other's
                 partners, which is timm's mode of that name.
    start_epoch  nothing is mixed before this epoch,
    stop_epoch   and nothing from this epoch on; None: to the end.

    A method adds its own fields and says what follows from its draws (`plan`) and what a plan may leave out (`fill`).
    """

    prob: float | Ramp = 1.0
    per: Per = "image"
    start_epoch: int = 0
    stop_epoch: int | None = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_setting(f"{name}: prob", self.prob, fraction)
        one_of(f"{name}: per", self.per, ("image", "batch", "pair"))
        count(f"{name}: start_epoch", self.start_epoch)
        if self.stop_epoch is not None:
            count(f"{name}: stop_epoch", self.stop_epoch)
            if self.stop_epoch < self.start_epoch:
                raise ValueError(
                    f"{name}: stop_epoch must not be before start_epoch {self.start_epoch}, got {self.stop_epoch}"
                )

    def __call__(
        self,
        images: Images,
        targets: Targets,
        *,
        rng: Any = None,
        epoch: Any = None,
        layout: Layout | None = None,
        mean: Any = None,
        std: Any = None,
        dtype: Any = None,
        output_layout: Layout | None = None,
    ) -> tuple[Images, Targets]:
        """Draw and apply: images and targets, mixed. Arguments as in `draw` and `apply`."""
        output = Output.of(mean, std, dtype, output_layout)
        plan = self.draw(images, targets=targets, rng=rng, epoch=epoch, layout=layout)
        return self._apply(images, targets, plan, layout, output)

    def draw(
        self,
        images: Any,
        *,
        targets: Any = None,
        rng: Any = None,
        epoch: Any = None,
        layout: Layout | None = None,
        **given: Any,
    ) -> Plan:
        """All the randomness of one mix of `images`; only their number and size matter.

        targets  (N, num_classes), or class indices (N,): for the partner rules that ask for the class; in a DALI graph
                 on the CPU.
        rng      torch: a CPU torch.Generator; None takes fresh entropy (never the global generator), so the draws
                 cannot be repeated. DALI graph: an int seed; None derives one from the pipeline's seed, another for
                 every mix and, as `mixdali.mixed` finds it, every rank. Dynamic mode: an RNG of its `random`; None
                 takes fresh entropy.
        epoch    counted from 0, for settings that change with it; in a graph a node, such as
                 `mixdali.epoch_counter(...)`, or a number that holds for the whole life of the pipeline.
        layout   DALI: what the images are, "HWC" (default) or "CHW".
        given    draws by name that are not to be drawn but taken, (N,) or one for all: `mix.draw(images, lam=lam)`. A
                 method's docstring lists its names. Every method whose prob is not 1 has `coin`, (N,) in [0, 1): an
                 image is mixed where coin < prob. With tensors and in dynamic mode numbers, lists, arrays and tensors;
                 in a graph numbers and nodes on the CPU. A place is a share of the height or width in [0, 1), or, as an
                 integer, a pixel, which is the share (pixel + 0.5) / height.

        TypeError or ValueError for a name that is not drawn and a draw of another shape or out of its range; of a node
        a graph sees that when it runs, and DALI's error names the draw.
        """
        world = world_of(images, layout)
        draws = Draws(world.randomness(rng), given, each=self.per, targets=targets, first_epoch=epoch)
        return world.call(self._drawn, draws, world)

    def apply(
        self,
        images: Images,
        targets: Targets,
        plan: Plan,
        *,
        layout: Layout | None = None,
        mean: Any = None,
        std: Any = None,
        dtype: Any = None,
        output_layout: Layout | None = None,
    ) -> tuple[Images, Targets]:
        """Mix as the plan says; nothing is drawn. Targets of None stay None.

        DALI, both modes: images uint8 HWC -> float32 CHW in [0, 1], so that the mix is the conversion too. With
        layout="CHW" they are float32 CHW before and after. targets (num_classes,) float.
        Torch: images (N, C, H, W) float and targets (N, num_classes) float, before and after; any device.

        The same pass over the pixels hands the images out in another form:
        mean, std      one number for each channel, or one for all, in units of images in [0, 1], whatever goes in:
                       (0.485, 0.456, 0.406), not (123.675, 116.28, 103.53). Each pixel becomes (pixel - mean) / std.
        dtype          "float32", "float16", or "uint8" for pixels from 0 to 255, rounded; torch's, NumPy's and DALI's
                       names of them will do. None: float32, of torch tensors their own.
        output_layout  "CHW" (default) or "HWC".
        """
        return self._apply(images, targets, plan, layout, Output.of(mean, std, dtype, output_layout))

    def _apply(
        self, images: Images, targets: Targets, plan: Plan, layout: Layout | None, output: Output
    ) -> tuple[Images, Targets]:
        world = world_of(images, layout)
        return world.call(self._applied, images, targets, plan, world, output)

    def _drawn(self, draws: Draws, world: World) -> Plan:
        plan = world.finish(self.fill(self.plan(draws, world)))
        draws.check_used()
        return plan

    def _applied(self, images: Any, targets: Any, plan: Plan, world: World, output: Output) -> tuple[Any, Any]:
        plan = self.fill(plan)
        shares = [plan.lam, *(layer.share for layer in plan.more)]
        if targets is not None and plan.partner is not None and any(share is None for share in shares):
            raise ValueError(f"{type(self).__name__} needs plan.lam, and every layer's share, to mix targets; got None")
        return world.apply(images, targets, plan, output)

    @abstractmethod
    def plan(self, draws: Draws, world: World) -> Plan:
        """What follows from the draws."""

    @abstractmethod
    def fill(self, plan: Plan) -> Plan:
        """The plan with what this method says itself where it was None; at least `weight`."""

    def mixed(self, draws: Draws, world: World) -> Any:
        """1.0 for the images that are to be mixed and 0.0 for the others: no branch, so that a graph's batch stays
        whole."""
        mixed: Any = 1.0
        if self.prob != 1:
            prob = self.prob.at(draws.epoch, world) if isinstance(self.prob, Ramp) else self.prob
            mixed = world.hit(draws.uniform("coin") < prob)
        if self.start_epoch:
            mixed = mixed * world.hit(draws.epoch >= self.start_epoch)
        if self.stop_epoch is not None:
            mixed = mixed * world.hit(draws.epoch < self.stop_epoch)
        return mixed

    @property
    def uses_epoch(self) -> bool:
        """Whether it changes from epoch to epoch, so that it must be told which one it is."""
        return any(
            mix.start_epoch > 0 or mix.stop_epoch is not None or any(isinstance(v, Ramp) for v in mix._settings())
            for mix in self._members()
        )

    @property
    def uses_classes(self) -> bool:
        """Whether its partners depend on their classes, so that it must be given targets or labels."""
        return any(getattr(mix, "partner", "") in ("same_class", "other_class") for mix in self._members())

    def _settings(self) -> list[Any]:
        values = [getattr(self, field.name) for field in fields(self)]
        return [one for value in values for one in (value if isinstance(value, tuple | list) else (value,))]

    def _members(self) -> "list[Mix]":
        """This mix and all that it is made of."""
        inside = [value._members() for value in self._settings() if isinstance(value, Mix)]
        return [self, *(mix for mixes in inside for mix in mixes)]

    def keep_some(self, draws: Draws, world: World, kept: Any) -> Any:
        """`kept` where an image is to be mixed, and 1 where it is not."""
        mixed = self.mixed(draws, world)
        return kept if isinstance(mixed, float) else world.select([mixed, 1.0 - mixed], [kept, 1.0])

    def lam(self, draws: Draws, world: World, alpha: Alpha, name: str = "lam", lines: Any = None) -> Any:
        """(N,) in [0, 1], the draw of this name, by its law. lines: as in `Draws.beta`."""
        if isinstance(alpha, Fixed):
            return draws.fixed(name, alpha.lam, lines)
        if isinstance(alpha, tuple | list):
            return draws.beta(name, *alpha, lines=lines)
        level = alpha.at(draws.epoch, world) if isinstance(alpha, Ramp) else alpha
        return draws.beta(name, level, level, lines)


@dataclass(frozen=True, kw_only=True)
class PairMix(Mix):
    """A method that takes every image's partners from its own batch.

    partner  "cycle": one random cycle through the batch, nobody is his own partner. "permutation": any permutation,
             fixed points allowed, as the papers' code has it. "flip": the batch read backwards (timm). "roll": the
             image before (torchvision). "same_class", "other_class": any other image of the batch of which that is
             true; an image that finds none is left unmixed, and one image may serve several.
             In a DALI graph "flip" and "roll" are an external source: one Python call a batch, and a batch of the
             pipeline's full size. The two that ask for the class are a Python function, one call a batch.
    """

    partner: Partner = "cycle"

    rules: ClassVar[tuple[str, ...]] = ("cycle", "permutation", "flip", "roll", "same_class", "other_class")

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(f"{type(self).__name__}: partner", self.partner, self.rules)
