"""Bilinear resizing with antialiasing on the CPU, compiled by numba. The results are those of DALI's own, to the bit.

That fixes all that rounding could tell apart: the filter's weights are float32, sums run over the taps in order, the
cheaper of the two passes comes first, and halves are rounded as DALI's vector instructions do on x86. What is left free
is how the work is cut: here one row goes through both passes while it is in the nearest cache, and the channels of a
pixel are summed together.
"""

from collections import namedtuple
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array
from nvidia.dali.data_node import DataNode

from mixdali.worlds.compiled.operator import (
    IMAGE,
    NUMBERS,
    RUN,
    address_of,
    compiled,
    image_of,
    of_shape,
    operator,
    shape_of,
)

CHANNELS = 4  # at most: as many as are summed together
LANES = 16  # values that DALI rounds together, halves to even; those that are left over it rounds up
TAPS = 4  # rows that are summed together
SHIFT = np.float32(3 << 22)  # added to a float32 below 2 ** 22 and taken off again, it leaves a whole number
EVEN = np.float32(2)  # no remainder is this large
UP = np.float32(0.5)

# scale: source pixels per pixel, negative if mirrored. slope: by how much the filter falls from one source pixel to the
# next. reach: how many it spans to either side. support: taps. low, high: the source pixels that are read.
Filter = namedtuple("Filter", "start scale slope reach support low high")


def resize(images: DataNode, shape: tuple[int, int, int], region: DataNode, relative: bool) -> DataNode:
    """As `pipelines.augment.resize.resize`; shape: height, width and C of what comes out."""
    made = operator(_run_relative if relative else _run, of_shape(*shape), [IMAGE, NUMBERS], IMAGE)
    return made(images, region)


@njit
def resized(image: Any, region: Any, out: Any) -> None:
    """image (H, W, C), out (height, width, C) uint8, C up to 4; region (4,) float32: y0, x0, y1, x1 in pixels."""
    rows = _filter(region[0], region[2], image.shape[0], out.shape[0])
    columns = _filter(region[1], region[3], image.shape[1], out.shape[1])
    if _is_vertical_first(rows, columns, out.shape):
        _vertical_first(image, rows, columns, out)
    else:
        _horizontal_first(image, rows, columns, out)


@njit
def _filter(start: Any, end: Any, size: Any, out_size: Any) -> Any:
    one = np.float32(1)
    ratio = max(one, abs(end - start) / np.float32(out_size))
    slope = one / ratio
    reach = one / slope  # not always the ratio, as both quotients are rounded
    support = int(np.ceil(reach + reach))
    low = int(np.floor(min(start, end) - reach))
    high = int(np.ceil(max(start, end) - reach + np.float32(support)))
    return Filter(
        start,
        (end - start) / np.float32(out_size),
        slope,
        reach,
        support,
        max(0, min(size, low)),
        max(0, min(size, high)),
    )


@njit
def _is_vertical_first(rows: Any, columns: Any, shape: Any) -> Any:
    """Whether DALI estimates that order to cost less: 3 for a value between the passes, 1 for a tap, 1.4 across."""
    height, width = shape[0], shape[1]
    between_rows, between_columns = (columns.high - columns.low) * height, (rows.high - rows.low) * width
    vertical = between_rows * (15 + 5 * rows.support) + 7 * height * width * columns.support
    horizontal = between_columns * (15 + 7 * columns.support) + 5 * height * width * rows.support
    return vertical < horizontal


@njit
def _weights(start: Any, of: Any, number: Any) -> Any:
    """(number,) the first source pixel of each, and (number, support rounded up to TAPS) the weights from there on.

    start: of the region, counted from the first pixel of what is read.
    """
    one, half = np.float32(1), np.float32(0.5)
    firsts = np.empty(number, np.int64)
    weights = np.zeros((number, -(-of.support // TAPS) * TAPS), np.float32)
    begin = start + (half * of.scale - half - of.reach)
    for i in range(number):
        place = np.float32(i) * of.scale + begin
        first = np.ceil(place)
        firsts[i] = int(first)
        total = np.float32(0)
        for tap in range(of.support):
            at = (first - place + np.float32(tap)) * of.slope
            weight = np.float32(0)
            if at < one:
                weight = at
            elif at < one + one:
                weight = one - (at - one)
            weights[i, tap] = weight
            total += weight
        for tap in range(of.support):
            weights[i, tap] /= total
    return firsts, weights


@njit
def _vertical_first(image: Any, rows: Any, columns: Any, out: Any) -> None:
    height, width, channels = out.shape
    tops, down = _weights(rows.start, rows, height)
    lefts, across = _weights(columns.start - np.float32(columns.low), columns, width)
    wide, pad = columns.high - columns.low, columns.support
    source = image.reshape(image.shape[0], -1)[:, channels * columns.low : channels * columns.high]
    halves = _halves_across(lefts, wide, columns.support, channels)
    row = np.empty((wide + 2 * pad) * channels + CHANNELS, np.float32)
    line = np.empty(width * channels + CHANNELS, np.float32)
    flat = out.reshape(height, -1)
    for y in range(height):
        _sum_rows(source, tops[y], len(source), down[y], row[pad * channels : (pad + wide) * channels])
        _repeat_edges(row, pad, wide, channels)
        _sum_columns(row, pad, lefts, across, columns.support, channels, line)
        _round(line, halves, flat[y])


@njit
def _horizontal_first(image: Any, rows: Any, columns: Any, out: Any) -> None:
    height, width, channels = out.shape
    tops, down = _weights(rows.start - np.float32(rows.low), rows, height)
    lefts, across = _weights(columns.start, columns, width)
    high, wide, pad = rows.high - rows.low, image.shape[1], columns.support
    source = image.reshape(image.shape[0], -1)[rows.low : rows.high]
    halves = np.full(width * channels, EVEN)
    halves[width * channels // LANES * LANES :] = UP
    row = np.empty((wide + 2 * pad) * channels + CHANNELS, np.float32)
    # rows that went through the first pass, as many as a sum needs; no row of it may hold what is not a number
    kept = np.zeros((rows.support if rows.scale > 0 else high, width * channels + CHANNELS), np.float32)
    line = np.empty(width * channels, np.float32)
    flat = out.reshape(height, -1)
    done = 0
    for y in range(height):
        while done < high and done < tops[y] + rows.support:
            _to_float(source[done], row[pad * channels : (pad + wide) * channels])
            _repeat_edges(row, pad, wide, channels)
            _sum_columns(row, pad, lefts, across, columns.support, channels, kept[done % len(kept)])
            done += 1
        _sum_rows(kept, tops[y], high, down[y], line)
        _round(line, halves, flat[y])


@njit
def _sum_rows(rows: Any, first: Any, number: Any, weights: Any, out: Any) -> None:
    """The weighted sum of the rows from `first` on."""
    size = len(out)
    for tap in range(0, len(weights), TAPS):
        a = _row(rows, first + tap, number)[:size]
        b = _row(rows, first + tap + 1, number)[:size]
        c = _row(rows, first + tap + 2, number)[:size]
        d = _row(rows, first + tap + 3, number)[:size]
        if tap == 0:
            _sum_four(a, b, c, d, weights, out)
        else:
            _add_four(a, b, c, d, weights[tap:], out)


@njit
def _row(rows: Any, place: Any, number: Any) -> Any:
    """Row i of `number`, which lies at i modulo len(rows); the nearest for one beyond them."""
    return rows[min(max(place, 0), number - 1) % len(rows)]


@njit
def _sum_four(a: Any, b: Any, c: Any, d: Any, weights: Any, out: Any) -> None:
    w, x, y, z = weights[0], weights[1], weights[2], weights[3]
    for i in range(len(out)):
        out[i] = w * np.float32(a[i]) + x * np.float32(b[i]) + y * np.float32(c[i]) + z * np.float32(d[i])


@njit
def _add_four(a: Any, b: Any, c: Any, d: Any, weights: Any, out: Any) -> None:
    w, x, y, z = weights[0], weights[1], weights[2], weights[3]
    for i in range(len(out)):
        out[i] = out[i] + w * np.float32(a[i]) + x * np.float32(b[i]) + y * np.float32(c[i]) + z * np.float32(d[i])


@njit
def _sum_columns(row: Any, pad: Any, firsts: Any, weights: Any, support: Any, channels: Any, out: Any) -> None:
    flat, stride = weights.reshape(-1), weights.shape[1]
    for x in range(len(firsts)):
        sum_pixels(row, (firsts[x] + pad) * channels, channels, flat, x * stride, support, out, x * channels)


@intrinsic
def _sum_pixels(  # type: ignore[no-untyped-def]
    _context, row, place, channels, weights, first, taps, out, at
):
    """Into four values of `out` from `at` on, the weighted sums of as many values of `row` from `place` on.

    One vector instruction for a tap, which numba does not make of a loop over channels. Where there are fewer channels
    than four, the values behind them are for the next pixel to write over.
    """
    number = types.int64
    signature = types.void(row, number, number, weights, number, number, out, number)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def from_place(array: int, place: int) -> Any:
            data = make_array(signature.args[array])(context, builder, arguments[array]).data
            return builder.gep(data, [arguments[place]])

        four = ir.VectorType(ir.FloatType(), CHANNELS)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), CHANNELS), [0] * CHANNELS)
        pixels, factors = from_place(0, 1), from_place(3, 4)
        total = cgutils.alloca_once_value(builder, ir.Constant(four, [0.0] * CHANNELS))
        with cgutils.for_range(builder, arguments[5]) as loop:
            factor = builder.load(builder.gep(factors, [loop.index]))
            factor = builder.insert_element(ir.Constant(four, ir.Undefined), factor, ir.IntType(32)(0))
            factor = builder.shuffle_vector(factor, factor, everywhere)
            pixel = builder.gep(pixels, [builder.mul(loop.index, arguments[2])])
            pixel = builder.load(builder.bitcast(pixel, four.as_pointer()), align=4)
            builder.store(builder.fadd(builder.load(total), builder.fmul(factor, pixel)), total)
        target = builder.bitcast(from_place(6, 7), four.as_pointer())
        builder.store(builder.load(total), target, align=4)
        return context.get_dummy_value()

    return signature, generate


sum_pixels: Any = _sum_pixels  # to a type checker an intrinsic still has its context argument


@njit
def _repeat_edges(row: Any, pad: Any, wide: Any, channels: Any) -> None:
    """Before and behind the `wide` pixels in the middle of a row, `pad` more like the first and the last one."""
    first, last = pad * channels, (pad + wide - 1) * channels
    for i in range(pad):
        for channel in range(channels):
            row[i * channels + channel] = row[first + channel]
            row[last + (i + 1) * channels + channel] = row[last + channel]


@njit
def _to_float(row: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = np.float32(row[i])


@njit
def _round(row: Any, halves: Any, out: Any) -> None:
    for i in range(len(out)):
        nearest = (row[i] + SHIFT) - SHIFT
        if row[i] - nearest == halves[i]:
            nearest += np.float32(1)
        out[i] = np.uint8(min(nearest, np.float32(255)))


@njit
def _halves_across(firsts: Any, size: Any, support: Any, channels: Any) -> Any:
    """(width * channels,) UP where a half is rounded up, else EVEN.

    DALI works off a row in four parts: columns whose filter leaves the source on one side, on both, on none and on the
    other side. What is left of a part after the last LANES columns is rounded up.
    """
    width = len(firsts)
    first, last = 0, width - 1
    if firsts[last] < firsts[0]:
        while first < width and firsts[first] + support > size:
            first += 1
        while last >= 0 and firsts[last] < 0:
            last -= 1
    else:
        while first < width and firsts[first] < 0:
            first += 1
        while last >= 0 and firsts[last] + support > size:
            last -= 1
    halves = np.full(width * channels, EVEN)
    begin = 0
    for end in (min(first, last + 1), first, last + 1, width):
        if end > begin:
            halves[(begin + (end - begin) // LANES * LANES) * channels : end * channels] = UP
            begin = end
    return halves


@compiled(RUN)
def _run(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    region = carray(address_of(inputs, 1), 4, np.float32)
    resized(image_of(inputs, in_shapes, 0), region, image_of(outputs, out_shapes, 0))


@compiled(RUN)
def _run_relative(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    shape = shape_of(in_shapes, 0, 3)
    region = carray(address_of(inputs, 1), 4, np.float32).copy()
    for i in range(4):
        region[i] *= np.float32(shape[i % 2])
    resized(image_of(inputs, in_shapes, 0), region, image_of(outputs, out_shapes, 0))
