"""Cutout and random erasing, the relatives without a partner."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from mixdali.checks import count, fraction, growing, one_of, positive
from mixdali.draws import Draws, between
from mixdali.methods.boxes import clipped_box, drawn_place, inside_box
from mixdali.mix import Mix
from mixdali.plan import Plan
from mixdali.worlds import World

Value = float | tuple[float, ...] | Literal["noise"]


@dataclass(frozen=True, kw_only=True)
class Erasing(Mix):
    """A method that covers a box of every image and leaves the targets as they are.

    value  what is shown in the box, in [0, 1]: a grey level, a colour with one number a channel, or "noise", every
           pixel of its own U(0, 1). The mean colour of ImageNet is (0.485, 0.456, 0.406), CIFAR-10's (0.4914, 0.4822,
           0.4465); of images that were normalised it is 0.
    """

    value: Value = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.value != "noise":
            levels = self.value if isinstance(self.value, tuple | list) else (self.value,)
            if not levels:
                raise ValueError(f'{type(self).__name__}: value must be a level, a colour or "noise", got {levels!r}')
            for level in levels:
                fraction(f'{type(self).__name__}: value ("noise" or levels)', level)

    def plan(self, draws: Draws, world: World) -> Plan:
        sides = self.sides(draws, world)
        place = drawn_place(draws, self.places(sides, world), world)
        mixed = self.mixed(draws, world)
        box = self.box(sides * world.pair(mixed, mixed), place, world)
        if isinstance(self.value, str):
            fill = draws.pixels("noise", "uniform")
        else:
            fill = world.colour(self.value if isinstance(self.value, tuple | list) else (self.value,))
        return Plan(None, 1.0, box, 0.0, fill=fill)

    def fill(self, plan: Plan) -> Plan:
        if plan.box is None or plan.fill is None:
            raise ValueError(f"{type(self).__name__} needs plan.box, (N, 4) int, and plan.fill, (N, C, H, W) in [0, 1]")
        return plan if plan.weight is not None else replace(plan, weight=0.0)

    def sides(self, draws: Draws, world: World) -> Any:
        """(N, 2) height and width of the boxes, whole pixels."""
        raise NotImplementedError

    def places(self, sides: Any, world: World) -> Any:
        """(N, 2) or (2,) how many places of each axis there are to choose from."""
        raise NotImplementedError

    def box(self, sides: Any, place: Any, world: World) -> Any:
        """(N, 4) the boxes."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Cutout(Erasing):
    """A square of one colour, cut off where it leaves the image.

    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", arXiv:1708.04552;
    uoguelph-mlrg/Cutout, which covers with zeros after normalising, the mean colour: give it as `value`.

    length  of the side in pixels, of which 2 * (length // 2) are used: 16 for CIFAR-10, 8 for CIFAR-100, 20 for SVHN.

    Draws: cy and cx (N,) in [0, 1) or pixels: the centre; noise (N, C, H, W) in [0, 1) for value="noise"; coin.
    """

    length: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        count("Cutout: length", self.length)

    def sides(self, draws: Draws, world: World) -> Any:
        return 0.0 * world.size + float(self.length)

    def places(self, sides: Any, world: World) -> Any:
        return world.size

    def box(self, sides: Any, place: Any, world: World) -> Any:
        return clipped_box(sides, place, world)


@dataclass(frozen=True, kw_only=True)
class RandomErasing(Erasing):
    """A box of random area and shape, wholly inside the image.

    Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, arXiv:1708.04896; zhunzhong07/Random-Erasing: with
    probability 0.5, its area a share U(area) of the image's, its height by its width U(aspect), sides rounded, and
    smaller than the image's. There a box that does not fit is drawn again; here the aspect is drawn among those that
    fit, so that one draw is enough and large areas stay as likely as small ones.

    area    shares of the image, growing.
    aspect  growing, above 0.
    law     "uniform": the aspect as the authors' code draws it. "log": its logarithm is uniform, as in timm and
            torchvision, so that lying and standing boxes are alike.

    Draws: area, aspect (N,) in [0, 1): where in the ranges; cy and cx (N,) in [0, 1): the place among those that are
    possible, or the box's first pixel; noise (N, C, H, W) in [0, 1) for value="noise"; coin. In place of `aspect`
    `ratio` (N,) can be given, in the range of that name's setting: the height by the width itself.
    """

    prob: Any = 0.5
    area: tuple[float, float] = (0.02, 0.4)
    aspect: tuple[float, float] = (0.3, 1 / 0.3)
    law: Literal["uniform", "log"] = "uniform"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("RandomErasing: law", self.law, ("uniform", "log"))
        growing("RandomErasing: area", self.area, fraction)
        growing("RandomErasing: aspect", self.aspect, positive)

    def sides(self, draws: Draws, world: World) -> Any:
        height, width = world.at(world.size, 0), world.at(world.size, 1)
        low, high = self.area
        area = (low + (high - low) * draws.uniform("area")) * (height * width)
        area = world.clamp(area, 1e-6, height * width)
        # A side rounds to less than the image's where it is below that less a half.
        flattest = world.clamp(area / ((width - 0.5) * (width - 0.5)), self.aspect[0], self.aspect[1])
        steepest = world.clamp((height - 0.5) * (height - 0.5) / area, flattest, self.aspect[1])
        ratio = draws.instead("ratio", between(*self.aspect))
        where = draws.uniform("aspect") if ratio is None else None
        if ratio is not None:
            aspect = ratio
        elif self.law == "log":
            aspect = flattest * world.exp(where * world.log(steepest / flattest))
        else:
            aspect = flattest + where * (steepest - flattest)
        sides = world.floor(world.sqrt(world.pair(area * aspect, area / aspect)) + 0.5)
        return world.clamp(sides, 0.0, world.size - 1.0)

    def places(self, sides: Any, world: World) -> Any:
        return world.size - sides + 1.0

    def box(self, sides: Any, place: Any, world: World) -> Any:
        return inside_box(sides, place, world)
