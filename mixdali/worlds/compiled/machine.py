"""A small machine that runs any plan's arithmetic for a whole batch, one step after the other.

A step is a row of five float32: its kind, three numbers by kind, and the place of its axis in the images' shape, or -1
where an image has one number. The machine works in float32, as DALI's operators do, and gives what they give; means
alone are summed in float64.
"""

from typing import Any

import numpy as np
from numba import carray

from mixdali.worlds.compiled.memory import inner, pointer
from mixdali.worlds.uniforms import PER, exchanged, fraction, hashed

KINDS = (
    *("constant", "node", "size", "row"),
    *("uniform", "cycle", "permutation", "follow", "mean"),
    *("add", "sub", "mul", "div", "lt", "ge", "floor", "sqrt", "exp", "log", "min", "max"),
)
CONSTANT, NODE, SIZE, ROW, UNIFORM, CYCLE, PERMUTATION, FOLLOW, MEAN = range(9)
ADD, SUB, MUL, DIV, LT, GE, FLOOR, SQRT, EXP, LOG, MIN, MAX = range(9, len(KINDS))
STEP = 5  # numbers a step
HALF = np.uint64(1 << 24)  # of a name: as much as a float32 can hold
PER_BATCH, PER_PAIR = PER.index("batch"), PER.index("pair")

hashed_of, fraction_of, exchanged_of = inner(hashed), inner(fraction), inner(exchanged)


@inner
def make(rows: Any, given: Any, keys: Any, shapes: Any) -> Any:
    """What every step makes of a batch: an array of all, and where in it each step's part begins and how much of it an
    image has: (steps,) each. An image has one number, or one for each pixel along an axis.

    given, keys, shapes: where those of each image lie, (N,) each.
    """
    steps, samples = len(rows), len(shapes)
    longest = _longest(rows, shapes)
    # in loops: what numba's array functions are made of takes seconds to compile
    share, start = np.empty(steps, np.int64), np.empty(steps, np.int64)
    size = 0
    for step in range(steps):
        share[step] = longest if rows[step, 4] >= 0 else 1
        start[step] = size
        size += share[step] * samples
    made = np.empty(size, np.float32)
    for step in range(steps):
        row = rows[step]
        kind = int(row[0])
        out = made[start[step] : start[step] + share[step] * samples]
        if kind in (CONSTANT, NODE, SIZE, ROW):
            _read_step(row, given, shapes, longest, out)
        elif kind in (UNIFORM, CYCLE, PERMUTATION):
            _draw(row, keys, out)
        elif kind == FOLLOW:
            _follow(made[start[int(row[1])] :], made[start[int(row[2])] :], out)
        elif kind == MEAN:
            _means(made[start[int(row[1])] :], shapes, int(rows[int(row[1]), 4]), longest, out)
        else:
            first, other = int(row[1]), int(row[2])
            _operate(row, made[start[first] :], share[first], made[start[other] :], share[other], samples, out)
    return made, start, share


@inner
def _read_step(row: Any, given: Any, shapes: Any, longest: Any, out: Any) -> None:
    """What is not computed: a constant, a given number, a side of the image, or the places along an axis."""
    kind, value = int(row[0]), row[1]
    if kind == CONSTANT:
        out[:] = value
    elif kind == NODE:
        for sample in range(len(out)):
            out[sample] = carray(pointer(given[sample]), int(value) + 1, np.float32)[int(value)]
    elif kind == SIZE:
        for sample in range(len(out)):
            out[sample] = _side(shapes, sample, int(value))
    elif kind == ROW:
        for i in range(len(out)):
            out[i] = i % longest


@inner
def _draw(row: Any, keys: Any, out: Any) -> None:
    samples = len(out)
    kind, name, per = int(row[0]), np.uint64(row[1]) * HALF + np.uint64(row[2]), int(row[3])
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


@inner
def _follow(values: Any, places: Any, out: Any) -> None:
    """To each image the value of the one at its place."""
    for sample in range(len(out)):
        out[sample] = values[int(places[sample])]


@inner
def _means(values: Any, shapes: Any, axis: Any, longest: Any, out: Any) -> None:
    """The mean of what an image has along an axis; images are `longest` apart."""
    for sample in range(len(out)):
        length = _side(shapes, sample, axis)
        total = 0.0
        for i in range(length):
            total += values[sample * longest + i]
        out[sample] = np.float32(total / length)


@inner
def _operate(row: Any, a: Any, of_a: Any, b: Any, of_b: Any, samples: Any, out: Any) -> None:
    """An operation on a and b, of which an image has `of_a` and `of_b` numbers: one, or as many as of `out`."""
    kind = int(row[0])
    several = row[4] >= 0
    rounds = samples if several else 1
    length = len(out) // rounds
    for i in range(rounds):
        part = out[i * length : (i + 1) * length]
        move_a, move_b = int(not several or of_a == length), int(not several or of_b == length)
        _apply(kind, a[i * of_a :], move_a, b[i * of_b :], move_b, part)


@inner
def _longest(rows: Any, shapes: Any) -> Any:
    """The longest axis along which a step has numbers."""
    longest = 1
    for step in range(len(rows)):
        if rows[step, 4] >= 0:
            for sample in range(len(shapes)):
                longest = max(longest, _side(shapes, sample, int(rows[step, 4])))
    return longest


@inner
def _side(shapes: Any, sample: Any, axis: Any) -> Any:
    return carray(pointer(shapes[sample]), 3, np.int64)[axis]


@inner
def _key(keys: Any, place: Any) -> Any:
    return carray(pointer(keys[place]), 1, np.uint64)[0]


@inner
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
