"""The numbers of a plan by one compiled operator: a small machine that runs any plan's arithmetic.

What is computed is data of the graph and not code, so the machine is compiled once and kept, whatever the mix. It works
in float32, as DALI's operators do, and gives what they give; means alone are summed in float64. It is asked once for a
batch and does every step for all of its images: to hand them to several threads would cost more than their arithmetic.
"""

from typing import Any

import numpy as np
from numba import carray, njit
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from mixdali.worlds.compiled import (
    GRID,
    IMAGE,
    NUMBER,
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
from mixdali.worlds.numbers import Draw, Number, in_order
from mixdali.worlds.uniforms import PER, exchanged, fraction, hashed

KINDS = (
    "constant",
    "node",
    "uniform",
    "cycle",
    "permutation",
    "follow",
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
CONSTANT, NODE, UNIFORM, CYCLE, PERMUTATION, FOLLOW, SIZE = range(7)
ADD, SUB, MUL, DIV, LT, GE, FLOOR, SQRT, EXP, LOG, MIN, MAX, ROW, MEAN = range(7, len(KINDS))
STEP = 5  # numbers a step: kind, three by kind, and the place of its axis in the images' shape, or -1
HALF = np.uint64(1 << 24)  # of a name: as much as a float32 can hold
PER_BATCH, PER_PAIR = PER.index("batch"), PER.index("pair")

hashed_of, fraction_of, exchanged_of = njit(hashed), njit(fraction), njit(exchanged)


def run(numbers: list[Number], images: DataNode | None, shape: DataNode | None, height: int) -> DataNode:
    """The numbers, one an image each, as one node (len(numbers),) float32.

    images  uint8 HWC, or None where `shape` is given,
    shape   node (3,) int64, the shape of the images; `height` is the place of the height in it, before the width's.
    """
    steps = in_order(numbers)
    drawn = [step for step in steps if step.kind == "node"]
    keys = next((step.value.keys for step in steps if isinstance(step.value, Draw)), None)
    program = _written(numbers, steps, drawn, height)
    # an input that no step reads is the program once more, as every further node costs something
    inputs = [
        (program, GRID),
        (drawn[0].value, NUMBER) if len(drawn) == 1 else (_stacked(drawn), NUMBERS) if drawn else (program, GRID),
        (program, GRID) if keys is None else (keys, NUMBERS),
        (shape, SHAPE) if images is None else (images, IMAGE),
    ]
    function = _run_shapes if images is None else _run_images
    made = operator(function, like_the_first, [form for _, form in inputs], NUMBERS, batch=True)
    return made(*(node for node, _ in inputs))


def outer(numbers: list[Number], images: DataNode) -> DataNode:
    """(H, W) float32: a number, and the products of a number for each row and a number for each column.

    images  uint8 HWC.
    """
    known = _met_by_rows(numbers)
    found = run(known, images, None, 0) if known else types.Constant(np.zeros(1, np.float32))
    program = _written(numbers, in_order(numbers, known), known, 0)
    return operator(_run_outer, _sides_of_images, [GRID, NUMBERS, IMAGE], GRID)(program, found, images)


def _stacked(drawn: list[Number]) -> DataNode:
    return fn.stack(*(step.value for step in drawn))


def _met_by_rows(numbers: list[Number]) -> list[Number]:
    """The numbers one an image that are asked for, or that numbers along an axis are computed from."""
    asked = {id(number) for number in numbers}
    steps = in_order(numbers)
    for step in steps:
        if step.axis is not None:
            asked |= {id(one) for one in step.inputs}
    return [step for step in steps if id(step) in asked and step.axis is None and step.kind not in ("constant", "size")]


def _written(numbers: list[Number], steps: list[Number], given: list[Number], height: int) -> DataNode:
    """The program (len(numbers), any): how many steps it has, which ones the numbers are, and the steps, in a row.

    What is `given` is read at its place there.
    """
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
        elif isinstance(step.value, Draw):
            row[1:4] = *divmod(step.value.name, int(HALF)), PER.index(step.value.per)
        elif step.kind in ("size", "row"):
            row[1] = height + step.value
        else:
            row[1 : 1 + len(step.inputs)] = [places[id(one)] for one in step.inputs]
    written = np.concatenate([[len(steps)], [places[id(number)] for number in numbers], rows.ravel()])
    padded = np.pad(written, (0, -len(written) % len(numbers)))
    return types.Constant(padded.astype(np.float32).reshape(len(numbers), -1))


@njit
def _read(program: Any, number: Any) -> Any:
    """Which steps so many numbers are (number,), and the steps (steps, STEP)."""
    steps = int(carray(pointer(program), 1, np.float32)[0])
    flat = carray(pointer(program), 1 + number + steps * STEP, np.float32)
    return flat[1 : 1 + number], flat[1 + number :].reshape(steps, STEP)


@njit
def _made(rows: Any, given: Any, keys: Any, shapes: Any) -> Any:
    """What every step makes of a batch: an array of all, and where in it each step's part begins and how much of it an
    image has: (steps,) each. An image has one number, or one for each pixel along an axis.

    given, keys, shapes: where those of each image lie, (N,) each.
    """
    steps, samples = len(rows), len(shapes)
    longest = _longest(rows, shapes)
    share = np.where(rows[:, 4] >= 0, longest, 1)
    start = np.cumsum(share * samples) - share * samples
    made = np.empty(np.sum(share) * samples, np.float32)
    for step in range(steps):
        kind, first, other, axis = int(rows[step, 0]), rows[step, 1], int(rows[step, 2]), int(rows[step, 4])
        out = made[start[step] : start[step] + share[step] * samples]
        if kind == CONSTANT:
            out[:] = first
        elif kind == NODE:
            for sample in range(samples):
                out[sample] = carray(pointer(given[sample]), int(first) + 1, np.float32)[int(first)]
        elif kind in (UNIFORM, CYCLE, PERMUTATION):
            _draw(kind, keys, np.uint64(first) * HALF + np.uint64(other), int(rows[step, 3]), out)
        elif kind == FOLLOW:
            for sample in range(samples):
                again = int(made[start[other] + sample])
                out[sample] = made[start[int(first)] + again]
        elif kind == SIZE:
            for sample in range(samples):
                out[sample] = carray(pointer(shapes[sample]), 3, np.int64)[int(first)]
        elif kind == ROW:
            for i in range(len(out)):
                out[i] = i % longest
        elif kind == MEAN:
            one = int(first)
            for sample in range(samples):
                length = carray(pointer(shapes[sample]), 3, np.int64)[int(rows[one, 4])]
                place = start[one] + sample * longest
                out[sample] = _mean(made[place : place + length])
        else:
            one, a, b = int(first), made[start[int(first)] :], made[start[other] :]
            if axis < 0:
                _apply(kind, a, 1, b, 1, out)
                continue
            for sample in range(samples):
                of_a, of_b = a[sample * share[one] :], b[sample * share[other] :]
                of_sample = out[sample * longest : (sample + 1) * longest]
                _apply(kind, of_a, int(share[one] == longest), of_b, int(share[other] == longest), of_sample)
    return made, start, share


@njit
def _longest(rows: Any, shapes: Any) -> Any:
    """The longest axis along which a step has numbers."""
    longest = 1
    for step in range(len(rows)):
        if rows[step, 4] >= 0:
            for sample in range(len(shapes)):
                longest = max(longest, carray(pointer(shapes[sample]), 3, np.int64)[int(rows[step, 4])])
    return longest


@njit
def _draw(kind: Any, keys: Any, name: Any, per: Any, out: Any) -> None:
    samples = len(out)
    if kind == UNIFORM:
        for sample in range(samples):
            place = sample
            if per == PER_BATCH:
                place = 0
            elif per == PER_PAIR:
                place = min(sample, samples - 1 - sample)
            out[sample] = fraction_of(hashed_of(_key(keys, place), name))
        return
    choices = np.zeros(samples, np.int64)
    for sample in range(1, samples):
        others = np.uint64(sample if kind == CYCLE else sample + 1)
        choices[sample] = np.int64(hashed_of(_key(keys, sample), name) % others)
    exchanged_of(choices, out)


@njit
def _key(keys: Any, place: Any) -> Any:
    return carray(pointer(keys[place]), 1, np.uint64)[0]


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
    outs, ins = of_batch(outputs, 1, samples)[0], of_batch(inputs, 4, samples)
    number = carray(pointer(of_batch(out_shapes, 1, samples)[0][0]), 1, np.int64)[0]
    results, rows = _read(ins[0, 0], number)
    shapes = of_batch(in_shapes, 4, samples)[3] if of_images else ins[3]
    made, start, share = _made(rows, ins[1], ins[2], shapes)
    for sample in range(samples):
        out = carray(pointer(outs[sample]), number, np.float32)
        for i in range(number):
            step = int(results[i])
            out[i] = made[start[step] + sample * share[step]]


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
    ins, shapes = of_batch(inputs, 3, 1), of_batch(in_shapes, 3, 1)
    results, rows = _read(ins[0, 0], 3)
    made, start, _ = _made(rows, ins[1], ins[1], shapes[2])
    first, second, third = int(results[0]), int(results[1]), int(results[2])
    base, row_weights, columns = made[start[first]], made[start[second] :], made[start[third] :]
    for y in range(height):
        row, weight = out[y], row_weights[y]
        for x in range(width):
            row[x] = base + weight * columns[x]


@compiled(SETUP)
def _sides_of_images(out_shapes, _out_ndims, _num_outputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    """(H, W), from the images, which are the last of three inputs."""
    ins, outs = of_batch(in_shapes, 3, samples), of_batch(out_shapes, 1, samples)[0]
    for sample in range(samples):
        image, out = carray(pointer(ins[2, sample]), 3, np.int64), carray(pointer(outs[sample]), 2, np.int64)
        out[0], out[1] = image[0], image[1]
