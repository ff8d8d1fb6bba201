"""AugMix: an image's chains of random operations, mixed with each other and with the image.

Hendrycks et al., "AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty", ICLR 2020,
arXiv:1912.02781; google-research/augmix. Three chains of one to three operations, drawn from the nine that are not
among the corruptions of ImageNet-C; their weights ~ Dirichlet(1, 1, 1), the image's own weight ~ Beta(1, 1); each
operation's level ~ U(0.1, severity).

Where an operation moves an image, what lies outside is black and pixels at the border are not blended with it, as PIL
does. Differs: DALI's equalize follows OpenCV, which rounds otherwise than PIL; images that are not square are moved by
shares of their own height or width.
"""

from typing import Any

import numpy as np
from nvidia.dali import fn, math, types
from nvidia.dali.auto_aug import augmentations as dali_augmentations
from nvidia.dali.auto_aug.core import augmentation, select
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import do_not_convert

import mixdali
from mixdali import derive_seed
from mixdali.draws import WEIGHT, Law, between, whole_between
from mixdali.names import nearest
from mixdali.worlds.graph.draws import given_node

WIDTH = 3
DEPTH = 3


def augmix(images: DataNode, *, severity: float, seed: int, **given: Any) -> DataNode:
    """uint8 HWC -> float CHW in [0, 1]. In a pipeline with `enable_conditionals=True`.

    severity  the highest level of an operation, up to 10: 3 for CIFAR, 1 for ImageNet.
    given     draws by name that are not to be drawn but taken, numbers or nodes of one number an image, on the CPU:
              `augmix(images, severity=3, seed=0, **{"0.operation0": 3})`; names and ranges as of `draw_augmix`.

    TypeError or ValueError for a name that is not drawn and a number out of its range; of a node DALI's error when the
    graph runs, which names the draw.
    """
    draws = _taken(draw_augmix(severity=severity, seed=seed), given)
    own, first = draws["own"], draws["weight1"]
    # Dirichlet(1, 1, 1) by breaking a stick twice
    second = (1.0 - first) * draws["weight2"]
    weights = [first, second, 1.0 - first - second]
    mixed = _on(images, own) * mixdali.to_float(images)
    for i, weight in enumerate(weights):
        chain = _chain(images, {name[2:]: draw for name, draw in draws.items() if name.startswith(f"{i}.")})
        mixed = mixed + _on(images, (1.0 - own) * weight) * mixdali.to_float(chain)
    # the weights' sum may pass 1 by a rounding
    return math.clamp(mixed, 0.0, 1.0)


def draw_augmix(*, severity: float, seed: int) -> dict[str, DataNode]:
    """All the randomness of one view, one number an image each.

    own in [0, 1]: the image's own weight; weight1, weight2 in [0, 1]: the first chain's share of what is left, and the
    second one's of what is left of that; for chain i from 0 to 2 i.depth, a whole number from 1 to 3: its operations;
    for operation j of it i.levelj in [0, 10], i.signj from -1 to 1, and i.operationj: its place in `OPERATIONS`.
    """
    draws = {
        "own": fn.random.beta(alpha=1.0, beta=1.0, seed=derive_seed(seed, "own")),
        "weight1": fn.random.beta(alpha=1.0, beta=2.0, seed=derive_seed(seed, "weight1")),
        "weight2": fn.random.beta(alpha=1.0, beta=1.0, seed=derive_seed(seed, "weight2")),
    }
    for i in range(WIDTH):
        of_chain = derive_seed(seed, "chain", i)
        draws[f"{i}.depth"] = _whole(list(range(1, DEPTH + 1)), derive_seed(of_chain, "depth"))
        for j in range(DEPTH):
            draws[f"{i}.level{j}"] = fn.random.uniform(range=(0.1, severity), seed=derive_seed(of_chain, "level", j))
            draws[f"{i}.sign{j}"] = 2.0 * fn.random.coin_flip(seed=derive_seed(of_chain, "sign", j)) - 1.0
            places = list(range(len(OPERATIONS)))
            draws[f"{i}.operation{j}"] = _whole(places, derive_seed(of_chain, "operation", j))
    return draws


@do_not_convert
def _taken(draws: dict[str, DataNode], given: dict[str, Any]) -> dict[str, DataNode]:
    """The draws, with those that are given in their place."""
    laws, taken = _laws(), {}
    for name, value in given.items():
        if name not in draws:
            raise TypeError(f"augmix has no draw {name}; {nearest(name, list(draws), list(draws))}")
        taken[name] = given_node(name, value, laws[name.rpartition(".")[2].rstrip("0123456789")])
    return draws | taken


def _laws() -> dict[str, Law]:
    """By a name without its numbers."""
    return {
        "own": WEIGHT,
        "weight": WEIGHT,
        "depth": whole_between(1, DEPTH),
        "level": between(0.0, 10.0),
        "sign": between(-1.0, 1.0),
        "operation": whole_between(0, len(OPERATIONS) - 1),
    }


def _whole(values: list[int], seed: int) -> DataNode:
    return fn.random.uniform(values=values, dtype=types.INT32, seed=seed)


def _chain(images: DataNode, draws: dict[str, DataNode]) -> DataNode:
    depth = draws["depth"]
    images = _operation(images, draws, 0)
    if depth >= 2:
        images = _operation(images, draws, 1)
    if depth >= 3:
        images = _operation(images, draws, 2)
    return images


def _operation(images: DataNode, draws: dict[str, DataNode], j: int) -> DataNode:
    """The one of the nine that was drawn."""
    place = fn.cast(draws[f"operation{j}"], dtype=types.INT32)
    settings = {"level": draws[f"level{j}"], "sign": draws[f"sign{j}"]}
    return select(OPERATIONS, place, data=images, magnitude_bin=0, num_magnitude_bins=1, **settings)


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
    moved = fn.rotate(data, angle=angle, interp_type=types.INTERP_LINEAR, keep_size=True)
    return moved & fn.rotate(_white(data), angle=angle, fill_value=0, interp_type=types.INTERP_NN, keep_size=True)


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
    moved = fn.warp_affine(data, matrix=matrix, interp_type=types.INTERP_LINEAR, inverse_map=True)
    inside = fn.warp_affine(_white(data), matrix=matrix, fill_value=0, interp_type=types.INTERP_NN, inverse_map=True)
    return moved & inside


def _white(data: DataNode) -> DataNode:
    return data | np.uint8(255)


def _on(images: DataNode, value: DataNode) -> DataNode:
    return value.gpu() if images.device == "gpu" else value
