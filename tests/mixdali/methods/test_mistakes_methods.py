"""A wrong setting of any method gets one clear line, and so does a plan or a draw that lacks something."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

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
)
from mixdali.plan import Layer
from tests.helpers.methods import METHODS, PIXEL_METHODS
from tests.helpers.worlds import WORLDS

PAIRS = [MixUp, CutMix, CutMixMinMax, ResizeMix, HMix, GridMix, SmoothMix, GMix, FMix, Mosaic, DirichletMixUp]
EVERY = [*PAIRS, Cutout, RandomErasing]
WITH_ALPHA = [MixUp, CutMix, HMix, GridMix, GMix, FMix, Mosaic]

TWO = "must be two numbers, the smaller first, got"
SHARE = "must be a number from 0 to 1, got"
ABOVE = "must be a number above 0, got"
FLAG = "must be True or False, got"


def refused(make: Callable[[], Any], message: str) -> None:
    """By one line that holds the message."""
    with pytest.raises((ValueError, TypeError), match=re.escape(message)) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", EVERY)
def test_settings_of_every_method(method: type[Mix]) -> None:
    name = method.__name__
    for prob in (-0.1, 1.1, None, "1", True, float("nan"), Ramp([(0, 0.5), (9, 1.5)])):
        refused(lambda prob=prob: method(prob=prob), f"{name}: prob {SHARE}")
    refused(lambda: method(per="elem"), f"{name}: per must be one of 'image', 'batch', 'pair', got 'elem'")
    for epoch in (-1, 1.5, "3", True):
        refused(lambda epoch=epoch: method(start_epoch=epoch), f"{name}: start_epoch must be a whole number from 0 up")
        refused(lambda epoch=epoch: method(stop_epoch=epoch), f"{name}: stop_epoch must be a whole number from 0 up")
    refused(lambda: method(start_epoch=3, stop_epoch=2), f"{name}: stop_epoch must not be before start_epoch 3, got 2")
    with pytest.raises(TypeError):
        method(0.5, 0.5, 0.5)


@pytest.mark.parametrize("method", PAIRS)
def test_partner_rules(method: type[Mix]) -> None:
    refused(lambda: method(partner="random"), f"{method.__name__}: partner must be one of 'cycle', 'permutation',")
    if method in (Mosaic, DirichletMixUp):
        refused(lambda: method(partner="flip"), f"{method.__name__}: partner must be one of")


@pytest.mark.parametrize("method", WITH_ALPHA)
def test_laws_of_lam(method: type[Mix]) -> None:
    name = method.__name__
    for alpha in (0, -1, float("inf"), float("nan"), "1", None, Ramp([(0, 1.0), (5, 0.0)])):
        refused(lambda alpha=alpha: method(alpha=alpha), f"{name}: alpha {ABOVE}")
    for alpha in ((1.0,), (1.0, 2.0, 3.0)):
        refused(
            lambda alpha=alpha: method(alpha=alpha), f"{name}: alpha must be one number or two, (a, b) of Beta(a, b)"
        )
    for alpha in ((0.0, 1.0), (1.0, "2")):
        refused(lambda alpha=alpha: method(alpha=alpha), f"{name}: alpha {ABOVE}")


def test_fixed_and_ramp() -> None:
    for lam in (-0.1, 1.5, None):
        refused(lambda lam=lam: Fixed(lam), f"Fixed: lam {SHARE}")
    for points in ((), 3, [1, 2], [(0, 1, 2)], [(1, 1), (0, 2)], [(0, 1), (0, 2)], [(0, "a")], [(0, float("inf"))]):
        refused(lambda points=points: Ramp(points), "Ramp: points must be (epoch, value) pairs of growing epochs, got")


@pytest.mark.parametrize(
    ("method", "field", "check"),
    [
        (CutMixMinMax, "minmax", SHARE),
        (ResizeMix, "scope", SHARE),
        (SmoothMix, "spread", ABOVE),
        (GridMix, "cells", "must be a whole number above 0, got"),
        (GridMix, "area", SHARE),
        (GridMix, "aspect", ABOVE),
        (RandomErasing, "area", SHARE),
        (RandomErasing, "aspect", ABOVE),
    ],
)
def test_ranges(method: type[Mix], field: str, check: str) -> None:
    name = f"{method.__name__}: {field}"
    for value in (1, None, (1,), (1, 1, 1), "ab"):
        refused(lambda value=value: method(**{field: value}), f"{name} {TWO}")
    refused(lambda: method(**{field: (1, 0.5) if field != "cells" else (3, 2)}), f"{name} {TWO}")
    for wrong in (-1, "1", None, True):
        refused(lambda wrong=wrong: method(**{field: (wrong, 1)}), f"{name} {check}")
    method(**{field: (1, 1)})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CutMix(inside="no"), f"CutMix: inside {FLAG} 'no'"),
        (lambda: CutMix(correct_lam=None), f"CutMix: correct_lam {FLAG} None"),
        (lambda: FMix(as_published=1), f"FMix: as_published {FLAG} 1"),
        (lambda: FMix(correct_lam="yes"), f"FMix: correct_lam {FLAG} 'yes'"),
        (lambda: FMix(decay_power=0), f"FMix: decay_power {ABOVE} 0"),
        (lambda: HMix(ratio=1.1), f"HMix: ratio {SHARE} 1.1"),
        (lambda: DirichletMixUp(num_images=1), "DirichletMixUp: num_images must be a whole number from 2 up, got 1"),
        (lambda: DirichletMixUp(num_images=2.0), "num_images must be a whole number from 2 up, got 2.0"),
        (lambda: DirichletMixUp(alpha=(1.0, 2.0)), f"DirichletMixUp: alpha {ABOVE} (1.0, 2.0)"),
        (lambda: Cutout(length=1.5), "Cutout: length must be a whole number from 0 up, got 1.5"),
        (lambda: Cutout(length=-1), "Cutout: length must be a whole number from 0 up, got -1"),
        (lambda: Cutout(value="black"), f"Cutout: value (\"noise\" or levels) {SHARE} 'black'"),
        (lambda: Cutout(value=()), 'Cutout: value must be a level, a colour or "noise", got ()'),
        (lambda: RandomErasing(value=(0.1, 2)), f'RandomErasing: value ("noise" or levels) {SHARE} 2'),
        (lambda: RandomErasing(value=None), f'RandomErasing: value ("noise" or levels) {SHARE} None'),
        (lambda: RandomErasing(law="beta"), "RandomErasing: law must be one of 'uniform', 'log', got 'beta'"),
        (lambda: Noisy(None), "Noisy: mix must be a method such as MixUp(), got None"),
        (lambda: Noisy(MixUp(), additive=-1), f"Noisy: additive {ABOVE} -1; for none, use 0"),
        (lambda: Noisy(MixUp(), multiplicative="1"), f"Noisy: multiplicative {ABOVE} '1'; for none, use 0"),
        (lambda: Noisy(MixUp(), clip=0), f"Noisy: clip {FLAG} 0"),
        (lambda: Noisy(MixUp(), prob=2), f"Noisy: prob {SHARE} 2"),
        (lambda: Choose(MixUp(), CutMix()), "Choose: mixes must be a list of one or more methods"),
        (lambda: Choose([MixUp(), Cutout()]), "Choose: Cutout has no partner to choose; apply it apart"),
        (lambda: Choose([Noisy(MixUp())]), "Choose: Noisy has no partner to choose; apply it apart"),
        (lambda: Choose([MixUp()], 0.5), "Choose: weights must be 1 numbers from 0 up, not all 0, got 0.5"),
        (lambda: Choose([MixUp()], ["a"]), "Choose: weights must be 1 numbers from 0 up, not all 0, got ['a']"),
        (lambda: Choose([MixUp()], prob=-1), f"Choose: prob {SHARE} -1"),
    ],
)
def test_settings_of_single_methods(make: Callable[[], Mix], message: str) -> None:
    refused(make, message)


IMAGES, TARGETS = torch.zeros(4, 3, 5, 6), torch.eye(4)
PARTNER, LAM = torch.tensor([1, 0, 3, 2]), torch.full((4,), 0.5)


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        (CutMix(), "CutMix needs plan.box: (N, 4) int"),
        (CutMixMinMax(), "CutMixMinMax needs plan.box: (N, 4) int"),
        (HMix(), "HMix needs plan.box: (N, 4) int"),
        (ResizeMix(), "ResizeMix needs plan.box: (N, 4) int"),
        (SmoothMix(), "SmoothMix needs plan.mask: (N, H, W) float"),
        (GMix(), "GMix needs plan.mask: (N, H, W) float"),
        (GridMix(), "GridMix needs plan.mask: (N, H, W) float"),
        (FMix(), "FMix needs plan.mask: (N, H, W) float"),
        (Mosaic(), "Mosaic needs plan.box and plan.weight, and plan.more"),
        (DirichletMixUp(), "DirichletMixUp needs plan.weight, and plan.more"),
        (Cutout(), "Cutout needs plan.box, (N, 4) int, and plan.fill"),
        (RandomErasing(), "RandomErasing needs plan.box, (N, 4) int, and plan.fill"),
        (Noisy(CutMix()), "CutMix needs plan.box: (N, 4) int"),
        (Choose([MixUp(), CutMix()]), "Choose cannot tell whose plan it is: plan.weight must be given"),
    ],
)
def test_plans_that_lack_something(mix: Mix, message: str) -> None:
    refused(lambda: mix.apply(IMAGES, TARGETS, Plan(PARTNER, LAM)), message)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(PARTNER, LAM + 1), "plan.lam must be in [0, 1], got 1.5"),
        (Plan(PARTNER, LAM * torch.nan), "plan.lam must be in [0, 1], got nan"),
        (Plan(PARTNER, LAM, weight=LAM - 1), "plan.weight must be in [0, 1], got -0.5"),
        (Plan(PARTNER, LAM, more=(Layer(PARTNER, LAM + 1),)), "plan.more.0.share must be in [0, 1], got 1.5"),
        (Plan(PARTNER + 4, LAM), "plan.partner must be images of the batch, 0 to 3, got"),
    ],
)
def test_plans_that_none_could_draw(plan: Plan, message: str) -> None:
    refused(lambda: MixUp().apply(IMAGES, TARGETS, plan), message)


def test_resizemix_wants_to_know_what_is_shown() -> None:
    plan = Plan(PARTNER, LAM, torch.tensor([[0, 0, 2, 2]] * 4))
    refused(lambda: ResizeMix().apply(IMAGES, TARGETS, plan), "ResizeMix needs plan.region: (N, 4) int")


@pytest.mark.parametrize("method", METHODS | PIXEL_METHODS)
def test_draws_of_unknown_names(method: str) -> None:
    mix = (METHODS | PIXEL_METHODS)[method]
    refused(lambda: mix.draw(IMAGES, targets=TARGETS, gamma=0.5), "no draw is called gamma; this mix draws ")


@pytest.mark.parametrize("world", WORLDS)
def test_what_a_mix_must_be_told(world: str) -> None:
    images, targets = np.zeros((4, 5, 6, 3), np.uint8), np.eye(4, dtype=np.float32)
    moving = [MixUp(alpha=Ramp([(0, 1.0), (9, 2.0)])), CutMix(stop_epoch=3), Choose([MixUp(start_epoch=1)])]
    for mix in moving:
        with pytest.raises(ValueError, match="this mix changes from epoch to epoch: say which one it is"):
            WORLDS[world](mix, images, targets)


@pytest.mark.parametrize("rule", ["same_class", "other_class"])
def test_partners_by_class_need_the_classes(rule: str) -> None:
    mix = MixUp(partner=rule)
    refused(lambda: mix.draw(IMAGES), f'partner="{rule}" needs the targets: mix.draw(images, targets=targets)')
    for targets in (TARGETS[:3], [0, 1, 2, 3], torch.zeros(4, 2, 2)):
        refused(lambda t=targets: mix.draw(IMAGES, targets=t), f'partner="{rule}" needs targets (4, num_classes)')


@pytest.mark.parametrize("erase", [Cutout, RandomErasing])
def test_a_colour_must_have_as_many_levels_as_the_images_have_channels(erase: type[Mix]) -> None:
    mix = erase(value=(0.1, 0.2))
    refused(lambda: mix.draw(IMAGES), "a colour of 2 levels does not fit images of 3 channels")
    images, targets = np.zeros((4, 5, 6, 3), np.uint8), np.eye(4, dtype=np.float32)
    for world in ("graph", "dynamic"):
        with pytest.raises(RuntimeError):
            WORLDS[world](mix, images, targets)
