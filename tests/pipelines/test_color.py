"""Jittered colours and lighting: what changes, by how much, and that the rest of a batch does not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from mixdali import MixUp
from pipelines import cifar, imagenet
from pipelines.sources.files import read_folder
from pipelines.sources.source import Source

Load = Callable[..., Any]


def plain(pixel: tuple[int, int, int], count: int) -> Source:
    return Source(np.full((count, 8, 8, 3), pixel, np.uint8), np.zeros(count, int))


def first_pixels(loader: Any) -> np.ndarray:
    images = torch.cat([batch.images for batch in loader]) * 255
    assert (images == images[:, :, :1, :1]).all()
    return images[:, :, 0, 0].numpy().astype(np.float64)


@pytest.fixture(scope="module", params=["cifar", "imagenet"])
def load(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Load:
    """A training loader of images of one colour each, as arrays and as files, without augmentation."""
    folder = tmp_path_factory.mktemp("color")

    def make(pixel: tuple[int, int, int], count: int, **settings: Any) -> Any:
        settings = {"batch_size": 50, "num_classes": 2, "augment": False, **settings}
        if request.param == "cifar":
            return cifar.train_loader(plain(pixel, count), **settings)
        place = folder / f"{pixel}"
        for number in range(2):
            path = place / "train" / str(number) / "image.png"
            if not path.exists():  # a pipeline that still reads ahead would not survive a change
                path.parent.mkdir(parents=True)
                Image.new("RGB", (8, 8), pixel).save(path)
        source = read_folder(place, "train")
        items = list(source.items) * (count // 2)
        return imagenet.train_loader(Source(items, np.tile(source.labels, count // 2)), size=8, **settings)

    return make


def test_brightness_of_a_middle_grey_is_uniform_around_its_own(load: Load) -> None:
    """Contrast turns around 128, and a grey has no saturation."""
    levels = first_pixels(load((128, 128, 128), 1000, color_jitter=0.4))
    assert (levels.max(axis=1) - levels.min(axis=1)).max() <= 1.001
    shares = levels[:, 0] / 128
    assert stats.kstest(shares, stats.uniform(0.6, 0.8).cdf).pvalue > 1e-3


def test_contrast_turns_around_the_middle_grey(load: Load) -> None:
    """Of a darker grey g the level is b (128 + c (g - 128)): its mean stays, its spread is that of b and c."""
    levels = first_pixels(load((68, 68, 68), 2000, color_jitter=0.3))[:, 0]
    b, c = np.random.default_rng(0).uniform(0.7, 1.3, (2, 200_000))
    expected = np.round(b * (128 + c * (68 - 128)))
    assert stats.ks_2samp(levels, expected).pvalue > 1e-3


def test_saturation_moves_colours_from_and_to_their_grey(load: Load) -> None:
    levels = first_pixels(load((150, 128, 100), 1000, color_jitter=0.4))
    apart = (levels[:, 0] - levels[:, 2]) / levels.mean(axis=1)
    assert apart.min() < 0.75 * 50 / 126
    assert apart.max() > 1.25 * 50 / 126


def test_lighting_moves_a_colour_along_the_axes_of_imagenet_s_colours(load: Load) -> None:
    """Numbers of AlexNet's noise, written out: each axis by its deviation times N(0, 0.1^2), in units of [0, 1]."""
    axes = [[-0.5675, -0.5808, -0.5836], [0.7192, -0.0045, -0.6948], [0.4009, -0.8140, 0.4203]]
    deviations = [0.2175, 0.0188, 0.0045]
    moves = first_pixels(load((100, 128, 150), 2000, lighting=0.1)) - (100, 128, 150)
    # A level is rounded, which adds a twelfth of a level's square to each channel.
    expected = 25.5**2 * sum(d * d * np.outer(axis, axis) for d, axis in zip(deviations, axes, strict=True))
    assert np.abs(moves.mean(axis=0)).max() < 0.3
    assert np.cov(moves.T) == pytest.approx(expected + np.eye(3) / 12, rel=0.12)
    assert stats.kstest(moves @ axes[0], stats.norm(scale=25.5 * deviations[0]).cdf).pvalue > 1e-3


@pytest.mark.parametrize("settings", [{"color_jitter": 1.0}, {"lighting": 1.0}])
def test_images_of_a_batch_differ_and_none_leaves_the_range(load: Load, settings: dict[str, float]) -> None:
    levels = first_pixels(load((250, 4, 128), 500, **settings))
    assert levels.min() >= 0
    assert levels.max() <= 255
    assert len(np.unique(levels[:50], axis=0)) > 40


CHANGED = [{"color_jitter": 0.4}, {"lighting": 0.1}]


@pytest.mark.parametrize("changed", CHANGED)
def test_the_rest_of_a_batch_is_as_without(load: Load, changed: dict[str, float]) -> None:
    outputs = ("images", "targets", "index")
    settings = {"outputs": outputs, "mix": MixUp(), "seed": 3}
    plainly, moved = (load((90, 128, 200), 100, **more, **settings) for more in ({}, changed))
    for one, other in zip(plainly, moved, strict=True):
        assert torch.equal(one.index, other.index)
        assert not torch.equal(one.images, other.images)


def test_a_resumed_loader_changes_colours_on(load: Load) -> None:
    def make() -> Any:
        return load((90, 128, 200), 200, color_jitter=0.4, lighting=0.1, seed=3)

    whole, broken = [batch.images for batch in make()], make()
    batches = iter(broken)
    first = [next(batches).images for _ in range(2)]
    resumed = make()
    resumed.load_state_dict(broken.state_dict())
    for one, other in zip(whole, [*first, *(batch.images for batch in resumed)], strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["color_jitter", "lighting"])
@pytest.mark.parametrize("wrong", [-0.1, 1.5, True])
def test_what_is_no_share_is_refused(load: Load, name: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a number from 0 to 1, got"):
        list(load((9, 9, 9), 100, **{name: wrong}))
