"""Nodes of a DALI graph: images uint8 HWC, one at a time, so that a draw is a scalar. Draws and plans stay on the CPU.

`random.beta` and `batch_permutation` exist for the CPU only, and `permute_batch` and `erase` take CPU arguments for GPU
images too; only the numbers that meet pixels or targets on the GPU are moved there.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from nvidia.dali import fn, math, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline

from mixdali.checks import one_of
from mixdali.plan import Plan
from mixdali.seeds import derive_seed


class GraphWorld:
    def __init__(self, data: DataNode, layout: str | None = None) -> None:
        self.layout = layout or "HWC"
        one_of("layout", self.layout, ("HWC", "CHW"))
        self.data = data

    @property
    def height(self) -> DataNode:
        return self._side("H")

    @property
    def width(self) -> DataNode:
        return self._side("W")

    def _side(self, axis: str) -> DataNode:
        return self.data.shape(dtype=types.FLOAT)[self.layout.index(axis)]

    def randomness(self, rng: int | None) -> "GraphRandomness":
        if rng is None:
            rng = _pipeline_seed()
        if isinstance(rng, bool) or not isinstance(rng, int):
            raise TypeError(f"rng must be an int seed in a DALI graph, got {rng!r}")
        return GraphRandomness(self.data, rng)

    def floor(self, value: Any) -> Any:
        return math.floor(value)

    def clamp(self, value: Any, low: Any, high: Any) -> Any:
        return math.clamp(value, low, high)

    def box(self, y0: Any, x0: Any, y1: Any, x1: Any) -> DataNode:
        nothing = 0.0 * self.height
        return fn.stack(*(nothing + corner for corner in (y0, x0, y1, x1)))

    def select(self, hits: Sequence[DataNode], values: Sequence[Any]) -> DataNode:
        chosen = hits[0] * values[0]
        for hit, value in zip(hits[1:], values[1:], strict=True):
            chosen = chosen + hit * value
        return chosen

    def finish(self, plan: Plan) -> Plan:
        box = None if plan.box is None else fn.cast(plan.box, dtype=types.INT32)
        return replace(plan, partner=fn.cast(plan.partner, dtype=types.INT32), box=box)

    def blend(self, images: DataNode, plan: Plan) -> DataNode:
        if self.layout == "HWC" and plan.mask is None and (kernel := _kernel_for(images)) is not None:
            other = fn.permute_batch(images, indices=plan.partner)
            return _as_chw(kernel.blend(images, other, plan.weight, plan.box))
        return self.blend_by_operators(images, plan)

    def blend_by_operators(self, images: DataNode, plan: Plan) -> DataNode:
        """`blend` with DALI's own operators: on the GPU, with masks, of floats, and where numba is not installed."""
        images = fn.reshape(images, layout=self.layout)
        other = fn.permute_batch(images, indices=plan.partner)
        shown = self._shown(images, plan)
        if self.layout == "CHW":
            return images - shown * (images - other)
        shown = shown + _refuse_float_images(images)
        # Between integers this is exact at both ends, and it never passes 255; w * a + (1 - w) * b does.
        return _scaled(images - shown * (images * 1.0 - other), 0.0)

    def _shown(self, images: DataNode, plan: Plan) -> DataNode:
        """The partner's share of every pixel: a number for each image, or a map (H, W, 1) or (1, H, W)."""
        if plan.box is None:
            kept = _beside(images, plan.weight)
        else:
            channel = images[:, :, :1] if self.layout == "HWC" else images[:1]
            y0x0, y1x1 = plan.box[:2], plan.box[2:]
            kept = fn.erase(
                channel * 0.0 + 1.0,
                anchor=fn.cast(y0x0, dtype=types.FLOAT),
                shape=fn.cast(y1x1 - y0x0, dtype=types.FLOAT),
                axis_names="HW",
                fill_value=plan.weight,
            )
        if plan.mask is not None:
            mask = fn.expand_dims(fn.reshape(plan.mask, layout="HW"), axes=self.layout.index("C"), new_axis_names="C")
            kept = kept * _beside(images, mask)
        return 1.0 - kept

    def blend_targets(self, targets: DataNode, plan: Plan) -> DataNode:
        lam = _beside(targets, plan.lam)
        return lam * targets + (1.0 - lam) * fn.permute_batch(targets, indices=plan.partner)

    def one_hot(self, labels: DataNode, num_classes: int, on: float, off: float) -> DataNode:
        # DALI's one_hot gives a label out of range no class at all; reading a table of num_classes entries stops there.
        # A negative place would count from the end, so it is first sent beyond it.
        place = fn.reshape(labels, shape=[])
        checked = types.Constant(np.arange(num_classes, dtype=np.int32))[place + (place < 0) * (2 * num_classes)]
        return fn.one_hot(checked, num_classes=num_classes, on_value=on, off_value=off, dtype=types.FLOAT)

    def to_float(self, images: DataNode) -> DataNode:
        if (kernel := _kernel_for(images)) is not None:
            return _as_chw(kernel.to_float(images))
        return self.to_float_by_operators(images)

    def to_float_by_operators(self, images: DataNode) -> DataNode:
        """`to_float` with DALI's own operators."""
        images = fn.reshape(images, layout=self.layout)
        nothing = _refuse_float_images(images)
        # arguments of operators are on the CPU
        return _scaled(images, nothing) if images.device == "cpu" else _scaled(images, 0.0) + nothing


class GraphRandomness:
    """Every draw is an operator with a seed of its own, derived by name, so that no other operator moves it."""

    def __init__(self, data: DataNode, seed: int) -> None:
        self.data = data
        self.seed = seed

    def uniform(self, name: str, per: str) -> DataNode:
        return _spread(fn.random.uniform(range=(0.0, 1.0), seed=derive_seed(self.seed, name)), per)

    def beta(self, name: str, alpha: float, per: str) -> DataNode:
        return _spread(fn.random.beta(alpha=alpha, beta=alpha, seed=derive_seed(self.seed, name)), per)

    def partner(self, name: str, rule: str) -> DataNode:
        if rule in ("cycle", "permutation"):
            return fn.batch_permutation(no_fixed_points=rule == "cycle", seed=derive_seed(self.seed, name))
        places = np.arange(_current_pipeline().max_batch_size, dtype=np.int32)
        partner = places[::-1].copy() if rule == "flip" else np.roll(places, 1)
        # no operator tells an image its place in the batch; a source with an argument can be resumed
        return fn.external_source(source=lambda iteration: partner, batch=True, dtype=types.INT32, ndim=0)

    def given(self, value: Any) -> DataNode:
        if isinstance(value, DataNode):
            return value
        if isinstance(value, (int, float)):
            return types.Constant(np.array(value, dtype=np.float32))
        raise TypeError(f"a draw given to a graph must be a node or a number, got {type(value).__name__}")


def _kernel_for(images: DataNode) -> ModuleType | None:
    """The compiled operators, where they can be used: on the CPU, with numba installed."""
    if images.device == "gpu" or find_spec("numba") is None:
        return None
    from mixdali.worlds import kernel

    return kernel


def _scaled(images: DataNode, mean: DataNode | float) -> DataNode:
    """HWC from 0 to 255 -> float CHW in [0, 1], less `mean`, which is zero."""
    return fn.crop_mirror_normalize(images, dtype=types.FLOAT, output_layout="CHW", mean=mean, std=[255.0])


def _as_chw(images: DataNode) -> DataNode:
    return fn.reshape(images, layout="CHW")


def _current_pipeline() -> Pipeline:
    pipeline = Pipeline.current()
    if pipeline is None:
        raise RuntimeError("a mix of DALI nodes belongs inside a pipeline definition: a @pipeline_def function")
    return pipeline


def _pipeline_seed() -> int:
    """The pipeline's seed, told apart by how many mixes the pipeline already has; fresh entropy if it has none."""
    pipeline = _current_pipeline()
    earlier = getattr(pipeline, "_mixdali_mixes", 0)
    pipeline._mixdali_mixes = earlier + 1
    seed = secrets.randbits(62) if pipeline.seed is None else pipeline.seed
    return derive_seed(seed, "mix", earlier)


def _spread(draw: DataNode, per: str) -> DataNode:
    if per == "batch":
        return fn.permute_batch(draw, indices=fn.zeros_like(draw, dtype=types.INT32))
    if per == "pair":
        last = _current_pipeline().max_batch_size - 1
        return fn.permute_batch(draw, indices=[min(place, last - place) for place in range(last + 1)])
    return draw


def _beside(data: DataNode, value: Any) -> Any:
    """A number, on the device of what it will meet."""
    return value.gpu() if data.device == "gpu" and isinstance(value, DataNode) else value


def _refuse_float_images(images: DataNode) -> DataNode:
    """(1,) 0.0, or DALI's error that a bitwise operator needs integers.

    Images that are floats already would come out black, and a graph does not know its types before it runs. One pixel
    is enough to ask.
    """
    pixel = fn.slice(images, start=(0, 0, 0), shape=(1, 1, 1), axes=(0, 1, 2))
    return 0.0 * fn.reshape(pixel & 0, shape=[1])
