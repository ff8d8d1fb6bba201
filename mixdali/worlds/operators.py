"""What a DALI graph and DALI's dynamic mode share: a mix by DALI's own operators, whose names are the same in both.

Images are uint8 HWC and one at a time, so that a draw is a scalar. Draws and plans stay on the CPU: `random.beta` and
`batch_permutation` exist there only, and `permute_batch` and `erase` take CPU arguments for GPU images too. Only the
numbers that meet pixels or targets on the GPU are moved there.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from mixdali.checks import one_of
from mixdali.plan import Layer, Plan
from mixdali.worlds import scaled
from mixdali.worlds.output import UNCHANGED, Output
from mixdali.worlds.told import ONE_SIZE, told

# Pixels along a side that a mask can have.
LONGEST = 1 << 14


class OperatorWorld(ABC):
    """`data` is what the world was found from: images, labels or targets."""

    ops: Any  # nvidia.dali.fn, or nvidia.dali.experimental.dynamic
    math: Any
    float32: Any  # types, as `ops` names them
    int32: Any
    dtypes: ClassVar[dict[str, Any]]  # those of `mixdali.worlds.output`
    nearest: Any  # the interpolation

    def __init__(self, data: Any, layout: str | None = None) -> None:
        self.layout = layout or "HWC"
        one_of("layout", self.layout, ("HWC", "CHW"))
        self.data = data

    @property
    def height(self) -> int:
        """The place of the height in a shape; the width's is the next one."""
        return self.layout.index("H")

    @cached_property
    def sides(self) -> Any:
        """(2,) height and width, as data."""
        return self.cut(self.shape(), slice(self.height, self.height + 2))

    @abstractmethod
    def shape(self) -> Any:
        """The shape of the images, as floats."""

    @abstractmethod
    def constant(self, values: np.ndarray) -> Any:
        """The same array for every image."""

    @abstractmethod
    def cut(self, data: Any, *places: slice) -> Any:
        """data[places]."""

    @abstractmethod
    def each(self, value: Any, axes: int = 1) -> Any:
        """A number in the form in which it meets rows, masks and pixels."""

    @abstractmethod
    def is_on_gpu(self, data: Any) -> bool: ...

    @abstractmethod
    def pixels(self, images: Any) -> tuple[Any, Any]:
        """The images as uint8 HWC, and on the CPU (1,) 0.0, or an error if they are not uint8: floats in [0, 1] would
        come out black."""

    @abstractmethod
    def floats(self, images: Any) -> Any:
        """The images as CHW, or an error if they are uint8, which as floats in [0, 1] would come out 255 times as
        bright."""

    def of_one_size(self, sides: Any, images: Any, other: Any) -> Any:
        """`sides`, or an error where an image and the other one are of two sizes."""
        return sides

    @abstractmethod
    def check_labels(self, labels: Any, num_classes: int) -> Any:
        """The labels, scalars, or an error for one outside [0, num_classes)."""

    def select(self, hits: Sequence[Any], values: Sequence[Any]) -> Any:
        chosen = hits[0] * values[0]
        for hit, value in zip(hits[1:], values[1:], strict=True):
            chosen = chosen + hit * value
        return chosen

    def row(self, axis: int) -> Any:
        pixels = self.constant(np.arange(LONGEST, dtype=np.float32))
        side = self.ops.cast(self.cut(self.sides, slice(axis, axis + 1)), dtype=self.int32)
        return self.ops.slice(pixels, start=[0], shape=side, axes=[0])

    def outer(self, base: Any, rows: Any, columns: Any) -> Any:
        products = self.ops.reshape(rows, shape=[-1, 1]) * self.ops.reshape(columns, shape=[1, -1])
        return self.each(base, 2) + products

    def colour(self, levels: Sequence[float]) -> Any:
        colour = self.constant(np.array(levels, dtype=np.float32).reshape(-1, 1, 1))
        if len(levels) == 1:
            return colour
        # An error where the images have another number of channels. DALI would make as many as the colour has.
        place = self.layout.index("C")
        channels = self.ops.cast(self.cut(self.shape(), slice(place, place + 1)), dtype=self.int32)
        return self.ops.reshape(colour, shape=self.ops.cat(channels, self.constant(np.array([1, 1], dtype=np.int32))))

    def apply(self, images: Any, targets: Any, plan: Plan, output: Output = UNCHANGED) -> tuple[Any, Any]:
        return self.blend(images, plan, output), None if targets is None else self.blend_targets(targets, plan)

    def blend(self, images: Any, plan: Plan, output: Output = UNCHANGED) -> Any:
        if plan.fill is None and plan.scale is None and plan.noise is None:
            return self._blend_partners(images, plan, output)
        if plan.fill is not None:
            pixels = self.to_float(images)
            shown = type(self)(pixels, "CHW").shown(pixels, plan)
            mixed = pixels - shown * (pixels - self.beside(images, plan.fill))
        else:
            mixed = self._blend_partners(images, plan)
        if plan.scale is not None:
            mixed = mixed * self.beside(images, plan.scale)
        if plan.noise is not None:
            mixed = mixed + self.beside(images, plan.noise)
        return self._handed_out(mixed, output)

    def _blend_partners(self, images: Any, plan: Plan, output: Output = UNCHANGED) -> Any:
        nothing: Any = 0.0
        if self.layout == "CHW":
            images = self.floats(images)
        else:
            images, nothing = self.pixels(images)
            if self.is_on_gpu(images) and (mixed := scaled.blend(self, images, nothing, plan, output)) is not None:
                return mixed
        shown, other = self.shown(images, plan), self.partner(images, plan)
        # DALI shows the next line with its error
        other = other * 1.0  # on the CPU float images must be float32; dtype="float16" is for what comes out of a mix
        if plan.region is not None and (plan.outside is not None or plan.mask is not None):
            # Another part of the partner is shown in the box alone; around it the partner is in its place.
            in_place = self.partner(images, replace(plan, region=None)) * 1.0
            other = in_place - self.shown(images, Layer(None, 0.0, plan.box)) * (in_place - other)
        # Between integers this is exact at both ends, and it never passes 255; w * a + (1 - w) * b does.
        mixed = images - shown * told(ONE_SIZE, lambda: images - other)
        for layer in plan.more:
            mixed = mixed - self.shown(images, layer) * (mixed - self.partner(images, layer))
        return self._scaled(mixed, nothing, output) if self.layout == "HWC" else self._handed_out(mixed, output)

    def partner(self, images: Any, layer: Plan | Layer) -> Any:
        """The partner's pixels at the places where they are shown."""
        other = images if layer.partner is None else self.ops.permute_batch(images, indices=layer.partner)
        if layer.region is None:
            return other
        if self.layout == "CHW":
            other = self.ops.transpose(other, perm=[1, 2, 0], output_layout="HWC")
        box = self.ops.cat(0.0 * self.sides, self.sides) if layer.box is None else layer.box
        start, end = (self.cut(box, slice(i, i + 2)) * 1.0 for i in (0, 2))
        first, last = (self.cut(layer.region, slice(i, i + 2)) * 1.0 for i in (0, 2))
        side = self.math.max(end - start, 1.0)
        step = (last - first) / side
        # Where the centres of two pixels meet exactly, a quarter of the finest step settles which is the nearer.
        offset = first - start * step + 0.25 / side
        shown = self.ops.warp_affine(
            other,
            matrix=self._matrix(step, offset),
            interp_type=self.nearest,
            inverse_map=True,
        )
        return self.ops.transpose(shown, perm=[2, 0, 1], output_layout="CHW") if self.layout == "CHW" else shown

    def _matrix(self, step: Any, offset: Any) -> Any:
        """x and y, and no rotation, as DALI wants it: (2, 3)."""
        (step_y, step_x), (offset_y, offset_x) = (
            [self.cut(pair, slice(i, i + 1)) for i in (0, 1)] for pair in (step, offset)
        )
        nothing = 0.0 * step_x
        flat = self.ops.cat(step_x, nothing, offset_x, nothing, step_y, offset_y)
        return self.ops.reshape(flat, shape=[2, 3])

    def shown(self, images: Any, layer: Plan | Layer) -> Any:
        """The partner's share of every pixel: a number for each image, or a map (H, W, 1) or (1, H, W)."""
        if layer.box is None and layer.mask is not None:
            # made where the mask is, and moved once
            return self.beside(images, 1.0 - layer.weight * self._with_channels(layer.mask))
        if layer.box is None:
            kept = self.beside(images, layer.weight)
        else:
            everything = slice(None)
            channel = self.cut(images, *(slice(0, 1) if axis == "C" else everything for axis in self.layout))
            nothing = 0.0 * (channel < channel)  # also where a pixel is not finite
            around = nothing + (1.0 if layer.outside is None else self.beside(images, layer.outside))
            y0x0, y1x1 = self.cut(layer.box, slice(0, 2)), self.cut(layer.box, slice(2, 4))
            kept = self.ops.erase(
                self.ops.reshape(around, layout=self.layout),
                anchor=self.ops.cast(y0x0, dtype=self.float32),
                shape=self.ops.cast(y1x1 - y0x0, dtype=self.float32),
                axis_names="HW",
                fill_value=layer.weight,
            )
        if layer.mask is not None:
            kept = kept * self.beside(images, self._with_channels(layer.mask))
        return 1.0 - kept

    def _with_channels(self, mask: Any) -> Any:
        """(H, W) -> (H, W, 1) or (1, H, W)."""
        mask = self.ops.reshape(mask, layout="HW")
        return self.ops.expand_dims(mask, axes=self.layout.index("C"), new_axis_names="C")

    def blend_targets(self, targets: Any, plan: Plan) -> Any:
        if plan.partner is None:
            return targets
        lam = self.beside(targets, plan.lam)
        shares = [self.beside(targets, layer.share) for layer in plan.more]
        rest = 1.0 - lam
        for share in shares:
            rest = rest - share
        mixed = lam * targets + rest * self.ops.permute_batch(targets, indices=plan.partner)
        for layer, share in zip(plan.more, shares, strict=True):
            other = targets if layer.partner is None else self.ops.permute_batch(targets, indices=layer.partner)
            mixed = mixed + share * other
        return mixed

    def one_hot(self, labels: Any, num_classes: int, on: float, off: float) -> Any:
        labels = self.check_labels(labels, num_classes)
        return self.ops.one_hot(labels, num_classes=num_classes, on_value=on, off_value=off, dtype=self.float32)

    def to_float(self, images: Any, output: Output = UNCHANGED) -> Any:
        if self.layout == "CHW":
            return self._handed_out(self.floats(images), output)
        return self._scaled(*self.pixels(images), output)

    def _scaled(self, images: Any, nothing: Any, output: Output) -> Any:
        """HWC from 0 to 255 -> what is asked for. nothing: zero, on the CPU."""
        return self.normalised(images, nothing, *output.shift_and_size(255.0), output)

    def _handed_out(self, images: Any, output: Output) -> Any:
        """Float CHW in [0, 1] -> what is asked for."""
        if output == UNCHANGED:
            return images
        return self.normalised(self.ops.reshape(images, layout="CHW"), 0.0, *output.shift_and_size(1.0), output)

    def normalised(self, images: Any, nothing: Any, shift: Any, size: Any, output: Output) -> Any:
        if not isinstance(nothing, float):
            shift = nothing if shift == [0.0] else self.constant(np.array(shift, np.float32)) + nothing
        return self.ops.crop_mirror_normalize(
            images, dtype=self.dtypes[output.dtype or "float32"], output_layout=output.layout, mean=shift, std=size
        )

    def beside(self, data: Any, value: Any) -> Any:
        """A number, on the device of what it will meet."""
        return value.gpu() if self.is_on_gpu(data) and hasattr(value, "gpu") else value


class OperatorRandomness(ABC):
    """Draws by DALI's random operators."""

    ops: Any
    int32: Any
    number: int
    firsts: Any = None
    """For each image of a batch the place of the first one, once something needs it."""

    @abstractmethod
    def settings(self, name: str) -> dict[str, Any]:
        """The arguments that make the operator of a draw reproducible."""

    @abstractmethod
    def indices(self, values: list[int]) -> Any:
        """An argument of `permute_batch` that is the same for every batch."""

    def draw_uniform(self, name: str, per: str) -> Any:
        return self._spread(self.ops.random.uniform(range=(0.0, 1.0), **self.settings(name)), per)

    def draw_beta(self, name: str, a: Any, b: Any, per: str) -> Any:
        return self._spread(self.ops.random.beta(alpha=a, beta=b, **self.settings(name)), per)

    def fixed_partner(self, rule: str) -> np.ndarray:
        """(N,) by one of the two rules without chance, "flip" and "roll"."""
        places = np.arange(self.number, dtype=np.int32)
        return places[::-1].copy() if rule == "flip" else np.roll(places, 1)

    def draw_pixels(self, name: str, law: str, shape: Any) -> Any:
        """shape: C, H and W."""
        settings = self.settings(name)
        if law == "uniform":
            return self.ops.random.uniform(range=(0.0, 1.0), shape=shape, **settings)
        return self.ops.random.normal(shape=shape, **settings)

    def _spread(self, draw: Any, per: str) -> Any:
        if per == "image":
            return draw
        if per == "batch":
            if self.firsts is None:
                # as many as there are in a batch, which may be fewer in the last one
                self.firsts = self.ops.zeros_like(draw, dtype=self.int32)
            return self.ops.permute_batch(draw, indices=self.firsts)
        last = self.number - 1
        return self.ops.permute_batch(draw, indices=self.indices([min(n, last - n) for n in range(self.number)]))


def called_once_for_equals(function: Callable[..., Any]) -> Callable[..., list[Any]]:
    """A function of height, width and one image's numbers -> of the whole batch's, not repeated for equal ones."""

    def of_batch(*columns: Any) -> list[Any]:
        made: dict[tuple[Any, ...], Any] = {}
        rows = [[_plain(value) for value in values] for values in zip(*columns, strict=True)]
        keys = [tuple(value if isinstance(value, float) else value.tobytes() for value in row) for row in rows]
        for key, row in zip(keys, rows, strict=True):
            if key not in made:
                made[key] = function(int(row[0]), int(row[1]), *row[2:])
        return [made[key] for key in keys]

    return of_batch


def _plain(value: Any) -> Any:
    """A number as a float, an array as an array."""
    array = np.asarray(value)
    return float(array.reshape(())) if array.ndim == 0 else array
