"""The draws follow their laws, in every world."""

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from mixdali import Choose, CutMix, Mix, MixUp, Plan
from tests.helpers.drawn import (
    DRAW,
    HEIGHT,
    LEVEL,
    WIDTH,
    assert_same_law,
    assert_share,
    covered,
    draws,
    sides_and_start,
)
from tests.helpers.references import boxes


@pytest.fixture(params=DRAW)
def world(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("alpha", [0.2, 1.0, 2.5])
def test_mixup_lam_is_beta_distributed(world: str, alpha: float) -> None:
    assert_beta(draws(world, MixUp(alpha=alpha)), alpha)


def assert_beta(drawn: Plan, alpha: float) -> None:
    lam = drawn.lam.ravel()
    assert stats.kstest(lam, stats.beta(alpha, alpha).cdf).pvalue > LEVEL
    assert len(np.unique(lam)) > 0.9 * len(lam)


def test_a_tiny_alpha_gives_coin_flips_and_never_nan(world: str) -> None:
    assert_coin_flips(draws(world, MixUp(alpha=1e-3)))


def assert_coin_flips(drawn: Plan) -> None:
    lam = drawn.lam.ravel()
    assert ((lam < 1e-6) | (lam > 1 - 1e-6)).mean() > 0.95
    assert stats.binomtest(int((lam > 0.5).sum()), len(lam)).pvalue > LEVEL


@pytest.mark.parametrize("mix", [MixUp(prob=0.3), CutMix(alpha=8.0, prob=0.3), Choose([MixUp(), MixUp()], prob=0.3)])
def test_prob_is_the_share_of_mixed_images(world: str, mix: Mix) -> None:
    assert_share_mixed(draws(world, mix), 0.3)


def assert_share_mixed(drawn: Plan, prob: float) -> None:
    mixed = (drawn.lam != 1).ravel()
    assert_share(mixed, prob)


def test_prob_per_batch_mixes_all_or_nobody(world: str) -> None:
    lam = draws(world, MixUp(prob=0.5, per="batch"), batches=100, number=4).lam
    assert (lam == lam[:, :1]).all()
    assert stats.binomtest(int((lam[:, 0] != 1).sum()), 100, 0.5).pvalue > LEVEL
    assert stats.kstest(lam[lam[:, 0] != 1, 0], "uniform").pvalue > LEVEL


def test_per_batch_shares_every_draw_but_the_partner(world: str) -> None:
    assert_shared(draws(world, CutMix(per="batch"), batches=20))


def assert_shared(drawn: Plan) -> None:
    assert (drawn.lam == drawn.lam[:, :1]).all()
    assert (drawn.box == drawn.box[:, :1]).all()
    assert len(np.unique(drawn.lam[:, 0])) > 10


@pytest.mark.parametrize("number", [4, 5])
def test_per_pair_gives_both_of_a_pair_the_same_draws(world: str, number: int) -> None:
    drawn = draws(world, CutMix(per="pair", partner="flip"), batches=60, number=number)
    assert (drawn.partner == np.arange(number)[::-1]).all()
    assert (drawn.lam == drawn.lam[:, ::-1]).all()
    assert (drawn.box == drawn.box[:, ::-1]).all()
    assert abs(np.corrcoef(drawn.lam[:, 0], drawn.lam[:, 1])[0, 1]) < 4 / np.sqrt(60)


def test_images_of_a_batch_are_drawn_independently(world: str) -> None:
    assert_independent(draws(world, CutMix(alpha=1.0), batches=200, number=8))


def assert_independent(drawn: Plan) -> None:
    quantities = (drawn.lam, drawn.box[..., 0] + drawn.box[..., 2], drawn.box[..., 1] + drawn.box[..., 3])
    for values in quantities:
        correlation = np.corrcoef(values.T)[np.triu_indices(8, 1)]
        assert np.abs(correlation).max() < 4.5 / np.sqrt(200)
        between_batches = np.corrcoef(values[:-1].ravel(), values[1:].ravel())[0, 1]
        assert abs(between_batches) < 4 / np.sqrt(1592)


def test_cutmix_boxes_follow_the_official_law(world: str) -> None:
    """The law of the effective lam and of the boxes' borders, against the authors' rule drawn with numpy."""
    assert_official_boxes(draws(world, CutMix()))


def assert_official_boxes(drawn: Plan) -> None:
    rng = np.random.default_rng(0)
    official = np.array(
        [
            boxes.cutmix_box(rng.beta(1, 1), rng.integers(HEIGHT), rng.integers(WIDTH), HEIGHT, WIDTH)
            for _ in range(20_000)
        ]
    )
    found = drawn.box.reshape(-1, 4)
    assert_same_law(sides_and_start(found), sides_and_start(official))
    area = (found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1])
    np.testing.assert_allclose(drawn.lam.ravel(), 1 - area / (HEIGHT * WIDTH), atol=1e-6)


def test_cutmix_reaches_every_pixel(world: str) -> None:
    found = draws(world, CutMix()).box.reshape(-1, 4)
    assert covered(found).min() > 0.05 * len(found)


def test_a_cycle_leaves_nobody_with_himself_and_is_one_cycle(world: str) -> None:
    assert_one_cycle(draws(world, MixUp()))


def assert_one_cycle(drawn: Plan) -> None:
    for row in drawn.partner:
        seen, at = [], 0
        for _ in row:
            seen.append(at)
            at = int(row[at])
        assert at == 0
        assert sorted(seen) == list(range(len(row)))


@pytest.mark.parametrize(("rule", "kinds"), [("cycle", 6), ("permutation", 24)])
def test_every_partner_rule_draws_its_permutations_evenly(world: str, rule: str, kinds: int) -> None:
    partners = draws(world, MixUp(partner=rule), batches=600, number=4).partner
    counts = Counter(map(tuple, partners.tolist()))
    assert len(counts) == kinds
    assert stats.chisquare(list(counts.values())).pvalue > LEVEL


@pytest.mark.parametrize(("rule", "expected"), [("flip", [4, 3, 2, 1, 0]), ("roll", [4, 0, 1, 2, 3])])
def test_flip_and_roll_are_those_of_timm_and_torchvision(world: str, rule: str, expected: list[int]) -> None:
    assert draws(world, MixUp(partner=rule), batches=2, number=5).partner.tolist() == [expected, expected]


def test_choose_picks_by_weight_and_each_member_keeps_its_law(world: str) -> None:
    drawn = draws(world, Choose([MixUp(alpha=0.5), CutMix()], weights=[1, 3]))
    assert_members_keep_their_laws(drawn, draws(world, CutMix()))


def assert_members_keep_their_laws(drawn: Plan, cutmix: Plan) -> None:
    whole = (drawn.box == [0, 0, HEIGHT, WIDTH]).all(-1)
    is_mixup = whole & (drawn.weight == drawn.lam)
    assert stats.binomtest(int(is_mixup.sum()), is_mixup.size, 0.25).pvalue > LEVEL
    assert stats.kstest(drawn.lam[is_mixup], stats.beta(0.5, 0.5).cdf).pvalue > LEVEL
    assert (drawn.weight[~is_mixup] == 0).all()
    assert stats.ks_2samp(drawn.lam[~is_mixup], cutmix.lam.ravel()).pvalue > LEVEL


def test_choose_per_batch_gives_the_whole_batch_one_method(world: str) -> None:
    weight = draws(world, Choose([MixUp(), CutMix()], per="batch"), batches=60, number=4).weight
    is_cutmix = weight == 0
    assert (is_cutmix == is_cutmix[:, :1]).all()
    assert stats.binomtest(int(is_cutmix[:, 0].sum()), 60, 0.5).pvalue > LEVEL


def test_a_weight_of_zero_is_never_picked(world: str) -> None:
    assert (draws(world, Choose([MixUp(), CutMix()], weights=[1, 0])).weight > 0).all()
