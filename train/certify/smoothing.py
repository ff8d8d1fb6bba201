"""From counts of votes to certificates; nothing here is random.

The procedures CERTIFY and PREDICT of Cohen, Rosenfeld and Kolter, ICML 2019, arXiv:1902.02918, section 3.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, binomtest, norm

from mixdali.checks import positive, positive_int, require

ABSTAIN = -1
"""The class of an image for which nothing is said."""

LARGEST = 1 - 2.0**-53


def certificate(counts_select: ArrayLike, counts_estimate: ArrayLike, alpha: float, sigma: float) -> tuple[int, float]:
    """The class of the smoothed classifier, and the radius in L2 within which it stays the same.

    The first counts choose the class, others bound its probability from below. What comes out is right with a
    probability of at least 1 - alpha.

    Args:
        counts_select: (K,) votes for each class, under some draws of the noise.
        counts_estimate: (K,) votes under other, independent draws.
        alpha: in (0, 1).
        sigma: deviation of the noise; the radius is in the same units.

    Returns:
        class and radius, or ABSTAIN and 0.

    Raises:
        ValueError: alpha or sigma out of range, or counts that are none, of one class, or not of the same classes.
    """
    select, estimate = _checked("counts_select", counts_select), _checked("counts_estimate", counts_estimate)
    if len(select) != len(estimate):
        raise ValueError(f"counts must be of the same classes, got {len(select)} and {len(estimate)}")
    check_alpha(alpha)
    positive("sigma", sigma)
    chosen = int(select.argmax())
    bound = lower_bound(int(estimate[chosen]), int(estimate.sum()), alpha)
    if bound < 0.5:
        return ABSTAIN, 0.0
    return chosen, float(sigma * norm.ppf(bound))


def prediction(counts: ArrayLike, alpha: float) -> int:
    """The class of the smoothed classifier, or ABSTAIN where two classes are too close to tell.

    What comes out is right with a probability of at least 1 - alpha.

    Args:
        counts: (K,) votes for each class; of equals the first is taken.
        alpha: in (0, 1).
    """
    votes = _checked("counts", counts)
    check_alpha(alpha)
    first, second = np.argsort(-votes, kind="stable")[:2]
    # Two-sided: whether the two classes are as likely as each other.
    test = binomtest(int(votes[first]), int(votes[first] + votes[second]), 0.5)
    return int(first) if test.pvalue <= alpha else ABSTAIN


def lower_bound(hits: int, total: int, alpha: float) -> float:
    """The one-sided Clopper-Pearson bound: a probability that is below the true one in at least 1 - alpha of all cases.

    Args:
        hits: successes, 0 to total.
        total: independent trials, 1 or more.
        alpha: in (0, 1).
    """
    positive_int("total", total)
    require(0 <= hits <= total, "hits", hits, f"must be from 0 to {total}")
    check_alpha(alpha)
    if hits == 0:
        return 0.0
    # Rounding up to 1 would make a radius infinite.
    return min(float(beta.ppf(alpha, hits, total - hits + 1)), LARGEST)


def largest_radius(total: int, alpha: float, sigma: float) -> float:
    """The radius of an image whose class got all of so many votes; 0 where even these are too few."""
    bound = lower_bound(total, total, alpha)
    return 0.0 if bound < 0.5 else float(sigma * norm.ppf(bound))


def certified_accuracy(radii: ArrayLike, right: ArrayLike, at: ArrayLike) -> np.ndarray:
    """radii (N,), right (N,) bool, at (R,) -> (R,) the share of all images that are right with at least that radius."""
    reached = np.asarray(radii)[:, None] >= np.asarray(at)[None]
    return (reached & np.asarray(right, dtype=bool)[:, None]).mean(axis=0)


def check_alpha(alpha: float) -> None:
    """ValueError unless it is in (0, 1)."""
    require(0 < alpha < 1, "alpha", alpha, "must be in (0, 1): the chance that a certificate is wrong")


def _checked(name: str, counts: ArrayLike) -> np.ndarray:
    votes = np.asarray(counts)
    if votes.ndim != 1 or len(votes) < 2 or votes.dtype.kind not in "iu" or votes.min() < 0 or not votes.sum():
        rule = "must be (K,) whole numbers from 0 up for 2 classes or more, not all 0"
        raise ValueError(f"{name} {rule}, got {counts!r}")
    return votes.astype(np.int64)
