"""The loops over pixels that a compiled mix is made of: uint8 HWC to float32 CHW, layer by layer.

What a loop is told about a layer is ten numbers: y0, x0, y1, x1 of its box, the weights inside and outside, and y0, x0,
y1, x1 of the part of the other image that is shown in the box. The results are those of DALI's own operators in
`worlds/operators.py`, to the bit.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

SCALE = np.float32(1 / 255)
LAYER = 10  # numbers a layer
ROWS = 1 << 13  # bytes that are put together at a time: they stay in the nearest cache
AHEAD = 2  # rows of a box that are asked for before they are read: the processor does not guess which come next
CACHE_LINE = 64  # bytes
BAND = 1 << 12  # pixels on which several layers are laid before the next ones: they stay in the cache behind it


@njit
def mixed(own: Any, other: Any, shown: Any) -> Any:
    # Between whole numbers this is exact at both ends and never passes 255; w * a + (1 - w) * b does.
    return own - shown * (own - other)


@njit
def convert_pixels(pixels: Any, out: Any, start: Any, scale: Any) -> None:
    """Flat pixels (N * C,) into (C, H * W) from pixel `start` on.

    Here and below: arrays that are cut to size and counted from 0 need no check for negative places, and only so does
    the loop of three channels become vector instructions.
    """
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


@njit
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


@njit
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


@njit
def _lay_pixels(other: Any, out: Any, start: Any, shown: Any) -> None:
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


@njit
def _segment(own: Any, other: Any, out: Any, start: Any, kept: Any, mask: Any, scale: Any) -> None:
    if len(mask):
        _blend_masked(own, other, out, start, kept, mask, scale)
    elif kept == 1:
        convert_pixels(own, out, start, scale)
    elif kept == 0:
        convert_pixels(other, out, start, scale)
    else:
        blend_pixels(own, other, out, start, np.float32(1) - kept, scale)


@intrinsic
def _copy_bytes(_context: Any, _source: Any, _target: Any, _number: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        source, target = (builder.inttoptr(address, cgutils.voidptr_t) for address in arguments[:2])
        cgutils.raw_memcpy(builder, target, source, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp, types.intp), generate


copy_bytes: Any = _copy_bytes
"""copy_bytes(source, target, number): from one address to another. A row of a box is so short that what slices and a
look for overlaps cost would be seen beside it."""


@intrinsic
def _fetch(_context: Any, _address: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        number, pointer = ir.IntType(32), cgutils.voidptr_t
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        to_read, near, data = number(0), number(3), number(1)
        builder.call(function, [builder.inttoptr(arguments[0], pointer), to_read, near, data])
        return context.get_dummy_value()

    return types.void(types.uintp), generate


fetch: Any = _fetch
"""fetch(address): that it will be read soon; nothing happens where it cannot be read."""


@njit
def _columns(numbers: Any, x0: Any, x1: Any, width: Any) -> Any:
    """The column of the other image that is shown in each of the columns x0 to x1: `_nearest`, without its division."""
    start, first, part = int(numbers[1]), int(numbers[7]), int(numbers[9]) - int(numbers[7])
    side = 2 * max(int(numbers[3]) - start, 1)
    whole, rest = (2 * part) // side, (2 * part) % side
    place, more = (2 * (x0 - start) + 1) * part // side, (2 * (x0 - start) + 1) * part % side
    found = np.empty(x1 - x0, np.int64)
    for i in range(x1 - x0):
        found[i] = min(max(first + place, 0), width - 1)
        place, more = place + whole, more + rest
        if more >= side:
            place, more = place + 1, more - side
    return found


@njit
def _gather(other: Any, y: Any, columns: Any, numbers: Any, row: Any) -> None:
    """Into `row` (len(columns) * C,) the pixels of `other` (H, W, C) that are shown in row y of the box."""
    _, width, channels = other.shape
    number = len(columns)
    source, later = other[_shown_row(other, y, numbers)], other[_shown_row(other, y + AHEAD, numbers)]
    for place in range(channels * columns[0], channels * (columns[-1] + 1), CACHE_LINE):
        fetch(later.ctypes.data + place)
    done = 0
    if channels == 3 and columns[0] <= columns[-1]:
        # The fourth byte is the next pixel's, which is written after it; so the last pixel is for the loop below, and
        # so are those behind which nothing may be read.
        done = number - 1
        while done > 0 and columns[done - 1] == width - 1:
            done -= 1
        for i in range(done):
            copy_bytes(source.ctypes.data + 3 * columns[i], row.ctypes.data + 3 * i, 4)
    for i in range(done, number):
        for channel in range(channels):
            row[channels * i + channel] = source[columns[i], channel]


@njit
def _shown_row(other: Any, y: Any, numbers: Any) -> Any:
    """The row of `other` that is shown in row y of the box; outside it the nearest one."""
    return _nearest(y, int(numbers[0]), int(numbers[2]), int(numbers[6]), int(numbers[8]), other.shape[0])


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
def first_layer(
    own: Any, other: Any, out: Any, numbers: Any, mask: Any, scale: Any, first_row: Any, last_row: Any
) -> None:
    """The own image and another one in the rows first_row to last_row."""
    height, width, channels = own.shape
    y0, x0, y1, x1 = _within(box_of(numbers, height, width), first_row, last_row)
    inside, outside = numbers[4], numbers[5]
    mine, others = own.reshape(-1), other.reshape(-1)
    line = width * channels
    for start, end in ((first_row, y0), (y1, last_row)):
        weights = mask[start * width : end * width]
        _segment(
            mine[start * line : end * line],
            others[start * line : end * line],
            out,
            start * width,
            outside,
            weights,
            scale,
        )
    resized, shift = _placed(numbers, height, width)
    shift *= channels
    if not resized and x1 - x0 == width:
        top, bottom = y0 * line, y1 * line
        shown = others[top + shift : bottom + shift]
        _segment(mine[top:bottom], shown, out, y0 * width, inside, mask[y0 * width : y1 * width], scale)
        return
    columns = _columns(numbers, x0, x1, width) if resized else np.empty(0, np.int64)
    in_place = not resized and shift == 0
    if len(mask) == 0 and inside == 0 and (outside == 1 or in_place):
        _paste(own, other, out, (y0, x0, y1, x1), columns, shift, numbers, scale)
        return
    gathered = np.empty(len(columns) * channels, np.uint8)
    for y in range(y0, y1):
        first, last, pixel = y * line, (y + 1) * line, y * width
        _segment(mine[first:last], others[first:last], out, pixel, outside, mask[pixel : pixel + width], scale)
        first, last = y * line + x0 * channels, y * line + x1 * channels
        weights = mask[pixel + x0 : pixel + x1]
        if resized:
            _gather(other, y, columns, numbers, gathered)
            _segment(mine[first:last], gathered, out, pixel + x0, inside, weights, scale)
        else:
            shown = others[first + shift : last + shift]
            _segment(mine[first:last], shown, out, pixel + x0, inside, weights, scale)


@njit
def _paste(own: Any, other: Any, out: Any, box: Any, columns: Any, shift: Any, numbers: Any, scale: Any) -> None:
    """The rows of a box that shows the other image alone.

    They are put together as bytes, some rows at a time, and then go through one long loop, since loops over the parts
    of a row are short. Where the image around the box is mixed too, the box is mixed with what it shows already.
    """
    y0, x0, y1, x1 = box
    width, channels = own.shape[1], own.shape[2]
    others = other.reshape(-1)
    line = width * channels
    outside = numbers[5]
    at_a_time = max(1, ROWS // line)
    rows = np.empty(at_a_time * line, np.uint8)
    for top in range(y0, y1, at_a_time):
        bottom = min(top + at_a_time, y1)
        shown = rows[: (bottom - top) * line]
        copy_bytes(own.ctypes.data + top * line, shown.ctypes.data, len(shown))
        _cover(other, shown, (top, x0, bottom, x1), top, columns, shift, numbers)
        if outside == 1:
            convert_pixels(shown, out, top * width, scale)
        else:
            blend_pixels(shown, others[top * line : bottom * line], out, top * width, np.float32(1) - outside, scale)


@njit
def _cover(other: Any, rows: Any, box: Any, top: Any, columns: Any, shift: Any, numbers: Any) -> None:
    """Into `rows`, which are those from `top` on as bytes, what the box shows of the other image."""
    y0, x0, y1, x1 = box
    width, channels = other.shape[1], other.shape[2]
    line, first, last = width * channels, x0 * channels, x1 * channels
    if len(columns):
        for y in range(y0, y1):
            place = (y - top) * line + first
            _gather(other, y, columns, numbers, rows[place : place + last - first])
    else:
        source = other.ctypes.data + y0 * line + shift + first
        target = rows.ctypes.data + (y0 - top) * line + first
        _copy_rows(source, target, last - first, y1 - y0, line)


@njit
def _copy_rows(source: Any, target: Any, number: Any, rows: Any, line: Any) -> None:
    for row in range(rows):
        copy_bytes(source + row * line, target + row * line, number)


@njit
def cover_rows(other: Any, rows: Any, numbers: Any, top: Any, bottom: Any) -> None:
    """One more image into `rows`, which are those from `top` to `bottom` as bytes, where its box shows it."""
    height, width, channels = other.shape
    y0, x0, y1, x1 = _within(box_of(numbers, height, width), top, bottom)
    if numbers[4] == 1 or y0 == y1:
        return
    resized, shift = _placed(numbers, height, width)
    columns = _columns(numbers, x0, x1, width) if resized else np.empty(0, np.int64)
    _cover(other, rows, (y0, x0, y1, x1), top, columns, shift * channels, numbers)


@njit
def next_layer(other: Any, out: Any, numbers: Any, first_row: Any, last_row: Any) -> None:
    """One more image on what lies in the rows first_row to last_row of `out`, which goes from 0 to 255."""
    height, width, channels = other.shape
    y0, x0, y1, x1 = _within(box_of(numbers, height, width), first_row, last_row)
    shown = np.float32(1) - numbers[4]
    if shown == 0 or y0 == y1:
        return
    resized, shift = _placed(numbers, height, width)
    shift *= channels
    flat = other.reshape(-1)
    line = width * channels
    if not resized and x1 - x0 == width:
        _lay_pixels(flat[y0 * line + shift : y1 * line + shift], out, y0 * width, shown)
        return
    columns = _columns(numbers, x0, x1, width) if resized else np.empty(0, np.int64)
    gathered = np.empty(len(columns) * channels, np.uint8)
    for y in range(y0, y1):
        place = y * line + shift
        if resized:
            _gather(other, y, columns, numbers, gathered)
            _lay_pixels(gathered, out, y * width + x0, shown)
        else:
            _lay_pixels(flat[place + x0 * channels : place + x1 * channels], out, y * width + x0, shown)


@njit
def scale_down(out: Any, start: Any, end: Any) -> None:
    """Pixels start to end from 0 to 255 to [0, 1]: what is left to do after several layers."""
    for channel in range(len(out)):
        plane = out[channel, start:end]
        for i in range(end - start):
            plane[i] *= SCALE


@njit
def _within(box: Any, first_row: Any, last_row: Any) -> Any:
    y0, x0, y1, x1 = box
    y0 = min(max(y0, first_row), last_row)
    return y0, x0, max(min(y1, last_row), y0), x1
