"""Certificates from counts: the procedure of Cohen et al., checked against what is known exactly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom, norm
from torch import Tensor, nn

from tests.helpers.nets import seeded
from train.certify import ABSTAIN, certificate, certified_accuracy, lower_bound, prediction
from train.certify.run import choose_images
from train.certify.smoothing import largest_radius
from train.certify.votes import BLOCK, Voters
from train.machine.stop import Stop, Stopped


@pytest.mark.parametrize(("hits", "total"), [(1, 10), (7, 10), (10, 10), (99, 100), (700, 1000), (99_990, 100_000)])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_at_the_bound_so_many_hits_or_more_have_exactly_that_chance(hits: int, total: int, alpha: float) -> None:
    bound = lower_bound(hits, total, alpha)
    assert 0 < bound < hits / total
    assert float(binom.sf(hits - 1, total, bound)) == pytest.approx(alpha, rel=1e-6)


def test_no_hit_proves_nothing_and_all_hits_prove_what_can_be_proved() -> None:
    assert lower_bound(0, 100, 0.001) == 0
    assert lower_bound(100_000, 100_000, 0.001) == pytest.approx(0.001 ** (1 / 100_000), abs=1e-12)
    assert largest_radius(100_000, 0.001, 1.0) == pytest.approx(3.81, abs=0.005)
    assert largest_radius(2, 0.001, 1.0) == 0
    assert largest_radius(10**9, 1 - 1e-9, 1.0) < 10


@pytest.mark.parametrize("sigma", [0.12, 1.0])
def test_the_radius_is_that_of_the_paper(sigma: float) -> None:
    estimate = np.array([50, 900, 50])
    found, radius = certificate([1, 98, 1], estimate, 0.001, sigma)
    assert found == 1
    # The bound by bisection: the probability at which 900 votes or more of 1,000 have a chance of 0.001.
    low, high = 0.0, 0.9
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if binom.sf(899, 1000, middle) < 0.001 else (low, middle)
    assert radius == pytest.approx(sigma * norm.ppf(low), rel=1e-9)


def test_the_first_votes_choose_and_only_the_second_count() -> None:
    assert certificate([0, 3, 97], [0, 1000, 0], 0.001, 0.5) == (ABSTAIN, 0.0)
    assert certificate([0, 97, 3], [0, 1000, 0], 0.001, 0.5)[0] == 1
    assert certificate([5, 5, 0], [1000, 0, 0], 0.001, 0.5)[0] == 0


def test_a_bound_below_one_half_abstains() -> None:
    exact = next(hits for hits in range(500, 1000) if lower_bound(hits, 1000, 0.001) >= 0.5)
    assert certificate([9, 1], [exact - 1, 1001 - exact], 0.001, 0.5) == (ABSTAIN, 0.0)
    found, radius = certificate([9, 1], [exact, 1000 - exact], 0.001, 0.5)
    assert found == 0
    assert 0 <= radius < 0.005


def test_radii_grow_with_votes_and_hits_and_fall_with_caution() -> None:
    def radius(hits: int, total: int, alpha: float) -> float:
        return certificate([9, 1], [hits, total - hits], alpha, 0.25)[1]

    assert radius(900, 1000, 0.001) < radius(950, 1000, 0.001) < radius(9500, 10_000, 0.001)
    assert radius(900, 1000, 0.001) < radius(900, 1000, 0.05)


def test_wrong_certificates_are_as_rare_as_promised() -> None:
    # The true probability is p: a bound above it is wrong.
    rng, p, alpha = np.random.default_rng(0), 0.8, 0.1
    wrong = np.mean([lower_bound(int(hits), 200, alpha) > p for hits in rng.binomial(200, p, 3000)])
    assert 0.05 < wrong < 0.12


def test_a_prediction_wants_the_first_two_classes_apart() -> None:
    # Of 10 votes 9 are as unlikely as 22 of 1,024, counted from both sides.
    assert prediction([0, 9, 1], 22 / 1024 + 1e-9) == 1
    assert prediction([0, 9, 1], 22 / 1024 - 1e-9) == ABSTAIN
    assert prediction([5, 5, 0], 0.5) == ABSTAIN
    assert prediction([0, 0, 100], 0.001) == 2


def test_certified_accuracy_counts_the_right_ones_that_reach_a_radius() -> None:
    radii, right = [0.0, 0.3, 0.5, 0.9], [False, True, False, True]
    np.testing.assert_allclose(certified_accuracy(radii, right, [0, 0.3, 0.4, 0.9, 1]), [0.5, 0.5, 0.25, 0.25, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1, 2], 0.0, 0.5), r"alpha must be in \(0, 1\): the chance that a certificate is wrong, got 0.0"),
        (([1, 2], [1, 2], 1.0, 0.5), r"alpha must be in \(0, 1\)"),
        (([1, 2], [1, 2], 0.1, 0.0), "sigma must be a number above 0, got 0.0"),
        (([1, 2], [1, 2, 3], 0.1, 0.5), "counts must be of the same classes, got 2 and 3"),
        (([1], [1], 0.1, 0.5), "counts_select must be .* for 2 classes or more"),
        (([1, 2], [0, 0], 0.1, 0.5), "counts_estimate must be .* not all 0, got"),
        (([1, 2], [0.5, 1.5], 0.1, 0.5), "counts_estimate must be .* whole numbers"),
        (([1, 2], [-1, 3], 0.1, 0.5), "counts_estimate must be .* from 0 up"),
    ],
)
def test_counts_that_cannot_be_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        certificate(*arguments)


@pytest.mark.parametrize(
    ("skip", "num_images", "expected"),
    [
        (1, None, list(range(23))),
        (20, None, [0, 20]),
        (5, None, [0, 5, 10, 15, 20]),
        (1, 4, [0, 5, 11, 17]),
        (5, 2, [0, 10]),
        (5, 9, [0, 5, 10, 15, 20]),
        (100, 3, [0]),
    ],
)
def test_images_are_every_so_many_th_or_evenly_spread(skip: int, num_images: int | None, expected: list[int]) -> None:
    assert choose_images(23, skip, num_images).tolist() == expected


# Votes.


class Halves(nn.Module):
    """Two classes, on the two sides of a plane: (N, 3, 4, 4) -> (N, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.normal = nn.Parameter(torch.randn(48, generator=seeded(2)))

    def forward(self, images: Tensor) -> Tensor:
        side = (images - 0.5).flatten(1) @ self.normal
        return torch.stack([side, -side], dim=1)

    @torch.no_grad()
    def distance(self, image: Tensor) -> float:
        return float(((image - 0.5).flatten() @ self.normal).abs() / self.normal.norm())


def voters(**changes: Any) -> Voters:
    settings: dict[str, Any] = {"num_classes": 2, "sigma": 0.25, "seed": 0, "batch_size": 200, "precision": "float32"}
    return Voters(Halves(), **(settings | changes))


def test_a_linear_classifier_is_certified_nearly_to_its_boundary_and_never_beyond() -> None:
    # Its smoothed form is itself, so that each image's true radius is its distance from the plane.
    asked, images = voters(), torch.rand(40, 3, 4, 4, generator=seeded(5))
    network, shares = Halves(), []
    for index, image in enumerate(images):
        select, estimate = (asked.count(image, index, name, n, Stop()) for name, n in (("a", 100), ("b", 20_000)))
        found, radius = certificate(select, estimate, 0.001, 0.25)
        assert radius <= network.distance(image)
        if 0.1 < network.distance(image) < 0.6:
            with torch.no_grad():
                assert found == int(network(image[None]).argmax())
            shares.append(radius / network.distance(image))
    assert len(shares) > 5
    assert min(shares) > 0.8


@pytest.mark.parametrize("batch_size", [1, 70, 100, 250, 5000])
def test_votes_do_not_depend_on_how_many_copies_pass_at_once(batch_size: int) -> None:
    image, num = torch.full((3, 4, 4), 0.5), 2 * BLOCK + 30
    expected = voters().count(image, 7, "estimate", num, Stop())
    assert expected.sum() == num
    assert min(expected) > 50
    found = voters(batch_size=batch_size).count(image, 7, "estimate", num, Stop())
    assert found.tolist() == expected.tolist()


def test_votes_follow_from_seed_index_and_purpose_alone() -> None:
    image, asked = torch.full((3, 4, 4), 0.5), voters()
    before = torch.get_rng_state()

    def count(asked: Voters, index: int, purpose: str) -> list[int]:
        return asked.count(image, index, purpose, 1000, Stop()).tolist()

    first = count(asked, 3, "estimate")
    others = [count(asked, 4, "estimate"), count(asked, 3, "select"), count(voters(seed=1), 3, "estimate")]
    assert count(asked, 3, "estimate") == first
    assert first not in others
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_is_normal_and_new_in_every_block() -> None:
    (noise,) = voters(batch_size=BLOCK * 40)._noise(torch.zeros(3, 4, 4), 0, "estimate", BLOCK * 40)
    assert float(noise.std()) == pytest.approx(0.25, rel=0.01)
    blocks = noise.split(BLOCK)
    assert not any(torch.equal(blocks[0], block) for block in blocks[1:])


def test_asking_to_stop_is_heard_between_batches() -> None:
    stop = Stop()
    stop.requested = True
    with pytest.raises(Stopped):
        voters().count(torch.zeros(3, 4, 4), 0, "estimate", 10, stop)


def test_sure_images_of_a_wide_margin_get_the_largest_radius() -> None:
    image = (0.5 + 10 * Halves().normal.detach()).reshape(3, 4, 4)
    votes = voters().count(image, 0, "estimate", 1000, Stop())
    assert votes.tolist() == [1000, 0]
    assert certificate(votes, votes, 0.001, 0.25)[1] == largest_radius(1000, 0.001, 0.25)
    assert math.isclose(largest_radius(1000, 0.001, 0.5), 2 * largest_radius(1000, 0.001, 0.25))
