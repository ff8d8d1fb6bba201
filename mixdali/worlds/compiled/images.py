"""One pass over the pixels: uint8 HWC in, mixed float32 CHW in [0, 1] out.

The results are those of DALI's own operators in `worlds/operators.py`, to the bit.
"""

from typing import Any

import numpy as np
from numba import carray, njit
from nvidia.dali.data_node import DataNode

from mixdali.worlds.compiled.boxes import box_of
from mixdali.worlds.compiled.layers import ROWS, cover_rows, first_layer, next_layer
from mixdali.worlds.compiled.memory import copy_bytes, pointer
from mixdali.worlds.compiled.operator import (
    ADDRESS,
    GRID,
    IMAGE,
    NUMBERS,
    PIXELS,
    RUN,
    SETUP,
    address_of,
    compiled,
    image_of,
    of_batch,
    operator,
    shape_of,
)
from mixdali.worlds.compiled.pixels import SCALE, convert_pixels, mixed, scale_down
from mixdali.worlds.numbers import TOLD

BAND = 1 << 12  # pixels on which several layers are laid before the next ones: they stay in the cache behind it


def blend(images: DataNode, others: DataNode, numbers: DataNode, mask: DataNode | None) -> DataNode:
    """Images mixed with others of their batch.

    images   uint8 HWC of one size.
    others   (layers,) int64, where they lie (`worlds/compiled/others.py`).
    numbers  (at least TOLD * layers,)
    mask     (H, W) float32.

    -> float32 CHW
    """
    run = _run_blend if mask is None else _run_blend_masked
    masks = [] if mask is None else [mask]
    inputs = [IMAGE, ADDRESS, NUMBERS, *[GRID] * len(masks)]
    return operator(run, _shape_of_output, inputs, PIXELS)(images, others, numbers, *masks)


def erase(images: DataNode, numbers: DataNode, fill: DataNode) -> DataNode:
    """images uint8 HWC, numbers (at least TOLD,), fill (C or 1, H or 1, W or 1) in [0, 1], shown in the box -> float32
    CHW."""
    return operator(_run_erase, _shape_of_output, [IMAGE, NUMBERS, PIXELS], PIXELS)(images, numbers, fill)


def to_float(images: DataNode) -> DataNode:
    """uint8 HWC -> float32 CHW in [0, 1]."""
    return operator(_run_to_float, _shape_of_output, [IMAGE], PIXELS)(images)


@njit
def _other(others: Any, layer: Any, shape: Any) -> Any:
    """The image of a layer as a uint8 array of this shape (H, W, C). others: (layers,) where they lie."""
    return carray(pointer(np.uint64(others[layer])), (shape[0], shape[1], shape[2]), np.uint8)


@njit
def _output(outputs: Any, shape: Any) -> Any:
    """The output (C, H * W) for an image of shape (H, W, C)."""
    return carray(address_of(outputs, 0), (shape[2], shape[0] * shape[1]), np.float32)


@njit
def _blend(outputs: Any, inputs: Any, shapes: Any, mask: Any) -> None:
    own = image_of(inputs, shapes, 0)
    out = _output(outputs, own.shape)
    layers = shape_of(shapes, 1, 1)[0]
    others = carray(address_of(inputs, 1), layers, np.int64)
    numbers = carray(address_of(inputs, 2), TOLD * layers, np.float32)
    height, width = own.shape[0], own.shape[1]
    if layers == 1:
        first_layer(own, _other(others, 0, own.shape), out, numbers, mask, SCALE, 0, height)
        return
    if len(mask) == 0 and _is_patchwork(numbers, layers):
        _patch(own, others, out, numbers)
        return
    at_a_time = max(1, BAND // width)
    for top in range(0, height, at_a_time):
        bottom = min(top + at_a_time, height)
        first_layer(own, _other(others, 0, own.shape), out, numbers, mask, np.float32(1), top, bottom)
        for layer in range(1, layers):
            next_layer(_other(others, layer, own.shape), out, numbers[TOLD * layer :], top, bottom)
        scale_down(out, top * width, bottom * width)


@njit
def _is_patchwork(numbers: Any, layers: Any) -> Any:
    """Whether every pixel of so many layers shows one image alone, so that bytes can be copied."""
    if numbers[5] != 1:
        return False
    for layer in range(layers):
        inside = numbers[TOLD * layer + 4]
        if inside != 0 and inside != 1:
            return False
    return True


@njit
def _patch(own: Any, others: Any, out: Any, numbers: Any) -> None:
    """Layers of which every pixel shows one alone: put together as bytes, some rows at a time, and converted."""
    height, width = own.shape[0], own.shape[1]
    line = width * own.shape[2]
    at_a_time = max(1, ROWS // line)
    rows = np.empty(at_a_time * line, np.uint8)
    for top in range(0, height, at_a_time):
        bottom = min(top + at_a_time, height)
        shown = rows[: (bottom - top) * line]
        copy_bytes(own.ctypes.data + top * line, shown.ctypes.data, len(shown))
        for layer in range(len(others)):
            cover_rows(_other(others, layer, own.shape), shown, numbers[TOLD * layer :], top, bottom)
        convert_pixels(shown, out, top * width, SCALE)


@compiled(RUN)
def _run_blend(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    _blend(outputs, inputs, in_shapes, np.empty(0, np.float32))


@compiled(RUN)
def _run_blend_masked(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    shape = shape_of(in_shapes, 3, 2)
    _blend(outputs, inputs, in_shapes, carray(address_of(inputs, 3), shape[0] * shape[1], np.float32))


@compiled(RUN)
def _run_erase(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    own = image_of(inputs, in_shapes, 0)
    height, width, channels = own.shape
    out = _output(outputs, own.shape)
    convert_pixels(own.reshape(-1), out, 0, SCALE)
    numbers = carray(address_of(inputs, 1), TOLD, np.float32)
    shape = shape_of(in_shapes, 2, 3)
    fill = carray(address_of(inputs, 2), (shape[0], shape[1], shape[2]), np.float32)
    y0, x0, y1, x1 = box_of(numbers, height, width)
    shown = np.float32(1) - numbers[4]
    for channel in range(channels):
        of_channel = fill[min(channel, shape[0] - 1)]
        for y in range(y0, y1):
            row = out[channel, y * width + x0 : y * width + x1]
            if shape[2] == 1:
                value = of_channel[0, 0]
                for x in range(x1 - x0):
                    row[x] = mixed(row[x], value, shown)
            else:
                of_row = of_channel[y, x0:x1]
                for x in range(x1 - x0):
                    row[x] = mixed(row[x], of_row[x], shown)


@compiled(RUN)
def _run_to_float(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    own = image_of(inputs, in_shapes, 0)
    convert_pixels(own.reshape(-1), _output(outputs, own.shape), 0, SCALE)


@compiled(SETUP)
def _shape_of_output(out_shapes, _out_ndims, _num_outputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    """(H, W, C) -> (C, H, W), from the first input."""
    ins, outs = of_batch(in_shapes, 1, samples)[0], of_batch(out_shapes, 1, samples)[0]
    for sample in range(samples):
        image, out = carray(pointer(ins[sample]), 3, np.int64), carray(pointer(outs[sample]), 3, np.int64)
        out[0], out[1], out[2] = image[2], image[0], image[1]
