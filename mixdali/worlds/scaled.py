"""Mixes as sums of scaled images, for a GPU: there every operator that meets whole images reads and writes memory for
as long as the mix itself takes.

What a box shows alone is put together as bytes. What is mixed is a sum of such images, each of which DALI converts and
scales in one operator. Weights and boxes are arguments, which are on the CPU.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from mixdali.plan import Layer, Plan
from mixdali.worlds.output import Output
from mixdali.worlds.told import ONE_SIZE, told

MOST = 4  # images of a sum: beyond them arithmetic on maps of weights is the lesser work
LESS = 5 * 2.0**-24
LARGEST = 3e38  # float32


class Term(NamedTuple):
    image: Any  # uint8 HWC
    weight: Any  # number on the CPU, or a float


def blend(world: Any, images: Any, nothing: Any, plan: Plan, output: Output) -> Any:
    """Images mixed as the plan says; None where it is no sum of a few.

    images   uint8 HWC, with its layout.
    nothing  (1,) zero on the CPU, which is to be asked for before the images are used.
    """
    if plan.mask is not None or plan.fill is not None or plan.scale is not None or plan.noise is not None:
        return None
    layers: list[Plan | Layer] = [plan, *plan.more]
    if _count(layers) > MOST:
        return None
    terms = [Term(images, 1.0)]
    for layer in layers:
        terms = _laid(world, images, layer, terms)
    return _sum(world, terms, nothing, output)


def _count(layers: list[Plan | Layer]) -> int:
    number = 1
    for layer in layers:
        if layer.box is None:
            number += 1
        else:
            number = number * (1 if constant(layer.weight) == 0 else 2) + (layer.outside is not None)
    return number


def constant(weight: Any) -> float | None:
    """What a weight is for every image, where that is known."""
    return float(weight) if isinstance(weight, int | float) else getattr(weight, "_mixdali_constant", None)


def _laid(world: Any, images: Any, layer: Plan | Layer, below: list[Term]) -> list[Term]:
    """One more image on those below, whose weights add up to 1."""
    other = world.partner(images, layer)
    kept = [] if constant(layer.weight) == 0 else [Term(image, _times(weight, layer.weight)) for image, weight in below]
    if layer.box is None:
        return [*kept, Term(other, 1.0 - layer.weight)]
    pasted = [Term(_pasted(world, image, other, layer.box), weight) for image, weight in below]
    if layer.outside is None:
        inside = pasted if not kept else [Term(image, _times(weight, 1.0 - layer.weight)) for image, weight in pasted]
        return [*kept, *inside]
    # the first layer: around its box the partner is mixed in, in its place
    in_place = other if layer.region is None else world.partner(images, replace(layer, region=None))
    inside = [Term(image, layer.outside if not kept else layer.outside - layer.weight) for image, _ in pasted]
    return [*kept, *inside, Term(in_place, 1.0 - layer.outside)]


def _times(one: Any, other: Any) -> Any:
    return other if isinstance(one, float) and one == 1.0 else one * other


def _pasted(world: Any, image: Any, other: Any, box: Any) -> Any:
    """`image` with what `other` shows in the box, as bytes."""
    ops, corner = world.ops, world.constant(np.zeros(2, np.int32))
    sides = world.of_one_size(ops.cast(world.sides, dtype=world.int32), image, other)
    within = world.math.clamp(box, 0, ops.cat(sides, sides))
    start, end = world.cut(within, slice(0, 2)), world.cut(within, slice(2, 4))
    anchors = ops.stack(corner, start)
    shapes = ops.stack(sides, world.math.max(end - start, 0))
    return ops.multi_paste(image, other, in_anchors=anchors, out_anchors=anchors, shapes=shapes, output_size=sides)


def _sum(world: Any, terms: list[Term], nothing: Any, output: Output) -> Any:
    shift, size = output.shift_and_size(255.0)
    if len(terms) == 1:
        return world.normalised(terms[0].image, nothing, shift, size, output)
    floats = replace(output, dtype="float32")
    total = None
    for image, weight in terms:
        if not output.normalises:
            weight = _slightly_less(world, weight)
        # divided by infinity DALI's images are not numbers, and by this they are less than 1e-36
        sizes = world.math.min(world.constant(np.array(size, np.float32)) / weight, LARGEST)
        scaled = world.normalised(image, nothing, shift, sizes, floats)
        total = scaled if total is None else _added(total, scaled)
    kind = output.dtype or "float32"
    return total if kind == "float32" else world.ops.cast(total, dtype=world.dtypes[kind])


def _added(total: Any, scaled: Any) -> Any:
    return told(ONE_SIZE, lambda: total + scaled)


def _slightly_less(world: Any, weight: Any) -> Any:
    """By so little that the sum of white ones never passes white; 0 and 1 stay."""
    if isinstance(weight, float):
        return weight - min(abs(weight), abs(1.0 - weight), LESS)
    return weight - world.math.clamp(world.math.min(weight, 1.0 - weight), 0.0, LESS)
