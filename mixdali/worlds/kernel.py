"""One pass over the pixels: uint8 HWC in, mixed float32 CHW in [0, 1] out. For DALI on the CPU, compiled by numba.

The numbers are those of DALI's own operators in `worlds/operators.py`, to the bit. Used where numba is installed (the
extra `mixdali[fast]`), which compiles for some seconds once and keeps the result on disk.

DALI's numba operator compiles its functions anew in every pipeline. `MixKernel` hands it finished ones instead, by
overriding two of its private methods; what those functions receive is the form in which DALI calls them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import carray, cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from nvidia.dali import types as dali
from nvidia.dali.data_node import DataNode
from nvidia.dali.plugin.numba import NumbaFunction

SCALE = np.float32(1 / 255)
FAR = 2**31 - 1

_address, _count = types.uint64, types.int32
# outputs: data, shapes, ndims, number; the same of the inputs
_RUN = types.void(_address, _address, _address, _count, _address, _address, _address, _count)
# output shapes, ndims, number; the same of the inputs; samples
_SETUP = types.void(_address, _address, _count, _address, _address, _count, _count)


def blend(images: DataNode, other: DataNode, weight: DataNode, box: DataNode | None) -> DataNode:
    """images and other uint8 HWC of one size, weight (), box (4,) int32 or None -> float32 CHW."""
    if box is None:
        box = dali.Constant(np.array([0, 0, FAR, FAR], dtype=np.int32))
    return MixKernel(
        run_fn=_run_blend,
        setup_fn=_shape_of_output,
        in_types=[dali.UINT8, dali.UINT8, dali.FLOAT, dali.INT32],
        ins_ndim=[3, 3, 0, 1],
        out_types=[dali.FLOAT],
        outs_ndim=[3],
    )(images, other, weight, box)


def to_float(images: DataNode) -> DataNode:
    """uint8 HWC -> float32 CHW in [0, 1]."""
    return MixKernel(
        run_fn=_run_to_float,
        setup_fn=_shape_of_output,
        in_types=[dali.UINT8],
        ins_ndim=[3],
        out_types=[dali.FLOAT],
        outs_ndim=[3],
    )(images)


class MixKernel(NumbaFunction):
    """DALI's operator around a function that is compiled already."""

    def _get_run_fn_cpu(self, run_fn: Any, *_: Any) -> int:
        return run_fn.address

    def _get_setup_fn_cpu(self, setup_fn: Any) -> int:
        return setup_fn.address


def _compile(signature: Any) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        try:
            return cfunc(signature, cache=True)(function)
        except RuntimeError:  # no folder to keep the result in
            return cfunc(signature)(function)

    return decorate


@intrinsic
def _to_pointer(_context: Any, address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


_pointer: Any = _to_pointer  # to a type checker an intrinsic still has its context argument


@njit
def _blend_pixels(own: Any, other: Any, out: Any, start: Any, end: Any, shown: Any) -> None:
    """Pixels start to end of flat images (H * W * C,) into (C, H * W); `shown` is the other image's weight.

    Cut to size first and counted from 0, the arrays need no check for negative places: only so does the loop of three
    channels become vector instructions.
    """
    channels = len(out)
    own, other = own[channels * start : channels * end], other[channels * start : channels * end]
    if channels == 3:
        red, green, blue = out[0, start:end], out[1, start:end], out[2, start:end]
        for i in range(end - start):
            red[i] = _mixed(own[3 * i], other[3 * i], shown)
            green[i] = _mixed(own[3 * i + 1], other[3 * i + 1], shown)
            blue[i] = _mixed(own[3 * i + 2], other[3 * i + 2], shown)
    else:
        for channel in range(channels):
            plane = out[channel, start:end]
            for i in range(end - start):
                plane[i] = _mixed(own[channels * i + channel], other[channels * i + channel], shown)


@njit
def _mixed(own: Any, other: Any, shown: Any) -> Any:
    # Between whole numbers this is exact at both ends and never passes 255; w * a + (1 - w) * b does.
    return (np.float32(own) - shown * (np.float32(own) - np.float32(other))) * SCALE


@njit
def _copy_pixels(own: Any, out: Any, start: Any, end: Any) -> None:
    _blend_pixels(own, own, out, start, end, np.float32(0))


@njit
def _image(addresses: Any, shapes: Any, place: Any) -> Any:
    """Input number `place` as a uint8 array (H, W, C)."""
    shape = carray(_pointer(carray(_pointer(shapes), place + 1, np.uint64)[place]), 3, np.int64)
    return carray(_pointer(addresses[place]), (shape[0], shape[1], shape[2]), np.uint8)


@njit
def _output(outputs: Any, shape: Any) -> Any:
    """The output (C, H * W) for an image of shape (H, W, C)."""
    return carray(_pointer(carray(_pointer(outputs), 1, np.uint64)[0]), (shape[2], shape[0] * shape[1]), np.float32)


@_compile(_RUN)
def _run_blend(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, num_inputs):  # type: ignore[no-untyped-def]
    addresses = carray(_pointer(inputs), num_inputs, np.uint64)
    image = _image(addresses, in_shapes, 0)
    height, width = image.shape[0], image.shape[1]
    out = _output(outputs, image.shape)
    own, other = image.reshape(-1), _image(addresses, in_shapes, 1).reshape(-1)
    shown = np.float32(1) - carray(_pointer(addresses[2]), 1, np.float32)[0]
    box = carray(_pointer(addresses[3]), 4, np.int32)
    y0, y1 = min(max(box[0], 0), height), min(max(box[2], 0), height)
    x0, x1 = min(max(box[1], 0), width), min(max(box[3], 0), width)
    if y0 >= y1 or x0 >= x1:
        _copy_pixels(own, out, 0, height * width)
        return
    _copy_pixels(own, out, 0, y0 * width)
    if x1 - x0 == width:
        _blend_pixels(own, other, out, y0 * width, y1 * width, shown)
    else:
        for y in range(y0, y1):
            row = y * width
            _copy_pixels(own, out, row, row + x0)
            _blend_pixels(own, other, out, row + x0, row + x1, shown)
            _copy_pixels(own, out, row + x1, row + width)
    _copy_pixels(own, out, y1 * width, height * width)


@_compile(_RUN)
def _run_to_float(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, num_inputs):  # type: ignore[no-untyped-def]
    image = _image(carray(_pointer(inputs), num_inputs, np.uint64), in_shapes, 0)
    _copy_pixels(image.reshape(-1), _output(outputs, image.shape), 0, image.shape[0] * image.shape[1])


@_compile(_SETUP)
def _shape_of_output(out_shapes, _out_ndims, _num_outputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    """(H, W, C) -> (C, H, W), from the first input."""
    ins, outs = carray(_pointer(in_shapes), samples, np.uint64), carray(_pointer(out_shapes), samples, np.uint64)
    for sample in range(samples):
        image, out = carray(_pointer(ins[sample]), 3, np.int64), carray(_pointer(outs[sample]), 3, np.int64)
        out[0], out[1], out[2] = image[2], image[0], image[1]
