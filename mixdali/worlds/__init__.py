"""Where a mix runs: a DALI graph, DALI's dynamic mode or torch tensors, told apart by what the images are.

Methods are written once, with Python's operators, which nodes, batches and tensors share. What differs is listed here.
"""

import sys
from collections.abc import Sequence
from typing import Any, Protocol

from mixdali.draws import Randomness
from mixdali.plan import Plan


class World(Protocol):
    """What a method needs beside operators."""

    @property
    def size(self) -> Any:
        """(2,) height and width of the images, in pixels."""

    def randomness(self, rng: Any) -> Randomness: ...

    def floor(self, value: Any) -> Any: ...

    def clamp(self, value: Any, low: Any, high: Any) -> Any: ...

    def pair(self, y: Any, x: Any) -> Any:
        """Two (N,) -> (N, 2)."""

    def box(self, start: Any, end: Any) -> Any:
        """Two corners, (N, 2) or (2,) for all -> (N, 4)."""

    def covered(self, box: Any) -> Any:
        """(N,) the share of the image that a box has."""

    def select(self, hits: Sequence[Any], values: Sequence[Any]) -> Any:
        """For each image the value whose hit (N,) is 1.0, where all others are 0.0."""

    def finish(self, plan: Plan) -> Plan:
        """The plan as users get it: partner and box int, the rest float32, where the images are."""

    def blend(self, images: Any, plan: Plan) -> Any:
        """The images, mixed; plan.weight is not None."""

    def blend_targets(self, targets: Any, plan: Plan) -> Any:
        """The targets, mixed."""


def world_of(data: Any, layout: str | None = None) -> Any:
    """The world of a DALI node, a DALI batch or a torch tensor; TypeError for anything else."""
    # Data of a framework cannot be at hand before the framework was imported, so neither is imported to find out.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(data, torch.Tensor):
        from mixdali.worlds.tensor import TensorWorld

        return TensorWorld(data, layout)
    dali = sys.modules.get("nvidia.dali.data_node")
    if dali is not None and isinstance(data, dali.DataNode):
        from mixdali.worlds.graph import GraphWorld

        return GraphWorld(data, layout)
    dynamic = sys.modules.get("nvidia.dali.experimental.dynamic")
    if dynamic is not None and isinstance(data, dynamic.Batch):
        from mixdali.worlds.dynamic import DynamicWorld

        return DynamicWorld(data, layout)
    raise TypeError(
        f"mixdali works on the nodes of a DALI graph, DALI's batches and torch tensors, got {type(data).__module__}."
        f"{type(data).__qualname__}; turn arrays into tensors with torch.from_numpy"
    )
