"""The draws of the methods with a box, of erasing and of noise follow their laws, in every world."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import v2

from mixdali import CutMix, CutMixMinMax, Cutout, HMix, Mix, MixUp, Noisy, RandomErasing, ResizeMix
from tests.helpers.drawn import (
    DRAW,
    HEIGHT,
    LEVEL,
    WIDTH,
    assert_even,
    assert_law,
    assert_same_law,
    assert_share,
    covered,
    draws,
    sides_and_start,
)
from tests.helpers.references import boxes, pixels

PIXELS = HEIGHT * WIDTH
BATCHES, NUMBER = 5, 400


@pytest.fixture(params=DRAW)
def world(request: pytest.FixtureRequest) -> str:
    return request.param


def drawn_boxes(world: str, mix: Mix) -> np.ndarray:
    return draws(world, mix, BATCHES, NUMBER).box.reshape(-1, 4)


def shares(found: np.ndarray) -> np.ndarray:
    height, width, *_ = sides_and_start(found).T
    return height * width / PIXELS


def assert_law_of(found: np.ndarray, draw_one: Callable[[np.random.Generator], boxes.Box]) -> None:
    """Boxes (n, 4) against a straight-line law with a generator of numpy's."""
    rng = np.random.default_rng(0)
    theirs = np.array([draw_one(rng) for _ in range(10_000)])
    assert_same_law(sides_and_start(found), sides_and_start(theirs))


def test_a_cutmix_box_that_stays_inside_is_anywhere_that_holds_it(world: str) -> None:
    drawn = draws(world, CutMix(inside=True), BATCHES, NUMBER)
    found = drawn.box.reshape(-1, 4)
    assert_law_of(found, lambda rng: boxes.cutmix_inside_box(rng.random(), rng.random(), rng.random(), HEIGHT, WIDTH))
    assert found.min() >= 0
    assert (found[:, 2:] <= [HEIGHT, WIDTH]).all()
    np.testing.assert_allclose(drawn.lam.ravel(), 1 - shares(found), atol=1e-6)


def test_cutmix_without_correction_gives_the_target_the_drawn_lam(world: str) -> None:
    drawn = draws(world, CutMix(alpha=(2.0, 3.0), correct_lam=False), BATCHES, NUMBER)
    assert_law(drawn.lam, stats.beta(2, 3))
    height, width = (drawn.box[..., 2:] - drawn.box[..., :2]).reshape(-1, 2).T
    assert (height * width / PIXELS <= 1 - drawn.lam.ravel() + 1e-6).all()
    assert (height * width / PIXELS).mean() < (1 - drawn.lam).mean() - 0.1


@pytest.mark.parametrize("minmax", [(0.2, 0.8), (0.5, 0.5)])
def test_minmax_boxes_are_those_of_timm(world: str, minmax: tuple[float, float]) -> None:
    def timm(rng: np.random.Generator) -> boxes.Box:
        def side(size: int) -> int:
            low, high = int(size * minmax[0]), int(size * minmax[1])
            return int(rng.integers(low, high)) if low < high else low

        height, width = side(HEIGHT), side(WIDTH)
        y0, x0 = int(rng.integers(0, HEIGHT - height)), int(rng.integers(0, WIDTH - width))
        return y0, x0, y0 + height, x0 + width

    drawn = draws(world, CutMixMinMax(minmax=minmax), BATCHES, NUMBER)
    assert_law_of(drawn.box.reshape(-1, 4), timm)
    np.testing.assert_allclose(drawn.lam.ravel(), 1 - shares(drawn.box.reshape(-1, 4)), atol=1e-6)


def test_resizemix_shows_the_whole_partner_in_boxes_of_the_law_of_its_code(world: str) -> None:
    drawn = draws(world, ResizeMix(scope=(0.2, 0.9)), BATCHES, NUMBER)
    assert_law_of(
        drawn.box.reshape(-1, 4),
        lambda rng: boxes.resizemix_box(
            rng.uniform(0.2, 0.9), rng.integers(HEIGHT), rng.integers(WIDTH), HEIGHT, WIDTH
        ),
    )
    assert (drawn.region == [0, 0, HEIGHT, WIDTH]).all()
    np.testing.assert_allclose(drawn.lam.ravel(), 1 - shares(drawn.box.reshape(-1, 4)), atol=1e-6)


def test_hmix_draws_the_targets_weight_and_makes_the_pixels_fit_it(world: str) -> None:
    drawn = draws(world, HMix(alpha=2.0, ratio=0.7), BATCHES, NUMBER)
    assert_law(drawn.lam, stats.beta(2, 2))
    found, lam = drawn.box.reshape(-1, 4), drawn.lam.ravel()
    assert_law_of(
        found,
        lambda rng: boxes.hmix_box(rng.beta(2, 2), 0.7, rng.integers(HEIGHT), rng.integers(WIDTH), HEIGHT, WIDTH),
    )
    assert (drawn.weight == 0).all()
    np.testing.assert_allclose(drawn.outside.ravel() * (1 - shares(found)), lam, atol=1e-6)


def test_cutout_is_centred_on_every_pixel_as_often(world: str) -> None:
    """Seen at a square of one pixel's reach: 2 x 2, which only the first row and column cut off."""
    assert_every_centre(drawn_boxes(world, Cutout(length=2)))


def assert_every_centre(found: np.ndarray) -> None:
    centre = found[:, 2:] - 1
    assert_even(centre[:, 0] * WIDTH + centre[:, 1], PIXELS)
    assert ((found[:, 2:] - found[:, :2] == 2) | (found[:, :2] == 0)).all()


@pytest.mark.parametrize("length", [4, 5, 30])
def test_cutout_covers_every_pixel_as_often_as_its_code_does(world: str, length: int) -> None:
    found = drawn_boxes(world, Cutout(length=length, prob=0.7))
    chance = np.zeros((HEIGHT, WIDTH))
    for row, column in np.ndindex(HEIGHT, WIDTH):
        y0, x0, y1, x1 = pixels.cutout_box(length, row, column, HEIGHT, WIDTH)
        chance[y0:y1, x0:x1] += 0.7 / PIXELS
    deviation = np.sqrt(len(found) * chance * (1 - chance))
    assert (np.abs(covered(found) - len(found) * chance) < 4.5 * deviation).all()


ASPECT = (0.3, 1 / 0.3)


def erasing_law(area: tuple[float, float], law: str) -> Callable[[np.random.Generator], boxes.Box]:
    """The authors' draws; a shape that does not fit is drawn again, for the same area."""

    def box(rng: np.random.Generator) -> boxes.Box:
        wanted = rng.uniform(*area) * PIXELS
        while True:
            aspect = rng.uniform(*ASPECT) if law == "uniform" else np.exp(rng.uniform(*np.log(ASPECT)))
            height, width = pixels.sides(wanted, aspect)
            if height < HEIGHT and width < WIDTH:
                break
        y0, x0 = int(rng.integers(0, HEIGHT - height + 1)), int(rng.integers(0, WIDTH - width + 1))
        return y0, x0, y0 + height, x0 + width

    return box


@pytest.mark.parametrize("law", ["uniform", "log"])
@pytest.mark.parametrize("area", [(0.02, 0.4), (0.4, 0.7)])
def test_erased_boxes_follow_the_law_of_their_code(world: str, area: tuple[float, float], law: str) -> None:
    assert_erased_by_law(drawn_boxes(world, RandomErasing(prob=1.0, area=area, law=law)), area, law)


def assert_erased_by_law(found: np.ndarray, area: tuple[float, float], law: str) -> None:
    assert_law_of(found, erasing_law(area, law))
    assert (found[:, 2:] <= [HEIGHT, WIDTH]).all()


def test_where_every_shape_fits_the_log_law_is_torchvisions(world: str) -> None:
    area, aspect = (0.02, 0.15), (0.5, 2.0)
    theirs = v2.RandomErasing(p=1.0, scale=area, ratio=aspect)
    image, made = torch.zeros(1, HEIGHT, WIDTH), []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(5000):
            box = theirs.make_params([image])
            made.append([box["h"], box["w"], box["i"], box["j"]])
    found = drawn_boxes(world, RandomErasing(prob=1.0, area=area, aspect=aspect, law="log"))
    assert_same_law(sides_and_start(found), np.array(made))


def test_erasing_covers_half_of_the_images_by_default_and_leaves_their_targets(world: str) -> None:
    drawn = draws(world, RandomErasing(area=(0.2, 0.4)), BATCHES, NUMBER)
    assert_share(shares(drawn.box.reshape(-1, 4)) > 0, 0.5)
    assert (drawn.lam == 1).all()
    assert drawn.partner is None


@pytest.mark.parametrize("erase", [Cutout(value="noise"), RandomErasing(value="noise")])
def test_noise_that_erases_is_uniform_and_new_for_every_pixel(world: str, erase: Mix) -> None:
    fill = draws(world, erase, 3, 20).fill
    assert fill.shape == (3, 20, 1, HEIGHT, WIDTH)
    assert_law(fill, stats.uniform)
    assert len(np.unique(fill)) > 0.99 * fill.size


def ones(number: int) -> np.ndarray:
    return np.ones((number, 1, HEIGHT, WIDTH), np.float32)


@pytest.mark.parametrize("per", ["image", "batch"])
def test_levels_of_noise_are_beta_distributed(world: str, per: str) -> None:
    """With draws of one for every pixel the noise is its level."""
    batches, number = (10, 50) if per == "image" else (60, 2)
    mix = Noisy(MixUp(), additive=0.4, multiplicative=0.3, per=per)
    drawn = DRAW[world](mix, batches, number, given={"g": ones(number), "u": ones(number)})
    for values in (drawn.noise / 0.4, (drawn.scale - 1) / 0.3):
        level = values[..., 0, 0, 0]
        np.testing.assert_allclose(values, np.broadcast_to(level[..., None, None, None], values.shape), atol=1e-6)
        if per == "batch":
            assert (level == level[:, :1]).all()
            level = level[:, 0]
        assert_law(level, stats.beta(2, 5))
    assert abs(np.corrcoef(drawn.noise[:, 0, 0, 0, 0], drawn.scale[:, 0, 0, 0, 0])[0, 1]) < 4 / np.sqrt(batches)


def test_noise_is_gaussian_or_uniform_and_new_for_every_pixel(world: str) -> None:
    number = 20
    level = np.ones(number, np.float32)
    mix = Noisy(MixUp(), additive=1.0, multiplicative=1.0)
    drawn = DRAW[world](mix, 2, number, given={"additive": level, "multiplicative": level})
    assert_law(drawn.noise, stats.norm)
    assert_law(drawn.scale, stats.uniform(0, 2))
    for values in (drawn.noise, drawn.scale):
        assert len(np.unique(values)) > 0.99 * values.size


def test_the_chance_of_noise_is_its_own(world: str) -> None:
    drawn = draws(world, Noisy(MixUp(prob=0.6), prob=0.3), 10, 100)
    noisy = (drawn.noise != 0).any((2, 3, 4))
    assert_share(noisy, 0.3)
    assert_share(drawn.lam != 1, 0.6)
    assert ((drawn.scale != 1).any((2, 3, 4)) == noisy).all()
    table = [[(noisy & (drawn.lam != 1)).sum(), (noisy & (drawn.lam == 1)).sum()]]
    table.append([(~noisy & (drawn.lam != 1)).sum(), (~noisy & (drawn.lam == 1)).sum()])
    assert stats.chi2_contingency(table).pvalue > LEVEL
