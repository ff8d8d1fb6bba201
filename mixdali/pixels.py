"""Pixels without a mix."""

from typing import TypeVar

from mixdali.worlds import world_of

Images = TypeVar("Images")


def to_float(images: Images) -> Images:
    """What a mix does to pixels when it mixes nothing.

    DALI, both modes: uint8 HWC -> float32 CHW in [0, 1].
    Torch: uint8 (N, C, H, W) -> float32 in [0, 1]; floats stay as they are.
    """
    world = world_of(images)
    return world.call(world.to_float, images)
