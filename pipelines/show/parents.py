"""Whose pixels and target a mixed image has, read from a plan."""

from dataclasses import dataclass
from typing import Any

from mixdali import Plan

Box = tuple[int, int, int, int]

# What rounding leaves of a share of nothing.
NOTHING = 1e-5


@dataclass(frozen=True)
class Parent:
    """place: of the image in the batch. share: of its target. box: where the image is laid, y0, x0, y1, x1; None if all
    over or, the own one, below. region: the part of it that is shown there."""

    place: int
    share: float
    box: Box | None = None
    region: Box | None = None


def parents_of(plan: Plan, number: int) -> list[Parent]:
    """The parents of one image of the batch, the own one first; those without any share are left out.

    plan: of torch tensors on the CPU.
    """
    own = Parent(number, float(plan.lam[number]) if plan.partner is not None else 1.0)
    rest, others = 1.0 - own.share, []
    for layer in plan.more:
        share, place = float(layer.share[number]), layer.partner
        rest -= share
        if place is None and float(layer.weight[number]) < 1:
            own = Parent(number, own.share + share, *_boxes(layer, number))
        elif place is not None and share > NOTHING:
            others.append(Parent(int(place[number]), share, *_boxes(layer, number)))
    if plan.partner is None or rest <= NOTHING:
        return [own, *others]
    return [own, Parent(int(plan.partner[number]), rest, *_boxes(plan, number)), *others]


def covered_box(plan: Plan, number: int) -> Box | None:
    """Where a method without partners has covered one image of the batch; None if nowhere."""
    box = _boxes(plan, number)[0] if plan.partner is None else None
    return box if box and box[2] > box[0] and box[3] > box[1] else None


def _boxes(layer: Any, number: int) -> tuple[Box | None, Box | None]:
    box = _box(layer.box, number)
    return box, box if layer.region is None else _box(layer.region, number)


def _box(boxes: Any, number: int) -> Box | None:
    if boxes is None:
        return None
    y0, x0, y1, x1 = (int(value) for value in boxes[number])
    return y0, x0, y1, x1
