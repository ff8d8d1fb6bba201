"""The tests of the claims notice every planted bug: that is what they are for."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from mixdali import (
    Choose,
    CutMix,
    Cutout,
    DirichletMixUp,
    FMix,
    GMix,
    GridMix,
    HMix,
    Mix,
    MixUp,
    Mosaic,
    Noisy,
    RandomErasing,
    ResizeMix,
    SmoothMix,
)
from tests.helpers import planted
from tests.helpers.cases import CASES, COIN, assert_is_reference
from tests.helpers.drawn import torch_draws
from tests.mixdali.methods.test_laws import (
    assert_beta,
    assert_coin_flips,
    assert_independent,
    assert_members_keep_their_laws,
    assert_official_boxes,
    assert_one_cycle,
    assert_share_mixed,
    assert_shared,
)
from tests.mixdali.methods.test_laws_boxes import assert_erased_by_law, assert_every_centre
from tests.mixdali.methods.test_laws_masks import assert_alike_in_all_directions
from tests.mixdali.methods.test_painted import assert_target_follows_pixels
from tests.mixdali.methods.test_reference_pixels import assert_noise_is_its_reference


def painted(mix: Mix) -> None:
    assert_target_follows_pixels("torch", mix, 8, (7, 9))


def share_mixed(mix: Mix) -> None:
    assert_share_mixed(torch_draws(replace(mix, prob=0.3), 40, 50), 0.3)


def independent(mix: Mix) -> None:
    assert_independent(torch_draws(mix, 200, 8))


def official_boxes(mix: Mix) -> None:
    assert_official_boxes(torch_draws(mix, 40, 50))


def beta(mix: Mix) -> None:
    assert_beta(torch_draws(mix, 40, 50), 1.0)


def coin_flips(mix: Mix) -> None:
    assert_coin_flips(torch_draws(replace(mix, alpha=1e-3), 40, 50))


def shared(mix: Mix) -> None:
    assert_shared(torch_draws(replace(mix, per="batch"), 20, 50))


def one_cycle(mix: Mix) -> None:
    assert_one_cycle(torch_draws(mix, 40, 50))


def laws_of_members(mix: Mix) -> None:
    assert_members_keep_their_laws(torch_draws(mix, 40, 50), torch_draws(CutMix(), 40, 50))


def every_centre(mix: Mix) -> None:
    assert_every_centre(torch_draws(mix, 20, 100).box.reshape(-1, 4))


def law_of_erasing(mix: Mix) -> None:
    assert_erased_by_law(torch_draws(mix, 20, 100).box.reshape(-1, 4), (0.4, 0.7), "uniform")


def reference_of(name: str, **coin: np.ndarray) -> Callable[[Mix], None]:
    """The slow reference with given draws, on images that are not square."""

    def claim(mix: Mix) -> None:
        assert_is_reference("torch", mix, CASES[name], (7, 9), **coin)

    claim.__name__ = f"reference_of_{name}"
    return claim


PLANTED = [
    (planted.LamOfThePartner(), MixUp(), painted),
    (planted.AnotherPartnerForTheTarget(), MixUp(), painted),
    (planted.AnotherLamForTheTarget(), MixUp(), painted),
    (planted.LamInHalfPrecision(), MixUp(), painted),
    (planted.ImagesCutToBytes(), MixUp(), reference_of("mixup")),
    (planted.LamOfTheUnclippedBox(), CutMix(), painted),
    (CutMix(correct_lam=False), CutMix(), painted),
    (planted.LamOfTheUnclippedSize(), ResizeMix(), painted),
    (planted.LamWithoutTheOutside(), HMix(), painted),
    (planted.LamOfTheSpot(), SmoothMix(), painted),
    (planted.LamOfTheGridAsDrawn(), GridMix(), painted),
    (planted.LamOfTheGaussianAsDrawn(), GMix(), painted),
    (FMix(correct_lam=False), FMix(), painted),
    (planted.SharesOfTheFieldsSwapped(), Mosaic(), painted),
    (planted.SharesInTheWrongOrder(), DirichletMixUp(), painted),
    (planted.ProbabilityTwice(), MixUp(), share_mixed),
    (planted.MixedWhereTheCoinIsTheProbability(prob=0.5), MixUp(prob=0.5), reference_of("mixup", coin=COIN)),
    (planted.OnePlaceForTheBatch(), CutMix(), independent),
    (planted.PerImageWhateverIsAsked(), CutMix(), shared),
    (planted.LastPlacesNeverDrawn(), CutMix(), official_boxes),
    (planted.LastCentresNeverDrawn(length=2), Cutout(length=2), every_centre),
    (planted.RatioOfGammaDraws(), MixUp(), coin_flips),
    (MixUp(partner="permutation"), MixUp(), one_cycle),
    (CutMix(alpha=0.2), CutMix(), official_boxes),
    (MixUp(alpha=0.2), MixUp(), beta),
    (Choose([MixUp(), CutMix(alpha=0.5)], [1, 3]), Choose([MixUp(alpha=0.5), CutMix()], [1, 3]), laws_of_members),
    (planted.SidesSwapped(), CutMix(), reference_of("cutmix")),
    (planted.SidesOfTheResizedSwapped(), ResizeMix(), reference_of("resizemix")),
    (planted.CutShareForKeptShare(), CutMix(), reference_of("cutmix")),
    (planted.RatioMeansItsInverse(ratio=0.8), HMix(ratio=0.8), reference_of("hmix-0.8")),
    (planted.SizeMeansItsInverse(), ResizeMix(), reference_of("resizemix")),
    (planted.MaskOfThePartner(), FMix(), reference_of("fmix")),
    (FMix(as_published=True), FMix(), assert_alike_in_all_directions),
    (
        planted.AspectOfWidthByHeight(prob=1.0, area=(0.4, 0.7)),
        RandomErasing(prob=1.0, area=(0.4, 0.7)),
        law_of_erasing,
    ),
    (
        planted.NoiseNotCentred(MixUp(), additive=0.4, multiplicative=0.3),
        Noisy(MixUp(), additive=0.4, multiplicative=0.3),
        partial(assert_noise_is_its_reference, "torch", (7, 9)),
    ),
]


def name_of(value: object) -> str:
    return type(value).__name__ if isinstance(value, Mix) else getattr(value, "__name__", "reference_of_noise")


@pytest.mark.parametrize(("bug", "right", "claim"), PLANTED, ids=name_of)
def test_the_claim_notices_the_bug(bug: Mix, right: Mix, claim: Callable[[Mix], None]) -> None:
    claim(right)
    with pytest.raises(AssertionError):
        claim(bug)


def test_the_planted_mixes_run() -> None:
    """So that a bug is noticed by what it does, and not because it crashes."""
    images = torch.rand(4, 3, 7, 9)
    for bug, _, _ in PLANTED:
        bug(images, torch.eye(4))
