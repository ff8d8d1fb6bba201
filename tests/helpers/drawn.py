"""The draws of many batches, in every world, to hold against their laws."""

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import torch
from scipy import stats

from mixdali import Mix, Plan
from tests.helpers.worlds import graph_batches

HEIGHT, WIDTH = 8, 12
# Seeds are fixed, so a test passes always or never; the level only says how surprising a passing draw may be.
LEVEL = 1e-3

Given = Mapping[str, np.ndarray]
Labels = tuple[int, ...]
NOTHING: Given = MappingProxyType({})


def torch_draws(
    mix: Mix,
    batches: int,
    number: int,
    labels: tuple[int, ...] = (),
    epoch: float | None = None,
    given: Given = NOTHING,
) -> Plan:
    rng = torch.Generator().manual_seed(5)
    images, targets = torch.zeros(number, 1, HEIGHT, WIDTH), torch.from_numpy(_targets(number, labels))
    draws = {name: torch.from_numpy(value) for name, value in given.items()}
    return _stacked([mix.draw(images, targets=targets, rng=rng, epoch=epoch, **draws) for _ in range(batches)])


def graph_draws(
    mix: Mix,
    batches: int,
    number: int,
    labels: tuple[int, ...] = (),
    epoch: float | None = None,
    given: Given = NOTHING,
) -> Plan:
    images = np.zeros((number, HEIGHT, WIDTH, 1), np.uint8)
    stream = graph_batches(mix, images, _targets(number, labels), seed=5, epoch=epoch, **given)
    return _stacked([next(stream).plan for _ in range(batches)])


def dynamic_draws(
    mix: Mix,
    batches: int,
    number: int,
    labels: tuple[int, ...] = (),
    epoch: float | None = None,
    given: Given = NOTHING,
) -> Plan:
    rng = ndd.random.RNG(seed=5)
    images = ndd.as_batch(np.zeros((number, HEIGHT, WIDTH, 1), np.uint8), layout="HWC")
    targets = ndd.as_batch(_targets(number, labels))
    draws = {name: ndd.as_batch(value) for name, value in given.items()}
    plans = [mix.draw(images, targets=targets, rng=rng, epoch=epoch, **draws) for _ in range(batches)]
    return _stacked([Plan.of_parts({k: _array(v) for k, v in plan.parts().items()}) for plan in plans])


def _targets(number: int, labels: tuple[int, ...]) -> np.ndarray:
    return np.eye(number, dtype=np.float32)[list(labels) or [0] * number]


def _array(batch: ndd.Batch) -> np.ndarray:
    return np.array(ndd.as_tensor(batch))


def _stacked(plans: list[Plan]) -> Plan:
    """Plans of B batches -> one of arrays (B, N, ...)."""
    return Plan.of_parts({name: np.stack([np.asarray(p.parts()[name]) for p in plans]) for name in plans[0].parts()})


DRAW: dict[str, Callable[..., Plan]] = {"torch": torch_draws, "graph": graph_draws, "dynamic": dynamic_draws}


@cache
def draws(world: str, mix: Mix, batches: int = 10, number: int = 200, **how: Any) -> Plan:
    return DRAW[world](mix, batches, number, **how)


def assert_law(values: np.ndarray, law: Any) -> None:
    """A continuous law of scipy's."""
    assert stats.kstest(values.ravel(), law.cdf).pvalue > LEVEL


def assert_share(hits: np.ndarray, share: float) -> None:
    assert stats.binomtest(int(hits.sum()), hits.size, share).pvalue > LEVEL


def assert_even(values: np.ndarray, kinds: int) -> None:
    """Whole numbers from 0 up, each of the `kinds` as likely."""
    counts = np.bincount(values.ravel(), minlength=kinds)
    assert len(counts) == kinds
    assert stats.chisquare(counts).pvalue > LEVEL


def assert_same_law(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Two samples (n, k) of k whole numbers: each number, and the product of the first two, have one law."""
    products = [sample[:, 0] * sample[:, 1] for sample in (ours, theirs)]
    for one, other in [*zip(ours.T, theirs.T, strict=True), products]:
        assert stats.chi2_contingency(_counts(one, other)).pvalue > LEVEL


def sides_and_start(found: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) -> height, width, y0, x0."""
    return np.column_stack([found[:, 2] - found[:, 0], found[:, 3] - found[:, 1], found[:, 0], found[:, 1]])


def covered(found: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) -> how many of them cover each pixel, (H, W)."""
    ys, xs = np.arange(HEIGHT)[:, None], np.arange(WIDTH)
    return sum(((ys >= y0) & (ys < y1) & (xs >= x0) & (xs < x1)).astype(int) for y0, x0, y1, x1 in found)


def _counts(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """A contingency table of two samples, with rare values put together."""
    values = np.unique(np.concatenate([ours, theirs]))
    table = np.array([[(sample == value).sum() for value in values] for sample in (ours, theirs)])
    rare = table.sum(0) < 100
    return np.column_stack([table[:, ~rare], table[:, rare].sum(1)]) if rare.any() else table
