"""The compiled kernel and DALI's own operators give the same bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from methods import METHODS, PIXEL_METHODS
from nvidia.dali import fn, pipeline_def

import mixdali
from mixdali import Mix
from mixdali.worlds.graph import GraphWorld
from mixdali.worlds.operators import OperatorWorld

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
    from mixdali.worlds import kernel

    own = np.random.default_rng(0).integers(0, 256, (1, 7, 9, channels), dtype=np.uint8)
    other = np.random.default_rng(1).integers(0, 256, (1, 7, 9, channels), dtype=np.uint8)

    @pipeline_def(batch_size=1, num_threads=1, device_id=None)
    def pipeline():
        def node(value: np.ndarray):
            return fn.external_source(source=lambda i: value, batch=True)

        numbers = np.array([[*corners, weight, 1.0, *corners]], np.float32)
        return kernel.blend(node(own), [node(other)], node(numbers), None)

    y0, x0, y1, x1 = (max(corner, 0) for corner in corners)
    expected = own[0].astype(np.float64)
    inside = (slice(y0, y1), slice(x0, x1))
    expected[inside] = weight * expected[inside] + (1 - weight) * other[0][inside]
    mixed = np.array(pipeline().run()[0].as_array())[0]
    np.testing.assert_allclose(mixed, expected.transpose(2, 0, 1) / 255, atol=1e-6)
