"""The draws of a mix in a DALI graph, from the pipeline's seed."""

import secrets
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from nvidia.dali import fn, math, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline

from mixdali.draws import Law, Line, check_law
from mixdali.ranks import find_ranks
from mixdali.seeds import derive_seed
from mixdali.worlds.classmates import partners_by_class
from mixdali.worlds.graph.plan import in_batch
from mixdali.worlds.numbers import Draw, Number, constant
from mixdali.worlds.operators import OperatorRandomness
from mixdali.worlds.told import told


class Nodes(Protocol):
    """What draws need of the graph's world."""

    data: Any
    """The node that is mixed."""
    layout: str
    """HWC or CHW."""

    def nodes(self, numbers: Sequence[Any]) -> list[DataNode]:
        """Numbers as nodes."""


class GraphRandomness(OperatorRandomness):
    """Every draw has a seed of its own, derived by name, so that no other draw moves it: uniform ones and partners have
    the name's share in a hash (`worlds/uniforms.py`), the others an operator."""

    ops, int32 = fn, types.INT32

    def __init__(self, world: Nodes, rng: int | None) -> None:
        pipeline = _current_pipeline()
        if rng is None:
            rng = _pipeline_seed(pipeline)
        if isinstance(rng, bool) or not isinstance(rng, int):
            raise TypeError(f"rng must be an int seed in a DALI graph, got {rng!r}")
        self.world = world
        self.number = pipeline.max_batch_size
        self.seed = rng

    def settings(self, name: str) -> dict[str, Any]:
        return {"seed": derive_seed(self.seed, name)}

    @cached_property
    def keys(self) -> DataNode:
        """(2,) float32, an image's key."""
        return fn.random.uniform(range=(0.0, 1.0), shape=[2], **self.settings("keys"))

    def indices(self, values: list[int]) -> list[int]:
        return values

    def uniform(self, name: str, per: str) -> Number:
        return Number("uniform", value=Draw(self.keys, self._of_name(name), per))

    def beta(self, name: str, a: Any, b: Any, per: str) -> Number:
        if not isinstance(a, Number) and not isinstance(b, Number) and a == b == 1:  # the same law
            return self.uniform(name, per)
        a, b = (self.world.nodes([value])[0] if isinstance(value, Number) else value for value in (a, b))
        return Number("node", value=self.draw_beta(name, a, b, per))

    def partner(self, name: str, rule: str) -> Number:
        if rule in ("cycle", "permutation"):
            return Number(rule, value=Draw(self.keys, self._of_name(name)))
        partner = self.fixed_partner(rule).astype(np.float32)
        # No operator tells an image its place in the batch. A source with an argument can be resumed.
        source = fn.external_source(source=lambda iteration: partner, batch=True, dtype=types.FLOAT, ndim=0)
        return Number("node", value=source)

    def _of_name(self, name: str) -> int:
        return derive_seed(self.seed, name) % (1 << 48)

    def partner_by_class(self, targets: DataNode, mate: Number, rule: str) -> Number:
        if targets.device == "gpu":
            raise ValueError(f'partner="{rule}" needs targets on the CPU: move them to the GPU after the mix')

        def of_batch(targets: list[np.ndarray], mate: list[np.ndarray]) -> list[np.ndarray]:
            partners = partners_by_class(np.stack(targets), np.stack(mate), rule)
            return [np.array(partner, np.float32) for partner in partners]

        places = self.world.nodes([mate])[0]
        return Number("node", value=fn.python_function(targets, places, function=of_batch, batch_processing=True))

    def follow(self, partner: Number, again: Number) -> Number:
        return Number("follow", partner, again)

    def pixels(self, name: str, law: str) -> DataNode:
        return self.draw_pixels(name, law, self._shape_of_pixels())

    def _shape_of_pixels(self) -> DataNode:
        """(3,) C, H and W."""
        shape = self.world.data.shape(dtype=types.INT32)
        return fn.cat(shape[2:3], shape[0:2]) if self.world.layout == "HWC" else shape

    def given(self, name: str, value: Any, law: Law) -> Any:
        if isinstance(value, DataNode):
            return Number("node", value=given_node(name, value, law))
        return constant(checked_number(name, value, law))

    def given_place(self, name: str, value: Any, line: Line) -> Number:
        if isinstance(value, DataNode):
            given = Number("node", value=_scalar(name, value))
            whole = Number("node", value=_is_whole(value))
            share = whole * ((given + line.middle) / line.number) + (1.0 - whole) * given
        else:
            number = _number(name, value)
            if isinstance(number, float):
                return self.given(name, number, line.law)
            share = (constant(number) + line.middle) / line.number
        return Number("node", value=within(name, self.world.nodes([share])[0], line.law))

    def given_partner(self, name: str, value: Any) -> Number:
        node = (
            _scalar(name, value)
            if isinstance(value, DataNode)
            else types.Constant(float(_number(name, value)), dtype=types.FLOAT, device="cpu")
        )
        return Number("node", value=in_batch(node, f"draw {name}"))

    def given_pixels(self, name: str, value: Any, law: Law) -> DataNode:
        node = fn.reshape(_node(name, value), shape=self._shape_of_pixels())
        ends = (fn.reductions.min(node), fn.reductions.max(node))
        return node + sum(0.0 * within(name, end, law) for end in ends)

    def given_arrays(self, name: str, value: Any, shape: tuple[Any, ...]) -> DataNode:
        sides = self.world.nodes(shape)
        return fn.reshape(_node(name, value), shape=fn.cast(fn.stack(*sides), dtype=types.INT32))

    def constant(self, value: float) -> Number:
        return constant(value)

    def setting(self, value: Any) -> Number:
        if isinstance(value, DataNode):
            return Number("node", value=fn.cast(value, dtype=types.FLOAT))
        return constant(_number("epoch", value))


def _node(name: str, value: Any) -> DataNode:
    """A draw that is given as a node, in float32."""
    if not isinstance(value, DataNode):
        raise TypeError(f"draw {name} must be a node in a DALI graph, got {type(value).__name__}")
    if value.device == "gpu":
        raise ValueError(f"draw {name} must be a node on the CPU, got one on the GPU")
    return fn.cast(value, dtype=types.FLOAT)


def _scalar(name: str, value: DataNode) -> DataNode:
    """A node () float32 of a draw that is given as a node of one number."""
    node = _node(name, value)
    return told(f"draw {name} must be one number an image", lambda: fn.reshape(node, shape=[]))


def _is_whole(value: DataNode) -> DataNode:
    """1.0 for a node of integers and 0.0 for one of floats: 1 // 2 is 0 between integers alone."""
    return fn.reshape(1.0 - 2.0 * ((value * 0 + 1) // 2), shape=[])


def _number(name: str, value: Any) -> int | float:
    """A number as Python has it; those of numpy and tensors of one number too."""
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"draw {name} must be a node or a number in a DALI graph, got {type(value).__name__}")
    return value


def checked_number(name: str, value: Any, law: Law) -> int | float:
    number = _number(name, value)
    check_law(name, np.array(number), law)
    return number


def given_node(name: str, value: Any, law: Law) -> DataNode:
    """A draw that is given, a number or a node of one number an image, as a node () float32; checked."""
    if isinstance(value, DataNode):
        return within(name, _scalar(name, value), law)
    return types.Constant(float(checked_number(name, value, law)), dtype=types.FLOAT, device="cpu")


def within(name: str, value: DataNode, law: Law) -> DataNode:
    """The value, a node () float32, or where the graph runs an error that names the draw."""

    def check() -> DataNode:
        below = value <= law.high if law.closed else value < law.high
        fits = (value >= law.low) & below
        if law.whole:
            fits = fits & (math.floor(value) == value)
        fits = fn.cast(fits, dtype=types.INT32)
        return fn.permute_batch(value, indices=fits - 1)

    return value + 0.0 * told(f"draw {name} must be {law.rule}", check)


def epoch_counter(batches: int | None, first: int) -> DataNode:
    """See `mixdali.epoch_counter`."""
    size = _current_pipeline().max_batch_size

    def source(info: Any) -> np.ndarray:
        epoch = first + info.epoch_idx + (info.iteration // batches if batches else 0)
        return np.full(size, epoch, np.float32)

    # for `mixdali.Loader`, which knows both; the first epoch is no part of what a pipeline is
    source.counts, source.facts = (first, batches), {"batches": batches}  # type: ignore[attr-defined]
    return fn.external_source(source=source, batch=True, batch_info=True, dtype=types.FLOAT, ndim=0)


def _current_pipeline() -> Pipeline:
    pipeline = Pipeline.current()
    if pipeline is None:
        raise RuntimeError("a mix of DALI nodes belongs inside a pipeline definition: a @pipeline_def function")
    return pipeline


def _pipeline_seed(pipeline: Pipeline) -> int:
    """The pipeline's seed, told apart by how many mixes the pipeline already has, and by the rank, since the same
    pipeline runs on all of them; fresh entropy if it has none."""
    earlier = getattr(pipeline, "_mixdali_mixes", 0)
    pipeline._mixdali_mixes = earlier + 1
    seed = secrets.randbits(62) if pipeline.seed is None else pipeline.seed
    rank = find_ranks()[0]
    return derive_seed(seed, "mix", earlier, *(("rank", rank) if rank else ()))
