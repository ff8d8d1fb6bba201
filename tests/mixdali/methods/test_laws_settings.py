"""Settings that every method has, and laws of lam, hold in every world."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mixdali import (
    Choose,
    CutMix,
    CutMixMinMax,
    Cutout,
    DirichletMixUp,
    Fixed,
    FMix,
    GMix,
    GridMix,
    HMix,
    Mix,
    MixUp,
    Mosaic,
    Noisy,
    Plan,
    Ramp,
    RandomErasing,
    ResizeMix,
    SmoothMix,
    epoch_counter,
)
from tests.helpers.drawn import DRAW, HEIGHT, LEVEL, WIDTH, assert_even, assert_law, assert_share, draws
from tests.helpers.worlds import graph_batches

# Each method so set that whoever is mixed can be told from who is not.
VISIBLE: dict[str, Mix] = {
    "mixup": MixUp(),
    "cutmix": CutMix(alpha=Fixed(0.5)),
    "cutmix-inside": CutMix(alpha=Fixed(0.5), inside=True),
    "minmax": CutMixMinMax(minmax=(0.3, 0.8)),
    "resizemix": ResizeMix(scope=(0.5, 0.8)),
    "hmix": HMix(alpha=Fixed(0.5)),
    "gridmix": GridMix(cells=(2, 3)),
    "smoothmix": SmoothMix(),
    "gmix": GMix(alpha=4.0),
    "fmix": FMix(alpha=Fixed(0.4)),
    "mosaic": Mosaic(alpha=Fixed(0.5)),
    "dirichlet": DirichletMixUp(),
    "choose": Choose([MixUp(), CutMix(alpha=Fixed(0.5)), SmoothMix()]),
    "cutout": Cutout(length=6),
    "erasing": RandomErasing(area=(0.2, 0.4)),
}


@pytest.fixture(params=DRAW)
def world(request: pytest.FixtureRequest) -> str:
    return request.param


def mixed(drawn: Plan) -> np.ndarray:
    """(B, N) who is."""
    if drawn.partner is None:
        return (drawn.box[..., 2:] > drawn.box[..., :2]).all(-1)
    return drawn.lam != 1


@pytest.mark.parametrize("method", VISIBLE)
def test_prob_is_the_share_of_images_that_are_mixed(world: str, method: str) -> None:
    assert_share(mixed(draws(world, replace(VISIBLE[method], prob=0.3), 2, 300)), 0.3)
    assert mixed(draws(world, replace(VISIBLE[method], prob=1), 1, 40)).all()
    assert not mixed(draws(world, replace(VISIBLE[method], prob=0), 1, 40)).any()


def every_image_alike(value: np.ndarray) -> bool:
    return bool((value == value[:, :1]).all())


def pairs_alike(value: np.ndarray) -> bool:
    return bool((value == value[:, ::-1]).all())


@pytest.mark.parametrize(("per", "alike"), [("batch", every_image_alike), ("pair", pairs_alike)])
@pytest.mark.parametrize("method", [name for name in VISIBLE if name != "choose"])
def test_all_draws_but_the_partner_are_shared(
    world: str, method: str, per: str, alike: Callable[[np.ndarray], bool]
) -> None:
    mix = replace(VISIBLE[method], prob=0.5, per=per)
    drawn = draws(world, mix, 10, 5)
    parts = {name: value for name, value in drawn.parts().items() if "partner" not in name}
    assert all(alike(value) for value in parts.values())
    assert len(np.unique(mixed(drawn)[:, 0])) == 2
    if per == "pair":
        assert not all(every_image_alike(value) for value in parts.values())


def test_lam_is_beta_of_two_numbers(world: str) -> None:
    for mix in (MixUp(alpha=(2.0, 5.0)), HMix(alpha=(2.0, 5.0))):
        assert_law(draws(world, mix, 2, 500).lam, stats.beta(2, 5))
    assert_law(draws(world, MixUp(alpha=(5.0, 0.5)), 2, 500).lam, stats.beta(5, 0.5))


def test_a_fixed_lam_is_the_same_for_every_image(world: str) -> None:
    for lam in (0.0, 0.3, 1.0):
        assert (draws(world, MixUp(alpha=Fixed(lam)), 2, 20).lam == np.float32(lam)).all()
    assert_share(draws(world, MixUp(alpha=Fixed(0.3), prob=0.6), 2, 300).lam == np.float32(0.3), 0.6)


RAMP = Ramp([(0, 0.2), (100, 1.0), (101, 4.0)])


@pytest.mark.parametrize(("epoch", "alpha"), [(0, 0.2), (25, 0.4), (100, 1.0), (100.5, 2.5), (101, 4.0), (1000, 4.0)])
def test_alpha_moves_with_the_epoch(world: str, epoch: float, alpha: float) -> None:
    assert_law(draws(world, MixUp(alpha=RAMP), 2, 500, epoch=epoch).lam, stats.beta(alpha, alpha))


@pytest.mark.parametrize(("epoch", "prob"), [(0, 0.1), (5, 0.5), (10, 0.9), (99, 0.9)])
def test_prob_moves_with_the_epoch(world: str, epoch: float, prob: float) -> None:
    for mix in (MixUp(), SmoothMix(), Choose([MixUp(), MixUp(alpha=4.0)])):
        moving = replace(mix, prob=Ramp([(0, 0.1), (10, 0.9)]))
        assert_share(mixed(draws(world, moving, 2, 300, epoch=epoch)), prob)


@pytest.mark.parametrize("method", VISIBLE)
def test_mixing_starts_and_stops_with_its_epochs(world: str, method: str) -> None:
    mix = replace(VISIBLE[method], prob=1, start_epoch=2, stop_epoch=4)
    shares = [mixed(draws(world, mix, 1, 20, epoch=epoch)).mean() for epoch in (0, 1, 2, 3, 4, 9)]
    assert shares == [0, 0, 1, 1, 0, 0]


def test_members_of_a_choice_start_and_stop_on_their_own(world: str) -> None:
    mix = Choose([MixUp(stop_epoch=1), SmoothMix(start_epoch=1)])
    for epoch, alone in ((0, 0), (1, 1)):
        drawn = draws(world, mix, 2, 300, epoch=epoch)
        assert_share(mixed(drawn), 0.5)
        assert (drawn.method[mixed(drawn)] == alone).all()


def test_noise_starts_and_stops_with_its_epochs(world: str) -> None:
    mix = Noisy(MixUp(), start_epoch=1, stop_epoch=2)
    for epoch, noisy in ((0, False), (1, True), (2, False)):
        drawn = draws(world, mix, 1, 20, epoch=epoch)
        assert ((drawn.noise != 0).any() and (drawn.scale != 1).any()) == noisy
        assert (drawn.lam != 1).all()


def test_a_graph_counts_its_epochs() -> None:
    def lams(mix: Mix, counter: Callable[[], Any], batches: int) -> list[float]:
        images, targets = np.zeros((4, HEIGHT, WIDTH, 1), np.uint8), np.eye(4, dtype=np.float32)
        stream = graph_batches(mix, images, targets, epoch=counter)
        return [float(next(stream).plan.lam[0]) for _ in range(batches)]

    mix = MixUp(alpha=Fixed(0.25), start_epoch=1, stop_epoch=3)
    expected = [1] * 3 + [0.25] * 6 + [1] * 3
    assert lams(mix, lambda: epoch_counter(batches=3), 12) == expected
    assert lams(mix, lambda: epoch_counter(batches=3, first=1), 9) == expected[3:]


LABELS = (0, 0, 0, 1, 1, 2)


@pytest.mark.parametrize("rule", ["same_class", "other_class"])
def test_partners_by_class_are_each_as_likely_as_any_that_fits(world: str, rule: str) -> None:
    partner = draws(world, MixUp(partner=rule), 300 if world != "dynamic" else 120, 6, labels=LABELS).partner
    for n, label in enumerate(LABELS):
        fits = [m for m in range(6) if m != n and (LABELS[m] == label) == (rule == "same_class")] or [n]
        assert set(partner[:, n]) <= set(fits)
        places = np.array([fits.index(m) for m in partner[:, n]])
        if len(fits) > 1:
            assert_even(places, len(fits))


def test_partners_by_class_are_drawn_for_each_image_apart_also_when_lam_is_not(world: str) -> None:
    drawn = draws(world, MixUp(partner="other_class", per="batch"), 5, 100, labels=tuple(n % 2 for n in range(100)))
    assert every_image_alike(drawn.lam)
    assert min(len(np.unique(row)) for row in drawn.partner) > 40


def test_draws_of_different_names_do_not_depend_on_each_other(world: str) -> None:
    drawn = draws(world, SmoothMix(), 2, 500)
    spot = 1 - drawn.mask.reshape(-1, HEIGHT * WIDTH)
    place = spot.argmax(1)
    width = np.sort(spot, 1)[:, -5]  # a wide spot falls slowly
    rows, columns = place // WIDTH, place % WIDTH
    partner = drawn.partner.ravel()
    inner = (rows > 0) & (rows < HEIGHT - 1) & (columns > 0) & (columns < WIDTH - 1)
    for one, other in ((rows, columns), (rows, width), (columns, width), (partner, rows), (partner, width)):
        assert stats.spearmanr(one[inner], other[inner]).pvalue > LEVEL
