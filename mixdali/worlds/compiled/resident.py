"""Images that lie in memory, cropped and mixed into float32 CHW by one compiled operator, for small images.

DALI's own way asks four operators for every image, each of which costs about as much as the work itself at 32 px. This
one is asked once for a batch, which it works off in one thread.
"""

from typing import Any

import numpy as np
from numba import carray, njit
from nvidia.dali.data_node import DataNode

from mixdali.worlds.compiled.layers import LAYER, first_layer, next_layer
from mixdali.worlds.compiled.memory import copy_rows, pointer
from mixdali.worlds.compiled.operator import (
    FLAT,
    GRID,
    PIXELS,
    RUN_BATCH,
    compiled,
    of_batch,
    of_shape,
    operator,
)
from mixdali.worlds.compiled.pixels import SCALE, convert_pixels, scale_down

HEAD = 6  # numbers before the crops: where the pixels lie, and their shape
CROP = 3  # numbers a crop: row, y, x


def crop_and_mix(crops: DataNode, mask: DataNode | None, shape: tuple[int, int, int]) -> DataNode:
    """-> float32 (C, height, width) in [0, 1].

    crops   (9,), or with a mix (9 + 13 * layers,) float64. Where the images lie: the address of contiguous uint8
            (M, H, W, C), divided by 2 ** 31 with remainder, and this shape. The own image: row, first y, first x. For
            every layer the same of the other image, and the layer's ten numbers (`worlds/compiled/layers.py`). The
            images must outlive the pipeline.
    mask    (height, width) float32, the own pixels' weights in the first layer, or None.
    shape   C, height and width of what comes out.
    """
    run = _run if mask is None else _run_masked
    masks = [] if mask is None else [mask]
    made = operator(run, of_shape(*shape), [FLAT, *[GRID] * len(masks)], PIXELS, batch=True)
    return made(crops, *masks)


@njit
def _cropped(pixels: Any, crop: Any, image: Any) -> None:
    """Into `image` (height, width, C) uint8."""
    height, width, channels = image.shape
    row, top, left = int(crop[0]), int(crop[1]), int(crop[2])
    line, of_source = width * channels, pixels.shape[2] * channels
    source = pixels.ctypes.data + (row * pixels.shape[1] + top) * of_source + left * channels
    copy_rows(source, of_source, image.ctypes.data, line, line, height)


@njit
def _mixed_crop(pixels: Any, crops: Any, mask: Any, own: Any, other: Any, out: Any) -> None:
    crops = crops[HEAD:]
    _cropped(pixels, crops, own)
    height = own.shape[0]
    layers = (len(crops) - CROP) // (CROP + LAYER)
    if layers == 0:
        convert_pixels(own.reshape(-1), out, 0, SCALE)
    for layer in range(layers):
        start = CROP + layer * (CROP + LAYER)
        _cropped(pixels, crops[start : start + CROP], other)
        numbers = crops[start + CROP : start + CROP + LAYER].astype(np.float32)
        if layer == 0:
            scale = SCALE if layers == 1 else np.float32(1)
            first_layer(own, other, out, numbers, mask, scale, 0, height)
        else:
            next_layer(other, out, numbers, 0, height)
    if layers > 1:
        scale_down(out, 0, out.shape[1])


@njit
def _mixed_crops(outputs: Any, out_shapes: Any, inputs: Any, in_shapes: Any, samples: Any, masked: Any) -> None:
    """What DALI hands over are addresses, (inputs, samples), of data and of shapes."""
    count = 2 if masked else 1
    data, shapes = of_batch(inputs, count, samples), of_batch(in_shapes, count, samples)
    made = of_batch(outputs, 1, samples)[0]
    shape = carray(pointer(of_batch(out_shapes, 1, samples)[0, 0]), 3, np.int64)
    channels, height, width = shape[0], shape[1], shape[2]
    head = carray(pointer(data[0, 0]), HEAD, np.float64).astype(np.int64)
    address = np.uint64(head[0] * (1 << 31) + head[1])
    pixels = carray(pointer(address), (head[2], head[3], head[4], head[5]), np.uint8)
    own = np.empty((height, width, channels), np.uint8)
    other = np.empty_like(own)
    mask = np.empty(0, np.float32)
    for sample in range(samples):
        crops = carray(pointer(data[0, sample]), carray(pointer(shapes[0, sample]), 1, np.int64)[0], np.float64)
        out = carray(pointer(made[sample]), (channels, height * width), np.float32)
        if masked:
            weights = carray(pointer(data[1, sample]), height * width, np.float32)
            _mixed_crop(pixels, crops, weights, own, other, out)
        else:
            _mixed_crop(pixels, crops, mask, own, other, out)


@compiled(RUN_BATCH)
def _run(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    _mixed_crops(outputs, out_shapes, inputs, in_shapes, samples, False)


@compiled(RUN_BATCH)
def _run_masked(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    _mixed_crops(outputs, out_shapes, inputs, in_shapes, samples, True)
