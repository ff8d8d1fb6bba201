"""The numbers of a plan by one compiled operator, which runs the plan's arithmetic as a program.

What is computed is data of the graph and not code, so the machine that runs it is compiled once and kept, whatever the
mix. It is asked once for a batch, as to hand images to several threads would cost more than their arithmetic.
"""

from typing import Any

import numpy as np
from numba import carray
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from mixdali.worlds.compiled.machine import HALF, KINDS, NODE, STEP, make
from mixdali.worlds.compiled.memory import inner, pointer
from mixdali.worlds.compiled.operator import (
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
    shape_of,
)
from mixdali.worlds.numbers import Draw, Number, in_order
from mixdali.worlds.uniforms import PER


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
    nodes = [node for node, _ in inputs]
    # DALI shows the next line with its error
    return made(*nodes)  # a mix takes uint8 HWC images: leave it the conversion, or pass layout="CHW"


def outer(numbers: list[Number], images: DataNode) -> DataNode:
    """(H, W) float32: a number, and the products of a number for each row and a number for each column.

    images  uint8 HWC.
    """
    known = _met_by_rows(numbers)
    found = run(known, images, None, 0) if known else types.Constant(np.zeros(1, np.float32))
    program = _written(numbers, in_order(numbers, known), known, 0)
    made = operator(_run_outer, _sides_of_images, [GRID, NUMBERS, IMAGE], GRID)
    return made(program, found, images)  # a mix takes uint8 HWC images: leave it the conversion, or pass layout="CHW"


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


@inner
def _read(program: Any, number: Any) -> Any:
    """Which steps so many numbers are (number,), and the steps (steps, STEP)."""
    steps = int(carray(pointer(program), 1, np.float32)[0])
    flat = carray(pointer(program), 1 + number + steps * STEP, np.float32)
    return flat[1 : 1 + number], flat[1 + number :].reshape(steps, STEP)


@inner
def _run(outputs: Any, out_shapes: Any, inputs: Any, in_shapes: Any, samples: Any, of_images: Any) -> None:
    """All images of a batch: a function of the signature RUN_BATCH but for counts that it needs not."""
    outs, ins = of_batch(outputs, 1, samples)[0], of_batch(inputs, 4, samples)
    number = carray(pointer(of_batch(out_shapes, 1, samples)[0][0]), 1, np.int64)[0]
    results, rows = _read(ins[0, 0], number)
    shapes = of_batch(in_shapes, 4, samples)[3] if of_images else ins[3]
    made, start, share = make(rows, ins[1], ins[2], shapes)
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
    made, start, _ = make(rows, ins[1], ins[1], shapes[2])
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
