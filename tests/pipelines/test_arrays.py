"""Images from NumPy's files."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines import cifar
from pipelines.sources.records.arrays import read_arrays
from tests.helpers.mutations import mutated

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (12, 8, 9, 3), dtype=np.uint8), np.arange(12) % 3


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (("train_images", "train_labels"), "train"),
        (("x_train", "y_train"), "train"),
        (("images", "labels"), "train"),
        (("val_images", "val_labels"), "val"),
        (("x_test", "y_test"), "val"),
    ],
)
def test_arrays_are_found_by_their_names(tmp_path: Path, names: tuple[str, str], split: str) -> None:
    np.savez(tmp_path / "data.npz", **{names[0]: IMAGES, names[1]: LABELS[:, None], "other": np.zeros(3)})
    source = read_arrays(tmp_path / "data.npz", split)  # type: ignore[arg-type]
    np.testing.assert_array_equal(source.items, IMAGES)
    assert source.labels.tolist() == LABELS.tolist()


def test_grey_images_and_channels_in_front_come_as_others_do(tmp_path: Path) -> None:
    np.savez(tmp_path / "grey.npz", images=IMAGES[..., 0], labels=LABELS)
    assert (read_arrays(tmp_path / "grey.npz", "train").items == IMAGES[..., :1]).all()
    np.savez(tmp_path / "front.npz", images=IMAGES.transpose(0, 3, 1, 2), labels=LABELS)
    np.testing.assert_array_equal(read_arrays(tmp_path / "front.npz", "train").items, IMAGES)


def test_an_epoch_is_the_set_in_the_file_and_resumes_to_the_byte(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", images=IMAGES, labels=LABELS)
    source = read_arrays(tmp_path / "data.npz", "train")

    def loader() -> cifar.Loader:
        outputs = ("images", "labels", "index")
        return cifar.train_loader(source, batch_size=4, num_classes=3, device="cpu", outputs=outputs)

    first, second = loader(), loader()
    batches = iter(first)
    seen = [next(batches)]
    second.load_state_dict(first.state_dict())
    rest = list(batches)
    for ours, theirs in zip(rest, second, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    pairs = [pair for batch in seen + rest for pair in zip(batch.index.tolist(), batch.labels.tolist(), strict=True)]
    assert sorted(pairs) == [(n, n % 3) for n in range(12)]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        (
            {"images": IMAGES},
            "has no arrays for train: they must be called train_images and train_labels, .*found images",
        ),
        ({"images": IMAGES / 255, "labels": LABELS}, r"images must be uint8 images .*, got float64 \(12, 8, 9, 3\)"),
        ({"images": np.zeros((4, 3, 5, 3), np.uint8), "labels": LABELS[:4]}, "does not tell where the three channels"),
        ({"images": IMAGES, "labels": np.eye(12)}, r"labels must be class numbers \(N,\), got float64 \(12, 12\)"),
        ({"images": IMAGES, "labels": LABELS[:5]}, "is no readable .npz .*labels must have one entry for each item"),
        (
            {"train_images": IMAGES, "train_labels": LABELS, "x_train": IMAGES, "y_train": LABELS},
            "holds train_images and x_train; keep one",
        ),
    ],
)
def test_what_cannot_be_told_is_refused_in_one_line(tmp_path: Path, arrays: dict[str, np.ndarray], says: str) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(ValueError, match=says) as error:
        read_arrays(tmp_path / "data.npz", "train")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("times", [1, pytest.param(16, marks=pytest.mark.long)])
def test_a_mutated_file_is_an_error_or_what_it_was(tmp_path: Path, times: int) -> None:
    """A zip file has a checksum of each array."""
    np.savez(tmp_path / "data.npz", images=IMAGES, labels=LABELS)
    whole, rng = (tmp_path / "data.npz").read_bytes(), random.Random(times)
    for _ in range(60 * times):
        (tmp_path / "data.npz").write_bytes(mutated(whole, rng))
        try:
            source = read_arrays(tmp_path / "data.npz", "train")
        except ValueError as error:
            said = str(error)
        else:
            said = "read"
            np.testing.assert_array_equal(source.items, IMAGES)
            assert source.labels.tolist() == LABELS.tolist()
        assert said
        assert "\n" not in said
