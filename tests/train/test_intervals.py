"""The intervals beside accuracies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from train.show.intervals import intervals, whiskers, wilson, with_interval


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (1, 10), (5, 10), (10, 10), (718, 1000), (9999, 10000), (1, 1)])
def test_the_interval_is_wilsons(hits: int, total: int) -> None:
    expected = binomtest(hits, total).proportion_ci(0.95, method="wilson")
    assert wilson(hits / total, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_it_holds_the_true_accuracy_in_95_of_100_cases() -> None:
    rng = np.random.default_rng(0)
    for truth, total in ((0.3, 200), (0.9, 50), (0.5, 1000)):
        drawn = rng.binomial(total, truth, 4000) / total
        inside = [low <= truth <= high for low, high in (wilson(share, total) for share in drawn.tolist())]
        assert np.mean(inside) == pytest.approx(0.95, abs=0.02)


def test_none_and_all_still_have_one() -> None:
    assert wilson(0.0, 100)[0] == 0
    assert 0.03 < wilson(0.0, 100)[1] < 0.04
    assert wilson(1.0, 100)[1] == 1


@pytest.mark.parametrize("share", [math.nan, -0.1, 1.1, math.inf])
def test_what_is_no_share_has_none(share: float) -> None:
    with pytest.raises(ValueError, match=r"share must be in \[0, 1\], got"):
        wilson(share, 10)


def test_it_is_written_beside_the_share_and_in_its_place() -> None:
    assert with_interval(0.718, 1000) == "71.80% [68.93, 74.50]"
    found = intervals({"a": {"0.1": 0.5}, "after": [0.5, 1.0]}, 10)
    assert found == {"a": {"0.1": list(wilson(0.5, 10))}, "after": [list(wilson(0.5, 10)), list(wilson(1.0, 10))]}
    below, above = whiskers([0.5, 1.0], 10)
    assert below[0] == pytest.approx(above[0])
    assert above[1] == 0
