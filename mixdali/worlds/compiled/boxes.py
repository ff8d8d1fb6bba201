"""Which pixels of another image a layer's box shows, and how they get there as bytes.

numbers: what is told of a layer (`worlds/compiled/layers.py`).
"""

from typing import Any

import numpy as np

from mixdali.worlds.compiled.memory import copy_bytes, fetch, inner

AHEAD = 2  # rows of a box that are asked for before they are read: the processor does not guess which come next
CACHE_LINE = 64  # bytes


@inner
def box_of(numbers: Any, height: Any, width: Any) -> Any:
    y0, y1 = min(max(int(numbers[0]), 0), height), min(max(int(numbers[2]), 0), height)
    x0, x1 = min(max(int(numbers[1]), 0), width), min(max(int(numbers[3]), 0), width)
    if y0 >= y1 or x0 >= x1:
        return 0, 0, 0, 0
    return y0, x0, y1, x1


@inner
def within(box: Any, first_row: Any, last_row: Any) -> Any:
    y0, x0, y1, x1 = box
    y0 = min(max(y0, first_row), last_row)
    return y0, x0, max(min(y1, last_row), y0), x1


@inner
def placed(numbers: Any, height: Any, width: Any) -> Any:
    """Whether the box shows its part of the other image resized, and if not, how many pixels further on that lies."""
    sides = numbers[2] - numbers[0], numbers[3] - numbers[1]
    of_region = numbers[8] - numbers[6], numbers[9] - numbers[7]
    shift = (int(numbers[6]) - int(numbers[0])) * width + int(numbers[7]) - int(numbers[1])
    # a part that leaves the image is gathered too, by its nearest pixels
    leaves = shift != 0 and (numbers[6] < 0 or numbers[7] < 0 or numbers[8] > height or numbers[9] > width)
    return sides != of_region or leaves, shift


@inner
def columns_of(numbers: Any, x0: Any, x1: Any, width: Any) -> Any:
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


@inner
def gather(other: Any, y: Any, columns: Any, numbers: Any, row: Any) -> None:
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


@inner
def _shown_row(other: Any, y: Any, numbers: Any) -> Any:
    """The row of `other` that is shown in row y of the box; outside it the nearest one."""
    return _nearest(y, int(numbers[0]), int(numbers[2]), int(numbers[6]), int(numbers[8]), other.shape[0])


@inner
def _nearest(pixel: Any, start: Any, end: Any, first: Any, last: Any, size: Any) -> Any:
    """The pixel of the part first to last that is shown at a pixel of the side start to end."""
    place = first + ((2 * (pixel - start) + 1) * (last - first)) // (2 * max(end - start, 1))
    return min(max(place, 0), size - 1)
