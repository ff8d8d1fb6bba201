"""Where a mix runs: a DALI graph, DALI's dynamic mode or torch tensors, told apart by what the images are.

Methods are written once, with Python's operators, which numbers of a graph, batches and tensors share. What differs is
listed here. A number is (N,), one an image; a row of numbers is (N, H) or (N, W), one for each row or column of pixels.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mixdali.draws import Randomness
from mixdali.plan import Plan
from mixdali.worlds.output import UNCHANGED, Output


class World(Protocol):
    """What a method needs beside operators."""

    @property
    def size(self) -> Any:
        """(2,) height and width of the images, in pixels."""

    def randomness(self, rng: Any) -> Randomness: ...

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What it returns. A graph with conditions would rewrite it for `if`s on data; it has none."""

    def hit(self, condition: Any) -> Any:
        """1.0 where it holds and 0.0 where not, float32."""

    def floor(self, value: Any) -> Any: ...

    def sqrt(self, value: Any) -> Any: ...

    def exp(self, value: Any) -> Any: ...

    def log(self, value: Any) -> Any: ...

    def clamp(self, value: Any, low: Any, high: Any) -> Any: ...

    def pair(self, y: Any, x: Any) -> Any:
        """Two (N,) -> (N, 2)."""

    def at(self, pair: Any, place: int) -> Any:
        """(N, 2) or a size -> (N,) or one for all."""

    def box(self, start: Any, end: Any) -> Any:
        """Two corners, (N, 2) or (2,) for all -> (N, 4)."""

    def covered(self, box: Any) -> Any:
        """(N,) the share of the image that a box has."""

    def select(self, hits: Sequence[Any], values: Sequence[Any]) -> Any:
        """For each image the value whose hit (N,) is 1.0, where all others are 0.0."""

    def row(self, axis: int) -> Any:
        """0, 1, 2, ... for the pixels along the height (axis 0) or the width (1)."""

    def each(self, value: Any, axes: int = 1) -> Any:
        """A number, in the form in which it meets rows (axes=1), masks (axes=2) or pixels (axes=3)."""

    def colour(self, levels: Sequence[float]) -> Any:
        """(N, C, 1, 1), the same colour for every image; one level, (N, 1, 1, 1), is grey."""

    def mean(self, row: Any) -> Any:
        """A row -> (N,)."""

    def outer(self, base: Any, rows: Any, columns: Any) -> Any:
        """A number, (N, H), (N, W) -> (N, H, W), the number plus the products."""

    def host(self, function: Callable[..., Any], *numbers: Any) -> Any:
        """(N, H, W) by a Python function of height, width and an image's numbers -> numpy (H, W) float32.

        A number may also be an array for each image. Called once for all images of the same numbers.
        """

    def finish(self, plan: Plan) -> Plan:
        """The plan as users get it: partners and boxes int, the rest float32, where the images are."""

    def apply(self, images: Any, targets: Any, plan: Plan, output: Output = UNCHANGED) -> tuple[Any, Any]:
        """Images and targets, mixed; plan.weight is not None. Targets of None stay None."""

    def blend(self, images: Any, plan: Plan, output: Output = UNCHANGED) -> Any:
        """The images alone."""

    def blend_targets(self, targets: Any, plan: Plan) -> Any:
        """The targets alone."""


def world_of(data: Any, layout: str | None = None) -> Any:
    """The world of a DALI node, a DALI batch or a torch tensor; TypeError for anything else."""
    # Data of a framework cannot be at hand before the framework was imported, so neither is imported to find out.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(data, torch.Tensor):
        from mixdali.worlds.tensor import TensorWorld

        return TensorWorld(data, layout)
    dali = sys.modules.get("nvidia.dali.data_node")
    if dali is not None and isinstance(data, dali.DataNode):
        from mixdali.worlds.graph.world import GraphWorld

        return GraphWorld(data, layout)
    dynamic = sys.modules.get("nvidia.dali.experimental.dynamic")
    if dynamic is not None and isinstance(data, dynamic.Batch):
        from mixdali.worlds.dynamic import DynamicWorld

        return DynamicWorld(data, layout)
    raise TypeError(
        f"mixdali works on the nodes of a DALI graph, DALI's batches and torch tensors, got {type(data).__module__}."
        f"{type(data).__qualname__}; turn arrays into tensors with torch.from_numpy"
    )
