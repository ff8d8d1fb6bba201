"""The images that a mix lays on each other: uint8 HWC to float32 CHW, layer by layer.

What is told of a layer is ten numbers: y0, x0, y1, x1 of its box, the weights inside and outside, and y0, x0, y1, x1 of
the part of the other image that is shown in the box. The results are those of DALI's own operators in
`worlds/operators.py`, to the bit.
"""

from typing import Any

import numpy as np

from mixdali.worlds.compiled.boxes import box_of, columns_of, gather, placed, within
from mixdali.worlds.compiled.memory import copy_bytes, copy_rows, inner
from mixdali.worlds.compiled.pixels import blend_pixels, convert_pixels, convert_segment, lay_pixels

LAYER = 10  # numbers a layer
ROWS = 1 << 13  # bytes that are put together at a time: they stay in the nearest cache


@inner
def first_layer(
    own: Any,
    other: Any,
    out: Any,
    numbers: Any,
    mask: Any,
    scale: Any,
    first_row: Any,
    last_row: Any,
    at: Any,
    moved: Any,
) -> None:
    """The own image and another one in the rows first_row to last_row.

    mask   flat, one weight for each pixel of the image, or None.
    at     the row of the image that `out` begins with.
    moved  None where a box shows the part at its own place, so that nothing else has to be compiled; or anything else.
    """
    height, width, channels = own.shape
    y0, x0, y1, x1 = within(box_of(numbers, height, width), first_row, last_row)
    inside, outside = numbers[4], numbers[5]
    mine, others = own.reshape(-1), other.reshape(-1)
    line = width * channels
    resized, shift = False, 0
    if moved is not None:
        resized, shift = placed(numbers, height, width)
        shift *= channels
    wide = not resized and x1 - x0 == width
    # one call in a loop and not several: whatever it is made of is compiled once
    for part in range(3):
        top, bottom, kept, move = first_row, y0, outside, 0
        if part == 1:
            top, bottom, kept, move = y0, (y1 if wide else y0), inside, shift
        elif part == 2:
            top, bottom = y1, last_row
        first, last = top * line, bottom * line
        weights = _part(mask, top * width, bottom * width)
        start = (top - at) * width
        convert_segment(mine[first:last], others[first + move : last + move], out, start, kept, weights, scale)
    if wide:
        return
    columns = None if moved is None else _columns(numbers, x0, x1, width, resized)
    in_place = not resized and shift == 0
    if mask is None and inside == 0 and (outside == 1 or in_place):
        _paste(own, other, out, (y0, x0, y1, x1), columns, shift, numbers, scale, at)
        return
    gathered = mine if columns is None else np.empty(len(columns) * channels, np.uint8)
    for y in range(y0, y1):
        if columns is not None:
            _gather_if(resized, other, y, columns, numbers, gathered)
        for within_box in range(2):
            first, last, kept, move = 0, width, outside, 0
            if within_box == 1:
                first, last, kept, move = x0, x1, inside, shift
            weights = _part(mask, y * width + first, y * width + last)
            start = (y - at) * width + first
            first, last = y * line + first * channels, y * line + last * channels
            shown = gathered if within_box == 1 and resized else others[first + move : last + move]
            convert_segment(mine[first:last], shown, out, start, kept, weights, scale)


@inner
def _columns(numbers: Any, x0: Any, x1: Any, width: Any, resized: Any) -> Any:
    """None of them where the box is not resized."""
    return columns_of(numbers, x0, x1, width) if resized else np.empty(0, np.int64)


@inner
def _gather_if(resized: Any, other: Any, y: Any, columns: Any, numbers: Any, row: Any) -> None:
    if resized:
        gather(other, y, columns, numbers, row)


@inner
def _part(mask: Any, start: Any, end: Any) -> Any:
    return None if mask is None else mask[start:end]


@inner
def next_layer(other: Any, out: Any, numbers: Any, first_row: Any, last_row: Any, at: Any) -> None:
    """One more image on what lies in the rows first_row to last_row of `out`, which goes from 0 to 255."""
    height, width, channels = other.shape
    y0, x0, y1, x1 = within(box_of(numbers, height, width), first_row, last_row)
    shown = np.float32(1) - numbers[4]
    if shown == 0 or y0 == y1:
        return
    resized, shift = placed(numbers, height, width)
    shift *= channels
    flat = other.reshape(-1)
    line = width * channels
    columns = _columns(numbers, x0, x1, width, resized)
    gathered = np.empty(len(columns) * channels, np.uint8)
    # all rows of a box as wide as the image in one go
    step = y1 - y0 if not resized and x1 - x0 == width else 1
    for y in range(y0, y1, step):
        first, last = y * line + x0 * channels + shift, (y + step - 1) * line + x1 * channels + shift
        if resized:
            gather(other, y, columns, numbers, gathered)
        lay_pixels(gathered if resized else flat[first:last], out, (y - at) * width + x0, shown)


@inner
def cover_rows(other: Any, rows: Any, numbers: Any, top: Any, bottom: Any) -> None:
    """One more image into `rows`, which are those from `top` to `bottom` as bytes, where its box shows it."""
    height, width, channels = other.shape
    y0, x0, y1, x1 = within(box_of(numbers, height, width), top, bottom)
    if numbers[4] == 1 or y0 == y1:
        return
    resized, shift = placed(numbers, height, width)
    columns = _columns(numbers, x0, x1, width, resized)
    _cover(other, rows, (y0, x0, y1, x1), top, columns, shift * channels, numbers)


@inner
def _paste(
    own: Any, other: Any, out: Any, box: Any, columns: Any, shift: Any, numbers: Any, scale: Any, at: Any
) -> None:
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
            convert_pixels(shown, out, (top - at) * width, scale)
        else:
            around = others[top * line : bottom * line]
            blend_pixels(shown, around, out, (top - at) * width, np.float32(1) - outside, scale)


@inner
def _cover(other: Any, rows: Any, box: Any, top: Any, columns: Any, shift: Any, numbers: Any) -> None:
    """Into `rows`, which are those from `top` on as bytes, what the box shows of the other image.

    columns  `columns_of`, none of them where it is not resized; None where that never is.
    """
    y0, x0, y1, x1 = box
    width, channels = other.shape[1], other.shape[2]
    line, first, last = width * channels, x0 * channels, x1 * channels
    if columns is not None:  # noqa: SIM102 on its own it decides what is compiled
        if len(columns):
            for y in range(y0, y1):
                place = (y - top) * line + first
                gather(other, y, columns, numbers, rows[place : place + last - first])
            return
    source = other.ctypes.data + y0 * line + shift + first
    target = rows.ctypes.data + (y0 - top) * line + first
    copy_rows(source, line, target, line, last - first, y1 - y0)
