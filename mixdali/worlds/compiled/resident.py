"""Images that lie in memory, cropped and mixed into float32 CHW by one compiled operator, for small images.

DALI's own way asks four operators for every image, each of which costs about as much as the work itself at 32 px. This
one is asked once for a batch, which it works off in one thread.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import carray
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from mixdali.worlds.compiled.forms import form_of, hand_out
from mixdali.worlds.compiled.images import KINDS, TYPES
from mixdali.worlds.compiled.layers import LAYER, first_layer, next_layer
from mixdali.worlds.compiled.memory import copy_rows, inner, pointer
from mixdali.worlds.compiled.operator import (
    FLAT,
    GRID,
    NUMBERS,
    PIXELS,
    RUN_BATCH,
    compiled,
    of_batch,
    of_shape,
    operator,
)
from mixdali.worlds.compiled.pixels import SCALE, convert_pixels, scale_down
from mixdali.worlds.output import UNCHANGED, Output

HEAD = 6  # numbers before the crops: where the pixels lie, and their shape
CROP = 3  # numbers a crop: row, y, x


def crop_and_mix(
    crops: DataNode, mask: DataNode | None, shape: tuple[int, int, int], output: Output = UNCHANGED
) -> DataNode:
    """-> float32 (C, height, width) in [0, 1], or another form of it.

    crops   (9,), or with a mix (9 + 13 * layers,) float64. Where the images lie: the address of contiguous uint8
            (M, H, W, C), divided by 2 ** 31 with remainder, and this shape. The own image: row, first y, first x. For
            every layer the same of the other image, and the layer's ten numbers (`worlds/compiled/layers.py`). The
            images must outlive the pipeline.
    mask    (height, width) float32, the own pixels' weights in the first layer, or None.
    shape   C, height and width of what comes out.
    """
    masks = [] if mask is None else [mask]
    channels, height, width = shape
    if output == UNCHANGED:
        run = _run if mask is None else _run_masked
        return operator(run, of_shape(*shape), [FLAT, *[GRID] * len(masks)], PIXELS, batch=True)(crops, *masks)
    if output.channels not in (1, channels):
        raise ValueError(f"mean and std are for {output.channels} channels, images have {channels}")
    kind = KINDS[output.dtype]
    setup = of_shape(*(shape if output.layout == "CHW" else (height, width, channels)))
    forms = [FLAT, *[GRID] * len(masks), GRID, NUMBERS]
    made = operator(_formed(kind, mask is not None), setup, forms, (TYPES[kind], 3), batch=True)
    form, sides = types.Constant(form_of(output, 255.0)), types.Constant(np.array(shape, np.float32))
    images = made(crops, *masks, form, sides)
    if output.dtype == "float16":
        return fn.reinterpret(images, dtype=types.FLOAT16, layout=output.layout)
    return fn.reshape(images, layout=output.layout)


def in_all_forms() -> list[Any]:
    """The functions of every kind of output."""
    return [_formed(kind, masked) for kind in TYPES for masked in (False, True)]


@inner
def _cropped(pixels: Any, crop: Any, image: Any) -> None:
    """Into `image` (height, width, C) uint8."""
    height, width, channels = image.shape
    row, top, left = int(crop[0]), int(crop[1]), int(crop[2])
    line, of_source = width * channels, pixels.shape[2] * channels
    source = pixels.ctypes.data + (row * pixels.shape[1] + top) * of_source + left * channels
    copy_rows(source, of_source, image.ctypes.data, line, line, height)


@inner
def _mixed_crop(pixels: Any, crops: Any, mask: Any, own: Any, other: Any, out: Any, scale: Any) -> None:
    """scale: what pixels from 0 to 255 are multiplied by."""
    crops = crops[HEAD:]
    _cropped(pixels, crops, own)
    first, height = np.int64(0), own.shape[0]
    layers = (len(crops) - CROP) // (CROP + LAYER)
    if layers == 0:
        convert_pixels(own.reshape(-1), out, first, scale)
    for layer in range(layers):
        start = CROP + layer * (CROP + LAYER)
        _cropped(pixels, crops[start : start + CROP], other)
        numbers = crops[start + CROP : start + CROP + LAYER].astype(np.float32)
        if layer == 0:
            at_once = scale if layers == 1 else np.float32(1)
            first_layer(own, other, out, numbers, mask, at_once, first, height, first, True)
        else:
            next_layer(other, out, numbers, first, height, first)
    if layers > 1 and scale != 1:
        scale_down(out, first, out.shape[1])


@inner
def _source(data: Any) -> Any:
    """The images that lie in memory, (M, H, W, C)."""
    head = carray(pointer(data[0, 0]), HEAD, np.float64).astype(np.int64)
    address = np.uint64(head[0] * (1 << 31) + head[1])
    return carray(pointer(address), (head[2], head[3], head[4], head[5]), np.uint8)


@inner
def _crops(data: Any, shapes: Any, sample: Any) -> Any:
    return carray(pointer(data[0, sample]), carray(pointer(shapes[0, sample]), 1, np.int64)[0], np.float64)


@inner
def _mixed_crops(outputs: Any, out_shapes: Any, inputs: Any, in_shapes: Any, samples: Any, masked: Any) -> None:
    """What DALI hands over are addresses, (inputs, samples), of data and of shapes. masked: None or anything else."""
    count = 1 if masked is None else 2
    data, shapes = of_batch(inputs, count, samples), of_batch(in_shapes, count, samples)
    made = of_batch(outputs, 1, samples)[0]
    shape = carray(pointer(of_batch(out_shapes, 1, samples)[0, 0]), 3, np.int64)
    channels, height, width = shape[0], shape[1], shape[2]
    pixels = _source(data)
    own = np.empty((height, width, channels), np.uint8)
    other = np.empty_like(own)
    for sample in range(samples):
        out = carray(pointer(made[sample]), (channels, height * width), np.float32)
        _mixed_crop(
            pixels,
            _crops(data, shapes, sample),
            None if masked is None else carray(pointer(data[1, sample]), height * width, np.float32),
            own,
            other,
            out,
            SCALE,
        )


@compiled(RUN_BATCH)
def _run(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    _mixed_crops(outputs, out_shapes, inputs, in_shapes, samples, None)


@compiled(RUN_BATCH)
def _run_masked(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    _mixed_crops(outputs, out_shapes, inputs, in_shapes, samples, True)


@cache
def _formed(kind: Any, masked: bool) -> Any:
    count = 4 if masked else 3

    @compiled(RUN_BATCH)
    def run(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
        data, shapes = of_batch(inputs, count, samples), of_batch(in_shapes, count, samples)
        made = of_batch(outputs, 1, samples)[0]
        shape = carray(pointer(data[count - 1, 0]), 3, np.float32)
        channels, height, width = int(shape[0]), int(shape[1]), int(shape[2])
        rows = carray(pointer(shapes[count - 2, 0]), 2, np.int64)
        form = carray(pointer(data[count - 2, 0]), (rows[0], rows[1]), np.float32)
        pixels, floats = _source(data), np.empty((channels, height * width), np.float32)
        own = np.empty((height, width, channels), np.uint8)
        other = np.empty_like(own)
        for sample in range(samples):
            crops = _crops(data, shapes, sample)
            if masked:
                mask = carray(pointer(data[1, sample]), height * width, np.float32)
                _mixed_crop(pixels, crops, mask, own, other, floats, np.float32(1))
            else:
                _mixed_crop(pixels, crops, None, own, other, floats, np.float32(1))
            out = carray(pointer(made[sample]), channels * height * width, kind)
            hand_out(floats, height * width, out, np.int64(0), form)

    return run
