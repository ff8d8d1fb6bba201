"""Image files read into memory, for pipelines that work on arrays."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from ..arguments import thread_count
from .source import Source


def decode_source(source: Source, size: tuple[int, int]) -> Source:
    """The images of a source of files as an array (N, height, width, 3) uint8; labels, classes and index stay.

    size  (height, width): an image of another size is resized until it covers that, and cropped in the middle.

    ValueError names a file that cannot be decoded. The orientation in EXIF data is ignored.
    """
    if isinstance(source.items, np.ndarray):
        raise TypeError("decode_source takes a source of files, got one of images in memory")
    images = np.empty((len(source), *size, 3), np.uint8)
    with ThreadPoolExecutor(thread_count(None)) as pool:
        for place, image in enumerate(pool.map(partial(_decode, source, size), range(len(source)))):
            images[place] = image
    return Source(images, source.labels, source.classes, source.index)


def _decode(source: Source, size: tuple[int, int], row: int) -> np.ndarray:
    path = source.items[row]
    try:
        with Image.open(path if source.spans is None else BytesIO(source.spans.read(row))) as image:
            return np.asarray(ImageOps.fit(image.convert("RGB"), (size[1], size[0]), Image.Resampling.BILINEAR))
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{path} cannot be decoded: {error}") from error
