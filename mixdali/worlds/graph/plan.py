"""Plans in a DALI graph: from numbers to nodes, and to what the compiled operators are told.

These read one node with all numbers of a plan: of every layer what `numbers.TOLD` says, then the rest.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from mixdali.plan import WHOLE, Layer, Plan
from mixdali.worlds.numbers import TOLD, Number, as_number
from mixdali.worlds.told import told

ITSELF = -1.0  # as a partner


def finished(plan: Plan, computed: Callable[[list[Number]], DataNode]) -> Plan:
    """The plan as users get it. computed: makes numbers one node (their number,) float32."""
    layers: list[Plan | Layer] = [plan, *plan.more]
    rows = [number for layer in layers for number in _layer_numbers(layer)]
    vector = computed(rows if plan.method is None else [*rows, as_number(plan.method)])
    # masks, fills and noise
    parts = {name: value for name, value in plan.parts().items() if isinstance(value, DataNode)}
    if plan.method is not None:
        parts["method"] = fn.cast(vector[len(rows)], dtype=types.INT32)
    for i, layer in enumerate(layers):
        where, start = f"more.{i - 1}." if i else "", TOLD * i
        found = {
            "box": _whole(vector[start : start + 4]),
            "weight": vector[start + 4],
            "outside": vector[start + 5],
            "region": _whole(vector[start + 6 : start + 10]),
            "partner": _whole(vector[start + 10]),
            "share" if i else "lam": vector[start + 11],
        }
        parts |= {where + name: node for name, node in found.items() if getattr(layer, name, None) is not None}
    made = Plan.of_parts(parts)
    nodes: list[Plan | Layer] = [made, *made.more]
    for layer, node in zip(layers, nodes, strict=True):
        if (weight := as_number(layer.weight)).kind == "constant":
            node.weight._mixdali_constant = weight.value
    # What the kernels read is at hand already, as long as nobody changes the plan.
    made.weight._mixdali_numbers = (vector, _nodes(made))
    return made


def _layer_numbers(layer: Plan | Layer) -> list[Number]:
    """The numbers of a layer in the order in which the kernels read them."""
    box = WHOLE if layer.box is None else layer.box
    region = box if layer.region is None else layer.region
    outside = 1.0 if layer.outside is None else layer.outside
    partner = ITSELF if layer.partner is None else layer.partner
    return [*map(as_number, (*box, layer.weight, outside, *region, partner, _share(layer)))]


def _share(layer: Plan | Layer) -> Any:
    return layer.lam if isinstance(layer, Plan) else layer.share


def _whole(node: DataNode) -> DataNode:
    return fn.cast(node, dtype=types.INT32)


def _nodes(plan: Plan) -> list[Any]:
    """What the kernels read of a plan, six of each layer."""
    layers: list[Plan | Layer] = [plan, *plan.more]
    return [
        value
        for layer in layers
        for value in (layer.box, layer.weight, layer.outside, layer.region, layer.partner, _share(layer))
    ]


def kernel_numbers(plan: Plan) -> DataNode:
    """What the kernels are told: as it was computed, or gathered from a plan that somebody made, which needs lam and
    shares for targets alone."""
    nodes = _nodes(plan)
    vector, known = getattr(plan.weight, "_mixdali_numbers", (None, []))
    if len(nodes) == len(known) and all(one is other for one, other in zip(nodes, known, strict=True)):
        return vector
    gathered = []
    for i in range(0, len(nodes), 6):
        box, weight, outside, region, partner, share = nodes[i : i + 6]
        box = WHOLE if box is None else box
        region = box if region is None else region
        partner = ITSELF if partner is None else in_batch(partner)
        outside = 1.0 if outside is None else outside
        gathered += [box, weight, outside, region, partner, 0.0 if share is None else share]
    return fn.cat(*map(_floats, gathered))


def in_batch(partner: Any, name: str = "plan.partner") -> DataNode:
    """The partner, a node () of any numbers, as float32, or DALI's error for one that is not in the batch, which the
    kernels could not give."""
    whole = _whole(partner)
    fits = fn.cast(whole == partner, dtype=types.INT32)
    indices = (whole + 1) * fits - 1
    checked = told(f"{name} must be an image of the batch", lambda: fn.permute_batch(whole, indices=indices))
    return whole + 0.0 * checked


def _floats(value: Any) -> DataNode:
    """A number, several in a node, or a list of them as a node of one axis."""
    if isinstance(value, DataNode):
        return fn.reshape(fn.cast(value, dtype=types.FLOAT), shape=[-1])
    return types.Constant(np.array(value, dtype=np.float32).reshape(-1))
