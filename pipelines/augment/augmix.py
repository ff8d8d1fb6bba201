"""AugMix: an image's chains of random operations, mixed with each other and with the image.

Hendrycks et al., "AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty", ICLR 2020,
arXiv:1912.02781; google-research/augmix. Three chains of one to three operations, drawn from the nine that are not
among the corruptions of ImageNet-C; their weights ~ Dirichlet(1, 1, 1), the image's own weight ~ Beta(1, 1); each
operation's level ~ U(0.1, severity).

Differs: DALI's equalize follows OpenCV, which rounds otherwise than PIL; images that are not square are moved by shares
of their own height or width.
"""

from typing import Any

import numpy as np
from nvidia.dali import fn, math, types
from nvidia.dali.auto_aug import augmentations as dali_augmentations
from nvidia.dali.auto_aug.core import augmentation
from nvidia.dali.auto_aug.rand_augment import apply_rand_augment
from nvidia.dali.data_node import DataNode

import mixdali
from mixdali import derive_seed

WIDTH = 3
DEPTH = 3


def augmix(images: DataNode, *, severity: float, seed: int) -> DataNode:
    """uint8 HWC -> float CHW in [0, 1]. In a pipeline with `enable_conditionals=True`.

    severity  the highest level of an operation, up to 10: 3 for CIFAR, 1 for ImageNet.
    """
    # Dirichlet(1, 1, 1) by breaking a stick twice
    first = fn.random.beta(alpha=1.0, beta=2.0, seed=derive_seed(seed, "weight1"))
    second = (1.0 - first) * fn.random.beta(alpha=1.0, beta=1.0, seed=derive_seed(seed, "weight2"))
    weights = [first, second, 1.0 - first - second]
    own = fn.random.beta(alpha=1.0, beta=1.0, seed=derive_seed(seed, "own"))
    mixed = _on(images, own) * mixdali.to_float(images)
    for i, weight in enumerate(weights):
        chain = _chain(images, severity, derive_seed(seed, "chain", i))
        mixed = mixed + _on(images, (1.0 - own) * weight) * mixdali.to_float(chain)
    # the weights' sum may pass 1 by a rounding
    return math.clamp(mixed, 0.0, 1.0)


def _chain(images: DataNode, severity: float, seed: int) -> DataNode:
    depth = fn.random.uniform(values=list(range(1, DEPTH + 1)), dtype=types.INT32, seed=derive_seed(seed, "depth"))
    levels = [fn.random.uniform(range=(0.1, severity), seed=derive_seed(seed, "level", i)) for i in range(DEPTH)]
    signs = [2.0 * fn.random.coin_flip(seed=derive_seed(seed, "sign", i)) - 1.0 for i in range(DEPTH)]
    images = _operation(images, levels[0], signs[0], derive_seed(seed, "operation", 0))
    if depth >= 2:
        images = _operation(images, levels[1], signs[1], derive_seed(seed, "operation", 1))
    if depth >= 3:
        images = _operation(images, levels[2], signs[2], derive_seed(seed, "operation", 2))
    return images


def _operation(images: DataNode, level: DataNode, sign: DataNode, seed: int) -> DataNode:
    """One of the nine, each as likely."""
    return apply_rand_augment(OPERATIONS, images, n=1, m=0, seed=seed, level=level, sign=sign)


@augmentation
def autocontrast(data: DataNode, _: Any) -> DataNode:
    return dali_augmentations.auto_contrast.op(data, None)


@augmentation
def equalize(data: DataNode, _: Any) -> DataNode:
    return fn.equalize(data)


@augmentation
def posterize(data: DataNode, _: Any, level: DataNode) -> DataNode:
    # 4 bits less those that a level takes away are kept
    masks = types.Constant(np.array([0xFF << (4 + less) & 0xFF for less in range(5)], dtype=np.uint8))
    return data & _on(data, masks[fn.cast(math.floor(level * (4 / 10)), dtype=types.INT32)])


@augmentation
def solarize(data: DataNode, _: Any, level: DataNode) -> DataNode:
    inverted = data >= _on(data, 256.0 - math.floor(level * (256 / 10)))
    return fn.cast(inverted * (255.0 - data) + (inverted ^ True) * data, dtype=types.UINT8)


@augmentation
def rotate(data: DataNode, _: Any, level: DataNode, sign: DataNode) -> DataNode:
    angle = sign * math.floor(level * (30 / 10))
    return fn.rotate(data, angle=angle, fill_value=0, interp_type=types.INTERP_LINEAR, keep_size=True)


@augmentation
def shear_x(data: DataNode, _: Any, level: DataNode, sign: DataNode) -> DataNode:
    shear = sign * level * (0.3 / 10)
    return _moved(data, fn.transforms.shear(shear=fn.stack(shear, 0.0 * shear)))


@augmentation
def shear_y(data: DataNode, _: Any, level: DataNode, sign: DataNode) -> DataNode:
    shear = sign * level * (0.3 / 10)
    return _moved(data, fn.transforms.shear(shear=fn.stack(0.0 * shear, shear)))


@augmentation
def translate_x(data: DataNode, _: Any, level: DataNode, sign: DataNode) -> DataNode:
    pixels = sign * math.floor(level * data.shape(dtype=types.FLOAT)[1] * (1 / 3 / 10))
    return _moved(data, fn.transforms.translation(offset=fn.stack(pixels, 0.0 * pixels)))


@augmentation
def translate_y(data: DataNode, _: Any, level: DataNode, sign: DataNode) -> DataNode:
    pixels = sign * math.floor(level * data.shape(dtype=types.FLOAT)[0] * (1 / 3 / 10))
    return _moved(data, fn.transforms.translation(offset=fn.stack(0.0 * pixels, pixels)))


OPERATIONS = [
    autocontrast,
    equalize,
    posterize,
    rotate,
    solarize,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
]


def _moved(data: DataNode, matrix: DataNode) -> DataNode:
    """What the matrix maps an output pixel to; black where that is outside."""
    return fn.warp_affine(data, matrix=matrix, fill_value=0, interp_type=types.INTERP_LINEAR, inverse_map=True)


def _on(images: DataNode, value: DataNode) -> DataNode:
    return value.gpu() if images.device == "gpu" else value
