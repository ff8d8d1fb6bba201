"""Resizing in a DALI pipeline."""

import platform
from importlib.util import find_spec

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from mixdali.checks import one_of

from .sizes import INTERPOLATIONS, Interpolation

FULL = (0.0, 0.0, 1.0, 1.0)


def resize(
    images: DataNode,
    size: tuple[int, int],
    region: DataNode | None = None,
    *,
    relative: bool = False,
    channels: int = 3,
    interpolation: Interpolation = "bilinear",
) -> DataNode:
    """uint8 HWC of any size -> the same of size (height, width), with antialiasing.

    region    (4,) float32, y0, x0, y1, x1: the part of the image that is resized; None: all of it. With x1 < x0 the
              image is mirrored.
    relative  the region is a share of the sides, from 0 to 1; else it is in pixels.
    channels  C of the images.
    interpolation
              "bilinear" or "bicubic".

    Bilinear on a CPU with numba this is three to eight times as fast as `fn.resize`, and gives the same to the bit.
    """
    if region is None:
        region, relative = types.Constant(np.array(FULL, np.float32)), True
    one_of("interpolation", interpolation, INTERPOLATIONS)
    if interpolation == "bilinear" and _has_kernel(images, channels):
        from . import resampling

        return fn.reshape(resampling.resize(images, (*size, channels), region, relative), layout="HWC")
    return fn.resize(
        images,
        size=size,
        roi_start=region[:2],
        roi_end=region[2:],
        roi_relative=relative,
        interp_type=types.INTERP_CUBIC if interpolation == "bicubic" else types.INTERP_LINEAR,
        antialias=True,
    )


def _has_kernel(images: DataNode, channels: int) -> bool:
    """The kernel has lanes for four channels, and rounds as DALI does on x86."""
    on_x86 = images.device == "cpu" and platform.machine() in ("x86_64", "AMD64")
    return on_x86 and channels <= 4 and find_spec("numba") is not None
