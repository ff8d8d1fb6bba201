"""Nodes of a DALI graph, which know neither their type nor their size before the graph runs."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from nvidia.dali import fn, math, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import do_not_convert

from mixdali.plan import WHOLE, Layer, Plan, is_whole
from mixdali.worlds.graph_draws import GraphRandomness
from mixdali.worlds.numbers import Number, Numbers, Uniform, by_operators, combine, constant
from mixdali.worlds.operators import OperatorWorld, called_once_for_equals
from mixdali.worlds.uniforms import uniforms

LAYER = 10  # numbers that the kernel is told of a layer
OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "lt": lambda a, b: 1.0 * (a < b),
    "ge": lambda a, b: 1.0 * (a >= b),
    "floor": math.floor,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "min": math.min,
    "max": math.max,
    "mean": fn.reductions.mean,
}


class GraphWorld(OperatorWorld):
    ops, math, float32, int32, nearest = fn, math, types.FLOAT, types.INT32, types.INTERP_NN

    size = Numbers((Number("size", value=0), Number("size", value=1)))

    def randomness(self, rng: int | None) -> GraphRandomness:
        return GraphRandomness(self, rng)

    def shape(self) -> DataNode:
        return self.data.shape(dtype=types.FLOAT)

    def constant(self, values: np.ndarray) -> DataNode:
        return types.Constant(values)

    def cut(self, data: DataNode, *places: slice) -> DataNode:
        return data[places]

    def is_on_gpu(self, data: DataNode) -> bool:
        return data.device == "gpu"

    def check_uint8(self, images: DataNode) -> DataNode:
        # A bitwise operator stops with an error at floats. One pixel is enough to ask.
        pixel = fn.slice(images, start=(0, 0, 0), shape=(1, 1, 1), axes=(0, 1, 2))
        return 0.0 * fn.reshape(pixel & 0, shape=[1])

    def check_labels(self, labels: DataNode, num_classes: int) -> DataNode:
        # DALI's one_hot gives a label out of range no class at all; reading a table of num_classes entries stops there.
        # A negative place would count from the end, so it is first sent beyond it.
        place = fn.reshape(labels, shape=[])
        return types.Constant(np.arange(num_classes, dtype=np.int32))[place + (place < 0) * (2 * num_classes)]

    @do_not_convert
    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def floor(self, value: Any) -> Any:
        return combine("floor", value)

    def sqrt(self, value: Any) -> Any:
        return combine("sqrt", value)

    def exp(self, value: Any) -> Any:
        return combine("exp", value)

    def log(self, value: Any) -> Any:
        return combine("log", value)

    def clamp(self, value: Any, low: Any, high: Any) -> Any:
        if isinstance(value, DataNode):  # pixels
            return math.clamp(value, low, high)
        return combine("min", combine("max", value, low), high)

    def pair(self, y: Any, x: Any) -> Numbers:
        return Numbers(value if isinstance(value, Number) else constant(value) for value in (y, x))

    def at(self, pair: Numbers, place: int) -> Number:
        return pair[place]

    def box(self, start: Numbers, end: Numbers) -> Numbers:
        return Numbers((*start, *end))

    def covered(self, box: Numbers) -> Any:
        return (box[2] - box[0]) * (box[3] - box[1]) / (self.size[0] * self.size[1])

    def select(self, hits: Sequence[Any], values: Sequence[Any]) -> Any:
        if any(isinstance(value, DataNode) for value in values):
            hits = self.nodes(hits)
        return super().select(hits, values)

    def row(self, axis: int) -> Number:
        return Number("row", value=axis)

    def each(self, value: Any, axes: int = 1) -> Any:
        return self.nodes([value])[0] if isinstance(value, Number) and axes > 1 else value

    def mean(self, row: Number) -> Number:
        return combine("mean", row)

    def outer(self, base: Any, rows: Number, columns: Number) -> DataNode:
        numbers = [_as_number(base), rows, columns]
        if self.layout == "HWC" and self._kernel_for(self.data) is not None:
            from mixdali.worlds import program

            return program.outer(numbers, self.data)
        return super().outer(*self._by_operators(numbers))

    def host(self, function: Callable[..., Any], *numbers: Any) -> DataNode:
        return fn.python_function(
            *self.nodes([*self.size, *numbers]),
            function=called_once_for_equals(function),
            batch_processing=True,
            output_layouts="HW",
        )

    def nodes(self, numbers: Sequence[Any]) -> list[DataNode]:
        """The numbers as nodes (), float32: as they are where they are drawn, else computed, all by one operator."""
        wanted = [number if isinstance(number, Number) else constant(number) for number in numbers]
        computed = [number for number in wanted if number.kind != "node"]
        if not computed:
            return [number.value for number in wanted]
        vector = self._computed(computed)
        found = {id(number): vector[i] for i, number in enumerate(computed)}
        return [number.value if number.kind == "node" else found[id(number)] for number in wanted]

    def _computed(self, numbers: list[Number]) -> DataNode:
        """One node (len(numbers),)."""
        if find_spec("numba") is not None:
            from mixdali.worlds import program

            images = self.data if self.layout == "HWC" and not self.is_on_gpu(self.data) else None
            return program.run(numbers, images, self.data.shape() if images is None else None, self.height)
        return fn.stack(*self._by_operators(numbers))

    def _by_operators(self, numbers: list[Number]) -> list[DataNode]:
        def leaf(number: Number) -> Any:
            if number.kind == "row":
                return OperatorWorld.row(self, number.value)
            if number.kind == "uniform":
                return _uniform(number.value)
            return self.sides[number.value] if number.kind == "size" else number.value

        return by_operators(numbers, leaf, OPERATIONS, _scalar)

    def finish(self, plan: Plan) -> Plan:
        layers: list[Plan | Layer] = [plan, *plan.more]
        apart = {name: _as_number(v) for name, v in plan.parts().items() if _stands_alone(name, v)}
        shares = [name for name in apart if _is_share(name)]
        unknown = [name for name, number in apart.items() if number.kind != "node" and name not in shares]
        rows = [number for layer in layers for number in _layer_numbers(layer)]
        vector = self._computed([*rows, *(apart[name] for name in (*shares, *unknown))])
        parts = {name: value for name, value in plan.parts().items() if isinstance(value, DataNode)}
        for place, name in enumerate((*shares, *unknown), len(rows)):
            if apart[name].kind != "node":
                apart[name] = Number("node", value=vector[place])
        parts |= {name: _finished(name, number) for name, number in apart.items()}
        for i, layer in enumerate(layers):
            where, start = f"more.{i - 1}." if i else "", LAYER * i
            found = {
                "box": fn.cast(vector[start : start + 4], dtype=types.INT32),
                "weight": vector[start + 4],
                "outside": vector[start + 5],
                "region": fn.cast(vector[start + 6 : start + 10], dtype=types.INT32),
            }
            parts |= {where + name: node for name, node in found.items() if getattr(layer, name, None) is not None}
        finished = Plan.of_parts(parts)
        # What the kernel reads is at hand already, as long as nobody changes the plan.
        finished.weight._mixdali_numbers = (vector, _layer_nodes(finished), _share_nodes(finished))
        return finished

    def blend(self, images: DataNode, plan: Plan) -> DataNode:
        kernel = self._kernel_for(images) if self.layout == "HWC" else None
        if kernel is None or plan.noise is not None or plan.scale is not None:
            return super().blend(images, plan)
        if plan.fill is not None:
            mixed = kernel.erase(images, _kernel_numbers(plan), plan.fill)
        elif kernel.fits(1 + len(plan.more), plan.mask is not None):
            others = _permuted(kernel.places(images), plan)
            mixed = kernel.blend(images, others, _kernel_numbers(plan), plan.mask)
        else:
            return super().blend(images, plan)
        return fn.reshape(mixed, layout="CHW")

    def blend_targets(self, targets: DataNode, plan: Plan) -> DataNode:
        kernel = self._kernel_for(targets)
        if kernel is None or plan.partner is None or not kernel.fits(1 + len(plan.more), False):
            return super().blend_targets(targets, plan)
        others = _permuted(kernel.places_of_targets(targets), plan)
        few = getattr(targets, "_mixdali_classes", kernel.FEW + 1) <= kernel.FEW
        return kernel.blend_targets(targets, others, _kernel_shares(plan), few)

    def one_hot(self, labels: DataNode, num_classes: int, on: float, off: float) -> DataNode:
        if (kernel := self._kernel_for(labels)) is None:
            return super().one_hot(labels, num_classes, on, off)
        # a bitwise operator stops with an error at floats, which the cast would cut off
        whole = fn.reshape(fn.cast(labels & -1, dtype=types.INT32), shape=[])
        targets = kernel.one_hot(whole, num_classes, on, off, few=num_classes <= kernel.FEW)
        targets._mixdali_classes = num_classes
        return targets

    def to_float(self, images: DataNode) -> DataNode:
        if (kernel := self._kernel_for(images)) is not None:
            return fn.reshape(kernel.to_float(images), layout="CHW")
        return super().to_float(images)

    def _kernel_for(self, images: DataNode) -> ModuleType | None:
        """The compiled operators, where they can be used: on the CPU, with numba installed."""
        if self.is_on_gpu(images) or find_spec("numba") is None:
            return None
        from mixdali.worlds import kernel

        return kernel


def _as_number(value: Any) -> Number:
    return value if isinstance(value, Number) else constant(value)


def _scalar(value: float) -> DataNode:
    return types.Constant(np.array(value, dtype=np.float32))


def _layer_numbers(layer: Plan | Layer) -> list[Number]:
    """The ten numbers of a layer in the order in which the kernel reads them."""
    box = WHOLE if layer.box is None else layer.box
    region = box if layer.region is None else layer.region
    return [*map(_as_number, (*box, layer.weight, 1.0 if layer.outside is None else layer.outside, *region))]


def _stands_alone(name: str, value: Any) -> bool:
    """Whether a part of a plan is a number that is not among those of its layer."""
    return not isinstance(value, DataNode) and name.rpartition(".")[2] in ("partner", "lam", "share", "method")


def _is_share(name: str) -> bool:
    return name.rpartition(".")[2] in ("lam", "share")


def _finished(name: str, number: Number) -> DataNode:
    """A number of kind "node", as users get it."""
    if not is_whole(name):
        return number.value
    return fn.cast(number.value, dtype=types.INT32) if number.whole is None else number.whole


def _layer_nodes(plan: Plan) -> list[Any]:
    return [
        getattr(layer, name, None) for layer in (plan, *plan.more) for name in ("box", "weight", "outside", "region")
    ]


def _share_nodes(plan: Plan) -> list[Any]:
    return [plan.lam, *(layer.share for layer in plan.more)]


def _kernel_numbers(plan: Plan) -> DataNode:
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


def _kernel_shares(plan: Plan) -> DataNode:
    """lam and the layers' shares (layers,), or all numbers of the plan."""
    nodes = _share_nodes(plan)
    vector, _, of_shares = getattr(plan.weight, "_mixdali_numbers", (None, [], []))
    return vector if _are_the_same(nodes, of_shares) else fn.cat(*map(_floats, nodes))


def _are_the_same(nodes: list[Any], others: list[Any]) -> bool:
    return len(nodes) == len(others) and all(one is other for one, other in zip(nodes, others, strict=True))


def _permuted(places: DataNode, plan: Plan) -> list[DataNode]:
    """Of each layer's partner."""
    partners = [plan.partner, *(layer.partner for layer in plan.more)]
    return [places if partner is None else fn.permute_batch(places, indices=partner) for partner in partners]


def _uniform(draw: Uniform) -> DataNode:
    def of_batch(keys: list[np.ndarray]) -> list[np.ndarray]:
        return [np.array(value) for value in uniforms(np.stack(keys), draw.name, draw.per)]

    return fn.python_function(draw.keys, function=of_batch, batch_processing=True)


def _floats(value: Any) -> DataNode:
    """A number, several in a node, or a list of them as a node of one axis."""
    if isinstance(value, DataNode):
        return fn.reshape(fn.cast(value, dtype=types.FLOAT), shape=[-1])
    return types.Constant(np.array(value, dtype=np.float32).reshape(-1))
