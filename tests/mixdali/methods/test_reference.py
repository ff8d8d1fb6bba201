"""Given the same draws, every world does what a slow loop over the pixels does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mixdali
from mixdali import Choose, CutMix, Mix, MixUp, Plan
from tests.helpers.methods import METHODS
from tests.helpers.references import boxes, pairs
from tests.helpers.worlds import WORLDS, graph_batches, graph_mix, torch_mix

HEIGHT, WIDTH = 7, 9


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, HEIGHT, WIDTH, 3), dtype=np.uint8)
    return images, rng.dirichlet(np.ones(4), 5).astype(np.float32)


def pixels(images: np.ndarray) -> np.ndarray:
    return images.transpose(0, 3, 1, 2) / 255


PARTNER = np.array([3, 0, 4, 2, 1])


@pytest.mark.parametrize("world", WORLDS)
def test_mixup_with_given_draws(world: str, batch: tuple[np.ndarray, np.ndarray]) -> None:
    images, targets = batch
    lam = np.array([0.0, 0.25, 0.5, 0.9, 1.0])
    mixed = WORLDS[world](MixUp(), images, targets, partner=PARTNER, lam=lam)
    expected = pairs.mixup(pixels(images), targets, PARTNER, lam)
    np.testing.assert_allclose(mixed.images, expected[0], atol=1e-6)
    np.testing.assert_allclose(mixed.targets, expected[1], atol=1e-6)
    np.testing.assert_allclose(mixed.plan.lam, lam, atol=1e-7)


@pytest.mark.parametrize("world", WORLDS)
def test_cutmix_with_given_draws(world: str, batch: tuple[np.ndarray, np.ndarray]) -> None:
    images, targets = batch
    lam = np.array([0.0, 0.3, 0.55, 0.9, 1.0])
    row, column = np.array([0, 3, 6, 2, 4]), np.array([8, 0, 4, 1, 7])
    draws = {"lam": lam, "cy": (row + 0.5) / HEIGHT, "cx": (column + 0.5) / WIDTH, "partner": PARTNER}
    mixed = WORLDS[world](CutMix(), images, targets, **draws)
    official = np.array([boxes.cutmix_box(*draw, HEIGHT, WIDTH) for draw in zip(lam, row, column, strict=True)])
    expected = boxes.cutmix(pixels(images), targets, PARTNER, official)
    np.testing.assert_array_equal(mixed.plan.box, official)
    np.testing.assert_allclose(mixed.images, expected[0], atol=1e-6)
    np.testing.assert_allclose(mixed.targets, expected[1], atol=1e-6)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("mix", [CutMix(), Choose([MixUp(), CutMix()])])
def test_a_given_plan_is_carried_out_as_it_stands(mix: Mix, world: str, batch: tuple[np.ndarray, np.ndarray]) -> None:
    """Any box and weight, also a box at the border, an empty one and the whole image."""
    images, targets = batch
    given_boxes = np.array([[0, 0, 7, 9], [2, 3, 2, 8], [5, 0, 7, 4], [1, 1, 6, 8], [0, 8, 1, 9]])
    weight = np.array([0.25, 0.5, 0.0, 1.0, 0.75], np.float32)
    lam = np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32)
    mixed = WORLDS[world](mix, images, targets, plan=Plan(PARTNER, lam, given_boxes, weight))
    for n, (y0, x0, y1, x1) in enumerate(given_boxes):
        expected = pixels(images)[n].copy()
        other = pixels(images)[PARTNER[n], :, y0:y1, x0:x1]
        expected[:, y0:y1, x0:x1] = weight[n] * expected[:, y0:y1, x0:x1] + (1 - weight[n]) * other
        np.testing.assert_allclose(mixed.images[n], expected, atol=1e-6)
        np.testing.assert_allclose(
            mixed.targets[n], lam[n] * targets[n] + (1 - lam[n]) * targets[PARTNER[n]], atol=1e-6
        )


@pytest.mark.parametrize("world", WORLDS)
def test_a_mask_weighs_pixel_by_pixel(world: str, batch: tuple[np.ndarray, np.ndarray]) -> None:
    images, targets = batch
    mask = np.random.default_rng(2).random((5, HEIGHT, WIDTH)).astype(np.float32)
    lam = mask.mean((1, 2))
    plan = Plan(PARTNER, lam, weight=np.ones(5, np.float32), mask=mask)
    mixed = WORLDS[world](MixUp(), images, targets, plan=plan)
    own, other = pixels(images), pixels(images)[PARTNER]
    np.testing.assert_allclose(mixed.images, mask[:, None] * own + (1 - mask[:, None]) * other, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_worlds_agree_on_a_plan_drawn_by_the_graph(method: str, batch: tuple[np.ndarray, np.ndarray]) -> None:
    images, targets = batch
    batches = graph_batches(METHODS[method], images, targets, seed=7)
    for _ in range(5):
        graph = next(batches)
        torch_ = torch_mix(METHODS[method], images, targets, plan=graph.plan)
        np.testing.assert_allclose(graph.images, torch_.images, atol=1e-6)
        np.testing.assert_allclose(graph.targets, torch_.targets, atol=1e-6)


@given(lam=st.floats(0, 1), cy=st.floats(0, 1, exclude_max=True), cx=st.floats(0, 1, exclude_max=True))
@settings(max_examples=300, deadline=None)
def test_every_cutmix_box_is_the_official_one(lam: float, cy: float, cx: float) -> None:
    plan = CutMix().draw(torch.zeros(2, 1, HEIGHT, WIDTH), lam=lam, cy=cy, cx=cx)
    box = boxes.cutmix_box(lam, int(cy * HEIGHT), int(cx * WIDTH), HEIGHT, WIDTH)
    assert plan.box[0].tolist() == list(box)
    area = (box[2] - box[0]) * (box[3] - box[1])
    assert plan.lam[0].item() == pytest.approx(1 - area / (HEIGHT * WIDTH), abs=1e-7)


def test_the_draw_just_below_one_stays_in_the_image() -> None:
    """In float32 it times 32 would round to 32, a centre beyond the last pixel."""
    almost = np.nextafter(np.float32(1), np.float32(0)) * np.ones(4, np.float32)
    images, targets = np.zeros((4, 32, 32, 3), np.uint8), np.eye(4, dtype=np.float32)
    for mix in WORLDS.values():
        box = mix(CutMix(), images, targets, lam=0.5 * np.ones(4), cy=almost, cx=almost).plan.box
        assert box.tolist() == [[20, 20, 32, 32]] * 4


def test_float64_and_half_images_keep_their_type() -> None:
    rng = torch.Generator().manual_seed(0)
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        images = torch.rand(4, 3, 5, 5, generator=rng).to(dtype)
        mixed, targets = CutMix()(images, torch.eye(4, dtype=torch.float64), rng=rng)
        assert mixed.dtype == dtype
        assert targets.dtype == torch.float64


def test_float64_plans_are_used_in_full_precision() -> None:
    images = torch.rand(3, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    lam = torch.tensor([1 / 3, 0.1, 0.7], dtype=torch.float64)
    partner = torch.tensor([1, 2, 0])
    mixed, _ = MixUp().apply(images, torch.eye(3, dtype=torch.float64), Plan(partner, lam))
    expected = lam[:, None, None, None] * images + (1 - lam[:, None, None, None]) * images[partner]
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-15)


def test_gradients_flow_to_both_parents() -> None:
    images = torch.rand(2, 1, 3, 3, requires_grad=True)
    mixed, _ = MixUp().apply(images, torch.eye(2), Plan(torch.tensor([1, 0]), torch.tensor([0.75, 1.0])))
    mixed[0].sum().backward()
    torch.testing.assert_close(images.grad, torch.stack([torch.full((1, 3, 3), 0.75), torch.full((1, 3, 3), 0.25)]))


def test_one_hot_is_the_same_in_both_worlds() -> None:
    labels = np.array([2, 0, 3, 1], np.int32)
    from_torch = mixdali.one_hot(torch.from_numpy(labels), 4, smoothing=0.1)
    assert from_torch.dtype == torch.float32
    np.testing.assert_allclose(from_torch.numpy(), 0.9 * np.eye(4)[labels] + 0.1 / 4, atol=1e-7)
    np.testing.assert_allclose(graph_one_hot(labels, 4, 0.1), from_torch.numpy(), atol=1e-7)


def graph_one_hot(labels: np.ndarray, num_classes: int, smoothing: float = 0.0) -> np.ndarray:
    from nvidia.dali import fn, pipeline_def

    @pipeline_def(batch_size=len(labels), num_threads=1, device_id=None)
    def pipeline():
        return mixdali.one_hot(fn.external_source(source=lambda i: labels, batch=True), num_classes, smoothing)

    return np.array(pipeline().run()[0].as_array())


@pytest.mark.parametrize("label", [-1, 4, 5])
def test_a_label_out_of_range_is_refused_in_both_worlds(label: int) -> None:
    with pytest.raises(ValueError, match=f"num_classes - 1 = 3, got {label}"):
        mixdali.one_hot(torch.tensor([0, label]), 4)
    with pytest.raises(RuntimeError, match="out of range"):
        graph_one_hot(np.array([0, label], np.int32), 4)


@pytest.mark.parametrize("partner", [-1, 4])
@pytest.mark.parametrize("mix", [mixdali.MixUp(), mixdali.Mosaic()], ids=["MixUp", "Mosaic"])
def test_a_partner_outside_the_batch_is_refused_in_a_graph(mix: mixdali.Mix, partner: int) -> None:
    images, targets = np.zeros((4, 6, 6, 3), np.uint8), np.eye(4, dtype=np.float32)
    partners = np.array([1, partner, 3, 0])
    with pytest.raises(RuntimeError, match="partner must be an image of the batch"):
        graph_mix(mix, images, targets, partner=partners)
    plan = graph_mix(mix, images, targets).plan
    with pytest.raises(RuntimeError, match="partner must be an image of the batch"):
        graph_mix(mix, images, targets, plan=replace(plan, partner=partners))
