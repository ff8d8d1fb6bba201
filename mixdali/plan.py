"""What one mix of one batch does, in numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

# As a box in pixels, the whole of any image.
WHOLE = (0.0, 0.0, float(1 << 24), float(1 << 24))


@dataclass(frozen=True)
class Layer:
    """One more image laid on a mix, for the methods that have several partners.

    partner  (N,) int: which image of the batch; None is the own image.
    share    (N,) float: weight of its target.
    box      (N, 4) int: where it is laid; None is the whole image.
    weight   (N,) float: what is left there of all that lies below.
    region   (N, 4) int: the part of it that is shown in the box; None is the part at the box's place.
    """

    partner: Any
    share: Any
    box: Any = None
    weight: Any = 0.0
    region: Any = None

    # what only the first layer of a mix, the plan itself, can have
    outside: ClassVar[None] = None
    mask: ClassVar[None] = None


@dataclass(frozen=True)
class Plan:
    """Everything random about one mix, after which nothing is left to chance.

    partner  (N,) int: which image of the batch each image is mixed with. None for methods that only fill.
    lam      (N,) float in [0, 1]: weight of the own target; the partner's target gets what is left of 1.
    box      (N, 4) int: y0, x0, y1, x1 in pixels, half-open; None is the whole image.
    weight   (N,) float in [0, 1]: weight of the own pixels inside the box.
    mask     (N, H, W) float in [0, 1]: weight of the own pixels, one by one; it multiplies what box and weights say.
    outside  (N,) float in [0, 1]: weight of the own pixels outside the box; None is 1.
    region   (N, 4) int: the part of the partner that is shown in the box, by its nearest pixels; None is the part at
             the box's place.
    more     further images, laid on one after the other.
    fill     (N, C, H, W) what is shown in place of a partner, in [0, 1]; C, H and W may be 1: a colour is (N, C, 1, 1).
    scale,   (N, C, H, W) float: at the end every pixel is multiplied by the one, and the other is added.
    noise
    method   (N,) int: which member of a `Choose` it was.

    What a method says itself may be left out: `MixUp` takes `weight` from `lam`, `CutMix` takes 0.
    The values are torch tensors, or nodes of a DALI graph or batches of its dynamic mode (there without the N, as DALI
    counts).
    """

    partner: Any
    lam: Any
    box: Any = None
    weight: Any = None
    mask: Any = None
    outside: Any = None
    region: Any = None
    more: tuple[Layer, ...] = ()
    fill: Any = None
    scale: Any = None
    noise: Any = None
    method: Any = None

    def layers(self) -> "list[Plan | Layer]":
        """What is laid on the own image, one after the other."""
        return [self, *self.more]

    def parts(self) -> dict[str, Any]:
        """What is not None, under names such as "lam" and "more.0.share"."""
        named = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "more"}
        for i, layer in enumerate(self.more):
            named |= {f"more.{i}.{field.name}": getattr(layer, field.name) for field in fields(layer)}
        return {name: value for name, value in named.items() if value is not None}

    @classmethod
    def of_parts(cls, parts: Mapping[str, Any]) -> "Plan":
        """The inverse of `parts`; what is not among them is None."""
        layers: dict[int, dict[str, Any]] = {}
        own: dict[str, Any] = {"partner": None, "lam": None}
        for name, value in parts.items():
            first, *rest = name.split(".")
            if rest:
                layers.setdefault(int(rest[0]), {"partner": None, "share": None})[rest[1]] = value
            else:
                own[first] = value
        return cls(**own, more=tuple(Layer(**layers[i]) for i in sorted(layers)))


def is_whole(part: str) -> bool:
    """Whether a part of a plan, by its name in `Plan.parts`, is made of whole numbers."""
    return part.rpartition(".")[2] in ("partner", "box", "region", "method")
