"""The compiled resize gives what DALI's gives, to the bit: any size, part, direction and number of channels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nvidia.dali import fn, pipeline_def, types

from pipelines.augment.resampling import resized
from pipelines.augment.resize import resize

N = 24


def run(images, regions, how):
    """Images (H, W, C) and regions (4,) in pixels -> list of (height, width, C), by `how(images, regions)`."""

    @pipeline_def(batch_size=len(images), num_threads=2, device_id=None, prefetch_queue_depth=1)
    def pipeline():
        nodes = fn.external_source(lambda: images, layout="HWC"), fn.external_source(lambda: regions)
        return how(*nodes)

    built = pipeline()
    (found,) = built.run()
    return [np.array(found.at(i)) for i in range(len(images))]


def by_dali(size, relative=False):
    return lambda images, regions: fn.resize(
        images,
        size=size,
        roi_start=regions[:2],
        roi_end=regions[2:],
        roi_relative=relative,
        interp_type=types.INTERP_LINEAR,
        antialias=True,
    )


def drawn(rng, sides, channels, part, mirrored):
    """N images of sides in this range, and a region of each."""
    images, regions = [], np.zeros((N, 4), np.float32)
    for region in regions:
        height, width = rng.integers(*sides, 2)
        images.append(rng.integers(0, 256, (height, width, channels), dtype=np.uint8))
        region[:] = (0, 0, height, width)
        if part:
            region[::2], region[1::2] = np.sort(rng.uniform(0, height, 2)), np.sort(rng.uniform(0, width, 2))
        if mirrored == "both":
            region[:] = region[[2, 3, 0, 1]]
        elif mirrored:
            region[:] = region[[0, 3, 2, 1]]
    return images, regions


@pytest.mark.parametrize("mirrored", [False, True, "both"])
@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(224, 224), (37, 51), (160, 230)])
def test_the_same_as_dali(size, channels, part, mirrored):
    rng = np.random.default_rng([*size, channels, part])
    for sides in ((1, 60), (60, 600)):
        images, regions = drawn(rng, sides, channels, part, mirrored)
        ours = run(images, list(regions), lambda a, b: resize(a, size, b, channels=channels))
        theirs = run(images, list(regions), by_dali(size))
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_halves_are_rounded_the_same():
    """At ratios of whole numbers many sums end in a half, which DALI rounds in two ways."""
    rng = np.random.default_rng(0)
    sides = [112, 224, 448, 672]
    images = [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h in sides for w in sides]
    for flip in (0, 1):
        regions = [np.array([0, flip * i.shape[1], i.shape[0], (1 - flip) * i.shape[1]], np.float32) for i in images]
        for size in ((224, 224), (112, 56), (111, 224)):
            ours = run(images, regions, lambda a, b, size=size: resize(a, size, b))
            theirs = run(images, regions, by_dali(size))
            assert all((one == other).all() for one, other in zip(ours, theirs, strict=True))


def test_a_share_of_the_sides_is_a_region():
    rng = np.random.default_rng(1)
    images, regions = drawn(rng, (20, 90), 3, True, False)
    shares = [region / np.array(image.shape[:2] * 2, np.float32) for image, region in zip(images, regions, strict=True)]
    ours = run(images, shares, lambda a, b: resize(a, (32, 48), b, relative=True))
    theirs = run(images, shares, by_dali((32, 48), relative=True))
    assert all((one == other).all() for one, other in zip(ours, theirs, strict=True))


def test_without_a_region_all_of_the_image_is_resized():
    images, regions = drawn(np.random.default_rng(2), (20, 90), 3, False, False)
    ours = run(images, list(regions), lambda a, _: resize(a, (32, 48)))
    theirs = run(images, list(regions), by_dali((32, 48)))
    assert all((one == other).all() for one, other in zip(ours, theirs, strict=True))


def test_more_channels_than_lanes_are_left_to_dali():
    images, regions = drawn(np.random.default_rng(3), (20, 40), 5, False, False)
    ours = run(images, list(regions), lambda a, b: resize(a, (32, 48), b, channels=5))
    theirs = run(images, list(regions), by_dali((32, 48)))
    assert all((one == other).all() for one, other in zip(ours, theirs, strict=True))


@settings(max_examples=50, deadline=None)
@given(
    sides=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    level=st.integers(0, 255),
    mirrored=st.booleans(),
)
def test_one_level_stays_one_level(sides, size, level, mirrored):
    image = np.full((*sides, 3), level, np.uint8)
    out = np.zeros((*size, 3), np.uint8)
    x0, x1 = (sides[1], 0) if mirrored else (0, sides[1])
    resized(image, np.array([0, x0, sides[0], x1], np.float32), out)
    assert (out == level).all()


@settings(max_examples=50, deadline=None)
@given(
    sides=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    seed=st.integers(0, 99),
)
def test_no_pixel_leaves_the_range_of_the_image(sides, size, seed):
    image = np.random.default_rng(seed).integers(50, 90, (*sides, 3), dtype=np.uint8)
    out = np.zeros((*size, 3), np.uint8)
    resized(image, np.array([0, 0, *sides], np.float32), out)
    assert image.min() <= out.min()
    assert out.max() <= image.max()
