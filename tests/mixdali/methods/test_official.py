"""With the draws of the authors' code, mixdali gives what their code gives; and what timm and torchvision give."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torchvision.transforms import v2

import mixdali
from mixdali import Choose, CutMix, CutMixMinMax, FMix, Mix, MixUp, Plan, one_hot
from tests.helpers.references import official
from tests.helpers.worlds import WORLDS

N, CLASSES = 6, 5
SIZES = [(7, 9), (32, 32)]


def batch(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (N, *size, 3), dtype=np.uint8), rng.integers(0, CLASSES, N)


def floats(images: np.ndarray) -> np.ndarray:
    return images.transpose(0, 3, 1, 2) / 255


def generators(seed: int) -> tuple[np.random.RandomState, torch.Generator]:
    return np.random.RandomState(seed), torch.Generator().manual_seed(seed)


def soft(mixed: official.Mixed) -> np.ndarray:
    both = np.eye(CLASSES)[mixed.first], np.eye(CLASSES)[mixed.second]
    return mixed.lam * both[0] + (1 - mixed.lam) * both[1]


def assert_gives(
    world: str, mix: Mix, images: np.ndarray, targets: np.ndarray, theirs: tuple[np.ndarray, np.ndarray], **how: Any
) -> None:
    ours = WORLDS[world](mix, images, targets.astype(np.float32), **how)
    np.testing.assert_allclose(ours.images, theirs[0], atol=1e-6)
    np.testing.assert_allclose(ours.targets, theirs[1], atol=1e-6)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("world", WORLDS)
def test_mixup_gives_what_the_authors_code_gives(world: str, size: tuple[int, int]) -> None:
    images, labels = batch(size)
    mix = MixUp(alpha=1.0, per="batch", partner="permutation")
    for seed in range(3):
        theirs = official.mixup(floats(images), labels, 1.0, *generators(seed))
        expected, targets = (theirs.images, soft(theirs)), np.eye(CLASSES)[labels]
        assert_gives(world, mix, images, targets, expected, **theirs.draws)
        assert_gives(world, mix, images, targets, expected, plan=Plan(theirs.draws["partner"], theirs.draws["lam"]))


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("world", WORLDS)
def test_cutmix_gives_what_the_authors_code_gives(world: str, size: tuple[int, int], corrected: bool) -> None:
    """Corrected: lam is measured from the box. The first version gave the targets the lam that was drawn."""
    images, labels = batch(size)
    mix = CutMix(alpha=1.0, prob=0.5, per="batch", partner="permutation", correct_lam=corrected)
    left_alone = 0
    for seed in range(6):
        theirs = official.cutmix(floats(images), labels, 1.0, 0.5, *generators(seed), corrected=corrected)
        expected, targets = (theirs.images, soft(theirs)), np.eye(CLASSES)[labels]
        assert_gives(world, mix, images, targets, expected, **theirs.draws)
        if theirs.box is None:
            left_alone += 1
        else:
            lam, boxes = np.full(N, theirs.lam), np.tile(theirs.box, (N, 1))
            assert_gives(world, mix, images, targets, expected, plan=Plan(theirs.draws["partner"], lam, boxes))
    assert 0 < left_alone < 6


@pytest.mark.parametrize("make", [official.mixup, official.cutmix])
def test_the_soft_targets_give_the_authors_loss_and_gradient(make: Callable[..., official.Mixed]) -> None:
    """lam * CE(first label) + (1 - lam) * CE(second), in float64."""
    images, labels = batch((7, 9))
    settings = (1.0,) if make is official.mixup else (1.0, 1.0)
    theirs = make(floats(images), labels, *settings, *generators(1))
    first, second = torch.from_numpy(theirs.first), torch.from_numpy(theirs.second)
    weight = torch.randn(3 * 7 * 9, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def gradient(loss: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> tuple[float, torch.Tensor]:
        parameter = weight.clone().requires_grad_()
        value = loss(inputs.flatten(1) @ parameter)
        value.backward()
        return value.item(), parameter.grad

    def official_loss(logits: torch.Tensor) -> torch.Tensor:
        return theirs.lam * cross_entropy(logits, first) + (1 - theirs.lam) * cross_entropy(logits, second)

    boxes = None if theirs.box is None else torch.tensor(theirs.box).expand(N, 4)
    plan = Plan(torch.from_numpy(theirs.draws["partner"]), torch.full((N,), theirs.lam, dtype=torch.float64), boxes)
    mix = MixUp() if boxes is None else CutMix()
    hard = torch.eye(CLASSES, dtype=torch.float64)[torch.from_numpy(labels)]
    mixed, targets = mix.apply(torch.from_numpy(floats(images)), hard, plan)
    ours = gradient(lambda logits: cross_entropy(logits, targets), mixed)
    expected = gradient(official_loss, torch.from_numpy(theirs.images))
    assert ours[0] == pytest.approx(expected[0], abs=1e-12)
    torch.testing.assert_close(ours[1], expected[1], rtol=0, atol=1e-12)


MODES = {"batch": "batch", "pair": "pair", "elem": "image"}
SEEDS = {"batch": 7, "pair": 3, "elem": 2}


def like_timm(settings: official.Timm) -> Choose:
    per: Any = MODES[settings.mode]
    cutmix: Mix = CutMix(alpha=settings.cutmix_alpha, per=per, partner="flip", correct_lam=settings.correct_lam)
    if settings.minmax is not None:
        cutmix = CutMixMinMax(minmax=settings.minmax, per=per, partner="flip")
    mixup = MixUp(alpha=settings.mixup_alpha, per=per, partner="flip")
    weights = [settings.switch_prob, 1 - settings.switch_prob]
    return Choose([cutmix, mixup], weights, prob=settings.prob, per=per)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    "settings",
    [
        official.Timm("batch"),
        official.Timm("pair", correct_lam=False),
        official.Timm("elem"),
        official.Timm("elem", minmax=(0.2, 0.8)),
        official.Timm("batch", minmax=(0.2, 0.8), switch_prob=0.7),
    ],
    ids=str,
)
@pytest.mark.parametrize("world", WORLDS)
def test_a_choice_gives_what_timm_gives(world: str, settings: official.Timm, size: tuple[int, int]) -> None:
    """timm.data.Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.1, ...), also its smoothed targets."""
    images, labels = batch(size)
    targets = one_hot(torch.from_numpy(labels), CLASSES, smoothing=0.1).numpy()
    for seed in range(SEEDS[settings.mode]):
        mixed, lam, draws = settings(floats(images), np.random.RandomState(seed))
        of_box = ("height", "width", "cy", "cx") if settings.minmax else ("lam", "cy", "cx")
        given = {f"0.{name}": draws[name] for name in of_box} | {"1.lam": draws["lam"]}
        given |= {"pick": draws["pick"], "coin": draws["coin"]}
        expected = mixed, official.timm_targets(labels, CLASSES, lam, smoothing=0.1)
        assert_gives(world, like_timm(settings), images, targets, expected, **given)


@pytest.mark.parametrize("mode", MODES)
def test_timms_draws_do_all_that_they_can(mode: str) -> None:
    """So that the comparison above has seen mixup, CutMix and images left alone."""
    settings, kinds = official.Timm(mode), set()
    for seed in range(SEEDS[mode]):
        _, lam, draws = settings(floats(batch((7, 9))[0]), np.random.RandomState(seed))
        mixed, use_cutmix = draws["coin"] < settings.prob, draws["pick"] < settings.switch_prob
        kinds |= set(np.where(mixed, np.where(use_cutmix, "cutmix", "mixup"), "none").tolist())
        assert (lam[~mixed] == 1).all()
    assert kinds == {"cutmix", "mixup", "none"}


@pytest.mark.parametrize("alpha", [0.3, 1.0])
@pytest.mark.parametrize("world", WORLDS)
def test_mixup_gives_what_torchvision_gives(world: str, alpha: float) -> None:
    images, labels = batch((7, 9))
    theirs = v2.MixUp(alpha=alpha, num_classes=CLASSES)
    for seed in range(3):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            lam = theirs.make_params([])["lam"]
            torch.manual_seed(seed)
            mixed, targets = theirs(torch.from_numpy(floats(images)), torch.from_numpy(labels))
        mix = MixUp(alpha=alpha, per="batch", partner="roll")
        expected = mixed.numpy(), targets.numpy()
        assert_gives(world, mix, images, np.eye(CLASSES)[labels], expected, lam=np.full(N, lam))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("world", WORLDS)
def test_cutmix_gives_what_torchvision_gives(world: str, size: tuple[int, int]) -> None:
    images, labels = batch(size)
    theirs = v2.CutMix(alpha=1.0, num_classes=CLASSES)
    for seed in range(4):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            lam = float(theirs._dist.sample(()))
            column, row = (float(torch.randint(side, size=(1,))) for side in (size[1], size[0]))
            torch.manual_seed(seed)
            mixed, targets = theirs(torch.from_numpy(floats(images)), torch.from_numpy(labels))
        draws = {"lam": lam, "cy": (row + 0.5) / size[0], "cx": (column + 0.5) / size[1]}
        mix, expected = CutMix(per="batch", partner="roll"), (mixed.numpy(), targets.numpy())
        given = {name: np.full(N, value) for name, value in draws.items()}
        assert_gives(world, mix, images, np.eye(CLASSES)[labels], expected, **given)


@pytest.mark.parametrize("world", WORLDS)
def test_fmix_takes_a_mask_of_the_official_code(world: str) -> None:
    """x * mask + x[index] * (1 - mask), and the lam that was drawn."""
    images, labels = batch((7, 9))
    rng = np.random.default_rng(2)
    mask, index, lam = (rng.random((7, 9)) < 0.4).astype(np.float32), rng.permutation(N), 0.41
    expected = floats(images) * mask + floats(images)[index] * (1 - mask)
    hard = np.eye(CLASSES)[labels]
    plan = Plan(index, np.full(N, lam, np.float32), mask=np.tile(mask, (N, 1, 1)))
    assert_gives(world, FMix(), images, hard, (expected, lam * hard + (1 - lam) * hard[index]), plan=plan)


def test_a_label_loss_of_the_compact_form_is_the_authors() -> None:
    images, labels = batch((7, 9))
    theirs = official.mixup(floats(images), labels, 1.0, *generators(3))
    logits = torch.randn(N, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plan = Plan(torch.from_numpy(theirs.draws["partner"]), torch.from_numpy(theirs.draws["lam"]))
    ours = mixdali.mixed_loss(cross_entropy, logits, torch.from_numpy(labels), plan)
    first, second = (cross_entropy(logits, torch.from_numpy(side)) for side in (theirs.first, theirs.second))
    torch.testing.assert_close(ours, theirs.lam * first + (1 - theirs.lam) * second)
