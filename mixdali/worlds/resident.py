"""Images that lie in memory, cropped, flipped and mixed into float32 CHW by one compiled operator, for small images.

DALI's own way asks four operators for every image, each of which costs about as much as the work itself at 32 px. This
one is asked once for a batch, which it works off in one thread.
"""

from typing import Any

import numpy as np
from numba import carray, njit
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from mixdali.worlds.compiled import RUN_BATCH, SETUP, KeptOperator, compiled, pointer
from mixdali.worlds.layers import LAYER, SCALE, blend_pixels, first_layer, next_layer

CROP = 4  # numbers a crop: row, y, x, flip


def crop_and_mix(pixels: np.ndarray, crops: DataNode, mask: DataNode | None, size: tuple[int, int]) -> DataNode:
    """-> float32 (C, height, width) in [0, 1].

    pixels  (M, H, W, C) uint8, contiguous, which must outlive the pipeline.
    crops   (4,), or with a mix (4 + 14 * layers,) float64: row of `pixels`, first y, first x and 1.0 to flip it, of the
            own image; then for every layer the same of the other one and the layer's ten numbers (`worlds/layers.py`).
    mask    (height, width) float32, the own pixels' weights in the first layer, or None.
    size    height and width of the crops.
    """
    high, low = divmod(pixels.ctypes.data, 1 << 31)  # DALI's constants have 32 bits
    place = np.array([high, low, *pixels.shape], np.int32)
    shape = np.zeros((pixels.shape[3], *size), np.uint8)
    operator: Any = KeptOperator(
        run_fn=_run if mask is None else _run_masked,
        setup_fn=_as_the_first,
        in_types=[types.UINT8, types.INT32, types.FLOAT64, types.FLOAT][: 3 if mask is None else 4],
        ins_ndim=[3, 1, 1, 2][: 3 if mask is None else 4],
        out_types=[types.FLOAT],
        outs_ndim=[3],
        batch_processing=True,
    )
    masks = [] if mask is None else [mask]
    return fn.reshape(operator(types.Constant(shape), types.Constant(place), crops, *masks), layout="CHW")


@njit
def _cropped(pixels: Any, crop: Any, image: Any) -> None:
    """Into `image` (height, width, C) uint8."""
    height, width, channels = image.shape
    row, top, left = int(crop[0]), int(crop[1]), int(crop[2])
    flat = image.reshape(-1)
    for y in range(height):
        line = pixels[row, top + y].reshape(-1)[channels * left : channels * (left + width)]
        out = flat[channels * width * y : channels * width * (y + 1)]
        if crop[3] == 0:
            for i in range(channels * width):
                out[i] = line[i]
        elif channels == 3:
            for x in range(width):
                source = 3 * (width - 1 - x)
                out[3 * x] = line[source]
                out[3 * x + 1] = line[source + 1]
                out[3 * x + 2] = line[source + 2]
        else:
            for x in range(width):
                for channel in range(channels):
                    out[channels * x + channel] = line[channels * (width - 1 - x) + channel]


@njit
def _mixed_crop(pixels: Any, crops: Any, mask: Any, own: Any, other: Any, out: Any) -> None:
    _cropped(pixels, crops, own)
    layers = (len(crops) - CROP) // (CROP + LAYER)
    if layers == 0:
        flat = own.reshape(-1)
        blend_pixels(flat, flat, out, 0, out.shape[1], 0, np.float32(0), SCALE)
    for layer in range(layers):
        start = CROP + layer * (CROP + LAYER)
        _cropped(pixels, crops[start : start + CROP], other)
        numbers = crops[start + CROP : start + CROP + LAYER].astype(np.float32)
        if layer == 0:
            first_layer(own, other, out, numbers, mask, SCALE if layers == 1 else np.float32(1))
        else:
            next_layer(other, out, numbers)
    if layers > 1:
        flat_out = out.reshape(-1)
        for i in range(len(flat_out)):
            flat_out[i] *= SCALE


@njit
def _mixed_crops(outputs: Any, out_shapes: Any, inputs: Any, in_shapes: Any, samples: Any, masked: Any) -> None:
    """What DALI hands over are addresses, (inputs, samples), of data and of shapes."""
    count = 4 if masked else 3
    data = carray(pointer(inputs), (count, samples), np.uint64)
    shapes = carray(pointer(in_shapes), (count, samples), np.uint64)
    made = carray(pointer(outputs), samples, np.uint64)
    shape = carray(pointer(carray(pointer(out_shapes), samples, np.uint64)[0]), 3, np.int64)
    channels, height, width = shape[0], shape[1], shape[2]
    place = carray(pointer(data[1, 0]), 6, np.int32).astype(np.int64)
    address = np.uint64(place[0] * (1 << 31) + place[1])
    pixels = carray(pointer(address), (place[2], place[3], place[4], place[5]), np.uint8)
    own = np.empty((height, width, channels), np.uint8)
    other = np.empty_like(own)
    mask = np.empty(0, np.float32)
    for sample in range(samples):
        crops = carray(pointer(data[2, sample]), carray(pointer(shapes[2, sample]), 1, np.int64)[0], np.float64)
        out = carray(pointer(made[sample]), (channels, height * width), np.float32)
        if masked:
            _mixed_crop(pixels, crops, carray(pointer(data[3, sample]), height * width, np.float32), own, other, out)
        else:
            _mixed_crop(pixels, crops, mask, own, other, out)


@compiled(RUN_BATCH)
def _run(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    _mixed_crops(outputs, out_shapes, inputs, in_shapes, samples, False)


@compiled(RUN_BATCH)
def _run_masked(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    _mixed_crops(outputs, out_shapes, inputs, in_shapes, samples, True)


@compiled(SETUP)
def _as_the_first(out_shapes, _out_ndims, _num_outputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    ins, outs = carray(pointer(in_shapes), samples, np.uint64), carray(pointer(out_shapes), samples, np.uint64)
    for sample in range(samples):
        first, out = carray(pointer(ins[sample]), 3, np.int64), carray(pointer(outs[sample]), 3, np.int64)
        out[0], out[1], out[2] = first[0], first[1], first[2]
