"""The embedded default: small colour images of digits on photographs, made from files that scikit-learn brings along.

Each image is one handwritten digit of `load_digits` (1,797 of them, 8x8), redrawn smoothly, turned, scaled, tinted and
laid on a random crop of one of the two photographs of `load_sample_images`. Training and held-out images never share
a digit. The same library versions make the same bytes.
"""

from __future__ import annotations

import colorsys
import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixdali.seeds import derive_seed

from .cache import make_once, user_cache
from .pickles import dump_pickle

NEEDED = "the embedded data set needs scikit-learn and Pillow: pip install 'mixdali[tools]'"

try:
    from PIL import Image, ImageFilter
except ImportError as error:
    raise ImportError(NEEDED) from error

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUM_TEST = 1000
"""Test images of `cifar_folder`."""


def cifar_folder(cache: Path | None = None) -> Path:
    """A folder in CIFAR-10's layout with 6,000 training and 1,000 test images of 32x32; made at the first call.

    cache: where to keep it; mixdali's folder in the user's cache by default.
    Raises ImportError without scikit-learn, OSError if the cache cannot be written.
    """
    return make_once((cache or user_cache()) / "digits-v1" / "cifar-10-batches-py", _write_cifar)


def image_folder(cache: Path | None = None) -> Path:
    """An image folder of 1,200 training and 300 validation JPEGs of 256x256; made at the first call.

    cache: where to keep it; mixdali's folder in the user's cache by default.
    Raises ImportError without scikit-learn, OSError if the cache cannot be written.
    """
    return make_once((cache or user_cache()) / "digits-v1" / "images", _write_images)


def draw_test() -> tuple[np.ndarray, np.ndarray]:
    """The test images of `cifar_folder` drawn again, (1000, 32, 32, 3) uint8 in their order, and where their digits
    are: (1000, 4) pixels, left, top, and the first column to the right and row below. Takes a second.

    Raises ImportError without scikit-learn.
    """
    images, _, boxes = _draw_all(_load(), "test", NUM_TEST, 32)
    order = _order("test", NUM_TEST)
    return np.stack([np.asarray(images[i]) for i in order]), boxes[order]


def _write_cifar(folder: Path) -> None:
    material = _load()
    for part, count, files in (
        ("train", 6000, [f"data_batch_{i}" for i in range(1, 6)]),
        ("test", NUM_TEST, ["test_batch"]),
    ):
        images, digits, _ = _draw_all(material, part, count, 32)
        rows = np.stack([np.asarray(image).transpose(2, 0, 1).ravel() for image in images])
        labels = material.labels[digits].tolist()
        order = _order(part, count)
        for file, chosen in zip(files, np.split(order, len(files)), strict=True):
            content = {
                "batch_label": file,
                "labels": [labels[i] for i in chosen],
                "data": rows[chosen],
                # Named by class, number in load_digits, and place in the order of making.
                "filenames": [f"{CLASSES[labels[i]]}_{digits[i]:04}_{i:04}.png" for i in chosen],
            }
            dump_pickle(folder / file, content)
    meta = {"num_cases_per_batch": 1200, "label_names": list(CLASSES), "num_vis": 3 * 32 * 32}
    dump_pickle(folder / "batches.meta", meta)


def _write_images(folder: Path) -> None:
    material = _load()
    for split, part, count in (("train", "train", 1200), ("val", "test", 300)):
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
        images, digits, _ = _draw_all(material, part, count, 256)
        for i, (image, label) in enumerate(zip(images, material.labels[digits], strict=True)):
            image.save(folder / split / CLASSES[label] / f"{i // len(CLASSES) + 1:04}.jpg", quality=90)


@dataclass(frozen=True, eq=False)
class _Material:
    digits: np.ndarray  # (1797, 12, 12) uint8: 8x8 with an edge of two cells, which the turning needs
    labels: np.ndarray  # (1797,)
    photographs: list[Image.Image]


def _load() -> _Material:
    try:
        from sklearn.datasets import load_digits, load_sample_images
    except ImportError:
        raise ImportError(NEEDED) from None
    digits = load_digits()
    ink = np.round(digits.images * (255 / 16)).astype(np.uint8)
    ink = np.pad(ink, ((0, 0), (2, 2), (2, 2)))
    return _Material(ink, digits.target, [Image.fromarray(photograph) for photograph in load_sample_images().images])


def _pools(labels: np.ndarray, part: str) -> list[np.ndarray]:
    """For each class the digits that one part draws from, by number: four fifths for "train", the rest for "test"."""
    pools = []
    for label in range(len(CLASSES)):
        rng = np.random.default_rng(derive_seed(1, "digits", "split", label))
        shuffled = rng.permutation(np.flatnonzero(labels == label))
        cut = round(0.8 * len(shuffled))
        pools.append(shuffled[:cut] if part == "train" else shuffled[cut:])
    return pools


def _order(part: str, count: int) -> np.ndarray:
    """In which the images of a part, as they are made, stand in its files."""
    return np.random.default_rng(derive_seed(1, "digits", part, "order")).permutation(count)


def _draw_all(
    material: _Material, part: str, count: int, size: int
) -> tuple[list[Image.Image], np.ndarray, np.ndarray]:
    """`count` images of size x size, going round through the classes, the number of the digit in each, and its box."""
    rng = np.random.default_rng(derive_seed(1, "digits", part, size))
    # As large as the crops need, and no larger: this decides how long it takes.
    photographs = [_shrink(photograph, 3 * size) for photograph in material.photographs]
    pools = _pools(material.labels, part)
    images, digits, boxes = [], [], []
    for i in range(count):
        turn, label = divmod(i, len(CLASSES))
        digits.append(pools[label][turn % len(pools[label])])
        photograph = photographs[rng.integers(len(photographs))]
        glyph = _glyph(material.digits[digits[-1]], size, rng)
        images.append(_compose(glyph, _crop(photograph, size, rng), rng))
        boxes.append(glyph.getbbox())
    return images, np.array(digits), np.array(boxes)


def _shrink(image: Image.Image, shorter: int) -> Image.Image:
    scale = min(1.0, shorter / min(image.size))
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def _crop(photograph: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    side = min(photograph.size) * rng.uniform(0.4, 1.0)
    x, y = (photograph.width - side) * rng.random(), (photograph.height - side) * rng.random()
    return photograph.resize((size, size), Image.Resampling.BICUBIC, box=(x, y, x + side, y + side))


def _glyph(ink: np.ndarray, size: int, rng: np.random.Generator) -> Image.Image:
    """A mask of size x size: one digit with a smooth edge, turned a little, somewhere inside."""
    cell = size * rng.uniform(0.7, 0.9) / 8
    angle = math.radians(rng.uniform(-10, 10))
    side = round(12 * cell)
    a, b = math.cos(angle) / cell, math.sin(angle) / cell
    # Maps the middle of the result to the middle of the ink, and steps of one pixel to steps of 1 / cell.
    affine = (a, b, 6 - (a + b) * side / 2, -b, a, 6 - (a - b) * side / 2)
    soft = Image.fromarray(ink).transform((side, side), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    sharp = Image.fromarray(_outline(size)[np.asarray(soft)])
    sharp = sharp.crop(sharp.getbbox())
    mask = Image.new("L", (size, size))
    x, y = (int(rng.integers(max(1, size - length + 1))) for length in sharp.size)
    mask.paste(sharp, (x, y))
    return mask


@functools.cache
def _outline(size: int) -> np.ndarray:
    """For each level of the enlarged ink how much of the pixel is covered, (256,) uint8.

    The ink says how much of a cell is covered, so the outline lies about half way up. An edge is one or two
    pixels wide.
    """
    slope = max(2.0, size / 16)
    return np.clip(128 + slope * (np.arange(256) - 112), 0, 255).round().astype(np.uint8)


def _compose(glyph: Image.Image, background: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The glyph in a tint that stands out, with a soft shadow or glow between it and the photograph."""
    covered = np.asarray(glyph, np.int64)
    behind = float((np.asarray(background.convert("L")) * covered).sum() / covered.sum())
    shade = Image.new("RGB", glyph.size, "black" if behind < 128 else "white")
    blurred = np.asarray(glyph.filter(ImageFilter.GaussianBlur(glyph.width / 16)))
    halo = Image.fromarray((blurred * 0.85).round().astype(np.uint8))
    tint = Image.new("RGB", glyph.size, _tint(behind, rng))
    return Image.composite(tint, Image.composite(shade, background, halo), glyph)


def _tint(behind: float, rng: np.random.Generator) -> tuple[int, ...]:
    """A colour at least 90 levels of grey away from what lies behind: light on dark, dark on light."""
    while True:
        saturation, value = (rng.uniform(0.2, 0.9), 1.0) if behind < 128 else (rng.uniform(0.5, 1.0), 0.45)
        red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(rng.random(), saturation, value))
        if abs(0.299 * red + 0.587 * green + 0.114 * blue - behind) >= 90:
            return red, green, blue
