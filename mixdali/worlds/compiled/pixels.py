"""The loops over pixels: uint8 to float32, one channel after the other, mixed on the way.

Arrays that are cut to size and counted from 0 need no check for negative places, and only so does the loop of three
channels become vector instructions.
"""

from typing import Any

import numpy as np

from mixdali.worlds.compiled.memory import inner

SCALE = np.float32(1 / 255)


@inner
def mixed(own: Any, other: Any, shown: Any) -> Any:
    # Between whole numbers this is exact at both ends and never passes 255; w * a + (1 - w) * b does.
    return own - shown * (own - other)


@inner
def convert_pixels(pixels: Any, out: Any, start: Any, scale: Any) -> None:
    """Flat pixels (N * C,) into (C, H * W) from pixel `start` on."""
    channels = len(out)
    number = len(pixels) // channels
    if channels == 3:
        end = start + number
        red, green, blue = out[0, start:end], out[1, start:end], out[2, start:end]
        for i in range(number):
            red[i] = np.float32(pixels[3 * i]) * scale
            green[i] = np.float32(pixels[3 * i + 1]) * scale
            blue[i] = np.float32(pixels[3 * i + 2]) * scale
    else:
        for channel in range(channels):
            plane = out[channel, start : start + number]
            for i in range(number):
                plane[i] = np.float32(pixels[channels * i + channel]) * scale


@inner
def blend_pixels(own: Any, other: Any, out: Any, start: Any, shown: Any, scale: Any) -> None:
    """The same with as many pixels of `other`, whose weight is `shown`."""
    channels = len(out)
    number = len(own) // channels
    if channels == 3:
        end = start + number
        red, green, blue = out[0, start:end], out[1, start:end], out[2, start:end]
        for i in range(number):
            red[i] = mixed(np.float32(own[3 * i]), np.float32(other[3 * i]), shown) * scale
            green[i] = mixed(np.float32(own[3 * i + 1]), np.float32(other[3 * i + 1]), shown) * scale
            blue[i] = mixed(np.float32(own[3 * i + 2]), np.float32(other[3 * i + 2]), shown) * scale
    else:
        for channel in range(channels):
            plane = out[channel, start : start + number]
            for i in range(number):
                place = channels * i + channel
                plane[i] = mixed(np.float32(own[place]), np.float32(other[place]), shown) * scale


@inner
def _blend_masked(own: Any, other: Any, out: Any, start: Any, kept: Any, mask: Any, scale: Any) -> None:
    """The same with a weight for each pixel, the mask's (N,) times `kept`, which is the own pixel's."""
    channels = len(out)
    number = len(mask)
    if channels == 3:
        end = start + number
        red, green, blue = out[0, start:end], out[1, start:end], out[2, start:end]
        for i in range(number):
            shown = np.float32(1) - kept * mask[i]
            red[i] = mixed(np.float32(own[3 * i]), np.float32(other[3 * i]), shown) * scale
            green[i] = mixed(np.float32(own[3 * i + 1]), np.float32(other[3 * i + 1]), shown) * scale
            blue[i] = mixed(np.float32(own[3 * i + 2]), np.float32(other[3 * i + 2]), shown) * scale
    else:
        for channel in range(channels):
            plane = out[channel, start : start + number]
            for i in range(number):
                place = channels * i + channel
                shown = np.float32(1) - kept * mask[i]
                plane[i] = mixed(np.float32(own[place]), np.float32(other[place]), shown) * scale


@inner
def lay_pixels(other: Any, out: Any, start: Any, shown: Any) -> None:
    """Pixels of one more image on what lies in `out` already, which goes from 0 to 255."""
    channels = len(out)
    number = len(other) // channels
    if channels == 3:
        end = start + number
        red, green, blue = out[0, start:end], out[1, start:end], out[2, start:end]
        for i in range(number):
            red[i] = mixed(red[i], np.float32(other[3 * i]), shown)
            green[i] = mixed(green[i], np.float32(other[3 * i + 1]), shown)
            blue[i] = mixed(blue[i], np.float32(other[3 * i + 2]), shown)
    else:
        for channel in range(channels):
            plane = out[channel, start : start + number]
            for i in range(number):
                plane[i] = mixed(plane[i], np.float32(other[channels * i + channel]), shown)


@inner
def convert_segment(own: Any, other: Any, out: Any, start: Any, kept: Any, mask: Any, scale: Any) -> None:
    if mask is not None:
        _blend_masked(own, other, out, start, kept, mask, scale)
    elif kept == 1:
        convert_pixels(own, out, start, scale)
    elif kept == 0:
        convert_pixels(other, out, start, scale)
    else:
        blend_pixels(own, other, out, start, np.float32(1) - kept, scale)


@inner
def scale_down(out: Any, start: Any, end: Any) -> None:
    """Pixels start to end from 0 to 255 to [0, 1]: what is left to do after several layers."""
    for channel in range(len(out)):
        plane = out[channel, start:end]
        for i in range(end - start):
            plane[i] *= SCALE
