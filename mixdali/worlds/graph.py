"""Nodes of a DALI graph, which know neither their type nor their size before the graph runs."""

import secrets
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from nvidia.dali import fn, math, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline, do_not_convert

from mixdali.classmates import partners_by_class
from mixdali.plan import WHOLE, Layer, Plan, is_whole
from mixdali.seeds import derive_seed
from mixdali.worlds.numbers import Number, Numbers, by_operators, combine, constant
from mixdali.worlds.operators import OperatorRandomness, OperatorWorld, called_once_for_equals

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

    def randomness(self, rng: int | None) -> "GraphRandomness":
        pipeline = _current_pipeline()
        if rng is None:
            rng = _pipeline_seed(pipeline)
        if isinstance(rng, bool) or not isinstance(rng, int):
            raise TypeError(f"rng must be an int seed in a DALI graph, got {rng!r}")
        return GraphRandomness(self, pipeline.max_batch_size, rng)

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

            return program.run(numbers, self.data.shape(), self.height)
        return fn.stack(*self._by_operators(numbers))

    def _by_operators(self, numbers: list[Number]) -> list[DataNode]:
        def leaf(number: Number) -> Any:
            if number.kind == "row":
                return OperatorWorld.row(self, number.value)
            return self.sides[number.value] if number.kind == "size" else number.value

        return by_operators(numbers, leaf, OPERATIONS, _scalar)

    def finish(self, plan: Plan) -> Plan:
        layers: list[Plan | Layer] = [plan, *plan.more]
        apart = {name: _as_number(v) for name, v in plan.parts().items() if _stands_alone(name, v)}
        unknown = [name for name, number in apart.items() if number.kind != "node"]
        rows = [number for layer in layers for number in _layer_numbers(layer)]
        vector = self._computed([*rows, *(apart[name] for name in unknown)])
        parts = {name: value for name, value in plan.parts().items() if isinstance(value, DataNode)}
        apart |= {name: Number("node", value=vector[place]) for place, name in enumerate(unknown, len(rows))}
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
        finished.weight._mixdali_numbers = (vector, _layer_nodes(finished))
        return finished

    def blend(self, images: DataNode, plan: Plan) -> DataNode:
        kernel = self._kernel_for(images) if self.layout == "HWC" else None
        if kernel is None or plan.noise is not None or plan.scale is not None:
            return super().blend(images, plan)
        if plan.fill is not None:
            mixed = kernel.erase(images, _kernel_numbers(plan), plan.fill)
        elif kernel.fits(1 + len(plan.more), plan.mask is not None):
            layers: list[Plan | Layer] = [plan, *plan.more]
            places = kernel.places(images)
            others = [
                places if layer.partner is None else fn.permute_batch(places, indices=layer.partner) for layer in layers
            ]
            mixed = kernel.blend(images, others, _kernel_numbers(plan), plan.mask)
        else:
            return super().blend(images, plan)
        return fn.reshape(mixed, layout="CHW")

    def blend_targets(self, targets: DataNode, plan: Plan) -> DataNode:
        kernel = self._kernel_for(targets)
        if kernel is None or plan.partner is None or not kernel.fits(1 + len(plan.more), False):
            return super().blend_targets(targets, plan)
        others = [
            targets if partner is None else fn.permute_batch(targets, indices=partner)
            for partner in (plan.partner, *(layer.partner for layer in plan.more))
        ]
        shares = fn.stack(plan.lam, *(layer.share for layer in plan.more)) if plan.more else plan.lam
        return kernel.blend_targets(targets, others, shares)

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


class GraphRandomness(OperatorRandomness):
    """Every draw is an operator with a seed of its own, derived by name, so that no other operator moves it."""

    ops, int32 = fn, types.INT32

    def __init__(self, world: GraphWorld, number: int, seed: int) -> None:
        self.world = world
        self.number = number
        self.seed = seed

    def settings(self, name: str) -> dict[str, Any]:
        return {"seed": derive_seed(self.seed, name)}

    def indices(self, values: list[int]) -> list[int]:
        return values

    def places(self, partner: np.ndarray) -> DataNode:
        # No operator tells an image its place in the batch. A source with an argument can be resumed.
        return fn.external_source(source=lambda iteration: partner, batch=True, dtype=types.INT32, ndim=0)

    def uniform(self, name: str, per: str) -> Number:
        return Number("node", value=self.draw_uniform(name, per))

    def beta(self, name: str, a: Any, b: Any, per: str) -> Number:
        a, b = (self.world.nodes([value])[0] if isinstance(value, Number) else value for value in (a, b))
        return Number("node", value=self.draw_beta(name, a, b, per))

    def partner(self, name: str, rule: str) -> Number:
        return _drawn_whole(self.draw_partner(name, rule))

    def partner_by_class(self, targets: DataNode, mate: Number, rule: str) -> Number:
        if targets.device == "gpu":
            raise ValueError(f'partner="{rule}" needs targets on the CPU: move them to the GPU after the mix')

        def of_batch(targets: list[np.ndarray], mate: list[np.ndarray]) -> list[np.ndarray]:
            return [np.array(partner) for partner in partners_by_class(np.stack(targets), np.stack(mate), rule)]

        return _drawn_whole(fn.python_function(targets, mate.value, function=of_batch, batch_processing=True))

    def follow(self, partner: Number, again: Number) -> Number:
        return _drawn_whole(fn.permute_batch(partner.whole, indices=again.whole))

    def pixels(self, name: str, law: str) -> DataNode:
        shape = self.world.data.shape(dtype=types.INT32)
        if self.world.layout == "HWC":
            shape = fn.cat(shape[2:3], shape[0:2])
        return self.draw_pixels(name, law, shape)

    def given(self, value: Any) -> Any:
        if isinstance(value, DataNode):
            # a partner or another draw; what of the two is not used costs nothing
            return Number("node", value=fn.cast(value, dtype=types.FLOAT), whole=fn.cast(value, dtype=types.INT32))
        if isinstance(value, (int, float)):
            return constant(value)
        raise TypeError(f"a draw given to a graph must be a node or a number, got {type(value).__name__}")

    def setting(self, value: Any) -> Number:
        return self.given(value)


def epoch_counter(batches: int | None, first: int) -> DataNode:
    """See `mixdali.epoch_counter`."""
    size = _current_pipeline().max_batch_size

    def source(info: Any) -> np.ndarray:
        epoch = first + info.epoch_idx + (info.iteration // batches if batches else 0)
        return np.full(size, epoch, np.float32)

    return fn.external_source(source=source, batch=True, batch_info=True, dtype=types.FLOAT, ndim=0)


def _drawn_whole(node: DataNode) -> Number:
    """A node () of int32, such as partners."""
    return Number("node", value=fn.cast(node, dtype=types.FLOAT), whole=node)


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


def _finished(name: str, number: Number) -> DataNode:
    """A number of kind "node", as users get it."""
    if not is_whole(name):
        return number.value
    return fn.cast(number.value, dtype=types.INT32) if number.whole is None else number.whole


def _layer_nodes(plan: Plan) -> list[Any]:
    return [
        getattr(layer, name, None) for layer in (plan, *plan.more) for name in ("box", "weight", "outside", "region")
    ]


def _kernel_numbers(plan: Plan) -> DataNode:
    """(10 * layers,) what the kernel is told: as it was computed, or gathered from a plan that somebody made."""
    nodes = _layer_nodes(plan)
    vector, of_nodes = getattr(plan.weight, "_mixdali_numbers", (None, []))
    if len(nodes) == len(of_nodes) and all(one is other for one, other in zip(nodes, of_nodes, strict=True)):
        return vector
    gathered = []
    for i in range(0, len(nodes), 4):
        box, weight, outside, region = nodes[i : i + 4]
        box = WHOLE if box is None else box
        gathered += [box, weight, 1.0 if outside is None else outside, box if region is None else region]
    return fn.cat(*map(_floats, gathered))


def _floats(value: Any) -> DataNode:
    """A number, several in a node, or a list of them as a node of one axis."""
    if isinstance(value, DataNode):
        return fn.reshape(fn.cast(value, dtype=types.FLOAT), shape=[-1])
    return types.Constant(np.array(value, dtype=np.float32).reshape(-1))


def _current_pipeline() -> Pipeline:
    pipeline = Pipeline.current()
    if pipeline is None:
        raise RuntimeError("a mix of DALI nodes belongs inside a pipeline definition: a @pipeline_def function")
    return pipeline


def _pipeline_seed(pipeline: Pipeline) -> int:
    """The pipeline's seed, told apart by how many mixes the pipeline already has; fresh entropy if it has none."""
    earlier = getattr(pipeline, "_mixdali_mixes", 0)
    pipeline._mixdali_mixes = earlier + 1
    seed = secrets.randbits(62) if pipeline.seed is None else pipeline.seed
    return derive_seed(seed, "mix", earlier)
