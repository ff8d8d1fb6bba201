"""The draws of the methods with a mask or with several partners follow their laws, in every world."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from mixdali import DirichletMixUp, Fixed, FMix, GMix, GridMix, Mix, Mosaic, Plan, SmoothMix
from tests.helpers.drawn import (
    DRAW,
    HEIGHT,
    LEVEL,
    WIDTH,
    assert_even,
    assert_law,
    assert_same_law,
    assert_share,
    draws,
)
from tests.helpers.references import masks

PIXELS = HEIGHT * WIDTH
BATCHES, NUMBER = 5, 400


@pytest.fixture(params=DRAW)
def world(request: pytest.FixtureRequest) -> str:
    return request.param


def drawn_masks(world: str, mix: Mix) -> tuple[np.ndarray, np.ndarray]:
    """(n, H, W) the own pixels' weights, (n,) the target's."""
    drawn = draws(world, mix, BATCHES, NUMBER)
    return drawn.mask.reshape(-1, HEIGHT, WIDTH).astype(np.float64), drawn.lam.ravel()


@pytest.mark.parametrize("mix", [GridMix(), SmoothMix(), GMix(), FMix(), FMix(as_published=True)])
def test_the_target_is_weighed_by_the_mask(world: str, mix: Mix) -> None:
    mask, lam = drawn_masks(world, mix)
    np.testing.assert_allclose(mask.mean((1, 2)), lam, atol=1e-6)


def test_gridmix_draws_its_masks_as_its_code_does(world: str) -> None:
    mask, _ = drawn_masks(world, GridMix())
    rng = np.random.default_rng(0)
    theirs = 1 - np.array(
        [
            masks.grid_holes(
                rng.beta(1, 1),
                rng.integers(2, 7),
                rng.uniform(0.5, 1),
                rng.uniform(0.5, 2),
                rng.random(),
                rng.random(),
                (HEIGHT, WIDTH),
            )
            for _ in range(5000)
        ]
    )
    assert set(np.unique(mask)) == {0, 1}
    numbers = [np.rint((1 - m.mean((1, 2))) * PIXELS).astype(int) for m in (mask, theirs)]
    assert_same_law(*(np.column_stack([number, number]) for number in numbers))
    spread = np.sqrt(theirs.var(0) * (1 / len(mask) + 1 / len(theirs)))
    assert (np.abs(mask.mean(0) - theirs.mean(0)) <= 4.5 * spread).all()


def spots(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of Gaussian spots (n, H, W) the centre pixel's number, and the squared distance over the logarithm elsewhere."""
    place = mask.reshape(len(mask), -1).argmax(1)
    rows, columns = place // WIDTH, place % WIDTH
    np.testing.assert_allclose(mask.reshape(len(mask), -1).max(1), 1, atol=1e-6)
    beside = np.where(columns > 0, columns - 1, columns + 1)
    fall = -np.log(mask[np.arange(len(mask)), rows, beside])
    return place, 1 / fall


def test_smoothmix_has_a_spot_around_any_pixel_of_any_width(world: str) -> None:
    mask, _ = drawn_masks(world, SmoothMix())
    rows, columns = (np.log((1 - mask).sum(axis)) for axis in (2, 1))
    (row, width), (column, same) = bell(rows), bell(columns)
    # The centre is the upper left corner of a pixel.
    assert_even(np.rint((row + 0.5) * WIDTH + column + 0.5).astype(int), PIXELS)
    np.testing.assert_allclose(row + 0.5, np.rint(row + 0.5), atol=0.2)
    np.testing.assert_allclose(column + 0.5, np.rint(column + 0.5), atol=0.2)
    np.testing.assert_allclose(width, same, rtol=0.1)
    assert_law(width / HEIGHT, stats.uniform(0.25, 0.25))


def bell(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the logarithms of Gaussians along an axis (n, length), up to a constant: centre and width, in pixels."""
    slopes = np.diff(logs, axis=1)
    variance = -1 / np.diff(slopes, axis=1).mean(1)
    return variance * slopes[:, 0] + 0.5, np.sqrt(variance)


def test_gmix_shows_the_smaller_share_through_a_spot_of_its_area(world: str) -> None:
    mask, _ = drawn_masks(world, GMix(alpha=2.0))
    own_is_smaller = mask.max((1, 2)) == 1
    own_is_smaller &= mask.mean((1, 2)) < 0.5
    assert_share(own_is_smaller, 0.5)
    place, per_log = spots(np.where(own_is_smaller[:, None, None], mask, 1 - mask))
    assert_even(place, PIXELS)
    share = per_log * np.pi / PIXELS
    lam = np.where(own_is_smaller, share, 1 - share)
    assert_law(lam, stats.beta(2, 2))


def test_fmix_masks_have_the_drawn_share_rounded_either_way(world: str) -> None:
    mask, _ = drawn_masks(world, FMix(alpha=Fixed(20.3 / PIXELS)))
    assert set(np.unique(mask)) == {0, 1}
    number = mask.sum((1, 2))
    assert set(number) == {20, 21}
    assert_share(number == 21, 0.5)


def test_fmix_draws_lam_and_any_pixel_may_be_ones_own(world: str) -> None:
    mask, lam = drawn_masks(world, FMix())
    # spread over the step that rounding makes
    assert_law(np.clip(lam + np.random.default_rng(0).uniform(-1, 1, len(lam)) / PIXELS, 0, 1), stats.uniform)
    assert (np.abs(mask.mean(0) - 0.5) < 4.5 * np.sqrt(0.25 / len(mask))).all()
    assert len(np.unique(mask.reshape(len(mask), -1), axis=0)) > 0.9 * len(mask)


def test_fmix_without_correction_gives_the_target_the_drawn_lam(world: str) -> None:
    mask, lam = drawn_masks(world, FMix(alpha=0.5, correct_lam=False))
    assert_law(lam, stats.beta(0.5, 0.5))
    assert (np.abs(mask.mean((1, 2)) - lam) < 1 / PIXELS + 1e-6).all()


def clouds(mix: FMix, size: int, seed: int) -> np.ndarray:
    return mix.clouds(size, size, mix.spectrum(size, size, seed / 2**24))


def test_clouds_are_alike_in_all_directions_unless_as_published() -> None:
    assert_alike_in_all_directions(FMix())
    published = FMix(as_published=True)
    power = np.mean([np.abs(np.fft.fft2(clouds(published, 16, seed))) ** 2 for seed in range(50)], 0)
    assert power[:, 2:-1].sum() < 1e-20 * power.sum()


def assert_alike_in_all_directions(mix: FMix) -> None:
    """Waves straight down have the energy that those straight across have."""
    found = []
    for seed in range(400):
        power = np.abs(np.fft.fft2(clouds(mix, 16, seed))) ** 2
        power[0, 0] = 0
        found.append([power[1:, 0].sum() / power.sum(), power[0, 1:].sum() / power.sum()])
    down, across = np.transpose(found)
    assert stats.ttest_rel(down, across).pvalue > LEVEL
    assert stats.ks_2samp(down, across).pvalue > LEVEL


def test_clouds_fall_off_with_the_frequency() -> None:
    for decay in (1.0, 3.0):
        power = np.mean([np.abs(np.fft.fft2(clouds(FMix(decay_power=decay), 32, seed))) ** 2 for seed in range(300)], 0)
        slope = np.polyfit(np.log(np.arange(1, 12)), np.log(power[1:12, 3]), 1)[0]
        frequency = np.log(np.sqrt(np.arange(1, 12) ** 2 + 9))
        expected = np.polyfit(np.log(np.arange(1, 12)), -2 * decay * frequency, 1)[0]
        assert slope == pytest.approx(expected, abs=0.15)


def parts_of(drawn: Plan) -> tuple[np.ndarray, np.ndarray]:
    """A mosaic's fields and what is shown there: (4, n, 4) boxes each, own, right, below, across."""
    right, below, across, own = drawn, *drawn.more
    fields = [own.box, right.box, below.box, across.box]
    regions = [own.region, right.region, below.region, across.region]
    return tuple(np.stack([box.reshape(-1, 4) for box in found]) for found in (fields, regions))


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_mosaic_fields_meet_at_a_point_of_the_law(world: str, alpha: float) -> None:
    drawn = draws(world, Mosaic(alpha=alpha), BATCHES, NUMBER)
    (own, right, below, across), _ = parts_of(drawn)
    point = own[:, 2:]
    rng = np.random.default_rng(0)
    law = np.floor(rng.beta(alpha, alpha, (20_000, 2)) * [HEIGHT, WIDTH] + 0.5).astype(int)
    assert_same_law(point, law)
    zero, height, width = np.zeros(len(own), int), np.full(len(own), HEIGHT), np.full(len(own), WIDTH)
    y, x = point.T
    for box, corners in (
        (own, (zero, zero, y, x)),
        (right, (zero, x, y, width)),
        (below, (y, zero, height, x)),
        (across, (y, x, height, width)),
    ):
        assert (box == np.stack(corners, 1)).all()


def test_mosaic_targets_are_shared_by_area(world: str) -> None:
    drawn = draws(world, Mosaic(), BATCHES, NUMBER)
    fields, _ = parts_of(drawn)
    areas = (fields[..., 2] - fields[..., 0]) * (fields[..., 3] - fields[..., 1]) / PIXELS
    own, right, below, across = areas
    shares = [layer.share.ravel() for layer in drawn.more]
    np.testing.assert_allclose(drawn.lam.ravel(), own, atol=1e-6)
    np.testing.assert_allclose(shares, [below, across, np.zeros(len(own))], atol=1e-6)
    np.testing.assert_allclose(1 - drawn.lam.ravel() - sum(shares), right, atol=1e-6)


def test_mosaic_shows_parts_of_the_fields_size_from_anywhere(world: str) -> None:
    fields, regions = parts_of(draws(world, Mosaic(alpha=2.0), BATCHES, NUMBER))
    sides = fields[..., 2:] - fields[..., :2]
    assert (regions[..., 2:] - regions[..., :2] == sides).all()
    assert regions.min() >= 0
    assert (regions[..., 2:] <= [HEIGHT, WIDTH]).all()
    # a whole number from 0 to n, each as likely, plus U(0, 1) is U(0, n + 1)
    spread = regions[..., :2] + np.random.default_rng(0).random(sides.shape)
    for places in spread / ([HEIGHT + 1, WIDTH + 1] - sides):
        assert_law(places[:, 0], stats.uniform)
        assert_law(places[:, 1], stats.uniform)


def weights_of(drawn: Plan) -> np.ndarray:
    """(n, k) the weights that pixels get, the own image's first."""
    left, weights = np.ones(drawn.lam.size), []
    for layer in (*reversed(drawn.more), drawn):
        weights.append(left * (1 - layer.weight.ravel().astype(np.float64)))
        left = left * layer.weight.ravel()
    return np.column_stack([left, *reversed(weights)])


@pytest.mark.parametrize(("number", "alpha"), [(3, 1.0), (3, 0.4), (5, 2.0)])
def test_dirichlet_weights_have_the_marginals_and_the_symmetry_of_their_law(
    world: str, number: int, alpha: float
) -> None:
    drawn = draws(world, DirichletMixUp(num_images=number, alpha=alpha), BATCHES, NUMBER)
    weights = weights_of(drawn)
    for weight in weights.T:
        assert_law(weight, stats.beta(alpha, (number - 1) * alpha))
    orders = {order: i for i, order in enumerate(permutations(range(3)))}
    assert_even(np.array([orders[tuple(row)] for row in weights[:, :3].argsort(1)]), 6)
    # the sum of two is Beta distributed too, which weights that were drawn apart and then divided are not
    assert_law(weights[:, 0] + weights[:, -1], stats.beta(2 * alpha, (number - 2) * alpha))


def test_dirichlet_targets_are_weighed_as_the_pixels_are(world: str) -> None:
    drawn = draws(world, DirichletMixUp(num_images=5, alpha=2.0), BATCHES, NUMBER)
    weights = weights_of(drawn)
    np.testing.assert_allclose(drawn.lam.ravel(), weights[:, 0], atol=1e-6)
    shares = [layer.share.ravel() for layer in drawn.more]
    np.testing.assert_allclose(np.column_stack(shares), weights[:, 2:], atol=1e-6)


@pytest.mark.parametrize("mix", [DirichletMixUp(num_images=4), Mosaic()])
def test_the_partners_of_a_cycle_are_all_different(world: str, mix: Mix) -> None:
    drawn = draws(world, mix, BATCHES, NUMBER)
    layers = [layer for layer in drawn.more if layer.partner is not None]
    everybody = np.stack([np.broadcast_to(np.arange(NUMBER), drawn.partner.shape), drawn.partner])
    everybody = np.concatenate([everybody, [layer.partner for layer in layers]])
    assert len(everybody) == 4
    for one in range(4):
        for other in range(one):
            assert (everybody[one] != everybody[other]).all()


@pytest.mark.parametrize("rule", ["permutation", "same_class", "other_class"])
def test_further_partners_of_other_rules_are_drawn_anew(world: str, rule: str) -> None:
    labels = tuple(n % 2 for n in range(40))
    drawn = draws(world, DirichletMixUp(partner=rule), 10, 40, labels=labels)
    second = drawn.more[0].partner
    followed = np.take_along_axis(drawn.partner, drawn.partner, 1)
    assert (second == drawn.partner).mean() < 0.2
    assert (second == followed).mean() < 0.2
