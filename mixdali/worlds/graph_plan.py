"""Plans in a DALI graph: from numbers to nodes, and to what the compiled operators are told.

These read one node with all numbers of a plan: of every layer ten, then lam and the layers' shares, then the rest.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from mixdali.plan import WHOLE, Layer, Plan, is_whole
from mixdali.worlds.numbers import Number, as_number

LAYER = 10  # numbers that the kernel is told of a layer


def finished(plan: Plan, computed: Callable[[list[Number]], DataNode]) -> Plan:
    """The plan as users get it. computed: makes numbers one node (their number,) float32."""
    layers: list[Plan | Layer] = [plan, *plan.more]
    named = plan.parts()
    shares = {name: as_number(value) for name, value in named.items() if _last(name) in ("lam", "share")}
    others = {name: as_number(value) for name, value in named.items() if _last(name) in ("partner", "method")}
    unknown = {name: number for name, number in others.items() if number.kind != "node"}
    rows = [number for layer in layers for number in _layer_numbers(layer)]
    vector = computed([*rows, *shares.values(), *unknown.values()])
    parts = {name: value for name, value in named.items() if isinstance(value, DataNode)}
    parts |= {name: _whole(number) for name, number in others.items() if number.kind == "node"}
    for place, (name, number) in enumerate((shares | unknown).items(), len(rows)):
        node = vector[place]
        parts[name] = (
            number.value if number.kind == "node" else fn.cast(node, dtype=types.INT32) if is_whole(name) else node
        )
    for i, layer in enumerate(layers):
        where, start = f"more.{i - 1}." if i else "", LAYER * i
        found = {
            "box": fn.cast(vector[start : start + 4], dtype=types.INT32),
            "weight": vector[start + 4],
            "outside": vector[start + 5],
            "region": fn.cast(vector[start + 6 : start + 10], dtype=types.INT32),
        }
        parts |= {where + name: node for name, node in found.items() if getattr(layer, name, None) is not None}
    made = Plan.of_parts(parts)
    # What the kernel reads is at hand already, as long as nobody changes the plan.
    made.weight._mixdali_numbers = (vector, _layer_nodes(made), _share_nodes(made))
    return made


def _layer_numbers(layer: Plan | Layer) -> list[Number]:
    """The ten numbers of a layer in the order in which the kernel reads them."""
    box = WHOLE if layer.box is None else layer.box
    region = box if layer.region is None else layer.region
    return [*map(as_number, (*box, layer.weight, 1.0 if layer.outside is None else layer.outside, *region))]


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _whole(number: Number) -> DataNode:
    """A number of kind "node" as int32."""
    return fn.cast(number.value, dtype=types.INT32) if number.whole is None else number.whole


def _layer_nodes(plan: Plan) -> list[Any]:
    return [
        getattr(layer, name, None) for layer in (plan, *plan.more) for name in ("box", "weight", "outside", "region")
    ]


def _share_nodes(plan: Plan) -> list[Any]:
    return [plan.lam, *(layer.share for layer in plan.more)]


def kernel_numbers(plan: Plan) -> DataNode:
    """(10 * layers,) what the kernel is told: as it was computed, or gathered from a plan that somebody made."""
    nodes = _layer_nodes(plan)
    vector, of_layers, _ = getattr(plan.weight, "_mixdali_numbers", (None, [], []))
    if _are_the_same(nodes, of_layers):
        return vector
    gathered = []
    for i in range(0, len(nodes), 4):
        box, weight, outside, region = nodes[i : i + 4]
        box = WHOLE if box is None else box
        gathered += [box, weight, 1.0 if outside is None else outside, box if region is None else region]
    return fn.cat(*map(_floats, gathered))


def kernel_shares(plan: Plan) -> DataNode:
    """lam and the layers' shares (layers,), or all numbers of the plan."""
    nodes = _share_nodes(plan)
    vector, _, of_shares = getattr(plan.weight, "_mixdali_numbers", (None, [], []))
    return vector if _are_the_same(nodes, of_shares) else fn.cat(*map(_floats, nodes))


def _are_the_same(nodes: list[Any], others: list[Any]) -> bool:
    return len(nodes) == len(others) and all(one is other for one, other in zip(nodes, others, strict=True))


def permuted(places: DataNode, plan: Plan) -> list[DataNode]:
    """Of each layer's partner."""
    partners = [plan.partner, *(layer.partner for layer in plan.more)]
    return [places if partner is None else fn.permute_batch(places, indices=partner) for partner in partners]


def _floats(value: Any) -> DataNode:
    """A number, several in a node, or a list of them as a node of one axis."""
    if isinstance(value, DataNode):
        return fn.reshape(fn.cast(value, dtype=types.FLOAT), shape=[-1])
    return types.Constant(np.array(value, dtype=np.float32).reshape(-1))
