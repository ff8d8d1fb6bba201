"""The compiled kernel and DALI's own operators give the same bytes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nvidia.dali import fn, pipeline_def

import mixdali
from mixdali import Mix, MixUp, one_hot
from mixdali.worlds.graph.world import GraphWorld
from mixdali.worlds.operators import OperatorWorld
from tests.helpers.methods import METHODS, PIXEL_METHODS

pytest.importorskip("numba", reason="the kernel is for numba, the extra mixdali[fast]")


def both(images: np.ndarray, mix: Mix) -> tuple[np.ndarray, np.ndarray]:
    """A mixed batch by the kernel and by the operators, with the same plan."""

    @pipeline_def(batch_size=len(images), num_threads=2, device_id=None, seed=1)
    def pipeline():
        pixels = fn.external_source(source=lambda i: images, batch=True, layout="HWC")
        targets = fn.external_source(source=lambda i: np.eye(len(images), 3, dtype=np.float32), batch=True)
        drawn = mix.draw(pixels, targets=targets)
        return mix.apply(pixels, None, drawn)[0], OperatorWorld.blend(GraphWorld(pixels), pixels, mix.fill(drawn))

    return tuple(np.array(output.as_array()) for output in pipeline().run())


@pytest.mark.parametrize("shape", [(7, 9, 3), (32, 32, 3), (5, 4, 1), (6, 3, 4)])
@pytest.mark.parametrize("method", [*METHODS, "cutout", "cutout-noise", "erasing", "erasing-log"])
def test_kernel_and_operators_agree_to_the_bit(method: str, shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, *shape), dtype=np.uint8)
    if shape[2] != 3 and method == "cutout":
        pytest.skip("a colour of three levels")
    kernel, operators = both(images, (METHODS | PIXEL_METHODS)[method])
    np.testing.assert_array_equal(kernel, operators)


@pytest.mark.parametrize("per", ["image", "batch", "pair"])
@pytest.mark.parametrize("method", METHODS)
def test_without_numba_a_seed_gives_the_same_batch(method: str, per: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 12, 9, 3), dtype=np.uint8)
    labels = np.arange(6, dtype=np.int64) % 4

    @pipeline_def(batch_size=6, num_threads=2, device_id=None, seed=3)
    def pipeline():
        targets = mixdali.one_hot(fn.external_source(source=lambda i: labels, batch=True), 4, smoothing=0.1)
        pixels = fn.external_source(source=lambda i: images, batch=True, layout="HWC")
        return replace(METHODS[method], per=per)(pixels, targets)

    compiled = [np.array(output.as_array()) for output in pipeline().run()]
    monkeypatch.setattr("mixdali.worlds.graph.world.find_spec", lambda name: None)
    plain = [np.array(output.as_array()) for output in pipeline().run()]
    for one, other in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("rule", ["cycle", "permutation"])
def test_without_numba_a_seed_gives_the_same_partners(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.zeros((9, 4, 4, 3), np.uint8)

    @pipeline_def(batch_size=9, num_threads=2, device_id=None, seed=3)
    def pipeline():
        plan = mixdali.DirichletMixUp(partner=rule).draw(fn.external_source(source=lambda i: images, batch=True))
        return plan.partner, *(layer.partner for layer in plan.more if layer.partner is not None)

    compiled = [np.array(output.as_array()) for output in pipeline().run()]
    monkeypatch.setattr("mixdali.worlds.graph.world.find_spec", lambda name: None)
    plain = [np.array(output.as_array()) for output in pipeline().run()]
    assert len(compiled) > 1
    np.testing.assert_array_equal(compiled, plain)


@pytest.mark.parametrize("layers", [1, 3])
def test_targets_of_few_and_of_many_classes_are_mixed_alike(layers: int) -> None:
    """In one thread or in several."""
    from mixdali.worlds.compiled import targets as compiled_targets
    from mixdali.worlds.compiled.others import others_and_targets, others_of_targets
    from mixdali.worlds.numbers import TOLD

    rng = np.random.default_rng(0)
    targets, shares = rng.random((5, 7), np.float32), rng.random((5, layers), np.float32) / layers
    orders = [rng.permutation(5) for _ in range(layers)]
    numbers = np.zeros((5, layers, TOLD), np.float32)
    numbers[:, :, 10], numbers[:, :, 11] = np.transpose(orders), shares

    @pipeline_def(batch_size=5, num_threads=2, device_id=None)
    def pipeline():
        def node(value: np.ndarray):
            return fn.external_source(source=lambda i: value, batch=True)

        own, told = node(targets), node(numbers.reshape(5, -1))
        places = others_of_targets(own, told)
        _, few = others_and_targets(node(np.zeros((5, 2, 2, 3), np.uint8)), own, told)
        return compiled_targets.blend_targets(own, places, told), few

    several, one = (np.array(output.as_array()) for output in pipeline().run())
    rest = 1 - shares.sum(axis=1, keepdims=True)
    expected = shares[:, :1] * targets + rest * targets[orders[0]]
    for i in range(1, layers):
        expected += shares[:, i : i + 1] * targets[orders[i]]
    np.testing.assert_array_equal(several, one)
    np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("num_classes", [1, 10, 5000])
def test_one_hot_of_few_and_of_many_classes(num_classes: int) -> None:
    labels = np.array([0, num_classes - 1, num_classes // 2], np.uint16)

    @pipeline_def(batch_size=3, num_threads=2, device_id=None)
    def pipeline():
        return mixdali.one_hot(fn.external_source(source=lambda i: labels, batch=True), num_classes, smoothing=0.2)

    made = np.array(pipeline().run()[0].as_array())
    expected = np.full((3, num_classes), 0.2 / num_classes)
    expected[np.arange(3), labels] += 0.8
    np.testing.assert_allclose(made, expected, rtol=1e-6)


def test_so_do_they_without_a_mix() -> None:
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)

    @pipeline_def(batch_size=1, num_threads=1, device_id=None)
    def pipeline():
        pixels = fn.external_source(source=lambda i: images, batch=True, layout="HWC")
        return mixdali.to_float(pixels), OperatorWorld.to_float(GraphWorld(pixels), pixels)

    kernel, operators = (np.array(output.as_array()) for output in pipeline().run())
    np.testing.assert_array_equal(kernel, operators)
    np.testing.assert_allclose(kernel[0, 0].ravel(), np.arange(256) / 255, rtol=1e-6)
    assert kernel.max() == 1


@given(
    corners=st.lists(st.integers(-3, 14), min_size=4, max_size=4),
    weight=st.floats(0, 1, width=32),
    channels=st.sampled_from([1, 3]),
)
@settings(max_examples=60, deadline=None)
def test_any_box_stays_inside_the_image(corners: list[int], weight: float, channels: int) -> None:
    """Also a box beyond the border, an empty one and one that is inside out."""
    from mixdali.worlds.compiled import images as kernel
    from mixdali.worlds.compiled.others import others_of_images

    images = np.random.default_rng(0).integers(0, 256, (2, 7, 9, channels), dtype=np.uint8)
    own, other = images[:1], images[1:]

    @pipeline_def(batch_size=2, num_threads=1, device_id=None)
    def pipeline():
        def node(value: np.ndarray):
            return fn.external_source(source=lambda i: value, batch=True)

        told = node(np.array([[*corners, weight, 1.0, *corners, partner, 1.0] for partner in (1, 0)], np.float32))
        pixels = node(images)
        return kernel.blend(pixels, others_of_images(pixels, told), told, None)

    y0, x0, y1, x1 = (max(corner, 0) for corner in corners)
    expected = own[0].astype(np.float64)
    inside = (slice(y0, y1), slice(x0, x1))
    expected[inside] = weight * expected[inside] + (1 - weight) * other[0][inside]
    mixed = np.array(pipeline().run()[0].as_array())[0]
    np.testing.assert_allclose(mixed, expected.transpose(2, 0, 1) / 255, atol=1e-6)


def mixing(images, *, batch_size=4, device_id=None, **settings):
    """A pipeline of batches of `images`, which a source hands out, with the place of each one's partner."""

    @pipeline_def(batch_size=batch_size, num_threads=2, device_id=device_id, seed=1, **settings)
    def pipeline():
        pixels = fn.external_source(source=images, batch=True, layout="HWC")
        plan = mixdali.MixUp(alpha=mixdali.Fixed(0.25)).draw(pixels)
        return mixdali.MixUp().apply(pixels, None, plan)[0], plan.partner

    return pipeline()


@pytest.mark.parametrize("settings", [{}, {"exec_dynamic": True}, {"prefetch_queue_depth": 4}], ids=str)
def test_partners_are_those_of_their_own_batch_however_far_the_pipeline_runs_ahead(settings) -> None:
    def batch(i: int) -> list[np.ndarray]:
        # the last one smaller, every image of one grey, which no other batch has
        return [np.full((40, 30, 3), 8 * i + n, np.uint8) for n in range(4 if i % 3 else 3)]

    pipeline = mixing(batch, **settings)
    for i in range(12):
        mixed, partners = (output.as_cpu() for output in pipeline.run())
        for n in range(len(mixed)):
            expected = 8 * i + 0.25 * n + 0.75 * int(np.array(partners[n]))
            np.testing.assert_allclose(np.array(mixed[n]) * 255, expected, rtol=1e-5)


def test_images_of_several_sizes_are_refused() -> None:
    pipeline = mixing(lambda i: [np.zeros((side, 8, 3), np.uint8) for side in (8, 8, 9, 8)])
    with pytest.raises(RuntimeError, match="all images of a batch that is mixed must be of one size"):
        pipeline.run()
    again = mixing(lambda i: [np.zeros((side, 8, 3), np.uint8) for side in (8, 8, 9, 8)])
    with pytest.raises(ValueError, match=r"^all images of a batch .* must be of one size: resize or crop them first$"):
        next(iter(mixdali.Loader(again, ("images", "partner"), num_samples=4)))


@pytest.mark.parametrize("how", ["few classes", "plain", "dynamic"])
def test_the_cure_for_images_of_several_sizes_is_told_everywhere(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    several, targets = [np.zeros((side, 8, 3), np.uint8) for side in (8, 8, 9, 8)], np.eye(4, dtype=np.float32)
    rule = "all images of a batch that is mixed must be of one size: resize or crop them first"
    if how == "dynamic":
        with pytest.raises(ValueError, match=rf"^{rule}, got \(8, 8, 3\) and \(9, 8, 3\)$"):
            MixUp()(ndd.as_batch(several, layout="HWC"), ndd.as_batch(targets))
        return
    if how == "plain":
        monkeypatch.setattr("mixdali.worlds.graph.world.find_spec", lambda name: None)

    def pipeline() -> Any:
        @pipeline_def(batch_size=4, num_threads=1, device_id=None)
        def mixing():
            images = fn.external_source(source=lambda i: several, batch=True, layout="HWC")
            soft = one_hot(fn.external_source(source=lambda i: np.arange(4, dtype=np.int32), batch=True), 4)
            return MixUp()(images, soft)

        return mixing()

    with pytest.raises(RuntimeError, match=rule):
        pipeline().run()
    with pytest.raises(ValueError, match=rf"^{rule}$"):
        next(iter(mixdali.Loader(pipeline(), num_samples=4)))


def test_a_partner_outside_of_the_batch_is_refused() -> None:
    images = np.zeros((4, 8, 8, 3), np.uint8)

    @pipeline_def(batch_size=4, num_threads=1, device_id=None)
    def pipeline():
        pixels = fn.external_source(source=lambda i: images, batch=True, layout="HWC")
        partner = fn.external_source(source=lambda i: np.array([1, 2, 3, 4], np.int32), batch=True)
        mix = mixdali.MixUp()
        return mix.apply(pixels, None, mix.draw(pixels, partner=partner))[0]

    with pytest.raises(RuntimeError, match="index"):
        pipeline().run()


@given(region=st.lists(st.integers(-4, 14), min_size=4, max_size=4), channels=st.sampled_from([1, 3, 4]))
@settings(max_examples=60, deadline=None)
def test_any_part_of_another_image_is_shown_by_its_nearest_pixels(region: list[int], channels: int) -> None:
    """Also one beyond the border, one that is enlarged and one that is inside out."""
    from mixdali.worlds.compiled import images as kernel
    from mixdali.worlds.compiled.others import others_of_images

    images = np.random.default_rng(0).integers(0, 256, (2, 7, 9, channels), dtype=np.uint8)
    box = (1, 2, 6, 8)

    @pipeline_def(batch_size=2, num_threads=1, device_id=None)
    def pipeline():
        def node(value: np.ndarray):
            return fn.external_source(source=lambda i: value, batch=True)

        told = node(np.array([[*box, 0.0, 1.0, *region, partner, 1.0] for partner in (1, 0)], np.float32))
        pixels = node(images)
        return kernel.blend(pixels, others_of_images(pixels, told), told, None)

    def shown(axis: int) -> np.ndarray:
        side, part = box[2 + axis] - box[axis], region[2 + axis] - region[axis]
        places = region[axis] + (2 * np.arange(side) + 1) * part // (2 * side)
        return places.clip(0, images.shape[1 + axis] - 1)

    expected = images[0].copy()
    expected[box[0] : box[2], box[1] : box[3]] = images[1][shown(0)][:, shown(1)]
    mixed = np.array(pipeline().run()[0].as_array())[0]
    np.testing.assert_allclose(mixed, expected.transpose(2, 0, 1) / 255, atol=1e-6)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["beside", "NUMBA_CACHE_DIR"])
def test_nothing_is_kept_from_before_a_change_of_the_sources(tmp_path: Path, elsewhere: bool) -> None:
    """numba would run what it compiled before another file changed, until the function's own file does."""
    program = """
        from numba import types
        from mixdali.worlds.compiled.operator import compiled

        @compiled(types.int32())
        def function():
            return 1

        function.address
        """
    script = tmp_path / "script.py"
    script.write_text(dedent(program))
    environment = {**os.environ, **({"NUMBA_CACHE_DIR": str(tmp_path / "kept")} if elsewhere else {})}

    def index() -> Path:
        root = Path(__file__).parents[3]
        subprocess.run([sys.executable, "-W", "error", script], check=True, cwd=root, env=environment)
        (found,) = tmp_path.rglob("script.function-*.nbi")
        assert found.is_relative_to(tmp_path / "kept") == elsewhere
        return found

    compiled_at = index().stat().st_mtime
    assert index().stat().st_mtime == compiled_at
    os.utime(index(), (0, 0))
    assert index().stat().st_mtime > compiled_at
