"""Mixed images normalised, in half precision, as bytes or with channels last: the same in every world."""

import gc
import re
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest
import torch
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.pipeline import Pipeline
from nvidia.dali.plugin.pytorch import DALIGenericIterator, LastBatchPolicy

import mixdali
from mixdali import CutMix, Loader, Mix, MixUp
from mixdali.worlds import scaled
from mixdali.worlds.graph.world import GraphWorld
from mixdali.worlds.operators import OperatorWorld
from mixdali.worlds.output import Output
from tests.helpers.methods import METHODS, PIXEL_METHODS

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FORMS: dict[str, dict[str, Any]] = {
    "normalised": {"mean": MEAN, "std": STD},
    "half": {"dtype": "float16"},
    "all": {"mean": 0.5, "std": STD, "dtype": torch.float16, "output_layout": "HWC"},
    "bytes": {"dtype": types.UINT8, "output_layout": "HWC"},
    "bytes-planes": {"dtype": np.uint8},
    "channels-last": {"output_layout": "HWC"},
}
MIXES = {
    name: (METHODS | PIXEL_METHODS)[name]
    for name in ("mixup", "cutmix", "resizemix", "dirichlet", "mosaic", "gridmix", "cutout-noise", "noisy")
}
NUMBER, IMAGES = 6, np.random.default_rng(0).integers(0, 256, (6, 12, 9, 3), dtype=np.uint8)
TARGETS = np.eye(NUMBER, dtype=np.float32)


def in_form(floats: np.ndarray, *, mean: Any = 0.0, std: Any = 1.0, dtype: Any = None, output_layout: str = "CHW"):
    """What is asked for, of images (N, C, H, W) in [0, 1], in float64."""
    levels = [np.asarray(value, np.float64).reshape(-1, 1, 1) for value in (mean, std)]
    made = (floats.astype(np.float64) - levels[0]) / levels[1]
    if "uint8" in str(dtype).lower():
        made = np.floor(made * 255 + 0.5)
    return made.transpose(0, 2, 3, 1) if output_layout == "HWC" else made


def kind_of(form: dict[str, Any]) -> str:
    return Output.of(**form).dtype or "float32"


def assert_form(made: np.ndarray, floats: np.ndarray, form: dict[str, Any]) -> None:
    expected, kind = in_form(floats, **form), kind_of(form)
    assert made.dtype == kind
    # a half may be rounded either way, and a byte at a half of two
    atol = {"float32": 5e-6, "float16": 2e-3, "uint8": 1}[kind]
    np.testing.assert_allclose(made.astype(np.float64), expected, rtol=0, atol=atol)
    if kind == "uint8":
        assert (made != expected).mean() < 0.01


def graph_of(function: Any, images: np.ndarray = IMAGES, layout: str = "HWC") -> list[np.ndarray]:
    @pipeline_def(batch_size=len(images), num_threads=2, device_id=None, seed=1)
    def pipeline():
        pixels = fn.external_source(source=lambda i: images, batch=True, layout=layout)
        targets = fn.external_source(source=lambda i: np.eye(len(images), dtype=np.float32), batch=True)
        return function(pixels, targets)

    return [np.array(output.as_array()) for output in pipeline().run()]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mix", MIXES)
def test_a_graph_hands_out_what_is_asked_for(
    mix: str, form: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr("mixdali.worlds.graph.world.find_spec", lambda name: None)

    def both(pixels: Any, targets: Any) -> tuple[Any, Any]:
        plan = MIXES[mix].draw(pixels, targets=targets)
        return MIXES[mix].apply(pixels, None, plan)[0], MIXES[mix].apply(pixels, None, plan, **FORMS[form])[0]

    usual, other = graph_of(both)
    assert_form(other, usual, FORMS[form])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mix", ["mixup", "gridmix", "noisy"])
def test_so_do_dynamic_mode_and_tensors(mix: str, form: str) -> None:
    pixels = ndd.as_batch(IMAGES, layout="HWC")
    plan = MIXES[mix].draw(pixels, rng=ndd.random.RNG(seed=1))
    usual, other = (MIXES[mix].apply(pixels, None, plan, **how)[0] for how in ({}, FORMS[form]))
    assert_form(np.array(ndd.as_tensor(other)), np.array(ndd.as_tensor(usual)), FORMS[form])

    tensors = mixdali.to_float(torch.from_numpy(IMAGES).permute(0, 3, 1, 2).contiguous())
    plan = MIXES[mix].draw(tensors, rng=torch.Generator().manual_seed(1))
    usual, other = (MIXES[mix].apply(tensors, None, plan, **how)[0] for how in ({}, FORMS[form]))
    assert other.is_contiguous()
    assert_form(other.numpy(), usual.numpy(), FORMS[form])


@pytest.mark.parametrize("form", FORMS)
def test_so_it_is_without_a_mix_and_for_floats(form: str) -> None:
    how, floats = FORMS[form], np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2)) / np.float32(255)
    (made,) = graph_of(lambda pixels, _: mixdali.to_float(pixels, **how))
    assert_form(made, floats, how)
    (made,) = graph_of(lambda pixels, _: mixdali.to_float(pixels, layout="CHW", **how), floats, "CHW")
    assert_form(made, floats, how)
    made = np.array(ndd.as_tensor(mixdali.to_float(ndd.as_batch(IMAGES, layout="HWC"), **how)))
    assert_form(made, floats, how)
    for tensors in (torch.from_numpy(IMAGES).permute(0, 3, 1, 2), torch.from_numpy(floats)):
        assert_form(mixdali.to_float(tensors, **how).numpy(), floats, how)
    usual, other = (MixUp()(torch.from_numpy(floats), torch.eye(NUMBER), **how)[0].shape for how in ({}, how))
    assert sorted(usual) == sorted(other)


@pytest.mark.parametrize("mix", ["mixup", "cutmix", "gridmix", "mosaic", "cutout"])
@pytest.mark.parametrize("form", FORMS)
def test_the_kernel_gives_the_bytes_of_dalis_own_operators(mix: str, form: str) -> None:
    pytest.importorskip("numba")
    method: Mix = (METHODS | PIXEL_METHODS)[mix]

    def both(pixels: Any, targets: Any) -> tuple[Any, Any]:
        plan, output = method.draw(pixels, targets=targets), Output.of(**FORMS[form])
        kernel = method.apply(pixels, None, plan, **FORMS[form])[0]
        return kernel, OperatorWorld.blend(GraphWorld(pixels), pixels, method.fill(plan), output)

    np.testing.assert_array_equal(*graph_of(both))


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4, 3e-6])
def test_halves_are_rounded_to_the_nearest_even_one_also_the_smallest_and_the_largest(scale: float) -> None:
    pytest.importorskip("numba")
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    means = [0.0, 0.5, 0.4999, 128 / 255 + 1e-7, 64 / 255 - 2e-8]
    for mean in means:
        how = {"mean": mean, "std": scale}
        floats, halves = graph_of(
            lambda node, _, how=how: (mixdali.to_float(node, **how), mixdali.to_float(node, dtype="float16", **how)),
            pixels,
        )
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(halves, floats.astype(np.float16))
    small = graph_of(lambda node, _: mixdali.to_float(node, mean=128 / 255 + 1e-7, dtype="float16"), pixels)[0]
    assert 0 < abs(small).min() < 2**-14


def test_halves_are_the_same_without_an_instruction_for_them() -> None:
    numba = pytest.importorskip("numba")
    from mixdali.worlds.compiled.forms import half

    @numba.njit
    def halves(values: np.ndarray, out: np.ndarray) -> None:
        for i in range(len(values)):
            out[i] = half(values[i])

    # all positive halves and what lies between them, also just beside the middles
    every = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    middles = ((every[1:] + every[:-1]) / 2).astype(np.float32)
    values = np.concatenate([every.astype(np.float32), middles, np.nextafter(middles, 0), np.nextafter(middles, 9e9)])
    values = np.concatenate([values, -values, np.array([65519, 65520, 1e9, np.inf], np.float32)], dtype=np.float32)
    made = np.empty(len(values), np.uint16)
    halves(values, made)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(made, values.astype(np.float16).view(np.uint16))


WRONG = {
    "mean is in units of images in [0, 1], got (123.675, 116.28, 103.53); if it is meant for pixels from 0 to 255": {
        "mean": (123.675, 116.28, 103.53)
    },
    "std is in units of images in [0, 1], got [58.395, 57.12, 57.375]": {"std": [58.395, 57.12, 57.375]},
    "std must be above 0, got (0.0, 1.0, 1.0)": {"std": (0.0, 1.0, 1.0)},
    "mean must be a number, or one for each channel, got 'imagenet'": {"mean": "imagenet"},
    "mean and std must be for the same channels, got 3 and 2 numbers": {"mean": MEAN, "std": (0.5, 0.5)},
    "dtype must be one of 'float32', 'float16', 'uint8', got 'bfloat16'": {"dtype": torch.bfloat16},
    'dtype="uint8" keeps pixels from 0 to 255, so it takes no mean and no std': {"dtype": "uint8", "mean": 0.5},
    "output_layout must be one of 'CHW', 'HWC', got 'NHWC'": {"output_layout": "NHWC"},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_form_that_cannot_be_had_is_refused_before_anything_is_done(message: str) -> None:
    images = torch.zeros(NUMBER, 3, 4, 4)
    for call in (lambda how: mixdali.to_float(images, **how), lambda how: MixUp()(images, torch.eye(NUMBER), **how)):
        with pytest.raises((TypeError, ValueError), match=re.escape(message)):
            call(WRONG[message])


def test_a_mean_for_other_channels_is_refused_in_every_world() -> None:
    with pytest.raises(ValueError, match="mean and std are for 2 channels, images have 3"):
        mixdali.to_float(torch.zeros(2, 3, 4, 4), mean=(0.5, 0.5))
    loader = Loader(floating(IMAGES, mean=(0.5, 0.5)), num_samples=NUMBER)
    with pytest.raises(ValueError, match="mean and std must be one number for each channel of the images"):
        next(iter(loader))


def floating(images: np.ndarray, mix: bool = True, **how: Any) -> Pipeline:
    @pipeline_def(batch_size=NUMBER, num_threads=1, device_id=None, seed=1)
    def pipeline():
        pixels = fn.external_source(source=lambda i: images, batch=True, layout="HWC")
        targets = fn.external_source(source=lambda i: TARGETS, batch=True)
        return MixUp()(pixels, targets, **how) if mix else (mixdali.to_float(pixels, **how), targets)

    return pipeline()


@pytest.mark.parametrize("mix", [True, False])
@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int16])
def test_images_that_are_no_bytes_name_the_cure_also_in_dalis_own_iterators(
    kind: type, compiled: bool, mix: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr("mixdali.worlds.graph.world.find_spec", lambda name: None)
    images = IMAGES.astype(kind)
    with pytest.raises(RuntimeError, match=r'# a mix takes uint8 HWC images.*layout="CHW"'):
        next(DALIGenericIterator(floating(images, mix), ["images", "targets"], last_batch_policy=LastBatchPolicy.DROP))
    with pytest.raises(
        TypeError, match=r'^a mix in a DALI graph takes uint8 HWC images, got floats or others.*layout="CHW"'
    ):
        next(iter(Loader(floating(images, mix), num_samples=NUMBER)))
    gc.collect()  # here, and not later in a thread of another pipeline, which could not end these


def test_float_images_of_half_precision_name_the_cure() -> None:
    with pytest.raises(TypeError, match=r"on the CPU float images of a mix must be float32"):
        next(iter(Loader(floating(IMAGES.astype(np.float16), layout="CHW"), num_samples=NUMBER)))


@pytest.mark.parametrize("width", [8, 9])
@pytest.mark.parametrize("mix", ["none", "mixup", "cutmix", "cutout-noise"])
def test_bytes_that_are_said_to_be_floats_are_refused(mix: str, width: int) -> None:
    def function(pixels: Any, targets: Any) -> tuple[Any, Any]:
        planes = fn.transpose(pixels, perm=[2, 0, 1])
        if mix == "none":
            return mixdali.to_float(planes, layout="CHW"), targets
        return (METHODS | PIXEL_METHODS)[mix](planes, targets, layout="CHW")

    with pytest.raises(RuntimeError, match=r'with layout="CHW" must be floats'):
        graph_of(function, np.ascontiguousarray(IMAGES[:, :, :width]))
    planes = ndd.transpose(ndd.as_batch(IMAGES, layout="HWC"), perm=[2, 0, 1])
    with pytest.raises(TypeError, match=r'with layout="CHW" must be floats'):
        mixdali.to_float(planes, layout="CHW")


@pytest.mark.parametrize("world", ["graph", "dynamic"])
@pytest.mark.parametrize("level", [np.inf, np.nan])
def test_a_float_pixel_that_is_not_finite_spreads_to_no_other_pixel(level: float, world: str) -> None:
    images = np.zeros((2, 3, 4, 5), np.float32)
    images[0, 0, 1, 2] = level

    def mixed(pixels: Any, targets: Any, **how: Any) -> tuple[Any, Any]:
        return CutMix()(pixels, targets, layout="CHW", **how)

    if world == "graph":
        made = graph_of(mixed, images, "CHW")[0]
    else:
        rng = ndd.random.RNG(seed=1)
        made = np.array(
            ndd.as_tensor(
                mixed(ndd.as_batch(images, layout="CHW"), ndd.as_batch(np.eye(2, dtype=np.float32)), rng=rng)[0]
            )
        )
    wrong = {tuple(place) for place in np.argwhere(~np.isfinite(made))[:, 1:].tolist()}
    assert wrong == {(0, 1, 2)}


@pytest.mark.parametrize("grow", [-1, 1])
def test_boxes_of_a_gpu_graph_are_cut_from_images_of_one_size(grow: int) -> None:
    def function(pixels: Any, targets: Any) -> tuple[Any, Any]:
        of_two_sizes = fn.resize(pixels, resize_x=9, resize_y=12 + grow * fn.cast(targets[0], dtype=types.FLOAT))
        plan, world = CutMix().fill(CutMix().draw(of_two_sizes)), GraphWorld(of_two_sizes)
        return scaled.blend(world, *world.pixels(of_two_sizes), plan, Output.of()), targets

    with pytest.raises(RuntimeError, match="must be of one size"):
        graph_of(function)


def sums(mix: Mix, images: np.ndarray = IMAGES, **form: Any) -> list[np.ndarray]:
    """A batch mixed by the kernel, and by what GPU graphs are made of."""

    def both(pixels: Any, targets: Any) -> tuple[Any, Any]:
        plan, world = mix.fill(mix.draw(pixels, targets=targets)), GraphWorld(pixels)
        by_sums = scaled.blend(world, *world.pixels(pixels), plan, Output.of(**form))
        assert by_sums is not None
        return mix.apply(pixels, None, plan, **form)[0], by_sums

    return graph_of(both, images)


SUMS = ("mixup", "mixup-same", "cutmix", "resizemix", "hmix", "dirichlet", "mosaic", "choose", "choose-nested")


@pytest.mark.parametrize("mix", SUMS)
def test_sums_of_scaled_images_give_the_same(mix: str) -> None:
    kernel, by_sums = sums(METHODS[mix])
    np.testing.assert_allclose(by_sums, kernel, rtol=0, atol=1e-6)
    for form in FORMS.values():
        kernel, by_sums = sums(METHODS[mix], **form)
        atol = {"float32": 5e-6, "float16": 4e-3, "uint8": 1}[kind_of(form)]
        np.testing.assert_allclose(by_sums.astype(float), kernel.astype(float), rtol=0, atol=atol)


@pytest.mark.parametrize("mix", [MixUp(), MixUp(alpha=1e-3), MixUp(alpha=1e4), METHODS["dirichlet"], METHODS["hmix"]])
def test_sums_of_white_images_never_pass_white(mix: Mix) -> None:
    white = np.full((4000, 1, 2, 1), 255, np.uint8)
    _, by_sums = sums(mix, white)
    assert by_sums.max() <= 1
    assert by_sums.min() >= 1 - 1e-6


def test_sums_leave_what_is_not_mixed_exactly_as_it_is() -> None:
    _, by_sums = sums(MixUp(prob=0.0))
    _, by_boxes = sums(CutMix(prob=0.0))
    (unmixed,) = graph_of(lambda pixels, _: mixdali.to_float(pixels))
    np.testing.assert_allclose(by_sums, unmixed, rtol=0, atol=1e-35)
    np.testing.assert_array_equal(by_boxes, unmixed)


@pytest.mark.parametrize("shape", [(4, 5), (4, 7, 5), (4, 3, 2, 5, 5)])
def test_tensors_of_any_shape_take_the_settings_that_need_no_channels(shape: tuple[int, ...]) -> None:
    images, targets = torch.rand(shape), torch.eye(4)
    plan = MixUp().draw(images, rng=torch.Generator().manual_seed(0))
    mixed, _ = MixUp().apply(images, targets, plan)
    formed, _ = MixUp().apply(images, targets, plan, mean=0.5, std=0.25, dtype="float16")
    torch.testing.assert_close(formed, ((mixed - 0.5) / 0.25).half())
    for form in ({"mean": MEAN, "std": STD}, {"output_layout": "HWC"}):
        with pytest.raises(TypeError, match=r"images must be a float tensor \(N, C, H, W\)"):
            MixUp().apply(images, targets, plan, **form)
