"""Masks, label maps and bounding boxes follow their images, by the same plan."""

import re

import pytest
import torch

import mixdali
from mixdali import (
    Choose,
    CutMix,
    Cutout,
    DirichletMixUp,
    FMix,
    GMix,
    HMix,
    Mix,
    MixUp,
    Mosaic,
    Noisy,
    Plan,
    RandomErasing,
    ResizeMix,
)
from tests.helpers.methods import METHODS

N, HEIGHT, WIDTH = 6, 12, 10
IMAGES = torch.rand(N, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(N)
# what cuts and pastes, and never blends
PASTING = {
    "cutmix": CutMix(),
    "resizemix": ResizeMix(),
    "mosaic": Mosaic(),
    "fmix": FMix(),
    "choice": Choose([CutMix(), Mosaic(), FMix()], prob=0.7),
}


def drawn(mix: Mix) -> Plan:
    return mix.draw(IMAGES, targets=LABELS, rng=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("method", METHODS)
def test_float_masks_are_mixed_as_images_are(method: str) -> None:
    mix = METHODS[method]
    plan = drawn(mix)
    mixed, _ = mix.apply(IMAGES, None, plan)
    assert torch.equal(mixdali.mix_masks(plan, IMAGES), mixed)
    assert torch.equal(mixdali.mix_masks(plan, IMAGES[:, 1]), mixed[:, 1])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.int16, torch.int8])
@pytest.mark.parametrize("method", PASTING)
def test_label_maps_are_cut_and_pasted_exactly(method: str, dtype: torch.dtype) -> None:
    plan = drawn(PASTING[method])
    maps = torch.randint(0, 120, (N, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(1)).to(dtype)
    found = mixdali.mix_masks(plan, maps)
    assert found.dtype == dtype
    as_images, _ = PASTING[method].apply(maps.double().unsqueeze(1), None, plan)
    assert torch.equal(found.double(), as_images[:, 0])
    assert torch.equal(mixdali.mix_masks(plan, maps.unsqueeze(1)), found.unsqueeze(1))
    flags = maps > 60
    assert torch.equal(mixdali.mix_masks(plan, flags), found > 60)


@pytest.mark.parametrize("mix", [MixUp(), DirichletMixUp(), HMix(), GMix(), Choose([MixUp(), CutMix()])])
def test_label_maps_that_would_be_blended_are_refused_or_of_the_heavier_image(mix: Mix) -> None:
    plan = drawn(mix)
    maps = LABELS[:, None, None].expand(N, HEIGHT, WIDTH)
    with pytest.raises(ValueError, match=re.escape("label maps (torch.int64) cannot be blended")) as caught:
        mixdali.mix_masks(plan, maps)
    assert "\n" not in str(caught.value)
    # every image's share of every pixel, with one channel for each image
    hot = torch.eye(N)[:, :, None, None].expand(N, N, HEIGHT, WIDTH)
    shares, _ = mix.apply(hot, None, plan)
    found = mixdali.mix_masks(plan, maps, blended="heavier")
    assert torch.equal(shares.gather(1, found.unsqueeze(1))[:, 0], shares.amax(1))
    unmixed = mix.__class__(**({"mixes": mix.mixes} if isinstance(mix, Choose) else {}), prob=0)
    assert torch.equal(mixdali.mix_masks(drawn(unmixed), maps), maps)


def test_of_equal_weights_the_own_labels_stay() -> None:
    plan = MixUp().draw(IMAGES, lam=0.5)
    maps = torch.arange(N * HEIGHT * WIDTH).reshape(N, HEIGHT, WIDTH)
    assert torch.equal(mixdali.mix_masks(plan, maps, blended="heavier"), maps)


@pytest.mark.parametrize("mix", [Cutout(length=4), RandomErasing(prob=1.0)])
def test_what_is_erased_keeps_its_mask_or_gets_the_value_that_is_said(mix: Mix) -> None:
    plan = drawn(mix)
    covered, _ = mix.apply(torch.ones(N, 1, HEIGHT, WIDTH), None, plan)
    for maps in (torch.ones(N, HEIGHT, WIDTH, dtype=torch.uint8), torch.ones(N, HEIGHT, WIDTH)):
        assert torch.equal(mixdali.mix_masks(plan, maps), maps)
        assert torch.equal(mixdali.mix_masks(plan, maps, erased=255) == 255, covered[:, 0] == 0)


def test_noise_changes_no_mask() -> None:
    plan = drawn(Noisy(CutMix()))
    maps = LABELS[:, None, None].expand(N, HEIGHT, WIDTH)
    as_images, _ = CutMix().apply(maps.float().unsqueeze(1), None, plan_without_noise(plan))
    assert torch.equal(mixdali.mix_masks(plan, maps).float(), as_images[:, 0])
    assert torch.equal(mixdali.mix_masks(plan, maps.float()), as_images[:, 0])


def plan_without_noise(plan: Plan) -> Plan:
    return Plan.of_parts({name: value for name, value in plan.parts().items() if name not in ("noise", "scale")})


BOXES = [[[1, 2, 5, 6], [4, 4, 9, 11]], [], [[0, 0, 10, 12]], [[3, 1, 4, 2]], [[2, 2, 8, 8]], [[5, 5, 6, 12]]]
TAGS = [[10 * n + i for i in range(len(boxes))] for n, boxes in enumerate(BOXES)]


@pytest.mark.parametrize("method", ["mixup", "cutmix", "hmix", "fmix", "dirichlet", "mosaic", "choose", "choose-all"])
def test_the_weight_of_a_box_is_what_its_pixels_show_of_its_image(method: str) -> None:
    """Of every box that comes out the image it belongs to has that mean share of its pixels."""
    mix = METHODS[method]
    plan = drawn(mix)
    found, tags, weights = mixdali.mix_boxes(plan, BOXES, TAGS, (HEIGHT, WIDTH))
    hot = torch.eye(N)[:, :, None, None].expand(N, N, HEIGHT, WIDTH)
    shares, _ = mix.apply(hot, None, plan)
    for n in range(N):
        assert len(found[n]) == len(tags[n]) == len(weights[n])
        for box, tag, weight in zip(found[n], tags[n], weights[n], strict=True):
            x0, y0, x1, y1 = box[0].floor(), box[1].floor(), box[2].ceil(), box[3].ceil()
            area = shares[n, int(tag) // 10, int(y0) : int(y1), int(x0) : int(x1)]
            torch.testing.assert_close(area.mean(), weight, atol=1e-5, rtol=0)


def test_boxes_of_mixup_are_those_of_both_parents() -> None:
    plan = MixUp().draw(IMAGES, lam=0.75, partner=[1, 2, 3, 4, 5, 0])
    found, tags, weights = mixdali.mix_boxes(plan, BOXES, TAGS, (HEIGHT, WIDTH))
    assert found[5].tolist() == [*map(list, BOXES[5]), *map(list, BOXES[0])]
    assert tags[5].tolist() == [50, 0, 1]
    assert weights[5].tolist() == [0.75, 0.25, 0.25]
    assert found[1].tolist() == BOXES[2]
    lone = MixUp().draw(IMAGES, lam=1.0)
    assert [boxes.tolist() for boxes in mixdali.mix_boxes(lone, BOXES, TAGS, (HEIGHT, WIDTH))[0]] == BOXES


def test_boxes_of_cutmix_are_cut_to_the_pasted_part() -> None:
    box = torch.tensor([[2, 3, 8, 9]] * N)  # y0, x0, y1, x1
    plan = CutMix().fill(Plan(torch.tensor([2, 0, 1, 4, 3, 5]), torch.full((N,), 0.5), box))
    found, tags, weights = mixdali.mix_boxes(plan, BOXES, TAGS, (HEIGHT, WIDTH))
    # image 0: its own boxes, covered in part, and the whole of image 2, of which the pasted part is shown
    assert found[0].tolist() == [[1, 2, 5, 6], [4, 4, 9, 11], [3, 2, 9, 8]]
    torch.testing.assert_close(weights[0], torch.tensor([1 - 8 / 16, 1 - 20 / 35, 1.0]))
    assert tags[0].tolist() == [0, 1, 20]
    # image 4: its box is covered but for a rim, and that of image 3 lies outside the pasted part
    assert tags[4].tolist() == [40]
    none_left = mixdali.mix_boxes(plan, BOXES, TAGS, (HEIGHT, WIDTH), min_weight=0.5)
    assert none_left[1][0].tolist() == [20]


def test_boxes_of_resizemix_are_made_smaller_with_their_image() -> None:
    plan = ResizeMix().draw(IMAGES, tau=0.5714286, cy=6, cx=5, partner=[2, 2, 4, 4, 0, 0])
    y0, x0, y1, x1 = plan.box[0].tolist()
    found, tags, _ = mixdali.mix_boxes(plan, BOXES, TAGS, (HEIGHT, WIDTH))
    assert found[0][-1].tolist() == [x0, y0, x1, y1]
    moved = found[2][tags[2] == 40][0]
    scale = torch.tensor([(x1 - x0) / WIDTH, (y1 - y0) / HEIGHT] * 2)
    torch.testing.assert_close(moved, torch.tensor(BOXES[4][0]) * scale + torch.tensor([x0, y0, x0, y0]))


def test_boxes_under_cutout_lose_what_is_covered() -> None:
    plan = Cutout(length=4).draw(IMAGES, cy=6, cx=5)
    found, _, weights = mixdali.mix_boxes(plan, BOXES, TAGS, (HEIGHT, WIDTH))
    assert found[0].tolist() == BOXES[0]
    torch.testing.assert_close(weights[0], torch.tensor([1 - 4 / 16, 1 - 12 / 35]))


def test_what_does_not_fit_is_refused() -> None:
    plan = drawn(CutMix())
    for make, message in (
        (lambda: mixdali.mix_masks(plan, IMAGES[:, 0].numpy()), "masks must be a tensor (N, H, W) or (N, C, H, W)"),
        (lambda: mixdali.mix_masks(plan, IMAGES[0, 0]), "masks must be a tensor (N, H, W) or (N, C, H, W)"),
        (lambda: mixdali.mix_masks(plan, IMAGES[:4]), "the plan is of 6 images, got 4"),
        (lambda: mixdali.mix_masks(plan, IMAGES, blended="mean"), "blended must be one of 'refuse', 'heavier'"),
        (lambda: mixdali.mix_masks(Plan(plan.partner, plan.lam), IMAGES), "plan.weight must be given"),
        (lambda: mixdali.mix_boxes(plan, BOXES[:4], TAGS[:4], (HEIGHT, WIDTH)), "the plan is of 6 images, got 4"),
        (lambda: mixdali.mix_boxes(plan, BOXES, TAGS[:4], (HEIGHT, WIDTH)), "labels must be given for each of the 6"),
        (
            lambda: mixdali.mix_boxes(plan, [*BOXES[:5], [[1, 2, 3]]], TAGS, (HEIGHT, WIDTH)),
            "boxes of image 5 must be (M, 4)",
        ),
        (
            lambda: mixdali.mix_boxes(plan, [*BOXES[:5], [[5, 5, 4, 9]]], TAGS, (HEIGHT, WIDTH)),
            "with x0 <= x1 and y0 <= y1",
        ),
        (
            lambda: mixdali.mix_boxes(plan, BOXES, [*TAGS[:5], [1, 2]], (HEIGHT, WIDTH)),
            "labels of image 5 must be one for each",
        ),
    ):
        with pytest.raises((TypeError, ValueError), match=re.escape(message)) as caught:
            make()
        assert "\n" not in str(caught.value)
