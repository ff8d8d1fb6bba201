"""What a pipeline of files notices of them before they reach the decoder.

DALI reads a file's header at once and decodes later, and its decoders crash the process where a header is of no image.
So the size is read first, which fails without harm; an image that is too large is not decoded; and of every image it is
said which file it is of and whether that is in doubt. It costs no time that can be measured beside decoding.
"""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import do_not_convert
from PIL import Image

TOO_LARGE, IN_DOUBT = 2, 1  # what a code is the sum of
START_OF_JPEG, END_OF_JPEG = 0xD8FF, 0xD9FF  # as numbers of 16 bits, the lower byte first


@dataclass(frozen=True)
class Watch:
    """max_pixels: what has more is not decoded. only_rows: nothing is, and only the rows are of use."""

    max_pixels: float
    only_rows: bool = False


@do_not_convert
def watched(encoded: DataNode, row: DataNode, watch: Watch) -> tuple[DataNode, DataNode]:
    """Encoded images, of which those that are too large are a small grey one; and [row, code] of each, (2,) int32.

    The code is 0, or the sum of TOO_LARGE and IN_DOUBT: a JPEG that does not end like one may be cut, which a decoder
    that crops need not notice.
    """
    encoded = _grey_before(encoded, row * 0 + int(watch.only_rows))
    length = encoded.shape(dtype=types.INT32)
    head = _two_bytes(encoded, row * 0)
    tail = _two_bytes(encoded, length[0] - 2)
    sides = fn.peek_image_shape(encoded, dtype=types.FLOAT)
    too_large = fn.cast(sides[0] * sides[1] > watch.max_pixels, dtype=types.INT32)
    in_doubt = fn.cast((head == START_OF_JPEG) & (tail != END_OF_JPEG), dtype=types.INT32)
    return _grey_before(encoded, too_large), fn.stack(row, TOO_LARGE * too_large + IN_DOUBT * in_doubt)


def _grey_before(encoded: DataNode, whether: DataNode) -> DataNode:
    """A whole image before the bytes that it stands for: decoders read that one, and nothing after its end."""
    grey = types.Constant(_grey())
    return fn.cat(fn.slice(grey, 0, fn.reshape(whether * len(_grey()), shape=[1]), axes=[0]), encoded, axis=0)


def _two_bytes(encoded: DataNode, start: DataNode) -> DataNode:
    two = fn.slice(encoded, fn.reshape(start, shape=[1]), [2], axes=[0], out_of_bounds_policy="pad")
    return fn.reinterpret(two, dtype=types.UINT16, shape=[])


def _grey() -> np.ndarray:
    """An encoded image of 8 x 8."""
    buffer = BytesIO()
    Image.new("RGB", (8, 8), (128, 128, 128)).save(buffer, "JPEG")
    return np.frombuffer(buffer.getvalue(), np.uint8)
