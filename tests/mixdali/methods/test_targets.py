"""Targets of any kind are mixed by the weights that the images are mixed by."""

from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import fn, pipeline_def

import mixdali
from mixdali import Mix
from tests.helpers.methods import METHODS, PIXEL_METHODS
from tests.helpers.worlds import WORLDS

# One set of draws for several images, and the rules that count places, need the pipeline's whole batch.
WHOLE_BATCHES = {
    "mixup-flip",
    "mixup-roll",
    "mixup-pair",
    "mosaic-roll",
    "choose-partners",
}


def pictures(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (number, 7, 9, 3), dtype=np.uint8)


def kinds_of_targets(number: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = torch.from_numpy(rng.integers(0, 4, number))
    return {
        "soft": rng.dirichlet(np.ones(4), number).astype(np.float32),
        "smoothed": mixdali.one_hot(labels, 4, smoothing=0.1).numpy(),
        "multi-hot": (rng.random((number, 4)) < 0.6).astype(np.float32),
    }


@pytest.mark.parametrize("number", [5, 2])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("world", WORLDS)
def test_targets_of_any_kind_are_mixed_by_the_same_weights(world: str, method: str, number: int) -> None:
    """What the identity becomes is the weights. Their rows sum to one, so those of targets keep their sums, mixed."""
    mix, images = METHODS[method], pictures(number)
    weights = WORLDS[world](mix, images, np.eye(number, dtype=np.float32), seed=3)
    np.testing.assert_allclose(weights.targets.sum(1), 1, atol=1e-6)
    assert weights.targets.min() >= -1e-6
    for kind, targets in kinds_of_targets(number).items():
        mixed = WORLDS[world](mix, images, targets, plan=weights.plan)
        assert mixed.targets.dtype == np.float32
        np.testing.assert_allclose(mixed.targets, weights.targets @ targets, atol=1e-6)
        if kind != "multi-hot":
            np.testing.assert_allclose(mixed.targets.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("method", [name for name in PIXEL_METHODS if "noisy" not in name])
@pytest.mark.parametrize("world", WORLDS)
def test_what_only_changes_pixels_leaves_the_targets(world: str, method: str) -> None:
    for targets in kinds_of_targets(5).values():
        mixed = WORLDS[world](PIXEL_METHODS[method], pictures(5), targets)
        assert mixed.targets.dtype == np.float32
        np.testing.assert_array_equal(mixed.targets, targets)


def graph(mix: Mix, sizes: list[int]) -> Any:
    """A built pipeline of painted batches of these sizes, over and over; (images, targets, partner or nothing)."""
    most = max(sizes)
    painted = [np.broadcast_to(np.eye(n, most, dtype=np.uint8)[:, None, None] * 255, (n, 7, 9, most)) for n in sizes]
    batches = [
        (np.ascontiguousarray(p), np.eye(n, most, dtype=np.float32)) for p, n in zip(painted, sizes, strict=True)
    ]

    @pipeline_def(batch_size=most, num_threads=2, device_id=None, seed=0)
    def pipeline():
        images, targets = fn.external_source(
            source=lambda i: batches[i % len(batches)], num_outputs=2, batch=True, layout=["HWC", ""]
        )
        plan = mix.draw(images, targets=targets)
        partners = [value for name, value in plan.parts().items() if name.endswith("partner")]
        return (*mix.apply(images, targets, plan), *partners)

    pipe = pipeline()
    pipe.build()
    return pipe


SIZES = [4, 3, 1, 2, 4]


@pytest.mark.parametrize("method", [name for name in METHODS if name not in WHOLE_BATCHES])
def test_a_smaller_batch_is_mixed_among_itself(method: str) -> None:
    """The last batch of an epoch, in a graph whose source gives what it has: no one from outside it is a partner."""
    pipe = graph(METHODS[method], SIZES)
    for number in SIZES:
        images, targets, *partners = (np.array(output.as_array()) for output in pipe.run())
        assert len(images) == len(targets) == number
        np.testing.assert_allclose(images.mean((2, 3), dtype=np.float64), targets, atol=1e-6)
        np.testing.assert_allclose(targets.sum(1), 1, atol=1e-6)
        for partner in partners:
            assert partner.shape == (number,)
            assert 0 <= partner.min() <= partner.max() < number
        if number == 1:
            np.testing.assert_allclose(targets, np.eye(1, 4), atol=1e-7)


@pytest.mark.parametrize("method", [name for name in METHODS | PIXEL_METHODS if name in WHOLE_BATCHES])
def test_a_smaller_batch_is_refused_where_the_whole_one_is_needed(method: str) -> None:
    pipe = graph((METHODS | PIXEL_METHODS)[method], [4, 3])
    pipe.run()
    with pytest.raises(RuntimeError):
        pipe.run()


@pytest.mark.parametrize("method", METHODS)
def test_torch_and_dynamic_batches_have_any_size(method: str) -> None:
    """One mix, and in dynamic mode one generator, for batches of many sizes."""
    for number in (4, 1, 3, 2, 7):
        for world in ("torch", "dynamic"):
            mixed = WORLDS[world](METHODS[method], pictures(number), np.eye(number, dtype=np.float32))
            assert mixed.images.shape == (number, 3, 7, 9)
            assert mixed.plan.partner.max() < number


@pytest.mark.parametrize("method", METHODS | PIXEL_METHODS)
def test_float_images_in_chw_are_mixed_as_bytes_in_hwc_are(method: str) -> None:
    mix, images, targets = (METHODS | PIXEL_METHODS)[method], pictures(5), np.eye(5, dtype=np.float32)

    @pipeline_def(batch_size=5, num_threads=2, device_id=None, seed=0)
    def pipeline():
        pixels = fn.external_source(source=lambda i: images, batch=True, layout="HWC")
        soft = fn.external_source(source=lambda i: targets, batch=True)
        floats = mixdali.to_float(pixels)
        of_bytes = mix(pixels, soft, rng=7)
        return (*of_bytes, *mix(floats, soft, rng=7, layout="CHW"))

    outputs = [np.array(output.as_array()) for output in pipeline().run()]
    np.testing.assert_allclose(outputs[0], outputs[2], atol=1e-6)
    np.testing.assert_allclose(outputs[1], outputs[3], atol=1e-6)
