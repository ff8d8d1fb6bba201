"""The draws of a mix in a DALI graph, from the pipeline's seed."""

import secrets
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline

from mixdali.ranks import find_ranks
from mixdali.seeds import derive_seed
from mixdali.worlds.classmates import partners_by_class
from mixdali.worlds.graph.plan import in_batch
from mixdali.worlds.numbers import Draw, Number, constant
from mixdali.worlds.operators import OperatorRandomness


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
        shape = self.world.data.shape(dtype=types.INT32)
        if self.world.layout == "HWC":
            shape = fn.cat(shape[2:3], shape[0:2])
        return self.draw_pixels(name, law, shape)

    def given(self, value: Any) -> Any:
        if isinstance(value, DataNode):
            return Number("node", value=fn.cast(value, dtype=types.FLOAT))
        if isinstance(value, (int, float)):
            return constant(value)
        raise TypeError(f"a draw given to a graph must be a node or a number, got {type(value).__name__}")

    def given_partner(self, value: Any) -> Number:
        given = self.given(value)
        return Number("node", value=in_batch(self.world.nodes([given])[0]))

    def setting(self, value: Any) -> Number:
        return self.given(value)


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
