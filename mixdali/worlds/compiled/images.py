"""One pass over the pixels: uint8 HWC in, mixed float32 CHW in [0, 1] out, or in another form.

The results are those of DALI's own operators in `worlds/operators.py`, in the usual form to the bit.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import carray
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.types import DALIDataType

from mixdali.worlds.compiled.boxes import box_of, within
from mixdali.worlds.compiled.forms import form_of, hand_out
from mixdali.worlds.compiled.layers import ROWS, cover_rows, first_layer, next_layer
from mixdali.worlds.compiled.memory import copy_bytes, inner, pointer
from mixdali.worlds.compiled.operator import (
    ADDRESS,
    GRID,
    IMAGE,
    NUMBERS,
    PIXELS,
    RUN,
    SETUP,
    Form,
    address_of,
    compiled,
    image_of,
    of_batch,
    operator,
    shape_of,
)
from mixdali.worlds.compiled.pixels import SCALE, convert_pixels, mixed, scale_down
from mixdali.worlds.numbers import TOLD
from mixdali.worlds.output import UNCHANGED, Output

# What is written: half precision as its bits, which numba's operator takes no other way.
KINDS: dict[str | None, Any] = {None: np.float32, "float32": np.float32, "float16": np.uint16, "uint8": np.uint8}
TYPES = {np.float32: DALIDataType.FLOAT, np.uint16: DALIDataType.UINT16, np.uint8: DALIDataType.UINT8}
BAND = 1 << 12  # pixels on which several layers are laid before the next ones: they stay in the cache behind it


def blend(
    images: DataNode,
    others: DataNode,
    numbers: DataNode,
    mask: DataNode | None,
    output: Output = UNCHANGED,
    layers: int = 1,
    moved: bool = True,
) -> DataNode:
    """Images mixed with others of their batch.

    images   uint8 HWC of one size.
    others   (layers,) int64, where they lie (`worlds/compiled/others.py`).
    numbers  (at least TOLD * layers,)
    mask     (H, W) float32.
    moved    whether a box may show another part than the one at its place.
    """
    inputs = [(images, IMAGE), (others, ADDRESS), (numbers, NUMBERS), *([] if mask is None else [(mask, GRID)])]
    if output != UNCHANGED:
        return _made(_formed_blend(KINDS[output.dtype], mask is not None), inputs, output, 255.0)
    if mask is not None:
        return _made(_run_masked, inputs)
    return _made(_run_several if layers > 1 else _run_moved if moved else _run_one, inputs)


def erase(images: DataNode, numbers: DataNode, fill: DataNode, output: Output) -> DataNode:
    """images uint8 HWC, numbers (at least TOLD,), fill (C or 1, H or 1, W or 1) in [0, 1], shown in the box."""
    inputs = [(images, IMAGE), (numbers, NUMBERS), (fill, PIXELS)]
    return _made(_run_erase if output == UNCHANGED else _formed_erase(KINDS[output.dtype]), inputs, output, 1.0)


def to_float(images: DataNode, output: Output) -> DataNode:
    """uint8 HWC, converted."""
    run = _run_to_float if output == UNCHANGED else _formed_to_float(KINDS[output.dtype])
    return _made(run, [(images, IMAGE)], output, 255.0)


def _made(run: Any, inputs: list[tuple[DataNode, Form]], output: Output = UNCHANGED, unit: float = 255.0) -> DataNode:
    """Images by the function `run`. What another form is than float32 CHW in [0, 1] is one more input, for pixels that
    go from 0 to `unit`."""
    setup = _shape_of_output
    if output != UNCHANGED:
        inputs = [*inputs, (types.Constant(form_of(output, unit)), GRID)]
        setup = _shape_of_form
    made = operator(run, setup, [form for _, form in inputs], (TYPES[KINDS[output.dtype]], 3))
    nodes = [node for node, _ in inputs]
    # DALI shows the next line with its error
    images = made(*nodes)  # a mix takes uint8 HWC images, or layout="CHW"; negative size: mean, std of other channels
    if output.dtype == "float16":
        return fn.reinterpret(images, dtype=types.FLOAT16, layout=output.layout)
    return fn.reshape(images, layout=output.layout)


def in_all_forms() -> list[Any]:
    """The functions of every kind of output."""
    kinds = list(TYPES)
    blends = [_formed_blend(kind, masked) for kind in kinds for masked in (False, True)]
    return [*blends, *map(_formed_to_float, kinds), *map(_formed_erase, kinds)]


@inner
def _other(others: Any, layer: Any, shape: Any) -> Any:
    """The image of a layer as a uint8 array of this shape (H, W, C). others: (layers,) where they lie."""
    return carray(pointer(np.uint64(others[layer])), (shape[0], shape[1], shape[2]), np.uint8)


@inner
def _output(outputs: Any, shape: Any) -> Any:
    """The output (C, H * W) for an image of shape (H, W, C)."""
    return carray(address_of(outputs, 0), (shape[2], shape[0] * shape[1]), np.float32)


@inner
def _layers_of(inputs: Any, shapes: Any) -> Any:
    """Of a blend: where the images lie that are laid, and what is told of them."""
    layers = shape_of(shapes, 1, 1)[0]
    numbers = carray(address_of(inputs, 2), TOLD * layers, np.float32)
    return carray(address_of(inputs, 1), layers, np.int64), numbers


@inner
def _blend_rows(own: Any, others: Any, numbers: Any, mask: Any, out: Any, top: Any, bottom: Any, at: Any) -> None:
    """Rows top to bottom, from 0 to 255, into `out`, which begins with row `at`."""
    first_layer(own, _other(others, 0, own.shape), out, numbers, mask, np.float32(1), top, bottom, at, True)
    for layer in range(1, len(others)):
        next_layer(_other(others, layer, own.shape), out, numbers[TOLD * layer :], top, bottom, at)


@inner
def _blend(outputs: Any, inputs: Any, shapes: Any, mask: Any) -> None:
    own = image_of(inputs, shapes, 0)
    out = _output(outputs, own.shape)
    others, numbers = _layers_of(inputs, shapes)
    height, width = own.shape[0], own.shape[1]
    at = np.int64(0)
    at_a_time = max(1, BAND // width)
    for top in range(at, height, at_a_time):
        bottom = min(top + at_a_time, height)
        _blend_rows(own, others, numbers, mask, out, top, bottom, at)
        scale_down(out, top * width, bottom * width)


@inner
def _blend_form(own: Any, others: Any, numbers: Any, mask: Any, form: Any, out: Any) -> None:
    height, width, channels = own.shape
    at_a_time = max(1, BAND // width)
    band = np.empty((channels, at_a_time * width), np.float32)
    for top in range(0, height, at_a_time):
        bottom = min(top + at_a_time, height)
        _blend_rows(own, others, numbers, mask, band, top, bottom, top)
        hand_out(band, (bottom - top) * width, out, top * width, form)


@inner
def _is_patchwork(numbers: Any, layers: Any) -> Any:
    """Whether every pixel of so many layers shows one image alone, so that bytes can be copied."""
    if numbers[5] != 1:
        return False
    for layer in range(layers):
        inside = numbers[TOLD * layer + 4]
        if inside != 0 and inside != 1:
            return False
    return True


@inner
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
def _run_one(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    own = image_of(inputs, in_shapes, 0)
    others, numbers = _layers_of(inputs, in_shapes)
    first, height = np.int64(0), own.shape[0]
    out = _output(outputs, own.shape)
    first_layer(own, _other(others, first, own.shape), out, numbers, None, SCALE, first, height, first, None)


@compiled(RUN)
def _run_moved(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    own = image_of(inputs, in_shapes, 0)
    others, numbers = _layers_of(inputs, in_shapes)
    first, height = np.int64(0), own.shape[0]
    out = _output(outputs, own.shape)
    first_layer(own, _other(others, first, own.shape), out, numbers, None, SCALE, first, height, first, True)


@compiled(RUN)
def _run_several(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    own = image_of(inputs, in_shapes, 0)
    others, numbers = _layers_of(inputs, in_shapes)
    if _is_patchwork(numbers, len(others)):
        _patch(own, others, _output(outputs, own.shape), numbers)
    else:
        _blend(outputs, inputs, in_shapes, None)


@compiled(RUN)
def _run_masked(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    own = image_of(inputs, in_shapes, 0)
    others, numbers = _layers_of(inputs, in_shapes)
    mask = _mask(inputs, in_shapes)
    if len(others) == 1:
        first, height = np.int64(0), own.shape[0]
        out = _output(outputs, own.shape)
        first_layer(own, _other(others, first, own.shape), out, numbers, mask, SCALE, first, height, first, True)
    else:
        _blend(outputs, inputs, in_shapes, mask)


@inner
def _mask(inputs: Any, shapes: Any) -> Any:
    shape = shape_of(shapes, 3, 2)
    return carray(address_of(inputs, 3), shape[0] * shape[1], np.float32)


@inner
def _form(inputs: Any, shapes: Any, place: Any) -> Any:
    shape = shape_of(shapes, place, 2)
    return carray(address_of(inputs, place), (shape[0], shape[1]), np.float32)


@cache
def _formed_blend(kind: Any, masked: bool) -> Any:
    @compiled(RUN)
    def run(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
        own = image_of(inputs, in_shapes, 0)
        others, numbers = _layers_of(inputs, in_shapes)
        out = carray(address_of(outputs, 0), own.size, kind)
        if masked:
            _blend_form(own, others, numbers, _mask(inputs, in_shapes), _form(inputs, in_shapes, 4), out)
        else:
            _blend_form(own, others, numbers, None, _form(inputs, in_shapes, 3), out)

    return run


@inner
def _erase_rows(own: Any, numbers: Any, fill: Any, out: Any, top: Any, bottom: Any, at: Any) -> None:
    """Rows top to bottom in [0, 1] into `out`, which begins with row `at`."""
    height, width, channels = own.shape
    convert_pixels(own[top:bottom].reshape(-1), out, (top - at) * width, SCALE)
    y0, x0, y1, x1 = within(box_of(numbers, height, width), top, bottom)
    shown = np.float32(1) - numbers[4]
    for channel in range(channels):
        of_channel = fill[min(channel, fill.shape[0] - 1)]
        for y in range(y0, y1):
            row = out[channel, (y - at) * width + x0 : (y - at) * width + x1]
            if fill.shape[2] == 1:
                value = of_channel[0, 0]
                for x in range(x1 - x0):
                    row[x] = mixed(row[x], value, shown)
            else:
                of_row = of_channel[y, x0:x1]
                for x in range(x1 - x0):
                    row[x] = mixed(row[x], of_row[x], shown)


@inner
def _told_of_a_fill(inputs: Any, shapes: Any) -> Any:
    shape = shape_of(shapes, 2, 3)
    fill = carray(address_of(inputs, 2), (shape[0], shape[1], shape[2]), np.float32)
    return carray(address_of(inputs, 1), TOLD, np.float32), fill


@compiled(RUN)
def _run_erase(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    own = image_of(inputs, in_shapes, 0)
    numbers, fill = _told_of_a_fill(inputs, in_shapes)
    first = np.int64(0)
    _erase_rows(own, numbers, fill, _output(outputs, own.shape), first, own.shape[0], first)


@cache
def _formed_erase(kind: Any) -> Any:
    @compiled(RUN)
    def run(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
        own = image_of(inputs, in_shapes, 0)
        numbers, fill = _told_of_a_fill(inputs, in_shapes)
        form, out = _form(inputs, in_shapes, 3), carray(address_of(outputs, 0), own.size, kind)
        height, width, channels = own.shape
        at_a_time = max(1, BAND // width)
        band = np.empty((channels, at_a_time * width), np.float32)
        for top in range(0, height, at_a_time):
            bottom = min(top + at_a_time, height)
            _erase_rows(own, numbers, fill, band, top, bottom, top)
            hand_out(band, (bottom - top) * width, out, top * width, form)

    return run


@compiled(RUN)
def _run_to_float(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    own = image_of(inputs, in_shapes, 0)
    convert_pixels(own.reshape(-1), _output(outputs, own.shape), np.int64(0), SCALE)


@cache
def _formed_to_float(kind: Any) -> Any:
    @compiled(RUN)
    def run(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
        own = image_of(inputs, in_shapes, 0)
        form, out = _form(inputs, in_shapes, 1), carray(address_of(outputs, 0), own.size, kind)
        pixels, channels = own.reshape(-1), own.shape[2]
        band = np.empty((channels, BAND), np.float32)
        for start in range(0, own.shape[0] * own.shape[1], BAND):
            end = min(start + BAND, own.shape[0] * own.shape[1])
            convert_pixels(pixels[start * channels : end * channels], band, np.int64(0), np.float32(1))
            hand_out(band, end - start, out, start, form)

    return run


@compiled(SETUP)
def _shape_of_output(out_shapes, _out_ndims, _num_outputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    """(H, W, C) -> (C, H, W), from the first input."""
    ins, outs = of_batch(in_shapes, 1, samples)[0], of_batch(out_shapes, 1, samples)[0]
    for sample in range(samples):
        image, out = carray(pointer(ins[sample]), 3, np.int64), carray(pointer(outs[sample]), 3, np.int64)
        out[0], out[1], out[2] = image[2], image[0], image[1]


@compiled(SETUP)
def _shape_of_form(out_shapes, _out_ndims, _num_outputs, in_shapes, _in_ndims, num_inputs, samples):  # type: ignore[no-untyped-def]
    """(H, W, C) -> that or (C, H, W), as the form says, which is the last input; -1 where it has other channels."""
    ins, outs = of_batch(in_shapes, num_inputs, samples), of_batch(out_shapes, 1, samples)[0]
    for sample in range(samples):
        image, out = carray(pointer(ins[0, sample]), 3, np.int64), carray(pointer(outs[sample]), 3, np.int64)
        form = carray(pointer(ins[num_inputs - 1, sample]), 2, np.int64)
        if form[0] == 3:
            out[0], out[1], out[2] = image[0], image[1], image[2]
        else:
            out[0], out[1], out[2] = image[2], image[0], image[1]
        if form[1] != 1 and form[1] != image[2]:
            out[0] = -1
