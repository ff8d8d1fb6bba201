"""How good a prediction of generalisation is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
from scipy import stats

from mixdali import derive_seed

DRAWS = 2000
"""Sets of networks, or orders, that an interval or a chance level is made of."""
PGDL_DRAWS = 400
CONFIDENCE = 0.95


def rank_correlations(predicted: Sequence[float], actual: Sequence[float]) -> dict[str, float | None]:
    """Kendall's tau-b and Spearman's rho of (M,) with (M,), in [-1, 1]; None where one of the two is constant."""
    if len(predicted) != len(actual) or len(actual) < 2:
        raise ValueError(f"two or more predictions and as many truths are needed, got {len(predicted)}, {len(actual)}")
    if len(set(predicted)) == 1 or len(set(actual)) == 1:
        return {"kendall": None, "spearman": None}
    return {
        "kendall": float(stats.kendalltau(predicted, actual).statistic),
        "spearman": float(stats.spearmanr(predicted, actual).statistic),
    }


def kendall_interval(predicted: Sequence[float], actual: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of Kendall's tau over sets of networks like these, (M,) and (M,): each is drawn as often as it
    comes, so many of them (the percentile bootstrap). None where one of the two is constant."""
    if len(set(predicted)) == 1 or len(set(actual)) == 1:
        return None
    rng = np.random.default_rng(derive_seed(0, "networks"))
    rows = rng.integers(len(actual), size=(DRAWS, len(actual)))
    found = _taus(np.asarray(predicted, float)[rows], np.asarray(actual, float)[rows])
    low, high = np.nanquantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def kendall_by_chance(actual: Sequence[float]) -> float | None:
    """The tau with (M,) that an order drawn at random exceeds once in twenty; None where they are constant."""
    if len(set(actual)) == 1:
        return None
    rng, values = np.random.default_rng(derive_seed(0, "orders")), np.asarray(actual, float)
    orders = rng.permuted(np.tile(np.arange(len(values), dtype=float), (DRAWS, 1)), axis=1)
    return float(np.quantile(_taus(orders, np.tile(values, (DRAWS, 1))), CONFIDENCE))


def information_by_chance(gap: Sequence[float], hyperparameters: Mapping[str, Sequence[Any]]) -> tuple[float, float]:
    """The mean of `conditional_mutual_information` over measures in an order drawn at random, and what one in twenty of
    them exceeds. Few networks tell something of each other by chance alone."""
    rng = np.random.default_rng(derive_seed(0, "measures"))
    measures = (rng.permutation(len(gap)).astype(float) for _ in range(PGDL_DRAWS))
    found = [conditional_mutual_information(measure.tolist(), gap, hyperparameters) for measure in measures]
    return float(np.mean(found)), float(np.quantile(found, CONFIDENCE))


def _taus(predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """(S, M), (S, M) -> (S,) Kendall's tau-b of each row; nan where one of the two is constant."""
    one, other = (np.sign(values[:, :, None] - values[:, None, :]) for values in (predicted, actual))
    room = np.sqrt(np.square(one).sum(axis=(1, 2)) * np.square(other).sum(axis=(1, 2)))
    found: np.ndarray = np.divide((one * other).sum(axis=(1, 2)), room, out=np.full(len(room), np.nan), where=room > 0)
    return found


def conditional_mutual_information(
    measure: Sequence[float], gap: Sequence[float], hyperparameters: Mapping[str, Sequence[Any]]
) -> float:
    """The score of the competition "Predicting Generalization in Deep Learning", NeurIPS 2020 (there times 100).

    How much the order of two networks' measures says about the order of their gaps, whatever two hyperparameters one
    holds fast: for each pair of hyperparameters the mutual information of the two orders, over all ordered pairs of
    networks, given both networks' values of both; as a share of the entropy of the gaps' order. The least over the
    pairs of hyperparameters. 1 is a perfect prediction and 0 a useless one.

    As the organisers' scoring program: a network is also paired with itself, a tie counts as "not greater", and every
    combination of values counts as much. So the score of a measure is not that of its negative. Where a pair of
    hyperparameters leaves nothing to vary (`check_room`), it is 0.
    Differs: values are told apart as they are (theirs are written one after the other, 1 and 11 like 11 and 1), and a
    point of the grid may hold several networks, as many as every other.

    Args:
        measure: (M,) what should grow with the gap, such as training accuracy minus synthetic accuracy.
        gap: (M,) training accuracy minus test accuracy.
        hyperparameters: (M,) values of each, which make a full grid.

    Raises:
        ValueError: lengths differ, or there is no full grid of two or more hyperparameters.
    """
    lengths = {"measure": len(measure), "gap": len(gap)} | {name: len(own) for name, own in hyperparameters.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"measure, gap and hyperparameters need a value for each network, got {lengths}")
    if not np.isfinite([*measure, *gap]).all():
        raise ValueError("measure and gap must be numbers, got nan or infinity")
    numbers = _grid(hyperparameters)
    measures, gaps = np.asarray(measure, float), np.asarray(gap, float)
    orders = 2 * (gaps[:, None] > gaps).astype(int) + (measures[:, None] > measures)
    return min(_shared_information(orders, numbers[one], numbers[other]) for one, other in combinations(numbers, 2))


def check_room(hyperparameters: Mapping[str, Sequence[Any]]) -> None:
    """ValueError if the networks make no full grid, or if two hyperparameters, held fast, leave only one network."""
    numbers = _grid(hyperparameters)
    for one, other in combinations(numbers, 2):
        held = Counter(zip(numbers[one].tolist(), numbers[other].tolist(), strict=True))
        if min(held.values()) == 1:
            raise ValueError(
                f"where {one} and {other} are held fast there is only one network; vary a third hyperparameter, or "
                "train several networks at each point of the grid"
            )


def _shared_information(orders: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """orders (M, M), 2 * (first gap greater) + (first measure greater); one and other (M,) values as numbers."""
    joint = one * (other.max() + 1) + other
    count = int(joint.max()) + 1
    cells = joint[:, None] * count + joint
    tables = np.zeros((count * count, 4))
    np.add.at(tables, (cells.ravel(), orders.ravel()), 1)
    shares = (tables / tables.sum(axis=1, keepdims=True)).reshape(-1, 2, 2)
    of_gap = shares.sum(axis=2, keepdims=True)
    expected = of_gap * shares.sum(axis=1, keepdims=True)
    there = shares > 0
    ratios = np.divide(shares, expected, out=np.ones_like(shares), where=there)
    information = (shares * np.log2(ratios)).sum(axis=(1, 2)).mean()
    entropy = -(of_gap * np.log2(of_gap + 1e-12)).sum(axis=(1, 2)).mean()
    return float(information / entropy)


def _grid(hyperparameters: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray]:
    """The values of each as numbers from 0 on. ValueError unless they make a full grid of two or more."""
    if len(hyperparameters) < 2:
        raise ValueError(
            f"the score needs two or more hyperparameters that vary, got {list(hyperparameters) or 'none'}"
        )
    # By their text, as the values may be of any kind.
    numbers = {
        name: np.unique([repr(value) for value in own], return_inverse=True)[1].ravel()
        for name, own in hyperparameters.items()
    }
    found = Counter(zip(*(own.tolist() for own in numbers.values()), strict=True))
    counts = {found[point] for point in product(*(range(int(own.max()) + 1) for own in numbers.values()))}
    if len(counts) > 1:
        raise ValueError(
            f"the networks make no full grid of {', '.join(hyperparameters)}: at some of its points there are "
            f"{max(counts)} networks, at others {min(counts)}"
        )
    return numbers
