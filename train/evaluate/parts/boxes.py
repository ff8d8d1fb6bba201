"""Where the objects of test images are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from train.data.images import HeldOutImages


def digit_boxes(images: HeldOutImages) -> np.ndarray:
    """As `read_boxes`, of some of the embedded test images, which are drawn again to find out where their digits are.

    Raises:
        ValueError: they are not those that are drawn.
    """
    from pipelines.sources.digits import draw_test

    pixels, boxes = draw_test()
    source = images.source
    if not np.array_equal(pixels[source.index], source.items):
        raise ValueError(
            "the embedded digits in the cache were drawn by other versions of scikit-learn and Pillow, so that their "
            "boxes are not known; remove ~/.cache/mixdali (or $XDG_CACHE_HOME/mixdali), and they are drawn anew"
        )
    height, width = pixels.shape[1:3]
    return as_shown(boxes[source.index], np.tile([width, height], (len(source), 1)), images)


def read_boxes(path: Path, images: HeldOutImages) -> np.ndarray:
    """(N, 4) the boxes of a file, in pixels of the images as the network sees them: left, top, and the first column to
    the right and row below.

    path  a text with one image a line, `NAME LEFT TOP RIGHT BOTTOM`, in pixels of the image as it is in its file; empty
          lines and those that begin with # are passed over. NAME is the end of its path, such as
          `n01440764/ILSVRC2012_val_00000293.JPEG`, or its index in the full data set. Lines of other images do no harm.

    Raises:
        FileNotFoundError, ValueError: there is no such file, a line is wrong, or an image has none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"boxes: there is no file {path}")
    listed = _listed(path)
    source = images.source
    if isinstance(source.items, np.ndarray):
        names = [str(index) for index in source.index.tolist()]
        height, width = source.items.shape[1:3]
        sides = np.tile([width, height], (len(source), 1))
    else:
        depth = next(iter(listed)).count("/") + 1
        names = ["/".join(item.split("/")[-depth:]) for item in source.items]
        sides = np.array([_side_of(item) for item in source.items]) if source.spans is None else np.empty((0, 2))
        if not len(sides):
            raise ValueError("boxes are of image files; of images in archives the sizes are not known")
    missing = [name for name in names if name not in listed]
    if missing:
        raise ValueError(f"boxes: {path} has no line for {missing[0]} ({len(missing):,} of {len(names):,} images)")
    boxes = np.array([listed[name] for name in names])
    wrong = (boxes[:, :2] < 0) | (boxes[:, 2:] <= boxes[:, :2]) | (boxes[:, 2:] > sides)
    if wrong.any():
        first = int(wrong.any(axis=1).argmax())
        raise ValueError(
            f"boxes: {path}: {names[first]} has {boxes[first].tolist()}, which is no box in {sides[first].tolist()} "
            "pixels: left < right <= width, top < bottom <= height"
        )
    return as_shown(boxes, sides, images)


def as_shown(boxes: np.ndarray, sides: np.ndarray, images: HeldOutImages) -> np.ndarray:
    """Boxes (N, 4) of images of these widths and heights (N, 2), after what the pipeline does to them; cut at the edge,
    and of no area where nothing is left."""
    size = np.array(images.size[::-1])
    if images.kind == "cifar":
        scale, offset = size / sides, np.zeros(2)
    else:
        from pipelines.imagenet import CROP_SHARE

        share = images.form.get("crop_share")
        around = size / CROP_SHARE if share is None else np.floor(size / share + 1e-6)
        scale = (around / sides).max(axis=1, keepdims=True)
        offset = (np.floor(sides * scale + 1e-3) - size) / 2
    low, high = boxes[:, :2] * scale - offset, boxes[:, 2:] * scale - offset
    return np.concatenate([np.clip(low, 0, size), np.clip(high, 0, size)], axis=1)


def _listed(path: Path) -> Mapping[str, list[float]]:
    found: dict[str, list[float]] = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name, *sides = line.rsplit(maxsplit=4)
            box = [float(side) for side in sides]
        except ValueError:
            box = []
        if len(box) != 4 or not np.isfinite(box).all():
            raise ValueError(f"boxes: {path}, line {number} must be NAME LEFT TOP RIGHT BOTTOM, got {line!r:.80}")
        if name.strip() in found:
            raise ValueError(f"boxes: {path}, line {number}: {name.strip()} has a second box; one an image is taken")
        found[name.strip()] = box
    if not found:
        raise ValueError(f"boxes: {path} lists no image")
    return found


def _side_of(item: str) -> tuple[int, int]:
    from PIL import Image

    with Image.open(item) as image:
        return image.size
