"""The loops over pixels that a compiled mix is made of: uint8 HWC to float32 CHW, layer by layer.

What a loop is told about a layer is ten numbers: y0, x0, y1, x1 of its box, the weights inside and outside, and y0, x0,
y1, x1 of the part of the other image that is shown in the box. The results are those of DALI's own operators in
`worlds/operators.py`, to the bit.
"""

from typing import Any

import numpy as np
from numba import njit

SCALE = np.float32(1 / 255)
LAYER = 10  # numbers a layer


@njit
def mixed(own: Any, other: Any, shown: Any) -> Any:
    # Between whole numbers this is exact at both ends and never passes 255; w * a + (1 - w) * b does.
    return own - shown * (own - other)


@njit
def blend_pixels(own: Any, other: Any, out: Any, start: Any, end: Any, from_: Any, shown: Any, scale: Any) -> None:
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
            red[i] = mixed(np.float32(own[3 * i]), np.float32(other[3 * i]), shown) * scale
            green[i] = mixed(np.float32(own[3 * i + 1]), np.float32(other[3 * i + 1]), shown) * scale
            blue[i] = mixed(np.float32(own[3 * i + 2]), np.float32(other[3 * i + 2]), shown) * scale
    else:
        for channel in range(channels):
            plane = out[channel, start:end]
            for i in range(end - start):
                place = channels * i + channel
                plane[i] = mixed(np.float32(own[place]), np.float32(other[place]), shown) * scale


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
            red[i] = mixed(np.float32(own[3 * i]), np.float32(other[3 * i]), shown) * scale
            green[i] = mixed(np.float32(own[3 * i + 1]), np.float32(other[3 * i + 1]), shown) * scale
            blue[i] = mixed(np.float32(own[3 * i + 2]), np.float32(other[3 * i + 2]), shown) * scale
    else:
        for channel in range(channels):
            plane = out[channel, start:end]
            for i in range(end - start):
                place = channels * i + channel
                shown = np.float32(1) - kept * mask[i]
                plane[i] = mixed(np.float32(own[place]), np.float32(other[place]), shown) * scale


@njit
def _lay_pixels(other: Any, out: Any, start: Any, end: Any, from_: Any, shown: Any) -> None:
    """Pixels of one more image on what lies in `out` already, which goes from 0 to 255."""
    channels = len(out)
    other = other[channels * from_ : channels * (from_ + end - start)]
    if channels == 3:
        red, green, blue = out[0, start:end], out[1, start:end], out[2, start:end]
        for i in range(end - start):
            red[i] = mixed(red[i], np.float32(other[3 * i]), shown)
            green[i] = mixed(green[i], np.float32(other[3 * i + 1]), shown)
            blue[i] = mixed(blue[i], np.float32(other[3 * i + 2]), shown)
    else:
        for channel in range(channels):
            plane = out[channel, start:end]
            for i in range(end - start):
                plane[i] = mixed(plane[i], np.float32(other[channels * i + channel]), shown)


@njit
def _segment(
    own: Any, other: Any, out: Any, start: Any, end: Any, from_: Any, kept: Any, mask: Any, scale: Any
) -> None:
    if len(mask):
        _blend_masked(own, other, out, start, end, from_, kept, mask, scale)
    elif kept == 1:
        blend_pixels(own, own, out, start, end, start, np.float32(0), scale)
    else:
        blend_pixels(own, other, out, start, end, from_, np.float32(1) - kept, scale)


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
def box_of(numbers: Any, height: Any, width: Any) -> Any:
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
def first_layer(own: Any, other: Any, out: Any, numbers: Any, mask: Any, scale: Any) -> None:
    height, width, channels = own.shape
    y0, x0, y1, x1 = box_of(numbers, height, width)
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
def next_layer(other: Any, out: Any, numbers: Any) -> None:
    height, width, channels = other.shape
    y0, x0, y1, x1 = box_of(numbers, height, width)
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
def scale_down(out: Any) -> None:
    """From 0 to 255 to [0, 1]: what is left to do after several layers."""
    flat = out.reshape(-1)
    for i in range(len(flat)):
        flat[i] *= SCALE
