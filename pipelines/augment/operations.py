"""What the policies of `policies.py` are in a DALI graph; `policy` is one of them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from nvidia.dali import fn, math, types
from nvidia.dali.auto_aug import augmentations as dali_augmentations
from nvidia.dali.auto_aug import auto_augment as learned
from nvidia.dali.auto_aug.core import augmentation, select, signed_bin
from nvidia.dali.auto_aug.rand_augment import get_rand_augment_suite
from nvidia.dali.auto_aug.trivial_augment import get_trivial_augment_wide_suite
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline, do_not_convert

from mixdali import derive_seed

LEARNED: dict[str, Callable[..., Any]] = {
    "imagenet": learned.get_image_net_policy,
    "cifar10": learned.get_reduced_cifar10_policy,
    "svhn": learned.get_svhn_policy,
}
SIGMA = (0.1, 2.0)  # of the blur of 3-Augment
MIDDLE = 128


def operate(images: DataNode, policy: Any, seed: int) -> DataNode:
    """uint8 HWC -> the same after the policy's operations.

    ValueError in a pipeline that is made without what they need.
    """
    if policy is None:
        return images
    if not getattr(Pipeline.current(), "_conditionals_enabled", True):
        raise ValueError("a pipeline with auto_augment must be made with enable_conditionals=True")
    return policy.graph(images, seed=seed)


def rand_augment(images: DataNode, policy: Any, seed: int) -> DataNode:
    """uint8 HWC -> the same."""
    suite = _of_today(get_rand_augment_suite(use_shape=True))
    for i in range(policy.num_ops):
        of_operation = derive_seed(seed, "operation", i)
        place = _one_of(len(suite), of_operation)
        if policy.prob < 1:
            applied = fn.random.coin_flip(probability=policy.prob, seed=derive_seed(of_operation, "applied"))
            place = applied * place + (1 - applied) * (len(suite) - 1)  # the last one is the identity
        signed = _signed(_magnitude(policy, of_operation), of_operation)
        images = _operated(images, suite, place, signed, policy.num_magnitude_bins, policy)
    return images


def trivial_augment(images: DataNode, policy: Any, seed: int) -> DataNode:
    """uint8 HWC -> the same."""
    suite = _of_today(get_trivial_augment_wide_suite(use_shape=True))
    magnitude = _one_of(policy.num_magnitude_bins, derive_seed(seed, "magnitude"))
    place = _one_of(len(suite), derive_seed(seed, "operation"))
    return _operated(images, suite, place, _signed(magnitude, seed), policy.num_magnitude_bins, policy)


def auto_augment(images: DataNode, policy: Any, seed: int) -> DataNode:
    """uint8 HWC -> the same."""
    bins, pairs = _pairs(policy)
    number = _one_of(len(pairs), derive_seed(seed, "pair"))
    for i in range(2):
        suite, table, magnitudes, chances = _stage(pairs, i)
        coin = fn.random.uniform(range=(0.0, 1.0), seed=derive_seed(seed, "coin", i))
        applied = fn.cast(coin < types.Constant(chances)[number], dtype=types.INT32)
        place = applied * types.Constant(table)[number] + (1 - applied) * (len(suite) - 1)
        signed = _signed(types.Constant(magnitudes)[number], derive_seed(seed, "sign", i))
        images = _operated(images, suite, place, signed, bins, policy)
    return images


def three_augment(images: DataNode, seed: int) -> DataNode:
    """uint8 HWC -> the same."""
    sigma = fn.random.uniform(range=SIGMA, seed=derive_seed(seed, "sigma"))
    place = _one_of(3, derive_seed(seed, "operation"))
    suite = [_grey, _solarized, _blurred]
    return select(suite, place, data=images, magnitude_bin=0, num_magnitude_bins=1, sigma=sigma)


@augmentation
def equalize(data: DataNode, _: Any) -> DataNode:
    return fn.equalize(data)


@augmentation(param_device="auto")
def sharpness(data: DataNode, kernel: DataNode) -> DataNode:
    return fn.filter(data, kernel)


TODAY = {one.name: one for one in (equalize, sharpness)}


@do_not_convert
def _of_today(suite: Sequence[Any]) -> list[Any]:
    """The same operations; where DALI's own call an operator by a name that it no longer wants, these call it."""
    settings = ("mag_range", "randomly_negate", "mag_to_param")
    return [
        TODAY[one.name].augmentation(**{name: getattr(one, name) for name in settings}) if one.name in TODAY else one
        for one in suite
    ]


@augmentation
def _grey(data: DataNode, _: Any) -> DataNode:
    return fn.saturation(data, saturation=0.0)


@augmentation
def _solarized(data: DataNode, _: Any) -> DataNode:
    inverted = data >= MIDDLE
    return fn.cast(inverted * (255 - data) + (inverted ^ True) * data, dtype=types.UINT8)


@augmentation
def _blurred(data: DataNode, _: Any, sigma: DataNode) -> DataNode:
    return fn.gaussian_blur(data, sigma=sigma)


def _operated(
    images: DataNode, suite: Sequence[Any], place: DataNode, magnitude: Any, bins: int, policy: Any
) -> DataNode:
    """Each image after the operation that stands at its `place` in the suite."""
    settings = {"fill_value": policy.fill_value, "interp_type": None, "shape": images.shape()}
    return select(suite, place, data=images, magnitude_bin=magnitude, num_magnitude_bins=bins, **settings)


def _signed(magnitude: DataNode | int, seed: int) -> Any:
    """A magnitude with the sign that operations of two directions take."""
    return signed_bin(magnitude, random_sign=_one_of(2, derive_seed(seed, "sign")))


def _magnitude(policy: Any, seed: int) -> DataNode | int:
    if not policy.magnitude_std:
        return policy.magnitude
    drawn = fn.random.normal(mean=policy.magnitude, stddev=policy.magnitude_std, seed=derive_seed(seed, "magnitude"))
    return fn.cast(math.floor(math.clamp(drawn, 0.0, policy.num_magnitude_bins - 1.0) + 0.5), dtype=types.INT32)


def _one_of(number: int, seed: int) -> DataNode:
    """A whole number below this one."""
    return fn.random.uniform(values=list(range(number)), dtype=types.INT32, seed=seed)


@do_not_convert
def _pairs(policy: Any) -> tuple[int, Sequence[Any]]:
    """How many magnitudes there are, and the pairs of (operation, chance, magnitude)."""
    found = learned.get_reduced_image_net_policy() if policy.learned_on == "reduced_imagenet" else None
    found = LEARNED[policy.learned_on](use_shape=True) if found is None else found
    return found.num_magnitude_bins, found.sub_policies


@do_not_convert
def _stage(pairs: Sequence[Any], i: int) -> tuple[list[Any], np.ndarray, np.ndarray, np.ndarray]:
    """The operations that come i-th in some pair, then the identity; and for each pair its place among them, its
    magnitude and its chance."""
    steps = [pair[i] if i < len(pair) else (dali_augmentations.identity, 0.0, None) for pair in pairs]
    suite = list(dict.fromkeys(step[0] for step in steps if step[0] is not dali_augmentations.identity))
    suite.append(dali_augmentations.identity)
    places = np.array([suite.index(step[0]) for step in steps], np.int32)
    magnitudes = np.array([step[2] or 0 for step in steps], np.int32)
    return _of_today(suite), places, magnitudes, np.array([step[1] for step in steps], np.float32)
