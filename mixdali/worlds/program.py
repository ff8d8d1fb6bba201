"""The numbers of a plan by one compiled operator: a small machine that runs any plan's arithmetic, an image at a time.

What is computed is data of the graph and not code, so the machine is compiled once and kept, whatever the mix. It works
in float32, as DALI's operators do, and gives what they give.
"""

import numpy as np
from numba import carray
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from mixdali.worlds.compiled import GRID, NUMBERS, RUN, SHAPE, address_of, compiled, like_the_first, operator, shape_of
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
)
CONSTANT, NODE, SIZE, ADD, SUB, MUL, DIV, LT, GE, FLOOR, SQRT, EXP, LOG, MIN, MAX = range(len(KINDS))


def run(numbers: list[Number], shape: DataNode, height: int) -> DataNode:
    """The numbers as one node (len(numbers),) float32.

    shape   node (3,) int64, the shape of the images; `height` is the place of the height in it, before the width's.
    """
    steps = in_order(numbers)
    places = {id(step): place for place, step in enumerate(steps)}
    drawn = [step for step in steps if step.kind == "node"]
    rows = np.zeros((len(steps), 3), np.float32)
    for row, step in zip(rows, steps, strict=True):
        row[0] = KINDS.index(step.kind)
        if step.kind == "constant":
            row[1] = step.value
        elif step.kind == "size":
            row[1] = height + step.value
        elif step.kind == "node":
            row[1] = drawn.index(step)
        else:
            row[1 : 1 + len(step.inputs)] = [places[id(one)] for one in step.inputs]
    return operator(_run, like_the_first, [NUMBERS, GRID, NUMBERS, SHAPE], NUMBERS)(
        types.Constant(np.array([places[id(number)] for number in numbers], np.float32)),
        types.Constant(rows),
        fn.stack(*(step.value for step in drawn)) if drawn else types.Constant(np.zeros(1, np.float32)),
        shape,
    )


@compiled(RUN)
def _run(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    number = shape_of(out_shapes, 0, 1)[0]
    steps = shape_of(in_shapes, 1, 2)[0]
    out = carray(address_of(outputs, 0), number, np.float32)
    results = carray(address_of(inputs, 0), number, np.float32)
    rows = carray(address_of(inputs, 1), (steps, 3), np.float32)
    drawn = carray(address_of(inputs, 2), shape_of(in_shapes, 2, 1)[0], np.float32)
    shape = carray(address_of(inputs, 3), 3, np.int64)
    made = np.empty(steps, np.float32)
    for step in range(steps):
        kind, first, second = int(rows[step, 0]), rows[step, 1], int(rows[step, 2])
        if kind == CONSTANT:
            made[step] = first
        elif kind == NODE:
            made[step] = drawn[int(first)]
        elif kind == SIZE:
            made[step] = np.float32(shape[int(first)])
        else:
            a, b = made[int(first)], made[second]
            if kind == ADD:
                made[step] = a + b
            elif kind == SUB:
                made[step] = a - b
            elif kind == MUL:
                made[step] = a * b
            elif kind == DIV:
                made[step] = a / b
            elif kind == LT:
                made[step] = np.float32(1) if a < b else np.float32(0)
            elif kind == GE:
                made[step] = np.float32(1) if a >= b else np.float32(0)
            elif kind == FLOOR:
                made[step] = np.floor(a)
            elif kind == SQRT:
                made[step] = np.sqrt(a)
            elif kind == EXP:
                made[step] = np.exp(a)
            elif kind == LOG:
                made[step] = np.log(a)
            elif kind == MIN:
                made[step] = min(a, b)
            elif kind == MAX:
                made[step] = max(a, b)
    for i in range(number):
        out[i] = made[int(results[i])]
