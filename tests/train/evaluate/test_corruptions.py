"""Corruptions: made by the package, or read from the published files, and summed up as the benchmarks do."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.helpers.shifts import batches, brightness, memory, random_images
from train.evaluate.parts.corrupted_files import read_corrupted
from train.evaluate.parts.corruptions import (
    ALEXNET_ERRORS,
    CORRUPTIONS,
    SEVERITIES,
    corrupt,
    maker,
    measure_corruptions,
    summary,
)

NUM_CLASSES = 4
made_here = pytest.mark.skipif(
    find_spec("imagecorruptions") is None, reason="imagecorruptions-imaug is not installed, nothing makes corruptions"
)


def smooth_images(count: int, size: tuple[int, int] = (32, 32)) -> Tensor:
    """Colour gradients with a few shapes, on bytes."""
    small = random_images(count, (4, 4), seed=5)
    return torch.nn.functional.interpolate(small, size, mode="bilinear").mul(255).round().div(255)


@made_here
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_happens_to_an_image_follows_from_seed_and_index_alone(name: str) -> None:
    images, index = smooth_images(3), torch.tensor([4, 5, 6])
    together = corrupt(images, index, name, 2, seed=0)
    assert torch.equal(together[1:2], corrupt(images[1:2], index[1:2], name, 2, seed=0))
    assert together.shape == images.shape
    assert together.dtype == torch.float32
    assert together.min() >= 0
    assert together.max() <= 1
    assert torch.equal(together, together.mul(255).round().div(255))
    assert not torch.equal(together, images)


@made_here
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_global_generator_is_as_before(name: str) -> None:
    before = np.random.get_state()
    corrupt(smooth_images(1), torch.tensor([0]), name, 5, seed=0)
    after = np.random.get_state()
    assert np.array_equal(before[1], after[1])
    assert before[2:] == after[2:]


@made_here
@pytest.mark.parametrize(
    "name", ["gaussian_noise", "shot_noise", "impulse_noise", "frost", "snow", "elastic_transform"]
)
def test_another_seed_or_index_draws_anew(name: str) -> None:
    image = smooth_images(1)
    first = corrupt(image, torch.tensor([0]), name, 3, seed=0)
    assert not torch.equal(first, corrupt(image, torch.tensor([1]), name, 3, seed=0))
    assert not torch.equal(first, corrupt(image, torch.tensor([0]), name, 3, seed=1))


@made_here
@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "contrast"])
def test_severities_grow(name: str) -> None:
    images, index = smooth_images(8), torch.arange(8)
    moves = [(corrupt(images, index, name, severity, seed=0) - images).square().mean() for severity in SEVERITIES]
    assert moves == sorted(moves)


@made_here
def test_strengths_are_those_of_the_paper() -> None:
    # Deviation 0.08 to 0.38 of Gaussian noise, and contrast that falls to 0.4 to 0.05, in its table.
    grey = torch.full((1, 3, 64, 64), 128 / 255)
    noisy = corrupt(grey, torch.tensor([0]), "gaussian_noise", 1, seed=0)
    assert (noisy - grey).std() == pytest.approx(0.08, abs=0.003)
    images = smooth_images(2)
    flat = corrupt(images, torch.arange(2), "contrast", 5, seed=0)
    means = images.mean(dim=(2, 3), keepdim=True)
    assert (flat - (means + 0.05 * (images - means))).abs().max() <= 1 / 255


@made_here
def test_every_corruption_takes_images_that_are_not_square(capsys: pytest.CaptureFixture[str]) -> None:
    images = smooth_images(1, (32, 45))
    for name in CORRUPTIONS:
        assert corrupt(images, torch.tensor([0]), name, 4, seed=0).shape == images.shape
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("size", "name", "severity", "line"),
    [
        ((31, 40), "fog", 1, "images to corrupt must be at least 32 x 32, got 31 x 40"),
        ((32, 32), "rain", 1, "corruption must be one of 'gaussian_noise'"),
        ((32, 32), "fog", 6, "severity must be 1 to 5, got 6"),
    ],
)
def test_what_cannot_be_corrupted_is_refused(size: tuple[int, int], name: str, severity: int, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        corrupt(random_images(1, size), torch.tensor([0]), name, severity, seed=0)


def test_without_the_package_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecorruptions.corruptions", None)
    with pytest.raises(ImportError, match="pip install imagecorruptions-imaug"):
        corrupt(smooth_images(1), torch.tensor([0]), "fog", 1, seed=0)
    with pytest.raises(ImportError, match="or give the folder of the published ones"):
        maker()


def test_alexnet_itself_has_an_mce_of_one() -> None:
    accuracies = {(name, severity): 1 - ALEXNET_ERRORS[name] for name in CORRUPTIONS for severity in SEVERITIES}
    assert summary(accuracies, num_classes=1000)["mce_alexnet"] == pytest.approx(1)
    assert summary(accuracies, num_classes=10)["mce_alexnet"] is None
    del accuracies["fog", 3]
    assert summary(accuracies, num_classes=1000)["mce_alexnet"] is None


def test_alexnets_errors_are_the_means_of_its_five_severities() -> None:
    # Of the benchmark's own table.
    assert ALEXNET_ERRORS["gaussian_noise"] == pytest.approx(
        np.mean([0.69528, 0.82542, 0.93554, 0.98138, 0.99452]), abs=1e-6
    )
    assert ALEXNET_ERRORS["shot_noise"] == pytest.approx(
        np.mean([0.71224, 0.85108, 0.93574, 0.98182, 0.99146]), abs=1e-6
    )
    assert ALEXNET_ERRORS["impulse_noise"] == pytest.approx(
        np.mean([0.78374, 0.89808, 0.9487, 0.9872, 0.99548]), abs=1e-6
    )


def test_the_number_of_cifar_10_c_is_the_plain_mean() -> None:
    accuracies = {("fog", 1): 0.8, ("fog", 2): 0.6, ("frost", 1): 0.4}
    found = summary(accuracies, num_classes=10)
    assert found["mean"] == pytest.approx(0.6)
    assert found["by_corruption"] == pytest.approx({"frost": 0.4, "fog": 0.7})
    assert found["by_severity"] == pytest.approx({"1": 0.6, "2": 0.6})
    assert found["by_group"] == pytest.approx({"weather": 0.55})


LABELS = np.array([3, 0, 1, 2, 1, 0])


def write_arrays(folder: Path, labels: np.ndarray = LABELS, repeats: int = 5) -> Path:
    """CIFAR-10-C with images of one colour: red tells the image, green the severity, blue the corruption."""
    folder.mkdir()
    np.save(folder / "labels.npy", np.tile(labels, repeats))
    for number, name in enumerate(CORRUPTIONS):
        colours = [(image, severity, number) for severity in SEVERITIES for image in range(len(labels))]
        rows = np.broadcast_to(np.array(colours, dtype=np.uint8)[:, None, None, :], (len(colours), 8, 8, 3))
        np.save(folder / f"{name}.npy", rows)
    return folder


@pytest.mark.parametrize("repeats", [1, 5])
def test_published_arrays_hold_one_severity_after_the_other(tmp_path: Path, repeats: int) -> None:
    published = read_corrupted(write_arrays(tmp_path / "c", repeats=repeats), LABELS, tuple("abcd"), (8, 8))
    images = published.reader("fog", 4)(torch.tensor([5, 2], dtype=torch.int32))
    assert images.shape == (2, 3, 8, 8)
    assert images.mul(255).round()[:, :, 7, 0].tolist() == [[5, 4, CORRUPTIONS.index("fog")], [2, 4, 9]]


def test_published_arrays_are_scaled_to_what_the_network_takes(tmp_path: Path) -> None:
    published = read_corrupted(write_arrays(tmp_path / "c"), LABELS, tuple("abcd"), (12, 20))
    images = published.reader("snow", 5)(torch.tensor([4]))
    assert images.shape == (1, 3, 12, 20)
    assert images.mul(255).round().flatten(2).unique(dim=2).tolist() == [[[4], [5], [7]]]


@pytest.mark.parametrize("nested", [False, True])
def test_published_folders_are_matched_with_the_test_images(tmp_path: Path, nested: bool) -> None:
    classes, labels = ("n01", "n02", "n03"), np.array([0, 0, 1, 2])
    for name in CORRUPTIONS:
        for severity in SEVERITIES:
            folder = tmp_path / ("group" if nested else "") / name / str(severity)
            for number, label in enumerate(labels):
                path = folder / classes[label] / f"{number}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (40, 24), (60 * number, 50 * severity, 0)).save(path, format="png")
    images = read_corrupted(tmp_path, labels, classes, (16, 16)).reader("snow", 3)(torch.tensor([3, 1]))
    assert images.shape == (2, 3, 16, 16)
    assert images.mul(255).round()[:, :, 0, 15].tolist() == [[180, 150, 0], [60, 150, 0]]
    with pytest.raises(ValueError, match="not, class by class, the 4 test images"):
        read_corrupted(tmp_path, labels[::-1], classes, (16, 16)).reader("snow", 3)
    with pytest.raises(ValueError, match="none of the 2 classes"):
        read_corrupted(tmp_path, labels, classes[:2], (16, 16)).reader("snow", 3)


def test_an_image_that_is_already_as_large_as_wanted_stays_as_it_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    for name in CORRUPTIONS:
        path = tmp_path / name / "1" / "n01" / "0.JPEG"
        path.parent.mkdir(parents=True)
        Image.fromarray(pixels).save(path, format="png")
    read = read_corrupted(tmp_path, np.array([0]), ("n01",), (16, 16)).reader("frost", 1)
    assert np.array_equal(read(torch.tensor([0]))[0].mul(255).round().byte().permute(1, 2, 0).numpy(), pixels)


def test_wrong_folders_get_one_line(tmp_path: Path) -> None:
    def read(folder: Path) -> Any:
        return read_corrupted(folder, LABELS, tuple("abcd"), (8, 8))

    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds neither labels\.npy"):
        read(tmp_path / "empty")
    (tmp_path / "empty" / "fog").mkdir()
    with pytest.raises(FileNotFoundError, match="lacks gaussian_noise, shot_noise"):
        read(tmp_path / "empty")
    with pytest.raises(ValueError, match="other labels than those of the 6 test images"):
        read(write_arrays(tmp_path / "other", LABELS[::-1]))
    with pytest.raises(ValueError, match="other labels"):
        read(write_arrays(tmp_path / "more", np.concatenate([LABELS, LABELS])))
    whole = write_arrays(tmp_path / "whole")
    np.save(whole / "fog.npy", np.zeros((29, 8, 8, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"fog\.npy must hold 30 uint8 images"):
        read(whole).reader("fog", 1)
    (whole / "snow.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"snow\.npy is no readable array"):
        read(whole).reader("snow", 1)
    (whole / "frost.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks frost\.npy"):
        read(whole)


def test_published_images_are_measured_in_place_of_the_clean_ones(tmp_path: Path) -> None:
    # A network that reads the label from the red of the image, but only where the severity is below 4.
    table = torch.from_numpy(LABELS)

    def network(images: Tensor) -> Tensor:
        red, green, _ = images.mul(255).round()[:, :, 0, 0].T.long()
        return torch.nn.functional.one_hot(torch.where(green < 4, table[red], (table[red] + 1) % 4), 4).float()

    published = read_corrupted(write_arrays(tmp_path / "cifar-10-c"), LABELS, tuple("abcd"), (8, 8))
    images = batches(random_images(4), table[1:5], size=3, first=1)
    known, remember = memory()
    found = measure_corruptions({"net": network}, images, seed=0, num_classes=4, published=published, remember=remember)
    assert found["made by"] == "published, cifar-10-c"
    net = found["networks"]["net"]
    assert net["mean"] == pytest.approx(0.6)
    assert net["by_severity"] == {"1": 1, "2": 1, "3": 1, "4": 0, "5": 0}
    assert net["accuracies"]["fog"] == [1, 1, 1, 0, 0]
    assert len(known) == 75
    again = measure_corruptions(
        {"net": None},
        [],
        seed=0,
        num_classes=4,
        published=published,
        remember=remember,  # type: ignore[dict-item]
    )
    assert again == found


@made_here
def test_made_corruptions_are_named_with_their_version() -> None:
    images, labels = smooth_images(4), torch.tensor([0, 1, 0, 1])
    found = measure_corruptions(
        {"net": brightness}, batches(images, labels), seed=0, num_classes=2, names=["fog"], severities=[1]
    )
    assert found["made by"].startswith("generated by imagecorruptions-imaug 1.")
    assert list(found["networks"]["net"]["accuracies"]) == ["fog"]
