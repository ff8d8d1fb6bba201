"""Mosaic."""

from dataclasses import dataclass
from typing import Any, ClassVar

from mixdali.draws import Draws
from mixdali.methods.boxes import drawn_place, place_of
from mixdali.mix import PairMix
from mixdali.plan import Layer, Plan
from mixdali.schedule import Alpha, check_alpha
from mixdali.worlds import World


@dataclass(frozen=True, kw_only=True)
class Mosaic(PairMix):
    """Four images meet at a point, each with a part of its own; the target is shared by area.

    Takahashi et al., "Data Augmentation using Random Image Cropping and Patching for Deep CNNs", arXiv:1811.09030, for
    classification; YOLOv4's and YOLOv5's Mosaic for detection. Of every image a part of its field's size is shown,
    from any place, the own image's at the top left. With uniform points it is YOLOv5's picture before its perspective;
    with `alpha=0.3` the paper's default.

    alpha    the law of the point where they meet, as a share of height and of width: as in `MixUp`.
    partner  as elsewhere, but not "flip", which knows one partner only. In batches of fewer than four images an image
             comes more than once.

    Draws: partner, cy and cx (N,) in [0, 1] or pixels up to height and width: the point, y0 to y3 and x0 to x3 (N,) in
    [0, 1): the places of the parts, or their first pixels, first the own one's, then from left to right and from top to
    bottom; coin; partner.1 and partner.2 (N,) where they do not follow from `partner`.
    """

    alpha: Alpha = 1.0

    rules: ClassVar[tuple[str, ...]] = ("cycle", "permutation", "roll", "same_class", "other_class")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha("Mosaic: alpha", self.alpha)

    def plan(self, draws: Draws, world: World) -> Plan:
        # unmixed is a point in the far corner: the own field is then the whole image
        shares = [
            self.keep_some(draws, world, self.lam(draws, world, self.alpha, name, world.at(world.size, axis)))
            for axis, name in enumerate(("cy", "cx"))
        ]
        middle = world.floor(world.pair(*shares) * world.size + 0.5)
        y, x = world.at(middle, 0), world.at(middle, 1)
        height, width = world.at(world.size, 0), world.at(world.size, 1)
        corners = [((0.0, 0.0), (y, x)), ((0.0, x), (y, width)), ((y, 0.0), (height, x)), ((y, x), (height, width))]
        fields = [
            self._field(i, world.pair(*start), world.pair(*end), draws, world) for i, (start, end) in enumerate(corners)
        ]
        own, first, *rest = fields
        partners = draws.partners(self.partner, 3)
        layers = [
            Layer(partner, world.covered(box), box, region=region)
            for partner, (box, region) in zip(partners[1:], rest, strict=True)
        ]
        layers.append(Layer(None, 0.0 * world.covered(own[0]), own[0], region=own[1]))
        return Plan(
            partners[0],
            world.covered(own[0]),
            first[0],
            0.0 * world.covered(first[0]),
            region=first[1],
            more=tuple(layers),
        )

    def _field(self, i: int, start: Any, end: Any, draws: Draws, world: World) -> tuple[Any, Any]:
        """A field and the part of its image that is shown there: two boxes of one size."""
        choices = world.size - (end - start) + 1.0
        first = place_of(drawn_place(draws, choices, world, (f"y{i}", f"x{i}")), choices, world)
        return world.box(start, end), world.box(first, first + (end - start))

    def fill(self, plan: Plan) -> Plan:
        if plan.box is None or plan.weight is None:
            raise ValueError("Mosaic needs plan.box and plan.weight, and plan.more for its other images")
        return plan
