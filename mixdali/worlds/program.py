"""The numbers of a plan by one compiled operator: a small machine that runs any plan's arithmetic, an image at a time.

What is computed is data of the graph and not code, so the machine is compiled once and kept, whatever the mix. It works
in float32, as DALI's operators do, and gives what they give; means alone are summed in float64. It is asked once for a
batch: to hand the images of a batch to several threads would cost more than their arithmetic.
"""

from typing import Any

import numpy as np
from numba import carray, njit
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from mixdali.worlds.compiled import (
    GRID,
    IMAGE,
    NUMBERS,
    RUN,
    RUN_BATCH,
    SETUP,
    SHAPE,
    address_of,
    compiled,
    like_the_first,
    of_batch,
    operator,
    pointer,
    shape_of,
)
from mixdali.worlds.numbers import Number, in_order
from mixdali.worlds.uniforms import PER, uniform

KINDS = (
    "constant",
    "node",
    "uniform",
    "size",
    "add",
    "sub",
    "mul",
    "div",
    "lt",
    "ge",
    "floor",
    "sqrt",
    "exp",
    "log",
    "min",
    "max",
    "row",
    "mean",
)
CONSTANT, NODE, UNIFORM, SIZE, ADD, SUB, MUL, DIV, LT, GE, FLOOR, SQRT, EXP, LOG, MIN, MAX, ROW, MEAN = range(
    len(KINDS)
)
STEP = 5  # numbers a step: kind, three by kind, and the place of its axis in the images' shape, or -1
HALF = np.uint64(1 << 24)  # of a name: as much as a float32 can hold
PER_BATCH, PER_PAIR = PER.index("batch"), PER.index("pair")

uniform_of = njit(uniform)


def run(numbers: list[Number], images: DataNode | None, shape: DataNode | None, height: int) -> DataNode:
    """The numbers, one an image each, as one node (len(numbers),) float32.

    images  uint8 HWC, or None where `shape` is given,
    shape   node (3,) int64, the shape of the images; `height` is the place of the height in it, before the width's.
    """
    steps = in_order(numbers)
    drawn = [step for step in steps if step.kind == "node"]
    keys = next((step.value.keys for step in steps if step.kind == "uniform"), None)
    function, form, data = (_run_shapes, SHAPE, shape) if images is None else (_run_images, IMAGE, images)
    return operator(function, like_the_first, [NUMBERS, GRID, NUMBERS, NUMBERS, form], NUMBERS, batch=True)(
        *_written(numbers, steps, drawn, height),
        fn.stack(*(step.value for step in drawn)) if drawn else types.Constant(np.zeros(1, np.float32)),
        types.Constant(np.zeros(2, np.float32)) if keys is None else keys,
        data,
    )


def outer(numbers: list[Number], images: DataNode) -> DataNode:
    """(H, W) float32: a number, and the products of a number for each row and a number for each column.

    images  uint8 HWC.
    """
    known = _met_by_rows(numbers)
    found = run(known, images, None, 0) if known else types.Constant(np.zeros(1, np.float32))
    written = _written(numbers, in_order(numbers, known), known, 0)
    return operator(_run_outer, _sides_of_images, [NUMBERS, GRID, NUMBERS, IMAGE], GRID)(*written, found, images)


def _met_by_rows(numbers: list[Number]) -> list[Number]:
    """The numbers one an image that are asked for, or that numbers along an axis are computed from."""
    asked = {id(number) for number in numbers}
    steps = in_order(numbers)
    for step in steps:
        if step.axis is not None:
            asked |= {id(one) for one in step.inputs}
    return [step for step in steps if id(step) in asked and step.axis is None and step.kind not in ("constant", "size")]


def _written(numbers: list[Number], steps: list[Number], given: list[Number], height: int) -> tuple[DataNode, DataNode]:
    """Which steps the numbers are, and the steps. What is `given` is read at its place there."""
    places = {id(step): place for place, step in enumerate(steps)}
    given_at = {id(step): place for place, step in enumerate(given)}
    rows = np.zeros((len(steps), STEP), np.float32)
    for row, step in zip(rows, steps, strict=True):
        row[0] = KINDS.index(step.kind)
        row[4] = -1 if step.axis is None else height + step.axis
        if id(step) in given_at:
            row[:2] = NODE, given_at[id(step)]
        elif step.kind == "constant":
            row[1] = step.value
        elif step.kind == "uniform":
            row[1:4] = *divmod(step.value.name, int(HALF)), PER.index(step.value.per)
        elif step.kind in ("size", "row"):
            row[1] = height + step.value
        else:
            row[1 : 1 + len(step.inputs)] = [places[id(one)] for one in step.inputs]
    return types.Constant(np.array([places[id(number)] for number in numbers], np.float32)), types.Constant(rows)


@njit
def _made(rows: Any, given: Any, keys: Any, sample: Any, shape: Any) -> Any:
    """What every step makes: (steps, L), a number in the first place, or one for each pixel along an axis.

    keys: where those of a batch lie, of which the image is number `sample`.
    """
    steps = len(rows)
    longest = 1
    for step in range(steps):
        if rows[step, 4] >= 0:
            longest = max(longest, shape[int(rows[step, 4])])
    made = np.empty((steps, longest), np.float32)
    for step in range(steps):
        kind, first, other, axis = int(rows[step, 0]), rows[step, 1], int(rows[step, 2]), int(rows[step, 4])
        out = made[step, : shape[axis]] if axis >= 0 else made[step, :1]
        if kind == CONSTANT:
            out[0] = first
        elif kind == NODE:
            out[0] = given[int(first)]
        elif kind == UNIFORM:
            out[0] = uniform_of(_key(keys, sample, rows[step, 3]), np.uint64(first) * HALF + np.uint64(other))
        elif kind == SIZE:
            out[0] = np.float32(shape[int(first)])
        elif kind == ROW:
            for i in range(len(out)):
                out[i] = np.float32(i)
        else:
            one = int(first)
            if kind == MEAN:
                out[0] = _mean(made[one, : shape[int(rows[one, 4])]])
            else:
                _apply(kind, made[one], int(rows[one, 4] >= 0), made[other], int(rows[other, 4] >= 0), out)
    return made


@njit
def _key(keys: Any, sample: Any, per: Any) -> Any:
    if per == PER_BATCH:
        sample = 0
    elif per == PER_PAIR:
        sample = min(sample, len(keys) - 1 - sample)
    return carray(pointer(keys[sample]), 1, np.uint64)[0]


@njit
def _mean(values: Any) -> Any:
    total = 0.0
    for i in range(len(values)):
        total += values[i]
    return np.float32(total / len(values))


@njit
def _apply(kind: Any, a: Any, move_a: Any, b: Any, move_b: Any, out: Any) -> None:
    """An operation on a and b, each moving by one number for each of `out`, or standing still."""
    number = len(out)
    if kind == ADD:
        for i in range(number):
            out[i] = a[i * move_a] + b[i * move_b]
    elif kind == SUB:
        for i in range(number):
            out[i] = a[i * move_a] - b[i * move_b]
    elif kind == MUL:
        for i in range(number):
            out[i] = a[i * move_a] * b[i * move_b]
    elif kind == DIV:
        for i in range(number):
            out[i] = a[i * move_a] / b[i * move_b]
    elif kind == LT:
        for i in range(number):
            out[i] = np.float32(1) if a[i * move_a] < b[i * move_b] else np.float32(0)
    elif kind == GE:
        for i in range(number):
            out[i] = np.float32(1) if a[i * move_a] >= b[i * move_b] else np.float32(0)
    elif kind == FLOOR:
        for i in range(number):
            out[i] = np.floor(a[i * move_a])
    elif kind == SQRT:
        for i in range(number):
            out[i] = np.sqrt(a[i * move_a])
    elif kind == EXP:
        for i in range(number):
            out[i] = np.exp(a[i * move_a])
    elif kind == LOG:
        for i in range(number):
            out[i] = np.log(a[i * move_a])
    elif kind == MIN:
        for i in range(number):
            out[i] = min(a[i * move_a], b[i * move_b])
    elif kind == MAX:
        for i in range(number):
            out[i] = max(a[i * move_a], b[i * move_b])


@njit
def _run(outputs: Any, out_shapes: Any, inputs: Any, in_shapes: Any, samples: Any, of_images: Any) -> None:
    """All images of a batch: a function of the signature RUN_BATCH but for counts that it needs not."""
    outs, ins = of_batch(outputs, 1, samples)[0], of_batch(inputs, 5, samples)
    shapes = of_batch(in_shapes, 5, samples)
    number = carray(pointer(of_batch(out_shapes, 1, samples)[0][0]), 1, np.int64)[0]
    steps = carray(pointer(shapes[1, 0]), 2, np.int64)[0]
    results = carray(pointer(ins[0, 0]), number, np.float32)
    rows = carray(pointer(ins[1, 0]), (steps, STEP), np.float32)
    for sample in range(samples):
        drawn = carray(pointer(ins[2, sample]), carray(pointer(shapes[2, sample]), 1, np.int64)[0], np.float32)
        shape = carray(pointer(shapes[4, sample] if of_images else ins[4, sample]), 3, np.int64)
        made = _made(rows, drawn, ins[3], sample, shape)
        out = carray(pointer(outs[sample]), number, np.float32)
        for i in range(number):
            out[i] = made[int(results[i]), 0]


@compiled(RUN_BATCH)
def _run_images(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    _run(outputs, out_shapes, inputs, in_shapes, samples, True)


@compiled(RUN_BATCH)
def _run_shapes(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    _run(outputs, out_shapes, inputs, in_shapes, samples, False)


@compiled(RUN)
def _run_outer(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    shape = shape_of(out_shapes, 0, 2)
    height, width = shape[0], shape[1]
    out = carray(address_of(outputs, 0), (height, width), np.float32)
    results = carray(address_of(inputs, 0), 3, np.float32)
    rows = carray(address_of(inputs, 1), (shape_of(in_shapes, 1, 2)[0], STEP), np.float32)
    given = carray(address_of(inputs, 2), shape_of(in_shapes, 2, 1)[0], np.float32)
    made = _made(rows, given, np.empty(0, np.uint64), 0, shape_of(in_shapes, 3, 3))
    base, row_weights, columns = made[int(results[0]), 0], made[int(results[1])], made[int(results[2])]
    for y in range(height):
        row, weight = out[y], row_weights[y]
        for x in range(width):
            row[x] = base + weight * columns[x]


@compiled(SETUP)
def _sides_of_images(out_shapes, _out_ndims, _num_outputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    """(H, W), from the images, which are the last of four inputs."""
    ins, outs = of_batch(in_shapes, 4, samples), of_batch(out_shapes, 1, samples)[0]
    for sample in range(samples):
        image, out = carray(pointer(ins[3, sample]), 3, np.int64), carray(pointer(outs[sample]), 2, np.int64)
        out[0], out[1] = image[0], image[1]
