"""Image files that are no use, of every kind that data sets were seen to hold."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def jpeg(seed: int = 0, size: tuple[int, int] = (64, 48), kind: str = "JPEG") -> bytes:
    """A smooth image, encoded."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(buffer, kind)
    return buffer.getvalue()


def claiming(size: int, whole: bytes) -> bytes:
    """A JPEG whose header says that it is square and that large."""
    start = whole.index(b"\xff\xc0") + 5
    return whole[:start] + 2 * size.to_bytes(2, "big") + whole[start + 4 :]


KINDS: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda whole: b"404: not found\n",
    "html": lambda whole: b"<!DOCTYPE html><html>forbidden</html>",
    "empty": lambda whole: b"",
    "cut": lambda whole: whole[: whole.index(b"\xff\xda") + 40],
    "header": lambda whole: whole[:200],
    "no_start": lambda whole: whole[2:],
    "gif": lambda whole: jpeg(kind="GIF"),
    "start_and_text": lambda whole: b"\xff\xd8\xff" + b"hello" * 100,
    "cut_png": lambda whole: jpeg(kind="PNG")[:40],
    "huge": lambda whole: claiming(30000, whole),
}


def write_folder(root: Path, good: int, broken: dict[str, int]) -> list[str]:
    """Class folders a and b with so many good images, and the broken ones among them at these places.

    -> paths of the broken ones.
    """
    places = {place: kind for kind, place in broken.items()}
    bad = []
    for number in range(good + len(broken)):
        path = root / "ab"[number % 2] / f"{number:04}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = jpeg(number, (40 + number % 23, 40 + number % 17))
        kind = places.get(number)
        path.write_bytes(whole if kind is None else KINDS[kind](whole))
        if kind is not None:
            bad.append(str(path))
    return sorted(bad)
