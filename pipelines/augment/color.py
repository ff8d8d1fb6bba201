"""Random changes of colour."""

import numpy as np
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from mixdali import derive_seed
from mixdali.checks import fraction

# The principal axes of the colours of ImageNet's pixels in [0, 1], a column each, and the deviation along each: the
# numbers that most code has for AlexNet's noise.
AXES = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
DEVIATIONS = np.array([0.2175, 0.0188, 0.0045])


def color_jitter(images: DataNode, strength: float, *, seed: int) -> DataNode:
    """uint8 HWC -> the same; brightness, contrast and saturation each times a number ~ U(1 - strength, 1 + strength).

    Differs from torchvision's and timm's ColorJitter: the three come in one order, saturation first, and are rounded
    once; contrast moves pixels away from the middle grey 128, not from the mean of the image.
    """
    fraction("color_jitter", strength)
    if not strength:
        return images
    amounts = {
        name: fn.random.uniform(range=(1 - strength, 1 + strength), seed=derive_seed(seed, name))
        for name in ("brightness", "contrast", "saturation")
    }
    return fn.color_twist(images, **amounts)


def lighting(images: DataNode, std: float, *, seed: int) -> DataNode:
    """uint8 HWC -> the same; each image's colour moves along the principal axes of ImageNet's colours.

    Along each axis it moves by its deviation times a number ~ N(0, std^2): Krizhevsky, Sutskever and Hinton, "ImageNet
    Classification with Deep Convolutional Neural Networks", NeurIPS 2012. Levels are rounded and stay in 0 to 255.
    """
    fraction("lighting", std)
    if not std:
        return images
    amounts = fn.random.normal(stddev=std, shape=[1, 3], dtype=types.FLOAT, seed=derive_seed(seed, "amounts"))
    moves = fn.coord_transform(amounts, M=(255 * AXES * DEVIATIONS).astype(np.float32))
    moved = images + (moves.gpu() if images.device == "gpu" else moves)
    return fn.cast(moved, dtype=types.UINT8)
