"""The numbers of a plan by one compiled operator: a small machine that runs any plan's arithmetic, an image at a time.

What is computed is data of the graph and not code, so the machine is compiled once and kept, whatever the mix. It works
in float32, as DALI's operators do, and gives what they give; means alone are summed in float64.
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
    SETUP,
    SHAPE,
    address_of,
    compiled,
    like_the_first,
    operator,
    pointer,
    shape_of,
)
from mixdali.worlds.numbers import Number, in_order

KINDS = (
    "constant",
    "node",
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
CONSTANT, NODE, SIZE, ADD, SUB, MUL, DIV, LT, GE, FLOOR, SQRT, EXP, LOG, MIN, MAX, ROW, MEAN = range(len(KINDS))
STEP = 4  # numbers a step: kind, what it works on (two), and the place of its axis in the images' shape, or -1


def run(numbers: list[Number], shape: DataNode, height: int) -> DataNode:
    """The numbers, one an image each, as one node (len(numbers),) float32.

    shape   node (3,) int64, the shape of the images; `height` is the place of the height in it, before the width's.
    """
    forms = [NUMBERS, GRID, NUMBERS, SHAPE]
    return operator(_run, like_the_first, forms, NUMBERS)(*_steps(numbers, height), shape)


def outer(numbers: list[Number], images: DataNode) -> DataNode:
    """(H, W) float32: a number, and the products of a number for each row and a number for each column.

    images  uint8 HWC.
    """
    forms = [NUMBERS, GRID, NUMBERS, IMAGE]
    return operator(_run_outer, _sides_of_images, forms, GRID)(*_steps(numbers, 0), images)


def _steps(numbers: list[Number], height: int) -> tuple[DataNode, DataNode, DataNode]:
    """Which steps the numbers are, the steps, and what is drawn."""
    steps = in_order(numbers)
    places = {id(step): place for place, step in enumerate(steps)}
    drawn = [step for step in steps if step.kind == "node"]
    rows = np.zeros((len(steps), STEP), np.float32)
    for row, step in zip(rows, steps, strict=True):
        row[0] = KINDS.index(step.kind)
        row[3] = -1 if step.axis is None else height + step.axis
        if step.kind == "constant":
            row[1] = step.value
        elif step.kind in ("size", "row"):
            row[1] = height + step.value
        elif step.kind == "node":
            row[1] = drawn.index(step)
        else:
            row[1 : 1 + len(step.inputs)] = [places[id(one)] for one in step.inputs]
    return (
        types.Constant(np.array([places[id(number)] for number in numbers], np.float32)),
        types.Constant(rows),
        fn.stack(*(step.value for step in drawn)) if drawn else types.Constant(np.zeros(1, np.float32)),
    )


@njit
def _made(inputs: Any, shapes: Any, shape: Any) -> Any:
    """What every step makes: (steps, L), a number in the first place, or one for each pixel along an axis."""
    steps = shape_of(shapes, 1, 2)[0]
    rows = carray(address_of(inputs, 1), (steps, STEP), np.float32)
    drawn = carray(address_of(inputs, 2), shape_of(shapes, 2, 1)[0], np.float32)
    longest = 1
    for step in range(steps):
        if rows[step, 3] >= 0:
            longest = max(longest, shape[int(rows[step, 3])])
    made = np.empty((steps, longest), np.float32)
    for step in range(steps):
        kind, first, axis = int(rows[step, 0]), rows[step, 1], int(rows[step, 3])
        out = made[step, : shape[axis]] if axis >= 0 else made[step, :1]
        if kind == CONSTANT:
            out[0] = first
        elif kind == NODE:
            out[0] = drawn[int(first)]
        elif kind == SIZE:
            out[0] = np.float32(shape[int(first)])
        elif kind == ROW:
            for i in range(len(out)):
                out[i] = np.float32(i)
        else:
            one, other = int(first), int(rows[step, 2])
            if kind == MEAN:
                out[0] = _mean(made[one, : shape[int(rows[one, 3])]])
            else:
                _apply(kind, made[one], int(rows[one, 3] >= 0), made[other], int(rows[other, 3] >= 0), out)
    return made


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


@compiled(RUN)
def _run(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    number = shape_of(out_shapes, 0, 1)[0]
    out = carray(address_of(outputs, 0), number, np.float32)
    results = carray(address_of(inputs, 0), number, np.float32)
    made = _made(inputs, in_shapes, carray(address_of(inputs, 3), 3, np.int64))
    for i in range(number):
        out[i] = made[int(results[i]), 0]


@compiled(RUN)
def _run_outer(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    shape = shape_of(out_shapes, 0, 2)
    height, width = shape[0], shape[1]
    out = carray(address_of(outputs, 0), (height, width), np.float32)
    results = carray(address_of(inputs, 0), 3, np.float32)
    made = _made(inputs, in_shapes, shape_of(in_shapes, 3, 3))
    base, rows, columns = made[int(results[0]), 0], made[int(results[1])], made[int(results[2])]
    for y in range(height):
        row, weight = out[y], rows[y]
        for x in range(width):
            row[x] = base + weight * columns[x]


@compiled(SETUP)
def _sides_of_images(out_shapes, _out_ndims, _num_outputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    """(H, W), from the images, which are the last of four inputs."""
    ins, outs = carray(pointer(in_shapes), (4, samples), np.uint64), carray(pointer(out_shapes), samples, np.uint64)
    for sample in range(samples):
        image, out = carray(pointer(ins[3, sample]), 3, np.int64), carray(pointer(outs[sample]), 2, np.int64)
        out[0], out[1] = image[0], image[1]
