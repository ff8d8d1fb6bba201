"""Draws that are given: checked by name, shape and range in every world, and equal ones give equal results."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import fn, pipeline_def

import mixdali
from mixdali import (
    Choose,
    CutMix,
    CutMixMinMax,
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
from tests.helpers.methods import METHODS, PIXEL_METHODS
from tests.helpers.worlds import WORLDS, graph_mix, torch_mix

N, HEIGHT, WIDTH = 4, 9, 7
IMAGES = np.random.default_rng(0).integers(0, 256, (N, HEIGHT, WIDTH, 3), dtype=np.uint8)
TARGETS = np.eye(N, dtype=np.float32)
TENSORS = torch.zeros(N, 3, HEIGHT, WIDTH)


def full(value: Any) -> np.ndarray:
    return np.full(N, value)


WRONG = [
    (MixUp(), "lam", full(1.7), "draw lam must be in [0, 1]"),
    (CutMix(), "lam", full(-0.1), "draw lam must be in [0, 1]"),
    (CutMix(), "lam", full(np.nan), "draw lam must be in [0, 1]"),
    (CutMix(), "cy", full(16.0), "draw cy must be in [0, 1) as a float, or a pixel as an integer"),
    (CutMix(), "cx", full(1.0), "draw cx must be in [0, 1) as a float, or a pixel as an integer"),
    (MixUp(prob=0.5), "coin", full(1.0), "draw coin must be in [0, 1)"),
    (Choose([MixUp(), CutMix()]), "pick", full(-1.0), "draw pick must be in [0, 1)"),
    (Choose([MixUp(), CutMix()]), "1.lam", full(2.0), "draw 1.lam must be in [0, 1]"),
    (Mosaic(), "cy", full(1.01), "draw cy must be in [0, 1] as a float, or a pixel as an integer"),
    (RandomErasing(), "ratio", full(9.0), "draw ratio must be in [0.3, 3.33333]"),
    (MixUp(), "partner", np.array([1, 2, 3, 4]), "draw partner must be"),
    (MixUp(), "partner", np.array([1, 2, 3, -1]), "draw partner must be"),
    (MixUp(partner="same_class"), "mate", full(1.0), "draw mate must be in [0, 1)"),
    (Cutout(value="noise"), "noise", np.full((N, 3, HEIGHT, WIDTH), 1.5), "draw noise must be in [0, 1]"),
    (Noisy(MixUp()), "additive", full(1.5), "draw additive must be in [0, 1]"),
]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("mix", "name", "value", "message"), WRONG, ids=lambda value: str(value)[:20])
def test_a_draw_out_of_range_is_named(world: str, mix: Mix, name: str, value: np.ndarray, message: str) -> None:
    with pytest.raises((ValueError, RuntimeError), match=re.escape(message)) as caught:
        WORLDS[world](mix, IMAGES, TARGETS, **{name: value})
    assert world == "graph" or "\n" not in str(caught.value)


@pytest.mark.parametrize("mix", [CutMix(), CutMix(inside=True), Cutout(), GMix(), HMix(), ResizeMix(), SmoothMix()])
def test_a_pixel_beyond_the_image_is_refused(mix: Mix) -> None:
    beyond = HEIGHT if not getattr(mix, "inside", False) else HEIGHT + 1
    given = {"lam": full(0.75)} if hasattr(mix, "alpha") else {}
    for world in WORLDS:
        for pixel in (-1, beyond):
            with pytest.raises((ValueError, RuntimeError), match=r"draw cy must be"):
                WORLDS[world](mix, IMAGES, TARGETS, cy=full(pixel), **given)


@pytest.mark.parametrize("world", ["torch", "dynamic"])
def test_a_draw_of_another_shape_is_refused(world: str) -> None:
    for value in (np.zeros(3), np.zeros((N, 1)), np.zeros((1, N))):
        with pytest.raises(
            ValueError, match=re.escape("draw lam must be (4,), a number for each image, or one for all")
        ):
            WORLDS[world](MixUp(), IMAGES, TARGETS, lam=value)
    with pytest.raises(ValueError, match=r"draw spectrum must be \(4, 9, 5, 2\), or \(9, 5, 2\) for all, got"):
        WORLDS[world](FMix(), IMAGES, TARGETS, spectrum=np.zeros((9, 4, 2)))
    with pytest.raises(ValueError, match=r"draw noise must be \(4, 3, 9, 7\), or \(3, 9, 7\) for all, got"):
        WORLDS[world](Cutout(value="noise"), IMAGES, TARGETS, noise=np.zeros((N, 9, 7)))


def test_a_draw_of_another_shape_is_refused_in_a_graph() -> None:
    for mix, name, value in (
        (MixUp(), "lam", np.zeros((N, 2))),
        (FMix(), "spectrum", np.zeros((N, 9, 4, 2))),
        (Cutout(value="noise"), "noise", np.zeros((N, 9, 7))),
    ):
        with pytest.raises(RuntimeError):
            graph_mix(mix, IMAGES, TARGETS, **{name: value})


def test_the_loader_says_which_draw_it_was() -> None:
    @pipeline_def(batch_size=N, num_threads=1, device_id=None)
    def pipeline():
        images = fn.external_source(source=lambda i: IMAGES, batch=True, layout="HWC")
        lam = fn.external_source(source=lambda i: np.full(N, 1.7, np.float32), batch=True)
        targets = fn.external_source(source=lambda i: TARGETS, batch=True)
        plan = MixUp().draw(images, lam=lam)
        return MixUp().apply(images, targets, plan)

    with pytest.raises(ValueError, match=r"^draw lam must be in \[0, 1\]$"):
        next(iter(mixdali.Loader(pipeline(), num_samples=N)))


@pytest.mark.parametrize("value", ["half", None, True, [True] * N, object(), 1j])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="draw lam must be numbers, got"):
        MixUp().draw(TENSORS, lam=value)


def test_numbers_lists_arrays_and_tensors_are_taken() -> None:
    forms: list[Callable[[list[float]], Any]] = [
        list,
        tuple,
        np.array,
        torch.tensor,
        lambda values: np.array(values, np.float16),
        lambda values: torch.tensor(values, dtype=torch.bfloat16, requires_grad=True),
        lambda values: torch.tensor(values).double(),
    ]
    lam = [0.0, 0.25, 0.5, 1.0]
    for form in forms:
        assert MixUp().draw(TENSORS, lam=form(lam)).lam.tolist() == lam
    for one in (0.25, np.float32(0.25), torch.tensor(0.25), [0.25]):
        assert MixUp().draw(TENSORS, lam=one).lam.tolist() == [0.25] * N
    for partner in ([1, 0, 3, 2], np.array([1, 0, 3, 2], np.uint8), torch.tensor([1.0, 0.0, 3.0, 2.0])):
        assert MixUp().draw(TENSORS, partner=partner).partner.tolist() == [1, 0, 3, 2]
    with pytest.raises(ValueError, match=r"draw partner must be images of the batch, 0 to 3, got 0\.5"):
        MixUp().draw(TENSORS, partner=[0.5, 0, 3, 2])


def test_a_graph_takes_numbers_and_says_what_else_it_takes() -> None:
    @pipeline_def(batch_size=N, num_threads=1, device_id=None)
    def pipeline(given):
        images = fn.external_source(source=lambda i: IMAGES, batch=True, layout="HWC")
        return CutMix().draw(images, **given).box

    for cy in (4, np.int64(4), np.array(4), 4.5 / HEIGHT):
        boxes = np.array(pipeline({"lam": 0.75, "cy": cy, "cx": np.float32(0.5), "partner": 0}).run()[0].as_array())
        assert boxes.tolist() == [[2, 2, 6, 4]] * N
    with pytest.raises(TypeError, match="draw lam must be a node or a number in a DALI graph, got ndarray"):
        pipeline({"lam": np.zeros(N)})
    with pytest.raises(ValueError, match=re.escape("draw lam must be in [0, 1], got 1.7")):
        pipeline({"lam": 1.7})
    with pytest.raises(ValueError, match=r"draw cy must be in \[0, 1\) as a float, or a pixel as an integer, got 16"):
        pipeline({"cy": 16.0})


@pytest.mark.parametrize("method", METHODS | PIXEL_METHODS)
def test_the_names_that_an_error_lists_can_be_given(method: str) -> None:
    """A name of the list passes as a name: its value, which nothing can be, is what is refused."""
    mix = (METHODS | PIXEL_METHODS)[method]
    targets = torch.eye(N)
    with pytest.raises(TypeError, match="no draw is called lamm; this mix draws ") as caught:
        mix.draw(TENSORS, targets=targets, lamm=0.5)
    names = str(caught.value).partition(" draws ")[2].partition(" (")[0].split(", ")
    assert "partner" in names or "cy" in names
    for name in names:
        with pytest.raises(ValueError, match=rf"draw {re.escape(name)} must be"):
            mix.draw(TENSORS, targets=targets, **{name: float("nan")})


def test_a_misspelled_name_gets_the_near_ones() -> None:
    with pytest.raises(TypeError, match=r"this mix draws cx, cy, lam, partner \(nearest: partner\)$"):
        CutMix().draw(TENSORS, partners=[0, 1, 2, 3])


@pytest.mark.parametrize("world", WORLDS)
def test_every_row_is_found_by_its_share_and_by_its_number(world: str) -> None:
    """Pixel r is the share (r + 0.5) / H; given as r / H the worlds agree at least, as float32 rounds it."""
    size = 224
    images, targets = np.zeros((size, size, 1, 1), np.uint8), np.eye(size, 2, dtype=np.float32)
    rows = np.arange(size)

    def found(cy: np.ndarray) -> np.ndarray:
        """The row in the middle of a box of two rows."""
        mix = Cutout(length=2)
        box = WORLDS[world](mix, images, targets, cy=cy, cx=np.zeros(size)).plan.box
        return np.where(box[:, 0] > 0, box[:, 0] + 1, box[:, 2] - 1)

    np.testing.assert_array_equal(found(rows), rows)
    np.testing.assert_array_equal(found((rows + 0.5) / size), rows)
    float32 = (rows / size).astype(np.float32)
    np.testing.assert_array_equal(found(float32), np.floor(float32 * np.float32(size)))


def shares(names: str, number: int) -> dict[str, np.ndarray]:
    """Float32 draws, some of them where a product nearly is a whole number."""
    rng = np.random.default_rng(1)
    drawn = {}
    for name in names.split():
        near = rng.integers(0, 32, number) / 32 + rng.choice([-6e-8, 0, 6e-8], number)
        drawn[name] = np.where(rng.random(number) < 0.5, near.clip(0, 1 - 6e-8), rng.random(number)).astype(np.float32)
    return drawn


BOXES = {
    "cutmix": (CutMix(), "lam cy cx"),
    "cutmix-inside": (CutMix(inside=True), "lam cy cx"),
    "minmax": (CutMixMinMax(), "height width cy cx"),
    "resizemix": (ResizeMix(), "tau cy cx"),
    "hmix": (HMix(), "lam cy cx"),
    "mosaic": (Mosaic(), "cy cx y0 x0 y1 x1 y2 x2 y3 x3"),
    "cutout": (Cutout(length=5), "cy cx"),
    "erasing": (RandomErasing(prob=1.0), "area aspect cy cx"),
    "some": (CutMix(prob=0.5), "lam cy cx coin"),
}


@pytest.mark.parametrize("method", BOXES)
def test_equal_float32_draws_give_equal_boxes_in_every_world(method: str) -> None:
    mix, names = BOXES[method]
    number = 256
    images, targets = np.zeros((number, 32, 30, 1), np.uint8), np.eye(number, 2, dtype=np.float32)
    partner = {"partner": np.roll(np.arange(number), 1)} if not isinstance(mix, Cutout | RandomErasing) else {}
    plans = {world: WORLDS[world](mix, images, targets, **shares(names, number), **partner).plan for world in WORLDS}
    for world in ("graph", "dynamic"):
        for name, value in plans[world].parts().items():
            if name.rpartition(".")[2] in ("box", "region"):
                np.testing.assert_array_equal(value, plans["torch"].parts()[name], err_msg=f"{world} {name}")


def test_pixels_of_every_method() -> None:
    """Given as integers, in every world: where the first pixel, or the middle one, comes to lie."""
    row, column = np.array([0, 1, 2, 3]), np.array([3, 2, 1, 0])
    for mix, given in (
        (CutMix(inside=True), {"lam": full(0.75)}),
        (CutMixMinMax(), {"height": full(0.0), "width": full(0.0)}),
        (RandomErasing(prob=1.0), {"area": full(0.1), "ratio": full(1.0)}),
    ):
        for world in WORLDS:
            box = WORLDS[world](mix, IMAGES, TARGETS, cy=row, cx=column, **given).plan.box
            np.testing.assert_array_equal(box[:, :2], np.stack([row, column], 1))
    for world in WORLDS:
        box = WORLDS[world](Mosaic(), IMAGES, TARGETS, cy=row + 6, cx=column).plan.more[2].box
        np.testing.assert_array_equal(box[:, 2:], np.stack([row + 6, column], 1))
        given = {"lam": full(0.5), "cells": full(0.0), "area": full(0.0), "aspect": full(0.5)}
        mask = WORLDS[world](GridMix(), IMAGES, TARGETS, cy=row, cx=np.minimum(column, 2), **given).plan.mask
        assert [int(np.flatnonzero((one < 1).any(1))[0]) for one in mask] == row.tolist()


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("as_published", [False, True])
def test_the_spectrum_of_clouds_makes_the_same_masks(world: str, as_published: bool) -> None:
    mix, clouds = FMix(as_published=as_published), np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    rest = {"lam": full(0.4), "round": full(0.0), "partner": np.array([1, 2, 3, 0])}
    drawn = WORLDS[world](mix, IMAGES, TARGETS, clouds=clouds, **rest)
    spectrum = np.stack([mix.spectrum(HEIGHT, WIDTH, float(one)) for one in clouds]).astype(np.float32)
    given = WORLDS[world](mix, IMAGES, TARGETS, spectrum=spectrum, **rest)
    np.testing.assert_array_equal(given.plan.mask, drawn.plan.mask)
    np.testing.assert_array_equal(given.images, drawn.images)
    assert (drawn.plan.mask[0] != drawn.plan.mask[1]).any()


@pytest.mark.parametrize("law", ["uniform", "log"])
@pytest.mark.parametrize("world", WORLDS)
def test_the_ratio_that_was_drawn_makes_the_same_boxes(world: str, law: str) -> None:
    mix = RandomErasing(prob=1.0, area=(0.1, 0.2), law=law)
    where = {"area": full(0.5), "cy": full(0.3), "cx": full(0.6)}
    aspect = np.array([0.0, 0.3, 0.7, 0.99])
    drawn = WORLDS[world](mix, IMAGES, TARGETS, aspect=aspect, **where)
    low, high = mix.aspect
    # of these areas every shape of the range fits into the image
    ratio = low * (high / low) ** aspect if law == "log" else low + aspect * (high - low)
    given = WORLDS[world](mix, IMAGES, TARGETS, ratio=ratio, **where)
    np.testing.assert_array_equal(given.plan.box, drawn.plan.box)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("mix", [Mosaic(partner="permutation"), DirichletMixUp(num_images=4, partner="permutation")])
def test_all_partners_that_were_drawn_can_be_given(world: str, mix: Mix) -> None:
    drawn = torch_mix(mix, IMAGES, TARGETS).plan
    partners = [drawn.partner, *(layer.partner for layer in drawn.more if layer.partner is not None)]
    names = ["partner", "partner.1", "partner.2"]
    given = WORLDS[world](mix, IMAGES, TARGETS, **dict(zip(names, partners, strict=True))).plan
    again = [given.partner, *(layer.partner for layer in given.more if layer.partner is not None)]
    np.testing.assert_array_equal(again, partners)


def test_a_negative_partner_of_a_plan_is_refused() -> None:
    plan = MixUp().draw(TENSORS)
    for partner in ([1, 0, 3, -1], [1, 0, 3, 4]):
        wrong = mixdali.Plan(torch.tensor(partner), plan.lam)
        with pytest.raises(ValueError, match=r"plan\.partner must be images of the batch, 0 to 3, got"):
            MixUp().apply(TENSORS, torch.eye(N), wrong)
