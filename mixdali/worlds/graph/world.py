"""Nodes of a DALI graph, which know neither their type nor their size before the graph runs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
from nvidia.dali import fn, math, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import do_not_convert

from mixdali.plan import Plan
from mixdali.worlds.graph.draws import GraphRandomness
from mixdali.worlds.graph.plan import finished, kernel_numbers
from mixdali.worlds.numbers import Draw, Number, Numbers, as_number, by_operators, combine
from mixdali.worlds.operators import OperatorWorld, called_once_for_equals
from mixdali.worlds.output import UNCHANGED, Output
from mixdali.worlds.told import NO_BYTES, ONE_SIZE, TARGETS, told
from mixdali.worlds.uniforms import partners, uniforms

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
    "follow": lambda partner, again: fn.permute_batch(partner, indices=fn.cast(again, dtype=types.INT32)),
}


class GraphWorld(OperatorWorld):
    ops, math, float32, int32, nearest = fn, math, types.FLOAT, types.INT32, types.INTERP_NN
    dtypes: ClassVar[dict[str, Any]] = {"float32": types.FLOAT, "float16": types.FLOAT16, "uint8": types.UINT8}

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

    def pixels(self, images: DataNode) -> tuple[DataNode, DataNode]:
        # A graph knows no types before it runs, but as bytes only images of bytes keep their shape. Shapes are on the
        # CPU wherever the images are, and no pixel is read.
        pixels = fn.reinterpret(images, dtype=types.UINT8, layout="HWC")
        more = fn.reductions.sum(pixels.shape() - images.shape())
        table = types.Constant([0.0])
        # a place outside of it is an error, and DALI shows the next line with that
        return pixels, table[more]  # a mix takes uint8 HWC images: leave it the conversion, or pass layout="CHW"

    def floats(self, images: DataNode) -> DataNode:
        # As values of two bytes only images of bytes have fewer of them, and no pixel is read.
        halves = told(NO_BYTES, lambda: fn.reinterpret(images, dtype=types.FLOAT16))
        fewer = fn.reductions.sum(images.shape() - halves.shape())
        nothing = told(NO_BYTES, lambda: types.Constant([0])[math.max(fewer, 0)])
        return fn.reshape(images, shape=fn.cast(images.shape() + nothing, dtype=types.INT32), layout="CHW")

    def of_one_size(self, sides: DataNode, images: DataNode, other: DataNode) -> DataNode:
        apart = fn.reductions.sum(math.abs(images.shape() - other.shape()))
        return sides + told(ONE_SIZE, lambda: types.Constant([0])[apart])

    def check_labels(self, labels: DataNode, num_classes: int) -> DataNode:
        # DALI's one_hot gives a label out of range no class at all; reading a table of num_classes entries stops there.
        # A negative place would count from the end, so it is first sent beyond it.
        place = fn.reshape(labels, shape=[])
        return types.Constant(np.arange(num_classes, dtype=np.int32))[place + (place < 0) * (2 * num_classes)]

    @do_not_convert
    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def hit(self, condition: Number) -> Number:
        return condition  # of numbers it is one already

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
        return Numbers(map(as_number, (y, x)))

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
        numbers = [as_number(base), rows, columns]
        if self.layout == "HWC" and self._is_compiled(self.data):
            from mixdali.worlds.compiled.program import outer

            return outer(numbers, self.data)
        return super().outer(*self._by_operators(numbers))

    def host(self, function: Callable[..., Any], *numbers: Any) -> DataNode:
        found = iter(self.nodes([*self.size, *(one for one in numbers if not isinstance(one, DataNode))]))
        sides = [next(found), next(found)]
        return fn.python_function(
            *sides,
            *(one if isinstance(one, DataNode) else next(found) for one in numbers),
            function=called_once_for_equals(function),
            batch_processing=True,
            output_layouts="HW",
        )

    def nodes(self, numbers: Sequence[Any]) -> list[DataNode]:
        """The numbers as nodes (), float32: as they are where they are drawn, else computed, all by one operator."""
        wanted = [as_number(number) for number in numbers]
        computed = [number for number in wanted if number.kind != "node"]
        if not computed:
            return [number.value for number in wanted]
        vector = self._computed(computed)
        found = {id(number): vector[i] for i, number in enumerate(computed)}
        return [number.value if number.kind == "node" else found[id(number)] for number in wanted]

    def _computed(self, numbers: list[Number]) -> DataNode:
        """One node (len(numbers),)."""
        if find_spec("numba") is not None:
            from mixdali.worlds.compiled.program import run

            images = self.data if self.layout == "HWC" and not self.is_on_gpu(self.data) else None
            return run(numbers, images, self.data.shape() if images is None else None, self.height)
        return fn.stack(*self._by_operators(numbers))

    def _by_operators(self, numbers: list[Number]) -> list[DataNode]:
        def leaf(number: Number) -> Any:
            if number.kind == "row":
                return OperatorWorld.row(self, number.value)
            if isinstance(number.value, Draw):
                return _draw(number.kind, number.value)
            return self.sides[number.value] if number.kind == "size" else number.value

        return by_operators(numbers, leaf, OPERATIONS, _scalar)

    def finish(self, plan: Plan) -> Plan:
        return finished(plan, self._computed)

    def apply(
        self, images: DataNode, targets: DataNode | None, plan: Plan, output: Output = UNCHANGED
    ) -> tuple[DataNode, DataNode | None]:
        if targets is None or plan.partner is None or not (self._is_fused(images, plan) and self._has_few(targets)):
            return super().apply(images, targets, plan, output)
        from mixdali.worlds.compiled.others import others_and_targets

        numbers = kernel_numbers(plan)
        places, mixed = others_and_targets(images, targets, numbers)
        return self._fused(images, places, numbers, plan, output), mixed

    def blend(self, images: DataNode, plan: Plan, output: Output = UNCHANGED) -> DataNode:
        if not self._is_fused(images, plan):
            return super().blend(images, plan, output)
        from mixdali.worlds.compiled.images import erase
        from mixdali.worlds.compiled.others import others_of_images

        numbers = kernel_numbers(plan)
        if plan.fill is not None:
            return erase(images, numbers, plan.fill, output)
        return self._fused(images, others_of_images(images, numbers), numbers, plan, output)

    def _is_fused(self, images: DataNode, plan: Plan) -> bool:
        return self.layout == "HWC" and self._is_compiled(images) and plan.noise is None and plan.scale is None

    def _fused(self, images: DataNode, others: DataNode, numbers: DataNode, plan: Plan, output: Output) -> DataNode:
        from mixdali.worlds.compiled.images import blend

        return blend(images, others, numbers, plan.mask, output, 1 + len(plan.more), plan.region is not None)

    def blend_targets(self, targets: DataNode, plan: Plan) -> DataNode:
        before = _before_the_copy(targets)
        if before is not None:
            return self.blend_targets(before, plan).gpu()
        if plan.partner is None:
            return targets
        if not self._is_compiled(targets):
            classes = told(TARGETS, lambda: targets.shape()[0])  # class indices have none
            return super().blend_targets(targets, replace(plan, lam=plan.lam + 0.0 * classes))
        from mixdali.worlds.compiled.others import others_of_targets
        from mixdali.worlds.compiled.targets import blend_targets

        numbers = kernel_numbers(plan)
        return blend_targets(targets, others_of_targets(targets, numbers), numbers)

    def _has_few(self, targets: DataNode) -> bool:
        """Whether these are targets of so few classes that one thread mixes them best."""
        if not self._is_compiled(targets):
            return False
        from mixdali.worlds.compiled.targets import FEW

        return getattr(targets, "_mixdali_classes", FEW + 1) <= FEW

    def one_hot(self, labels: DataNode, num_classes: int, on: float, off: float) -> DataNode:
        if not self._is_compiled(labels):
            return super().one_hot(labels, num_classes, on, off)
        from mixdali.worlds.compiled.targets import FEW, one_hot

        # a bitwise operator stops with an error at floats, which the cast would cut off
        whole = fn.reshape(fn.cast(labels & -1, dtype=types.INT32), shape=[])
        targets = one_hot(whole, num_classes, on, off, few=num_classes <= FEW)
        targets._mixdali_classes = num_classes
        return targets

    def to_float(self, images: DataNode, output: Output = UNCHANGED) -> DataNode:
        if self.layout == "CHW" or not self._is_compiled(images):
            return super().to_float(images, output)
        from mixdali.worlds.compiled.images import to_float

        return to_float(images, output)

    def _is_compiled(self, data: DataNode) -> bool:
        """Whether the compiled operators can be used: on the CPU, with numba installed."""
        return not self.is_on_gpu(data) and find_spec("numba") is not None


def _before_the_copy(data: DataNode) -> DataNode | None:
    """What was copied to the GPU to become this, if it was: a mix of few numbers is the cheaper before the copy."""
    made = [] if data.device != "gpu" or data.source is None else data.source.outputs
    return next((node for node in made if node.name == data.name and node.device == "cpu"), None)


def _scalar(value: float) -> DataNode:
    # without a device it is no node, and arithmetic does not take two that are none
    return types.Constant(np.array(value, dtype=np.float32), device="cpu")


def _draw(kind: str, draw: Draw) -> DataNode:
    """Of kind "uniform", or a partner's rule."""

    def of_batch(keys: list[np.ndarray]) -> list[np.ndarray]:
        all_keys = np.stack(keys)
        values = uniforms(all_keys, draw.name, draw.per) if kind == "uniform" else partners(all_keys, draw.name, kind)
        return [np.array(value) for value in values]

    return fn.python_function(draw.keys, function=of_batch, batch_processing=True)
