"""SVHN, STL-10 and TinyImageNet, written here as their authors write them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from pipelines import cifar
from pipelines.preview import read_source
from pipelines.sources.datasets.known import find, find_kind, read_train
from pipelines.sources.datasets.stl10 import read_stl10
from pipelines.sources.datasets.svhn import read_svhn
from pipelines.sources.datasets.tiny_imagenet import read_tiny_imagenet
from pipelines.sources.files import find_kind as find_kind_of_files
from tests.helpers.training import write_cifar
from train.data.sources import read_sources
from train.data.streams import Stream
from train.data.streams.read import read_streams

RNG = np.random.default_rng(0)
STL_CLASSES = "airplane bird car cat deer dog horse monkey ship truck"


def pixels(count: int, side: int) -> np.ndarray:
    return RNG.integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def write_svhn(root: Path, count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """X (32, 32, 3, N) and y (N, 1) in MATLAB files; -> the training images (N, H, W, 3) and labels as written."""
    root.mkdir(exist_ok=True, parents=True)
    images, labels = pixels(count, 32), np.array([10, *(1 + np.arange(count - 1) % 10)], dtype=np.uint8)
    for split in ("train", "test"):
        content = {"X": images.transpose(1, 2, 3, 0), "y": labels[:, None]}
        savemat(root / f"{split}_32x32.mat", content, do_compression=True)
    return images, labels


def write_stl10(root: Path, count: int = 12) -> np.ndarray:
    """Colour by colour, in each column by column; -> the training images (N, H, W, 3)."""
    root.mkdir(exist_ok=True, parents=True)
    images = pixels(count, 96)
    for split in ("train", "test", "unlabeled"):
        (root / f"{split}_X.bin").write_bytes(b"".join(image.transpose(2, 1, 0).tobytes() for image in images))
        if split != "unlabeled":
            (root / f"{split}_y.bin").write_bytes(bytes(1 + number % 10 for number in range(count)))
    (root / "class_names.txt").write_text("\n".join(STL_CLASSES.split()) + "\n")
    return images


def write_tiny(root: Path) -> None:
    for place, wnid in enumerate(("n01443537", "n01629819", "n01641577")):
        folder = root / "train" / wnid / "images"
        folder.mkdir(parents=True)
        (folder.parent / f"{wnid}_boxes.txt").write_text("")
        for number in range(3):
            Image.fromarray(np.full((64, 64, 3), 40 * place, np.uint8)).save(folder / f"{wnid}_{number}.JPEG")
    images = root / "val" / "images"
    images.mkdir(parents=True)
    rows = []
    for number, wnid in enumerate(("n01641577", "n01443537", "n01641577", "n01629819")):
        Image.fromarray(np.full((64, 64, 3), number, np.uint8)).save(images / f"val_{number}.JPEG")
        rows.append(f"val_{number}.JPEG\t{wnid}\t0\t32\t44\t62")
    (root / "val" / "val_annotations.txt").write_text("\n".join(rows) + "\n")
    (root / "test" / "images").mkdir(parents=True)


def test_svhn_is_read_as_it_is_written_and_ten_is_the_digit_zero(tmp_path: Path) -> None:
    images, labels = write_svhn(tmp_path)
    source = read_svhn(tmp_path, "train")
    assert np.array_equal(source.items, images)
    assert source.labels.tolist() == (labels % 10).tolist()
    assert source.labels[0] == 0
    assert source.classes == tuple("0123456789")


def test_stl10_is_read_as_it_is_written(tmp_path: Path) -> None:
    images = write_stl10(tmp_path)
    for split in ("train", "test", "unlabeled"):
        source = read_stl10(tmp_path, split)
        assert np.array_equal(source.items, images)
    source = read_stl10(tmp_path, "test")
    assert source.labels.tolist() == [number % 10 for number in range(12)]
    assert source.classes == tuple(STL_CLASSES.split())
    assert set(read_stl10(tmp_path, "unlabeled").labels.tolist()) == {0}


def test_tiny_imagenets_validation_images_have_the_classes_of_its_list(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    train, val = read_tiny_imagenet(tmp_path, "train"), read_tiny_imagenet(tmp_path, "test")
    assert train.classes == val.classes == ("n01443537", "n01629819", "n01641577")
    assert [path.split("/")[-3] for path in train.items] == [train.classes[label] for label in train.labels]
    assert [path.rpartition("/")[2] for path in val.items] == [f"val_{number}.JPEG" for number in range(4)]
    assert val.labels.tolist() == [2, 0, 2, 1]


WRITERS: dict[str, Any] = {"SVHN": write_svhn, "STL-10": write_stl10, "TinyImageNet": write_tiny}


@pytest.mark.parametrize("name", WRITERS)
def test_each_is_found_by_its_root_and_by_the_folder_above(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / "data")
    kind = "imagenet" if name == "TinyImageNet" else "cifar"
    for root in (tmp_path, tmp_path / "data"):
        found = find(root)
        assert found is not None
        assert (found.form.name, found.folder) == (name, tmp_path / "data")
        assert find_kind(root) == kind
        assert len(read_train(root)) > 0
        assert read_source(str(root))[0] == kind


def test_what_is_of_none_of_these_forms_is_as_before(tmp_path: Path) -> None:
    write_cifar(tmp_path / "cifar", 5, 5)
    assert find(tmp_path / "cifar") is None
    assert find_kind(tmp_path / "cifar") == "cifar"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds neither") as said:
        find_kind(tmp_path / "empty")
    with pytest.raises(ValueError, match=re.escape(str(said.value))):
        find_kind_of_files(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        find_kind(tmp_path / "none")


def test_two_data_sets_in_one_folder_are_refused(tmp_path: Path) -> None:
    write_svhn(tmp_path / "svhn")
    write_stl10(tmp_path / "stl")
    with pytest.raises(ValueError, match=r"holds several data sets \(STL-10 in stl, SVHN in svhn\); give the folder"):
        find_kind(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"X": np.zeros((32, 32, 3, 4)), "y": np.ones(4)}, "must hold X (32, 32, 3, N) uint8, got float64"),
        ({"y": np.ones(4)}, "must hold X (32, 32, 3, N) uint8, got nothing"),
        ({"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.ones(3)}, "holds 4 images but 3 labels"),
        ({"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.zeros(4)}, "has the label 0; SVHN's are 1 to 10"),
    ],
)
def test_a_file_of_svhn_that_is_none_is_one_line(tmp_path: Path, content: Any, message: str) -> None:
    savemat(tmp_path / "train_32x32.mat", content)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_svhn(tmp_path, "train")
    with pytest.raises(FileNotFoundError, match=r"there is no .*test_32x32\.mat; fetch"):
        read_svhn(tmp_path, "test")
    (tmp_path / "train_32x32.mat").write_bytes(b"no matlab file")
    with pytest.raises(ValueError, match="is no readable MATLAB file"):
        read_svhn(tmp_path, "train")


def test_a_file_of_stl10_that_is_none_is_one_line(tmp_path: Path) -> None:
    write_stl10(tmp_path)
    (tmp_path / "train_y.bin").write_bytes(bytes(12))
    with pytest.raises(ValueError, match="has the label 0; STL-10's are 1 to 10"):
        read_stl10(tmp_path, "train")
    (tmp_path / "train_y.bin").write_bytes(bytes([1] * 11))
    with pytest.raises(ValueError, match="holds 11 labels for 12 images"):
        read_stl10(tmp_path, "train")
    (tmp_path / "train_X.bin").write_bytes(bytes(100))
    with pytest.raises(ValueError, match="holds 100 bytes, which make no images"):
        read_stl10(tmp_path, "train")
    (tmp_path / "train_X.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks train_X\.bin"):
        read_stl10(tmp_path, "train")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("val_0.JPEG\tn09999999\t0", "gives val_0.JPEG the class n09999999, which train does not have"),
        ("val_9.JPEG\tn01443537\t0", "lacks val_9.JPEG"),
        ("val_1.JPEG\tn01443537\t0", "lists an image twice"),
        ("val_0.JPEG", "must have a file and its class between tabs"),
        ("", "does not list val_0.JPEG"),
    ],
)
def test_a_list_of_tiny_imagenet_that_does_not_fit_is_one_line(tmp_path: Path, row: str, message: str) -> None:
    write_tiny(tmp_path)
    path = tmp_path / "val" / "val_annotations.txt"
    path.write_text("\n".join([row, *path.read_text().splitlines()[1:]]))
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(message)):
        read_tiny_imagenet(tmp_path, "test")


@pytest.mark.parametrize("name", WRITERS)
def test_the_trainer_takes_each_by_its_root(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path)
    kind: Any = "imagenet" if name == "TinyImageNet" else "cifar"
    sources = read_sources(kind, str(tmp_path))
    assert len(sources.train) == (9 if name == "TinyImageNet" else 12)
    assert len(sources.held_out) == (4 if name == "TinyImageNet" else 12)
    assert sources.num_classes == len(sources.classes)
    other: Any = "cifar" if kind == "imagenet" else "imagenet"
    with pytest.raises(ValueError, match=rf"holds {name}, the recipe reads .*; pass --data {kind}"):
        read_sources(other, str(tmp_path))


def test_a_pipeline_hands_out_what_was_read(tmp_path: Path) -> None:
    images = write_stl10(tmp_path)
    loader = cifar.val_loader(read_stl10(tmp_path, "test"), batch_size=4, num_classes=10, num_threads=1, device="cpu")
    seen = np.concatenate([batch.images.numpy() for batch in loader])
    np.testing.assert_allclose(seen, images.transpose(0, 3, 1, 2) / 255, atol=1e-6)


def test_a_stream_without_classes_takes_stl10s_unlabelled_images(tmp_path: Path) -> None:
    images = write_stl10(tmp_path)
    (tmp_path / "unlabeled_X.bin").write_bytes(bytes(2 * 3 * 96 * 96))
    train = read_stl10(tmp_path, "train")
    settings: dict[str, Any] = {"kind": "cifar", "classes": train.classes, "first_index": 12, "seed": 0}
    (labelled,) = read_streams((Stream(root=str(tmp_path)),), train, **settings)
    assert np.array_equal(labelled.items, images)
    (free,) = read_streams((Stream(root=str(tmp_path), smoothing=1.0),), train, **settings)
    assert (len(free), int(np.asarray(free.items).max())) == (2, 0)


def test_a_list_of_files_is_read_wherever_a_folder_is(tmp_path: Path) -> None:
    write_tiny(tmp_path / "tiny")
    files = sorted((tmp_path / "tiny" / "train").rglob("*.JPEG"))
    rows = [f"{path.relative_to(tmp_path)},{path.parts[-3]}" for path in files]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    assert find(tmp_path / "list.csv") is None
    kind, source = read_source(str(tmp_path / "list.csv"))
    assert (kind, len(source)) == ("imagenet", 9)
