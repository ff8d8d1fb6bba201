"""Nodes of a DALI graph, which know neither their type nor their size before the graph runs."""

import secrets
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from nvidia.dali import fn, math, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline

from mixdali.plan import Plan
from mixdali.seeds import derive_seed
from mixdali.worlds.operators import OperatorRandomness, OperatorWorld


class GraphWorld(OperatorWorld):
    ops, math, float32, int32 = fn, math, types.FLOAT, types.INT32

    def randomness(self, rng: int | None) -> "GraphRandomness":
        pipeline = _current_pipeline()
        if rng is None:
            rng = _pipeline_seed(pipeline)
        if isinstance(rng, bool) or not isinstance(rng, int):
            raise TypeError(f"rng must be an int seed in a DALI graph, got {rng!r}")
        return GraphRandomness(pipeline.max_batch_size, rng)

    def shape(self) -> DataNode:
        return self.data.shape(dtype=types.FLOAT)

    def cut(self, data: DataNode, *places: slice) -> DataNode:
        return data[places]

    def at(self, data: DataNode, place: int) -> DataNode:
        return data[place]

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

    def blend(self, images: DataNode, plan: Plan) -> DataNode:
        if self.layout == "HWC" and plan.mask is None and (kernel := self._kernel_for(images)) is not None:
            other = fn.permute_batch(images, indices=plan.partner)
            return fn.reshape(kernel.blend(images, other, plan.weight, plan.box), layout="CHW")
        return super().blend(images, plan)

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

    ops = fn

    def __init__(self, number: int, seed: int) -> None:
        self.number = number
        self.seed = seed

    def settings(self, name: str) -> dict[str, Any]:
        return {"seed": derive_seed(self.seed, name)}

    def indices(self, values: list[int]) -> list[int]:
        return values

    def places(self, partner: np.ndarray) -> DataNode:
        # No operator tells an image its place in the batch. A source with an argument can be resumed.
        return fn.external_source(source=lambda iteration: partner, batch=True, dtype=types.INT32, ndim=0)

    def given(self, value: Any) -> DataNode:
        if isinstance(value, DataNode):
            return value
        if isinstance(value, (int, float)):
            return types.Constant(np.array(value, dtype=np.float32))
        raise TypeError(f"a draw given to a graph must be a node or a number, got {type(value).__name__}")


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
