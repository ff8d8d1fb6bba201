"""Mixed pixels in another form than float32 CHW in [0, 1]: normalised, as half precision or bytes, or HWC.

A form is an array (2, n) for CHW, (3, n) for HWC, with n the number of channels or 1: what is taken from the pixels of
each channel, and what they are multiplied by after that. What is written is float32, the bits of half precision as
uint16, or uint8.
"""

import platform
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic, overload

from mixdali.worlds.compiled.memory import inner
from mixdali.worlds.output import Output


def form_of(output: Output, unit: float) -> np.ndarray:
    """For pixels that go from 0 to `unit`."""
    shift, size = (np.array(values, np.float32) for values in output.shift_and_size(unit))
    rows = [shift, np.float32(1) / size]
    return np.stack(rows if output.layout == "CHW" else [*rows, shift])


@intrinsic
def _bits(_context: Any, _value: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


bits: Any = _bits
"""The bits of a float32."""


@intrinsic
def _half_at_once(_context: Any, _value: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), ir.IntType(16))

    return types.uint16(types.float32), generate


half_at_once: Any = _half_at_once
"""As `half`, where the processor has an instruction for it."""


def has_halves() -> bool:
    """Whether it has; numba compiles for the processor it runs on."""
    machine = platform.machine().lower()
    return machine in ("aarch64", "arm64") or bool(binding.get_host_cpu_features().get("f16c"))


@inner
def half(value: Any) -> Any:
    """The bits of the nearest number of half precision, of two as near the even one; beyond the largest, infinity."""
    found = bits(np.float32(value))
    sign = (found >> np.uint32(16)) & np.uint32(0x8000)
    size = found & np.uint32(0x7FFFFFFF)
    even = (size >> np.uint32(13)) & np.uint32(1)
    usual = (size - np.uint32(112 << 23) + np.uint32(0xFFF) + even) >> np.uint32(13)
    # below 2 ** -14 they are multiples of 2 ** -24
    small = np.uint32(np.rint(min(abs(value), np.float32(1)) * np.float32(1 << 24)))
    below = small if size < np.uint32(113 << 23) else usual
    return np.uint16(sign | (below if size < np.uint32(143 << 23) else np.uint32(0x7C00)))


def _as_in(value: Any, out: Any) -> Any:
    """A float32 as it is written into `out`."""


@overload(_as_in)
def _(value, out):  # type: ignore[no-untyped-def]
    if out.dtype == types.float32:
        return lambda value, out: value
    if out.dtype == types.uint16:
        return (lambda value, out: half_at_once(value)) if has_halves() else (lambda value, out: half(value))
    return lambda value, out: np.uint8(min(max(value + np.float32(0.5), np.float32(0)), np.float32(255)))


@inner
def hand_out(pixels: Any, number: Any, out: Any, start: Any, form: Any) -> None:
    """Pixels (C, at least number), which it may change, into a flat image `out` from pixel `start` on."""
    channels, size = len(pixels), len(out) // len(pixels)
    for channel in range(channels):
        of_channel = channel if form.shape[1] > 1 else 0
        shift, factor = form[0, of_channel], form[1, of_channel]
        plane = pixels[channel, :number]
        if len(form) == 2:
            written = out[channel * size + start : channel * size + start + number]
            for i in range(number):
                written[i] = _as_in((plane[i] - shift) * factor, out)
        else:
            for i in range(number):
                plane[i] = (plane[i] - shift) * factor
    if len(form) == 3:
        _interleave(pixels, number, out[start * channels : (start + number) * channels])


@inner
def _interleave(pixels: Any, number: Any, out: Any) -> None:
    channels = len(pixels)
    if channels == 3:
        red, green, blue = pixels[0, :number], pixels[1, :number], pixels[2, :number]
        for i in range(number):
            out[3 * i] = _as_in(red[i], out)
            out[3 * i + 1] = _as_in(green[i], out)
            out[3 * i + 2] = _as_in(blue[i], out)
    else:
        for channel in range(channels):
            plane = pixels[channel, :number]
            for i in range(number):
                out[channels * i + channel] = _as_in(plane[i], out)
