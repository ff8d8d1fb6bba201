"""What a DALI graph and DALI's dynamic mode share: a mix by DALI's own operators, whose names are the same in both.

Images are uint8 HWC and one at a time, so that a draw is a scalar. Draws and plans stay on the CPU: `random.beta` and
`batch_permutation` exist there only, and `permute_batch` and `erase` take CPU arguments for GPU images too. Only the
numbers that meet pixels or targets on the GPU are moved there.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from mixdali.checks import one_of
from mixdali.plan import Plan


class OperatorWorld(ABC):
    """`data` is what the world was found from: images, labels or targets."""

    ops: Any  # nvidia.dali.fn, or nvidia.dali.experimental.dynamic
    math: Any
    float32: Any  # types, as `ops` names them
    int32: Any

    def __init__(self, data: Any, layout: str | None = None) -> None:
        self.layout = layout or "HWC"
        one_of("layout", self.layout, ("HWC", "CHW"))
        self.data = data

    @cached_property
    def size(self) -> Any:
        start = self.layout.index("H")
        return self.cut(self.shape(), slice(start, start + 2))

    @abstractmethod
    def shape(self) -> Any:
        """The shape of the images, as floats."""

    @abstractmethod
    def cut(self, data: Any, *places: slice) -> Any:
        """data[places]."""

    @abstractmethod
    def at(self, data: Any, place: int) -> Any:
        """data[place]."""

    @abstractmethod
    def is_on_gpu(self, data: Any) -> bool: ...

    @abstractmethod
    def check_uint8(self, images: Any) -> Any:
        """(1,) 0.0, or an error if the images are not uint8: floats in [0, 1] would come out black."""

    @abstractmethod
    def check_labels(self, labels: Any, num_classes: int) -> Any:
        """The labels, scalars, or an error for one outside [0, num_classes)."""

    def floor(self, value: Any) -> Any:
        return self.math.floor(value)

    def clamp(self, value: Any, low: Any, high: Any) -> Any:
        return self.math.clamp(value, low, high)

    def pair(self, y: Any, x: Any) -> Any:
        return self.ops.stack(y, x)

    def box(self, start: Any, end: Any) -> Any:
        return self.ops.cat(start, end)

    def covered(self, box: Any) -> Any:
        area = self.cut(box, slice(2, 4)) - self.cut(box, slice(0, 2))
        return self._product(area) / self._product(self.size)

    def _product(self, pair: Any) -> Any:
        return self.at(pair, 0) * self.at(pair, 1)

    def select(self, hits: Sequence[Any], values: Sequence[Any]) -> Any:
        chosen = hits[0] * values[0]
        for hit, value in zip(hits[1:], values[1:], strict=True):
            chosen = chosen + hit * value
        return chosen

    def finish(self, plan: Plan) -> Plan:
        box = None if plan.box is None else self.ops.cast(plan.box, dtype=self.int32)
        return replace(plan, partner=self.ops.cast(plan.partner, dtype=self.int32), box=box)

    def blend(self, images: Any, plan: Plan) -> Any:
        images = self.ops.reshape(images, layout=self.layout)
        other = self.ops.permute_batch(images, indices=plan.partner)
        shown = self._shown(images, plan)
        if self.layout == "CHW":
            return images - shown * (images - other)
        shown = shown + self.check_uint8(images)
        # Between integers this is exact at both ends, and it never passes 255; w * a + (1 - w) * b does.
        return self._scaled(images - shown * (images * 1.0 - other), 0.0)

    def _shown(self, images: Any, plan: Plan) -> Any:
        """The partner's share of every pixel: a number for each image, or a map (H, W, 1) or (1, H, W)."""
        if plan.box is None:
            kept = self._beside(images, plan.weight)
        else:
            everything = slice(None)
            channel = self.cut(images, *(slice(0, 1) if axis == "C" else everything for axis in self.layout))
            y0x0, y1x1 = self.cut(plan.box, slice(0, 2)), self.cut(plan.box, slice(2, 4))
            kept = self.ops.erase(
                self.ops.reshape(channel * 0.0 + 1.0, layout=self.layout),
                anchor=self.ops.cast(y0x0, dtype=self.float32),
                shape=self.ops.cast(y1x1 - y0x0, dtype=self.float32),
                axis_names="HW",
                fill_value=plan.weight,
            )
        if plan.mask is not None:
            mask = self.ops.reshape(plan.mask, layout="HW")
            mask = self.ops.expand_dims(mask, axes=self.layout.index("C"), new_axis_names="C")
            kept = kept * self._beside(images, mask)
        return 1.0 - kept

    def blend_targets(self, targets: Any, plan: Plan) -> Any:
        lam = self._beside(targets, plan.lam)
        return lam * targets + (1.0 - lam) * self.ops.permute_batch(targets, indices=plan.partner)

    def one_hot(self, labels: Any, num_classes: int, on: float, off: float) -> Any:
        labels = self.check_labels(labels, num_classes)
        return self.ops.one_hot(labels, num_classes=num_classes, on_value=on, off_value=off, dtype=self.float32)

    def to_float(self, images: Any) -> Any:
        images = self.ops.reshape(images, layout=self.layout)
        nothing = self.check_uint8(images)
        # arguments of operators are on the CPU
        return self._scaled(images, 0.0) + nothing if self.is_on_gpu(images) else self._scaled(images, nothing)

    def _scaled(self, images: Any, mean: Any) -> Any:
        """HWC from 0 to 255 -> float CHW in [0, 1], less `mean`, which is zero."""
        return self.ops.crop_mirror_normalize(images, dtype=self.float32, output_layout="CHW", mean=mean, std=[255.0])

    def _beside(self, data: Any, value: Any) -> Any:
        """A number, on the device of what it will meet."""
        return value.gpu() if self.is_on_gpu(data) and hasattr(value, "gpu") else value


class OperatorRandomness(ABC):
    """Draws by DALI's random operators."""

    ops: Any
    number: int

    @abstractmethod
    def settings(self, name: str) -> dict[str, Any]:
        """The arguments that make the operator of a draw reproducible."""

    @abstractmethod
    def indices(self, values: list[int]) -> Any:
        """An argument of `permute_batch` that is the same for every batch."""

    @abstractmethod
    def places(self, partner: np.ndarray) -> Any:
        """(N,) whole numbers that are the same in every batch."""

    def uniform(self, name: str, per: str) -> Any:
        return self._spread(self.ops.random.uniform(range=(0.0, 1.0), **self.settings(name)), per)

    def beta(self, name: str, alpha: float, per: str) -> Any:
        return self._spread(self.ops.random.beta(alpha=alpha, beta=alpha, **self.settings(name)), per)

    def partner(self, name: str, rule: str) -> Any:
        if rule in ("cycle", "permutation"):
            return self.ops.batch_permutation(no_fixed_points=rule == "cycle", **self.settings(name))
        places = np.arange(self.number, dtype=np.int32)
        return self.places(places[::-1].copy() if rule == "flip" else np.roll(places, 1))

    def _spread(self, draw: Any, per: str) -> Any:
        if per == "image":
            return draw
        last = self.number - 1
        first = {"batch": [0] * self.number, "pair": [min(place, last - place) for place in range(self.number)]}
        return self.ops.permute_batch(draw, indices=self.indices(first[per]))
