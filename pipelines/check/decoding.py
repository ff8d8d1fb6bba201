"""What a child process does: decode groups of files that the parent names, and say what is wrong with each.

A line of JSON comes in, a list of paths, and a line goes out, a list of what is wrong with each of them, null where
nothing is. A decoder that crashes takes this process along and no other.
"""

import json
import resource
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def, types

READY = "ready"
PIXELS_TOGETHER = 100e6  # of the images that are decoded at once

Sides = tuple[int, int]


@pipeline_def(num_threads=1, device_id=None)
def _peeking(files: Sequence[str]) -> Any:
    encoded, _ = fn.readers.file(files=list(files))
    return fn.peek_image_shape(encoded)


@pipeline_def(num_threads=1, device_id=None)
def _decoding(files: Sequence[str]) -> Any:
    encoded, _ = fn.readers.file(files=list(files))
    return fn.decoders.image(encoded, output_type=types.RGB, adjust_orientation=False).shape()


def faults(files: Sequence[str], max_pixels: float) -> list[str | None]:
    """What is wrong with each file; None where it decodes. An image that says it has more pixels is not decoded."""
    fault, sides = _run(_peeking, files)
    peeked = [(None, one) for one in sides] if fault is None else [_peek(file) for file in files]
    found = [fault or too_large(*one, max_pixels) for fault, one in peeked]
    fine = [place for place, fault in enumerate(found) if fault is None]
    for group in _groups(fine, [peeked[place][1] for place in fine]):
        if _run(_decoding, [files[place] for place in group])[0] is not None:
            for place in group:
                found[place] = _run(_decoding, [files[place]])[0]
    return found


def too_large(height: int, width: int, max_pixels: float) -> str | None:
    """Why an image of this size is not decoded; None if it is."""
    if height * width <= max_pixels:
        return None
    return f"says that it is {width} x {height}, {height * width / 1e6:,.0f} megapixels, above the limit"


def _peek(file: str) -> tuple[str | None, Sides]:
    fault, sides = _run(_peeking, [file])
    return fault, sides[0] if sides else (0, 0)


def _groups(places: Sequence[int], sides: Sequence[Sides]) -> Iterator[list[int]]:
    """As many at a time as memory is sure to hold."""
    group: list[int] = []
    pixels = 0
    for place, (height, width) in zip(places, sides, strict=True):
        if group and pixels + height * width > PIXELS_TOGETHER:
            yield group
            group, pixels = [], 0
        group.append(place)
        pixels += height * width
    if group:
        yield group


def _run(pipeline: Any, files: Sequence[str]) -> tuple[str | None, list[Sides]]:
    """-> what DALI says is wrong; else None, and height and width of each."""
    try:
        (shapes,) = pipeline(files, batch_size=len(files)).run()
    except RuntimeError as error:
        return _said(str(error)), []
    return None, [(int(shape[0]), int(shape[1])) for shape in np.asarray(shapes.as_array())]


def _said(text: str) -> str:
    """What DALI's message means."""
    if "Failed to decode sample" in text:
        return "is damaged: its header can be read, its pixels cannot"
    if "nvImageCodec failure" in text:
        return "is damaged: its header cannot be read"
    if "File mapping failed" in text:
        return "cannot be read"
    lines = [line.strip() for line in text.splitlines() if line.strip() and "ritical error" not in line]
    return f"cannot be decoded: {(lines or [text])[0][:160]}"


def main() -> None:
    """The loop of the child. Its one argument is the most pixels an image may have."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    max_pixels = float(sys.argv[1])
    print(READY, flush=True)
    for line in sys.stdin:
        print(json.dumps(faults(json.loads(line), max_pixels)), flush=True)
