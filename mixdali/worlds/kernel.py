"""One pass over the pixels: uint8 HWC in, mixed float32 CHW in [0, 1] out. For DALI on the CPU, compiled by numba.

The numbers are those of DALI's own operators in `worlds/operators.py`, to the bit. What it is told about each layer of
a mix is a row of ten numbers: y0, x0, y1, x1 of its box, the weights inside and outside, and y0, x0, y1, x1 of the part
of the other image that is shown in the box.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import carray, njit
from nvidia.dali import types
from nvidia.dali.data_node import DataNode

from mixdali.worlds.compiled import RUN, SETUP, KeptOperator, address_of, compiled, pointer, shape_of

SCALE = np.float32(1 / 255)
LAYER = 10  # numbers a layer
INPUTS = 6  # as many as DALI's operator takes


def fits(layers: int, masked: bool) -> bool:
    """Whether the operator has an input for each of so many other images."""
    return layers + 2 + masked <= INPUTS


def blend(images: DataNode, others: Sequence[DataNode], numbers: DataNode, mask: DataNode | None) -> DataNode:
    """images and others uint8 HWC of one size, numbers (10 * len(others),), mask (H, W) float32 -> float32 CHW."""
    masks = [] if mask is None else [mask]
    operator: Any = KeptOperator(
        run_fn=_run_blend if mask is None else _run_blend_masked,
        setup_fn=_shape_of_output,
        in_types=[types.UINT8] * (1 + len(others)) + [types.FLOAT] * (1 + len(masks)),
        ins_ndim=[3] * (1 + len(others)) + [1] + [2] * len(masks),
        out_types=[types.FLOAT],
        outs_ndim=[3],
    )
    return operator(images, *others, numbers, *masks)


def erase(images: DataNode, numbers: DataNode, fill: DataNode) -> DataNode:
    """images uint8 HWC, numbers (10,), fill (C or 1, H or 1, W or 1) in [0, 1] shown in the box -> float32 CHW."""
    return KeptOperator(
        run_fn=_run_erase,
        setup_fn=_shape_of_output,
        in_types=[types.UINT8, types.FLOAT, types.FLOAT],
        ins_ndim=[3, 1, 3],
        out_types=[types.FLOAT],
        outs_ndim=[3],
    )(images, numbers, fill)


def blend_targets(targets: DataNode, other: DataNode, lam: DataNode) -> DataNode:
    """targets and other (num_classes,), lam () -> lam * targets + (1 - lam) * other."""
    return KeptOperator(
        run_fn=_run_blend_targets,
        setup_fn=_shape_of_targets,
        in_types=[types.FLOAT] * 3,
        ins_ndim=[1, 1, 0],
        out_types=[types.FLOAT],
        outs_ndim=[1],
    )(targets, other, lam)


def to_float(images: DataNode) -> DataNode:
    """uint8 HWC -> float32 CHW in [0, 1]."""
    return KeptOperator(
        run_fn=_run_to_float,
        setup_fn=_shape_of_output,
        in_types=[types.UINT8],
        ins_ndim=[3],
        out_types=[types.FLOAT],
        outs_ndim=[3],
    )(images)


@njit
def _mixed(own: Any, other: Any, shown: Any) -> Any:
    # Between whole numbers this is exact at both ends and never passes 255; w * a + (1 - w) * b does.
    return own - shown * (own - other)


@njit
def _blend_pixels(own: Any, other: Any, out: Any, start: Any, end: Any, from_: Any, shown: Any, scale: Any) -> None:
    """Pixels start to end of flat images (H * W * C,) into (C, H * W), with as many pixels of `other` from `from_` on.

    Cut to size first and counted from 0, the arrays need no check for negative places: only so does the loop of three
    channels become vector instructions.
    """
    channels = len(out)
    other = other[channels * from_ : channels * (from_ + end - start)]
    own = own[channels * start : channels * end]
    if channels == 3:
        red, green, blue = out[0, start:end], out[1, start:end], out[2, start:end]
        for i in range(end - start):
            red[i] = _mixed(np.float32(own[3 * i]), np.float32(other[3 * i]), shown) * scale
            green[i] = _mixed(np.float32(own[3 * i + 1]), np.float32(other[3 * i + 1]), shown) * scale
            blue[i] = _mixed(np.float32(own[3 * i + 2]), np.float32(other[3 * i + 2]), shown) * scale
    else:
        for channel in range(channels):
            plane = out[channel, start:end]
            for i in range(end - start):
                place = channels * i + channel
                plane[i] = _mixed(np.float32(own[place]), np.float32(other[place]), shown) * scale


@njit
def _blend_masked(
    own: Any, other: Any, out: Any, start: Any, end: Any, from_: Any, kept: Any, mask: Any, scale: Any
) -> None:
    """The same with a weight for each pixel, the mask's times `kept`."""
    channels = len(out)
    other = other[channels * from_ : channels * (from_ + end - start)]
    own, mask = own[channels * start : channels * end], mask[start:end]
    if channels == 3:
        red, green, blue = out[0, start:end], out[1, start:end], out[2, start:end]
        for i in range(end - start):
            shown = np.float32(1) - kept * mask[i]
            red[i] = _mixed(np.float32(own[3 * i]), np.float32(other[3 * i]), shown) * scale
            green[i] = _mixed(np.float32(own[3 * i + 1]), np.float32(other[3 * i + 1]), shown) * scale
            blue[i] = _mixed(np.float32(own[3 * i + 2]), np.float32(other[3 * i + 2]), shown) * scale
    else:
        for channel in range(channels):
            plane = out[channel, start:end]
            for i in range(end - start):
                place = channels * i + channel
                shown = np.float32(1) - kept * mask[i]
                plane[i] = _mixed(np.float32(own[place]), np.float32(other[place]), shown) * scale


@njit
def _lay_pixels(other: Any, out: Any, start: Any, end: Any, from_: Any, shown: Any) -> None:
    """Pixels of one more image on what lies in `out` already, which goes from 0 to 255."""
    channels = len(out)
    other = other[channels * from_ : channels * (from_ + end - start)]
    if channels == 3:
        red, green, blue = out[0, start:end], out[1, start:end], out[2, start:end]
        for i in range(end - start):
            red[i] = _mixed(red[i], np.float32(other[3 * i]), shown)
            green[i] = _mixed(green[i], np.float32(other[3 * i + 1]), shown)
            blue[i] = _mixed(blue[i], np.float32(other[3 * i + 2]), shown)
    else:
        for channel in range(channels):
            plane = out[channel, start:end]
            for i in range(end - start):
                plane[i] = _mixed(plane[i], np.float32(other[channels * i + channel]), shown)


@njit
def _segment(
    own: Any, other: Any, out: Any, start: Any, end: Any, from_: Any, kept: Any, mask: Any, scale: Any
) -> None:
    if len(mask):
        _blend_masked(own, other, out, start, end, from_, kept, mask, scale)
    elif kept == 1:
        _blend_pixels(own, own, out, start, end, start, np.float32(0), scale)
    else:
        _blend_pixels(own, other, out, start, end, from_, np.float32(1) - kept, scale)


@njit
def _gathered(other: Any, row: Any, y: Any, numbers: Any, x0: Any, x1: Any) -> None:
    """Into `row` (W * C,) at x0 to x1 the pixels of `other` (H, W, C) that are shown in row y of the box."""
    channels = other.shape[2]
    source = _nearest(y, int(numbers[0]), int(numbers[2]), int(numbers[6]), int(numbers[8]), other.shape[0])
    for x in range(x0, x1):
        place = _nearest(x, int(numbers[1]), int(numbers[3]), int(numbers[7]), int(numbers[9]), other.shape[1])
        for channel in range(channels):
            row[channels * x + channel] = other[source, place, channel]


@njit
def _nearest(pixel: Any, start: Any, end: Any, first: Any, last: Any, size: Any) -> Any:
    """The pixel of the part first to last that is shown at a pixel of the side start to end."""
    place = first + ((2 * (pixel - start) + 1) * (last - first)) // (2 * max(end - start, 1))
    return min(max(place, 0), size - 1)


@njit
def _box(numbers: Any, height: Any, width: Any) -> Any:
    y0, y1 = min(max(int(numbers[0]), 0), height), min(max(int(numbers[2]), 0), height)
    x0, x1 = min(max(int(numbers[1]), 0), width), min(max(int(numbers[3]), 0), width)
    if y0 >= y1 or x0 >= x1:
        return 0, 0, 0, 0
    return y0, x0, y1, x1


@njit
def _placed(numbers: Any, height: Any, width: Any) -> Any:
    """Whether the box shows its part of the other image resized, and if not, how many pixels further on that lies."""
    sides = numbers[2] - numbers[0], numbers[3] - numbers[1]
    of_region = numbers[8] - numbers[6], numbers[9] - numbers[7]
    shift = (int(numbers[6]) - int(numbers[0])) * width + int(numbers[7]) - int(numbers[1])
    # a part that leaves the image is gathered too, by its nearest pixels
    leaves = shift != 0 and (numbers[6] < 0 or numbers[7] < 0 or numbers[8] > height or numbers[9] > width)
    return sides != of_region or leaves, shift


@njit
def _first_layer(own: Any, other: Any, out: Any, numbers: Any, mask: Any, scale: Any) -> None:
    height, width, channels = own.shape
    y0, x0, y1, x1 = _box(numbers, height, width)
    inside, outside = numbers[4], numbers[5]
    mine, others = own.reshape(-1), other.reshape(-1)
    _segment(mine, others, out, 0, y0 * width, 0, outside, mask, scale)
    _segment(mine, others, out, y1 * width, height * width, y1 * width, outside, mask, scale)
    resized, shift = _placed(numbers, height, width)
    if not resized and x1 - x0 == width:
        _segment(mine, others, out, y0 * width, y1 * width, y0 * width + shift, inside, mask, scale)
        return
    shown_row = np.empty(width * channels if resized else 0, np.uint8)
    for y in range(y0, y1):
        _segment(mine, others, out, y * width, (y + 1) * width, y * width, outside, mask, scale)
        start, end = y * width + x0, y * width + x1
        if resized:
            _gathered(other, shown_row, y, numbers, x0, x1)
            _segment(mine, shown_row, out, start, end, x0, inside, mask, scale)
        else:
            _segment(mine, others, out, start, end, start + shift, inside, mask, scale)


@njit
def _next_layer(other: Any, out: Any, numbers: Any) -> None:
    height, width, channels = other.shape
    y0, x0, y1, x1 = _box(numbers, height, width)
    shown = np.float32(1) - numbers[4]
    if shown == 0:
        return
    resized, shift = _placed(numbers, height, width)
    flat = other.reshape(-1)
    if not resized and x1 - x0 == width:
        _lay_pixels(flat, out, y0 * width, y1 * width, y0 * width + shift, shown)
        return
    shown_row = np.empty(width * channels if resized else 0, np.uint8)
    for y in range(y0, y1):
        start, end = y * width + x0, y * width + x1
        if resized:
            _gathered(other, shown_row, y, numbers, x0, x1)
            _lay_pixels(shown_row, out, start, end, x0, shown)
        else:
            _lay_pixels(flat, out, start, end, start + shift, shown)


@njit
def _image(inputs: Any, shapes: Any, place: Any) -> Any:
    """Input number `place` as a uint8 array (H, W, C)."""
    shape = shape_of(shapes, place, 3)
    return carray(address_of(inputs, place), (shape[0], shape[1], shape[2]), np.uint8)


@njit
def _output(outputs: Any, shape: Any) -> Any:
    """The output (C, H * W) for an image of shape (H, W, C)."""
    return carray(address_of(outputs, 0), (shape[2], shape[0] * shape[1]), np.float32)


@njit
def _blend(outputs: Any, inputs: Any, shapes: Any, layers: Any, mask: Any) -> None:
    own = _image(inputs, shapes, 0)
    out = _output(outputs, own.shape)
    numbers = carray(address_of(inputs, layers + 1), LAYER * layers, np.float32)
    scale = SCALE if layers == 1 else np.float32(1)
    _first_layer(own, _image(inputs, shapes, 1), out, numbers, mask, scale)
    for layer in range(1, layers):
        _next_layer(_image(inputs, shapes, 1 + layer), out, numbers[LAYER * layer : LAYER * (layer + 1)])
    if layers > 1:
        flat = out.reshape(-1)
        for i in range(len(flat)):
            flat[i] *= SCALE


@compiled(RUN)
def _run_blend(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, num_inputs):  # type: ignore[no-untyped-def]
    _blend(outputs, inputs, in_shapes, num_inputs - 2, np.empty(0, np.float32))


@compiled(RUN)
def _run_blend_masked(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, num_inputs):  # type: ignore[no-untyped-def]
    shape = shape_of(in_shapes, num_inputs - 1, 2)
    mask = carray(address_of(inputs, num_inputs - 1), shape[0] * shape[1], np.float32)
    _blend(outputs, inputs, in_shapes, num_inputs - 3, mask)


@compiled(RUN)
def _run_erase(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    own = _image(inputs, in_shapes, 0)
    height, width, channels = own.shape
    out = _output(outputs, own.shape)
    mine = own.reshape(-1)
    _blend_pixels(mine, mine, out, 0, height * width, 0, np.float32(0), SCALE)
    numbers = carray(address_of(inputs, 1), LAYER, np.float32)
    shape = shape_of(in_shapes, 2, 3)
    fill = carray(address_of(inputs, 2), (shape[0], shape[1], shape[2]), np.float32)
    y0, x0, y1, x1 = _box(numbers, height, width)
    shown = np.float32(1) - numbers[4]
    for channel in range(channels):
        of_channel = fill[min(channel, shape[0] - 1)]
        for y in range(y0, y1):
            row = out[channel, y * width + x0 : y * width + x1]
            if shape[2] == 1:
                value = of_channel[0, 0]
                for x in range(x1 - x0):
                    row[x] = _mixed(row[x], value, shown)
            else:
                of_row = of_channel[y, x0:x1]
                for x in range(x1 - x0):
                    row[x] = _mixed(row[x], of_row[x], shown)


@compiled(RUN)
def _run_to_float(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    own = _image(inputs, in_shapes, 0)
    mine = own.reshape(-1)
    _blend_pixels(mine, mine, _output(outputs, own.shape), 0, own.shape[0] * own.shape[1], 0, np.float32(0), SCALE)


@compiled(SETUP)
def _shape_of_output(out_shapes, _out_ndims, _num_outputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    """(H, W, C) -> (C, H, W), from the first input."""
    ins, outs = carray(pointer(in_shapes), samples, np.uint64), carray(pointer(out_shapes), samples, np.uint64)
    for sample in range(samples):
        image, out = carray(pointer(ins[sample]), 3, np.int64), carray(pointer(outs[sample]), 3, np.int64)
        out[0], out[1], out[2] = image[2], image[0], image[1]


@compiled(RUN)
def _run_blend_targets(outputs, out_shapes, _out_ndims, _num_outputs, inputs, _in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    number = shape_of(out_shapes, 0, 1)[0]
    out = carray(address_of(outputs, 0), number, np.float32)
    own = carray(address_of(inputs, 0), number, np.float32)
    other = carray(address_of(inputs, 1), number, np.float32)
    lam = carray(address_of(inputs, 2), 1, np.float32)[0]
    for i in range(number):
        out[i] = lam * own[i] + (np.float32(1) - lam) * other[i]


@compiled(SETUP)
def _shape_of_targets(out_shapes, _out_ndims, _num_outputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    ins, outs = carray(pointer(in_shapes), samples, np.uint64), carray(pointer(out_shapes), samples, np.uint64)
    for sample in range(samples):
        carray(pointer(outs[sample]), 1, np.int64)[0] = carray(pointer(ins[sample]), 1, np.int64)[0]
