"""Pixels without a mix."""

from typing import Any, TypeVar

from mixdali.worlds import world_of
from mixdali.worlds.output import Output

Images = TypeVar("Images")


def to_float(
    images: Images,
    *,
    layout: str | None = None,
    mean: Any = None,
    std: Any = None,
    dtype: Any = None,
    output_layout: str | None = None,
) -> Images:
    """What a mix does to pixels when it mixes nothing.

    DALI, both modes: uint8 HWC -> float32 CHW in [0, 1]. With layout="CHW" images are float32 CHW already.
    Torch: uint8 (N, C, H, W) -> float32 in [0, 1]; floats stay as they are.

    mean, std, dtype and output_layout as in `mixdali.Mix.apply`.
    """
    world = world_of(images, layout)
    return world.call(world.to_float, images, Output.of(mean, std, dtype, output_layout))
