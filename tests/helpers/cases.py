"""Every method with draws to give, and the slow reference for them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixdali import (
    CutMix,
    CutMixMinMax,
    DirichletMixUp,
    FMix,
    GMix,
    GridMix,
    HMix,
    Mix,
    MixUp,
    Mosaic,
    ResizeMix,
    SmoothMix,
)
from tests.helpers.references import boxes, masks, pairs, several
from tests.helpers.worlds import WORLDS

N = 5
PARTNER = np.array([3, 0, 4, 2, 1])
# also the probability itself, which is not below it
COIN = np.array([0.1, 0.9, 0.49, 0.5, 0.0], np.float32)
PROB = 0.5
ALMOST_ONE = float(np.nextafter(np.float32(1), np.float32(0)))

Draws = dict[str, np.ndarray]
Expected = Callable[[np.ndarray, np.ndarray, Draws], pairs.Batch]


@dataclass(frozen=True)
class Case:
    """A method, the names of its draws in [0, 1), and the reference; `lam` is kept off 0, where GMix has no spot."""

    mix: Mix
    shares: tuple[str, ...]
    expected: Expected


def mixup(images: np.ndarray, targets: np.ndarray, draws: Draws) -> pairs.Batch:
    return pairs.mixup(images, targets, PARTNER, draws["lam"])


def of_boxes(box: Callable[..., boxes.Box], paste: Callable[..., pairs.Batch] = boxes.cutmix) -> Expected:
    """box(draw of image n by name, height, width) -> its box."""

    def expected(images: np.ndarray, targets: np.ndarray, draws: Draws) -> pairs.Batch:
        found = [box(one(draws, n), *images.shape[2:]) for n in range(N)]
        return paste(images, targets, PARTNER, found)

    return expected


def of_masks(own: Callable[..., np.ndarray]) -> Expected:
    """own(draws of image n by name, (height, width)) -> (height, width), the own pixels' weights."""

    def expected(images: np.ndarray, targets: np.ndarray, draws: Draws) -> pairs.Batch:
        weights = [own(one(draws, n), images.shape[2:]) for n in range(N)]
        return pairs.weighed(images, targets, PARTNER, lambda n, y, x: weights[n][y, x])

    return expected


def one(draws: Draws, n: int) -> dict[str, float]:
    return {name: float(values[n]) for name, values in draws.items() if values.ndim == 1}


def between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


def cutmix_box(d: dict[str, float], height: int, width: int) -> boxes.Box:
    return boxes.cutmix_box(d["lam"], *masks.centre(d["cy"], d["cx"], (height, width)), height, width)


def resizemix_box(d: dict[str, float], height: int, width: int) -> boxes.Box:
    return boxes.resizemix_box(
        between(0.1, 0.8, d["tau"]), *masks.centre(d["cy"], d["cx"], (height, width)), height, width
    )


def hmix(ratio: float) -> Expected:
    def expected(images: np.ndarray, targets: np.ndarray, draws: Draws) -> pairs.Batch:
        size = images.shape[2:]
        found = [
            boxes.hmix_box(d["lam"], ratio, *masks.centre(d["cy"], d["cx"], size), *size)
            for d in (one(draws, n) for n in range(N))
        ]
        mixed, _ = boxes.hmix(images, targets, PARTNER, draws["lam"], found)
        # the authors give the target the lam that was drawn; the weights outside the box were made for that
        return mixed, pairs.mixup(images, targets, PARTNER, draws["lam"])[1]

    return expected


def gridmix(d: dict[str, float], size: tuple[int, int]) -> np.ndarray:
    cells = pairs.randint(2, 7, d["cells"])
    area, aspect = between(0.5, 1, d["area"]), between(0.5, 2, d["aspect"])
    return 1 - masks.grid_holes(d["lam"], cells, area, aspect, d["cy"], d["cx"], size)


def smoothmix(d: dict[str, float], size: tuple[int, int]) -> np.ndarray:
    return 1 - masks.smooth_spot(between(0.25, 0.5, d["spread"]), *masks.centre(d["cy"], d["cx"], size), size)


def gmix(d: dict[str, float], size: tuple[int, int]) -> np.ndarray:
    return masks.gmix_own(d["lam"], *masks.centre(d["cy"], d["cx"], size), size)


def fmix(decay_power: float, as_published: bool) -> Callable[..., np.ndarray]:
    def own(d: dict[str, float], size: tuple[int, int]) -> np.ndarray:
        rng = np.random.default_rng(int(d["clouds"] * 2**24))
        noise = rng.standard_normal(masks.fmix_noise_shape(size))
        return masks.fmix_own(d["lam"], noise, d["round"] >= 0.5, size, decay_power, as_published)

    return own


def drawn_lam_for_the_target(expected: Expected) -> Expected:
    return lambda images, targets, draws: (
        expected(images, targets, draws)[0],
        pairs.mixup(images, targets, PARTNER, draws["lam"])[1],
    )


def mosaic(images: np.ndarray, targets: np.ndarray, draws: Draws) -> pairs.Batch:
    point = np.stack([draws["cy"], draws["cx"]], 1)
    places = np.stack([np.stack([draws[f"y{i}"], draws[f"x{i}"]], 1) for i in range(4)], 1)
    return several.mosaic(images, targets, PARTNER, point, places)


def dirichlet(number: int) -> Expected:
    def expected(images: np.ndarray, targets: np.ndarray, draws: Draws) -> pairs.Batch:
        weights = np.ones((N, 1))
        for k in range(1, number):
            share = draws[f"kept{k}"][:, None].astype(np.float64)
            weights = np.concatenate([weights * share, 1 - share], 1)
        return several.dirichlet_mixup(images, targets, PARTNER, weights)

    return expected


SHARES = ("lam", "cy", "cx")
CASES = {
    "mixup": Case(MixUp(), ("lam",), mixup),
    "cutmix": Case(CutMix(), SHARES, of_boxes(cutmix_box)),
    "cutmix-inside": Case(
        CutMix(inside=True),
        SHARES,
        of_boxes(lambda d, height, width: boxes.cutmix_inside_box(d["lam"], d["cy"], d["cx"], height, width)),
    ),
    "cutmix-drawn": Case(CutMix(correct_lam=False), SHARES, drawn_lam_for_the_target(of_boxes(cutmix_box))),
    "minmax": Case(
        CutMixMinMax(minmax=(0.2, 0.9)),
        ("height", "width", "cy", "cx"),
        of_boxes(lambda d, *size: boxes.minmax_box((0.2, 0.9), (d["height"], d["width"], d["cy"], d["cx"]), *size)),
    ),
    "resizemix": Case(ResizeMix(), ("tau", "cy", "cx"), of_boxes(resizemix_box, boxes.resizemix)),
    "hmix": Case(HMix(), SHARES, hmix(0.5)),
    "hmix-0.8": Case(HMix(ratio=0.8), SHARES, hmix(0.8)),
    "gridmix": Case(GridMix(), (*SHARES, "cells", "area", "aspect"), of_masks(gridmix)),
    "smoothmix": Case(SmoothMix(), ("spread", "cy", "cx"), of_masks(smoothmix)),
    "gmix": Case(GMix(), SHARES, of_masks(gmix)),
    "fmix": Case(FMix(), ("lam", "clouds", "round"), of_masks(fmix(3, False))),
    "fmix-2": Case(FMix(decay_power=2.0), ("lam", "clouds", "round"), of_masks(fmix(2, False))),
    "fmix-published": Case(
        FMix(as_published=True, correct_lam=False),
        ("lam", "clouds", "round"),
        drawn_lam_for_the_target(of_masks(fmix(3, True))),
    ),
    "mosaic": Case(Mosaic(), ("cy", "cx", *(f"{axis}{i}" for axis in "yx" for i in range(4))), mosaic),
    "dirichlet": Case(DirichletMixUp(), ("kept1", "kept2"), dirichlet(3)),
    "dirichlet-4": Case(DirichletMixUp(num_images=4), ("kept1", "kept2", "kept3"), dirichlet(4)),
}


def drawn(names: tuple[str, ...]) -> Draws:
    """Of every draw but lam also the first and the last of its values."""
    rng = np.random.default_rng(1)
    draws = {}
    for name in names:
        values = rng.uniform(0.02, 0.98, N) if name == "lam" else rng.permutation([0, ALMOST_ONE, *rng.random(N - 2)])
        draws[name] = values.astype(np.float32)
    return draws


def floats(images: np.ndarray) -> np.ndarray:
    return images.transpose(0, 3, 1, 2) / 255


def random_batch(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """N images (H, W, 3) uint8 and soft targets of four classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, *size, 3), dtype=np.uint8)
    return images, rng.dirichlet(np.ones(4), N).astype(np.float32)


def assert_is_reference(world: str, mix: Mix, case: Case, size: tuple[int, int], **coin: np.ndarray) -> None:
    """`mix` gives what the reference of `case` gives; with a coin, where it fell below `PROB`."""
    images, targets = random_batch(size)
    draws = drawn(case.shares)
    mixed = WORLDS[world](mix, images, targets, partner=PARTNER, **draws, **coin)
    expected = [part.copy() for part in case.expected(floats(images), targets, draws)]
    for left_alone in np.flatnonzero(coin.get("coin", np.zeros(N)) >= PROB):
        expected[0][left_alone], expected[1][left_alone] = floats(images)[left_alone], targets[left_alone]
    np.testing.assert_allclose(mixed.images, expected[0], atol=1e-6)
    np.testing.assert_allclose(mixed.targets, expected[1], atol=1e-6)
