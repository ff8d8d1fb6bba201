"""Batches of DALI's dynamic mode, where operators run at once. The only file that imports it."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
from nvidia.dali import types

from mixdali.draws import FINITE, Law, Line, check_law, check_partner, check_shape
from mixdali.plan import Plan, is_whole
from mixdali.worlds.classmates import partners_by_class
from mixdali.worlds.operators import OperatorRandomness, OperatorWorld, called_once_for_equals
from mixdali.worlds.output import UNCHANGED, Output
from mixdali.worlds.told import NO_BYTES, ONE_SIZE

FLOATS = (ndd.float16, ndd.float32, ndd.float64)


class DynamicWorld(OperatorWorld):
    ops, math, float32, int32, nearest = ndd, ndd.math, ndd.float32, ndd.int32, types.INTERP_NN
    dtypes: ClassVar[dict[str, Any]] = {"float32": ndd.float32, "float16": ndd.float16, "uint8": ndd.uint8}

    def randomness(self, rng: ndd.random.RNG | None) -> "DynamicRandomness":
        rng = ndd.random.RNG() if rng is None else rng
        if not isinstance(rng, ndd.random.RNG):
            raise TypeError(f"rng must be an RNG of nvidia.dali.experimental.dynamic.random, got {rng!r}")
        return DynamicRandomness(self, rng)

    @property
    def size(self) -> ndd.Batch:
        return self.sides

    def shape(self) -> ndd.Batch:
        return ndd.as_batch(np.array(self.data.shape, dtype=np.float32))

    def constant(self, values: np.ndarray) -> ndd.Batch:
        return ndd.as_batch(np.broadcast_to(values, (self.data.batch_size, *np.shape(values))).copy())

    def cut(self, data: ndd.Batch, *places: slice) -> ndd.Batch:
        return data.slice[places]

    def is_on_gpu(self, data: ndd.Batch) -> bool:
        return data.device.device_type == "gpu"

    def pixels(self, images: ndd.Batch) -> tuple[ndd.Batch, float]:
        if images.dtype != ndd.uint8:
            raise TypeError(
                f"a mix of DALI batches takes uint8 HWC images, got {images.dtype}: leave the conversion to the mix, "
                'with mean and std, or pass layout="CHW" for float32 CHW images'
            )
        return ndd.reshape(images, layout="HWC"), 0.0

    def floats(self, images: ndd.Batch) -> ndd.Batch:
        if images.dtype == ndd.uint8:
            raise TypeError(NO_BYTES)
        return ndd.reshape(images, layout="CHW")

    def check_labels(self, labels: ndd.Batch, num_classes: int) -> ndd.Batch:
        labels = ndd.reshape(labels, shape=[])
        values = arrays(labels)
        wrong = values[(values < 0) | (values >= num_classes)]
        if len(wrong):
            raise ValueError(f"labels must be from 0 to num_classes - 1 = {num_classes - 1}, got {wrong[0]}")
        return labels

    def blend(self, images: ndd.Batch, plan: Plan, output: Output = UNCHANGED) -> ndd.Batch:
        shapes = sorted({tuple(shape) for shape in images.shape})
        if len(shapes) > 1 and plan.partner is not None:
            raise ValueError(f"{ONE_SIZE}, got {shapes[0]} and {shapes[1]}")
        return super().blend(images, plan, output)

    def blend_targets(self, targets: ndd.Batch, plan: Plan) -> ndd.Batch:
        shapes = {tuple(shape) for shape in targets.shape}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1 or targets.dtype not in FLOATS:
            raise TypeError(
                f"targets must be probabilities (num_classes,), float, as many for all of a batch, got {targets.dtype} "
                f"{', '.join(map(str, sorted(shapes)))}; use mixdali.one_hot(labels, num_classes) first, or for "
                "regression a column, (1,)"
            )
        return super().blend_targets(targets, plan)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def hit(self, condition: Any) -> Any:
        return 1.0 * condition

    def floor(self, value: Any) -> Any:
        return ndd.math.floor(value)

    def sqrt(self, value: Any) -> Any:
        return ndd.math.sqrt(value)

    def exp(self, value: Any) -> Any:
        return ndd.math.exp(value)

    def log(self, value: Any) -> Any:
        return ndd.math.log(value)

    def clamp(self, value: Any, low: Any, high: Any) -> Any:
        return ndd.math.clamp(value, low, high)

    def pair(self, y: Any, x: Any) -> ndd.Batch:
        return ndd.stack(*(self._batch(value) for value in (y, x)))

    def at(self, pair: ndd.Batch, place: int) -> ndd.Batch:
        return pair.slice[place]

    def box(self, start: Any, end: Any) -> ndd.Batch:
        return ndd.cat(start, end)

    def covered(self, box: ndd.Batch) -> ndd.Batch:
        area = box.slice[2:4] - box.slice[0:2]
        return (area.slice[0] * area.slice[1]) / (self.sides.slice[0] * self.sides.slice[1])

    def each(self, value: Any, axes: int = 1) -> Any:
        return value

    def mean(self, row: ndd.Batch) -> ndd.Batch:
        return ndd.reductions.mean(row)

    def host(self, function: Callable[..., Any], *numbers: Any) -> ndd.Batch:
        columns = [arrays(self._batch(number)) for number in (self.at(self.sides, 0), self.at(self.sides, 1), *numbers)]
        return ndd.as_batch(called_once_for_equals(function)(*columns), layout="HW")

    def finish(self, plan: Plan) -> Plan:
        parts = {}
        for name, value in plan.parts().items():
            kind = ndd.int32 if is_whole(name) else ndd.float32
            parts[name] = ndd.cast(self._batch(value), dtype=kind)
        return Plan.of_parts(parts)

    def _batch(self, value: Any) -> ndd.Batch:
        return value if isinstance(value, ndd.Batch) else self.constant(np.array(value, dtype=np.float32))


class DynamicRandomness(OperatorRandomness):
    """Every draw takes the next numbers of one generator."""

    ops, int32 = ndd, ndd.int32

    def __init__(self, world: DynamicWorld, rng: ndd.random.RNG) -> None:
        self.world = world
        self.number = world.data.batch_size
        self.rng = rng

    def settings(self, name: str) -> dict[str, Any]:
        return {"rng": self.rng, "batch_size": self.number}

    def indices(self, values: list[int]) -> ndd.Batch:
        return ndd.as_batch(np.array(values, dtype=np.int32))

    def uniform(self, name: str, per: str) -> ndd.Batch:
        return self.draw_uniform(name, per)

    def beta(self, name: str, a: Any, b: Any, per: str) -> ndd.Batch:
        return self.draw_beta(name, a, b, per)

    def partner(self, name: str, rule: str) -> ndd.Batch:
        if rule in ("cycle", "permutation"):
            return ndd.batch_permutation(no_fixed_points=rule == "cycle", **self.settings(name))
        return ndd.as_batch(self.fixed_partner(rule))

    def partner_by_class(self, targets: ndd.Batch, mate: ndd.Batch, rule: str) -> ndd.Batch:
        return ndd.as_batch(partners_by_class(arrays(targets), arrays(mate), rule))

    def follow(self, partner: ndd.Batch, again: ndd.Batch) -> ndd.Batch:
        return ndd.permute_batch(partner, indices=again)

    def pixels(self, name: str, law: str) -> ndd.Batch:
        return self.draw_pixels(name, law, ndd.as_batch(self._shape_of_pixels()))

    def _shape_of_pixels(self) -> np.ndarray:
        """(N, 3) int32, C, H and W."""
        shape = np.array(self.world.data.shape, dtype=np.int32)
        return shape if self.world.layout == "CHW" else np.ascontiguousarray(shape[:, [2, 0, 1]])

    def given(self, name: str, value: Any, law: Law) -> ndd.Batch:
        values = self._numbers(name, value)
        check_law(name, values, law)
        return ndd.as_batch(values.astype(np.float32))

    def given_place(self, name: str, value: Any, line: Line) -> ndd.Batch:
        values = self._numbers(name, value)
        if values.dtype.kind == "f":
            check_law(name, values, line.law)
            return ndd.as_batch(values.astype(np.float32))
        numbers = np.broadcast_to(arrays(self.world._batch(line.number)), self.number)
        for pixel, number in zip(values, numbers, strict=True):
            check_law(name, np.asarray(pixel), line.pixels(float(number)))
        return ndd.as_batch(((values + line.middle) / np.maximum(numbers, 1)).astype(np.float32))

    def given_partner(self, name: str, value: Any) -> ndd.Batch:
        values = self._numbers(name, value)
        check_partner(f"draw {name}", values, self.number)
        return ndd.as_batch(values.astype(np.int32))

    def given_pixels(self, name: str, value: Any, law: Law) -> ndd.Batch:
        return self._arrays(name, value, self._shape_of_pixels()[0].tolist(), law)

    def given_arrays(self, name: str, value: Any, shape: tuple[Any, ...]) -> ndd.Batch:
        sides = [int(arrays(self.world._batch(side)).reshape(-1)[0]) for side in shape]
        return self._arrays(name, value, sides, FINITE)

    def _arrays(self, name: str, value: Any, shape: list[int], law: Law) -> ndd.Batch:
        values = _read(name, value)
        if list(values.shape) not in (shape, [self.number, *shape]):
            wanted = f"{(self.number, *shape)}, or {tuple(shape)} for all"
            raise ValueError(f"draw {name} must be {wanted}, got {values.shape}")
        check_law(name, values, law)
        return ndd.as_batch(np.broadcast_to(values, (self.number, *shape)).astype(np.float32))

    def _numbers(self, name: str, value: Any) -> np.ndarray:
        values = _read(name, value)
        check_shape(name, values.shape, self.number)
        return np.broadcast_to(values, self.number)

    def constant(self, value: float) -> ndd.Batch:
        return ndd.as_batch(np.full(self.number, value, np.float32))

    def setting(self, value: Any) -> ndd.Batch:
        return self.constant(float(value))


def _read(name: str, value: Any) -> np.ndarray:
    """A draw that is given, as an array; batches with one number an image too."""
    try:
        values = arrays(value) if isinstance(value, ndd.Batch) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        values = np.array(None)
    if values.dtype.kind not in "iuf":
        raise TypeError(f"draw {name} must be numbers, got {value!r:.80}")
    return values


def arrays(batch: ndd.Batch) -> np.ndarray:
    """A batch of data of one shape as an array (N, ...)."""
    return np.stack([np.array(tensor.cpu()) for tensor in batch.tensors])
