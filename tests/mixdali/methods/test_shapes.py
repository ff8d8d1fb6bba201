"""What people mix beside images, and what must not change it: shapes, types of labels and targets, torch's defaults."""

import subprocess
import sys
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest
import torch
from nvidia.dali import fn, pipeline_def

import mixdali
from mixdali import Choose, CutMix, Cutout, DirichletMixUp, FMix, Mix, MixUp, Mosaic, Noisy, RandomErasing, ResizeMix
from tests.helpers.worlds import WORLDS

N = 5
SHAPES = [(7,), (20,), (3, 20), (3, 8, 9), (2, 4, 8, 9), (2, 3, 4, 5, 6)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "mix", [MixUp(), MixUp(prob=0.5), DirichletMixUp(), Choose([MixUp(), DirichletMixUp()]), Noisy(MixUp(), clip=False)]
)
def test_what_blends_whole_images_takes_tensors_of_any_shape(mix: Mix, shape: tuple[int, ...]) -> None:
    """Tables, sequences, volumes and clips: each is mixed as its values in a row are."""
    rows, targets = torch.rand(N, *shape, generator=torch.Generator().manual_seed(0)), torch.eye(N)
    mixed, soft = mix(rows, targets, rng=torch.Generator().manual_seed(1))
    assert mixed.shape == rows.shape
    flat = rows.reshape(N, -1, 1, 1)
    as_images, same = mix(flat, targets, rng=torch.Generator().manual_seed(1))
    assert torch.equal(mixed, as_images.reshape(rows.shape))
    assert torch.equal(soft, same)


@pytest.mark.parametrize(
    "mix", [CutMix(), ResizeMix(), Mosaic(), FMix(), Cutout(), RandomErasing(), Choose([MixUp(), CutMix()])]
)
def test_what_needs_a_height_and_a_width_says_so(mix: Mix) -> None:
    for shape in ((7,), (3, 20), (2, 4, 8, 9)):
        with pytest.raises(
            TypeError, match=r"boxes and masks need a height and a width, MixUp and DirichletMixUp take"
        ):
            mix(torch.rand(N, *shape), torch.eye(N))
    plan = mix.draw(torch.rand(N, 3, 8, 9))
    with pytest.raises(TypeError, match="boxes and masks need a height and a width"):
        mix.apply(torch.rand(N, 20), None, plan)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.bool])
def test_tokens_cannot_be_blended(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match="integers, as tokens, cannot be blended: mix what they are embedded into"):
        MixUp()(torch.zeros(N, 12, dtype=dtype), torch.eye(N))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("mix", [MixUp(), CutMix(), Mosaic()])
def test_one_column_of_targets_is_mixed_in_every_world(world: str, mix: Mix) -> None:
    images = np.random.default_rng(0).integers(0, 256, (N, 8, 9, 3), dtype=np.uint8)
    values = np.array([[0.0], [10.0], [-3.0], [2.5], [100.0]], np.float32)
    mixed = WORLDS[world](mix, images, values)
    weights = WORLDS[world](mix, images, np.eye(N, dtype=np.float32), plan=mixed.plan)
    np.testing.assert_allclose(mixed.targets, weights.targets @ values, atol=1e-4)


def test_numbers_without_a_column_are_refused_in_every_world() -> None:
    values = np.arange(N, dtype=np.float32)
    images = np.zeros((N, 8, 9, 3), np.uint8)
    for world, error in (("torch", TypeError), ("dynamic", TypeError), ("graph", RuntimeError)):
        with pytest.raises(error, match=r"targets .*"):
            WORLDS[world](MixUp(), images, values)
    with pytest.raises(TypeError, match=r"for regression a column, targets\.unsqueeze\(1\)$"):
        MixUp()(torch.rand(N, 3, 8, 9), torch.from_numpy(values))


def test_the_loader_hands_out_one_column_and_int64_labels() -> None:
    @pipeline_def(batch_size=N, num_threads=1, device_id=None)
    def pipeline():
        images = fn.external_source(source=lambda i: np.zeros((N, 8, 9, 3), np.uint8), batch=True, layout="HWC")
        values = fn.external_source(source=lambda i: np.ones((N, 1), np.float32), batch=True)
        labels = fn.external_source(source=lambda i: np.arange(N, dtype=np.int32), batch=True)
        return (*MixUp()(images, values), labels)

    loader = mixdali.Loader(pipeline(), outputs=("images", "targets", "labels"), num_samples=N)
    batch = next(iter(loader))
    assert batch.targets.tolist() == [[1.0]] * N
    assert batch.labels.dtype == torch.int64
    torch.nn.functional.cross_entropy(torch.zeros(N, N), batch.labels)


def one_hot_in(world: str, labels: np.ndarray, num_classes: Any) -> np.ndarray:
    if world == "torch":
        return mixdali.one_hot(torch.from_numpy(labels), num_classes).numpy()
    if world == "dynamic":
        made = mixdali.one_hot(ndd.as_batch(labels), num_classes)
        return np.stack([np.array(tensor) for tensor in made.tensors])

    @pipeline_def(batch_size=len(labels), num_threads=1, device_id=None)
    def pipeline():
        return mixdali.one_hot(fn.external_source(source=lambda i: labels, batch=True), num_classes)

    return np.array(pipeline().run()[0].as_array())


@pytest.mark.parametrize("world", WORLDS)
def test_labels_and_numbers_of_classes_of_any_integer_type(world: str) -> None:
    for dtype in (np.uint8, np.int8, np.int16, np.int32, np.int64):
        labels = np.array([0, 3, 120, 1], dtype)
        for num_classes in (300, np.int64(300), np.uint16(300), torch.tensor(300)):
            found = one_hot_in(world, labels, num_classes)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, np.eye(300)[labels])
    for wrong in (300.0, np.float32(300), "300", True, np.bool_(True), torch.tensor(True), None, 0, np.int8(-1)):
        with pytest.raises(ValueError, match="num_classes must be a whole number above 0, got"):
            one_hot_in(world, np.zeros(2, np.int32), wrong)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("label", "dtype"), [(-1, np.int8), (200, np.uint8), (5, np.int64)])
def test_a_label_of_any_type_out_of_range_is_refused(world: str, label: int, dtype: type) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        one_hot_in(world, np.array([0, label], dtype), 5)


def test_an_integer_one_hot_is_told_to_be_float() -> None:
    images, hot = torch.rand(N, 3, 8, 9), torch.eye(N, dtype=torch.int64)
    with pytest.raises(TypeError, match=r"make it a float one-hot: targets\.float\(\)$"):
        MixUp()(images, hot)
    with pytest.raises(TypeError, match=r"make it a float one-hot: labels\.float\(\)$"):
        mixdali.one_hot(hot, N)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -float("inf")])
@pytest.mark.parametrize(
    "mix", [CutMix(), ResizeMix(), Mosaic(), FMix(), Choose([CutMix(), Mosaic()]), MixUp(prob=0), Cutout(length=5)]
)
def test_what_is_not_finite_stays_where_it_is(mix: Mix, value: float) -> None:
    """One pixel of an image, as any other value there: no pixel that does not show it is touched."""
    plan = mix.draw(torch.zeros(4, 1, 10, 10), rng=torch.Generator().manual_seed(3))
    images = torch.rand(4, 1, 10, 10, generator=torch.Generator().manual_seed(0))
    for y, x in ((0, 0), (4, 5), (9, 3)):
        marked, spoilt = images.clone(), images.clone()
        marked[1, 0, y, x], spoilt[1, 0, y, x] = 7.0, value
        expected, _ = mix.apply(marked, None, plan)
        found, _ = mix.apply(spoilt, None, plan)
        torch.testing.assert_close(found, torch.where(expected == 7, value, expected), rtol=0, atol=0, equal_nan=True)


DEFAULTS = """
import torch
import mixdali
from tests.helpers.methods import METHODS, PIXEL_METHODS

def everything():
    found = []
    rng = torch.Generator(device="cpu").manual_seed(0)
    images = torch.rand(6, 3, 9, 8, generator=rng, dtype=torch.float32, device="cpu")
    labels = torch.arange(6, device="cpu")
    for name, mix in (METHODS | PIXEL_METHODS).items():
        targets = mixdali.one_hot(labels, 6, smoothing=0.1)
        plan = mix.draw(images, targets=targets, rng=rng)
        found += plan.parts().values()
        found += mix.apply(images, targets, plan)
        found.append(mixdali.mix_masks(plan, labels.byte()[:, None, None].expand(6, 9, 8), blended="heavier"))
        found.append(mixdali.mixed_accuracy(targets, labels, plan))
        for lam in (0.3, [0.3] * 6, torch.full((6,), 0.3, device="cpu", dtype=torch.float32)):
            if hasattr(mix, "alpha") and not isinstance(mix, (mixdali.DirichletMixUp, mixdali.Mosaic)):
                found += mix.draw(images, targets=targets, rng=rng, lam=lam).parts().values()
        boxes = mixdali.mix_boxes(plan, [[[1, 2, 5, 6]]] * 6, [[1]] * 6, (9, 8))
        found += [tensor for of_all in boxes for tensor in of_all]
    prob, alpha = mixdali.Ramp([(0, 0.2), (9, 0.9)]), mixdali.Ramp([(0, 1.0), (9, 2.0)])
    ramp = mixdali.CutMix(prob=prob, alpha=alpha, start_epoch=1)
    found += ramp.draw(images, rng=rng, epoch=3).parts().values()
    found.append(mixdali.to_float(images.mul(255).byte()))
    return found

expected = everything()
torch.set_default_dtype(torch.float64)
for device in ("cpu", "meta"):
    torch.set_default_device(device)
    for one, other in zip(expected, everything(), strict=True):
        assert other.device.type == "cpu"
        assert one.dtype == other.dtype, (one.dtype, other.dtype)
        assert torch.equal(one, other)
"""


def test_the_default_type_and_device_of_torch_change_nothing() -> None:
    """In a process of its own, as they hold for all of one."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", DEFAULTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
