"""Reading data sets: real ones as torchvision reads them, and one clear line for what is missing or damaged."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat
from torchvision.datasets import CIFAR10, ImageFolder

from pipelines.sources.files import find_kind, read_cifar, read_folder
from pipelines.sources.pickles import dump_pickle, load_pickle
from pipelines.sources.sort_val import main as sort_val
from pipelines.sources.splits import find_splits

SharedData = Callable[[str], Path]
CIFAR10_ARCHIVE = "cifar10/cifar-10-python.tar.xz"
CIFAR100_ARCHIVE = "cifar100-mini/cifar-100-python-mini.tar.xz"
IMAGENETTE = "imagenette2-160-mini/imagenette2-160-mini.tar"


def write_cifar10(folder: Path, per_batch: int = 2, side: int = 32) -> Path:
    """Every pixel of image i of batch b is 10 * b + i in red, and that plus 100 and 200 in green and blue."""
    folder.mkdir(parents=True)
    for batch, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        values = np.arange(per_batch)[:, None] + 10 * batch + np.array([0, 100, 200]).repeat(side * side)
        dump_pickle(folder / name, {"data": values.astype(np.uint8), "labels": list(range(per_batch))})
    dump_pickle(folder / "batches.meta", {"label_names": ["cat", "dog"]})
    return folder


def write_images(root: Path, *names: str) -> Path:
    """Files that are no images, only named so: a listing does not decode."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_cifar10_is_what_torchvision_reads(shared_data: SharedData) -> None:
    root = shared_data(CIFAR10_ARCHIVE)
    for split in ("train", "test"):
        source = read_cifar(root, split)
        known = CIFAR10(root.parent, train=split == "train", download=False)
        assert source.items.flags.c_contiguous
        np.testing.assert_array_equal(source.items, known.data)
        assert source.labels.tolist() == known.targets
        assert list(source.classes) == known.classes


def test_cifar100_has_its_fine_labels(shared_data: SharedData) -> None:
    root = shared_data(CIFAR100_ARCHIVE)
    for split, per_class in (("train", 50), ("test", 10)):
        source = read_cifar(root, split)
        assert source.items.shape == (100 * per_class, 32, 32, 3)
        assert np.bincount(source.labels).tolist() == [per_class] * 100
        assert (source.classes[0], source.classes[99]) == ("apple", "worm")
    np.testing.assert_array_equal(read_cifar(root.parent, "test").items, source.items)
    assert find_kind(root) == find_kind(root.parent) == "cifar"


def test_an_image_folder_is_what_torchvision_lists(shared_data: SharedData) -> None:
    root = shared_data(IMAGENETTE)
    for split in ("train", "val"):
        source, known = read_folder(root, split), ImageFolder(str(root / split))
        assert list(zip(source.items, source.labels.tolist(), strict=True)) == known.samples
        assert list(source.classes) == known.classes
    assert find_kind(root) == "imagenet"


def test_nested_folders_are_listed_in_torchvisions_order(tmp_path: Path) -> None:
    write_images(tmp_path, "b/1.jpg", "b/z/2.png", "b/z-y/3.bmp", "b/a/4.webp", "a/n/5.JPEG", "a/0.JPG", "B/x.ppm")
    source, known = read_folder(tmp_path, "train"), ImageFolder(str(tmp_path))
    assert list(zip(source.items, source.labels.tolist(), strict=True)) == known.samples
    assert find_kind(tmp_path) == "imagenet"


def test_pixels_of_a_pickle_are_planes_of_rows(tmp_path: Path) -> None:
    source = read_cifar(write_cifar10(tmp_path / "any name", side=5), "train")
    assert source.items.shape == (10, 5, 5, 3)
    assert source.items[:, 0, 0, 0].tolist() == [0, 1, 10, 11, 20, 21, 30, 31, 40, 41]
    assert (source.items == source.items[:, :1, :1, :1] + np.array([0, 100, 200], np.uint8)).all()
    assert source.labels.tolist() == [0, 1] * 5
    assert source.classes == ("cat", "dog")
    assert len(read_cifar(tmp_path, "test")) == 2


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_python_3_are_read_too(tmp_path: Path, protocol: int) -> None:
    folder = write_cifar10(tmp_path / "cifar")
    before = read_cifar(folder, "test")
    for path in folder.iterdir():
        path.write_bytes(pickle.dumps(load_pickle(path), protocol))
    np.testing.assert_array_equal(read_cifar(folder, "test").items, before.items)


def test_written_pickles_read_as_python_2_wrote_them(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    dump_pickle(tmp_path / "file", {"data": pixels, "labels": [3, 1], "name": "caf\xe9"})
    content = (tmp_path / "file").read_bytes()
    text, raw = pickle.loads(content, encoding="latin1"), pickle.loads(content, encoding="bytes")
    np.testing.assert_array_equal(text["data"], pixels)
    np.testing.assert_array_equal(raw[b"data"], pixels)
    assert text["labels"] == raw[b"labels"] == [3, 1]
    assert (text["name"], raw[b"name"]) == ("caf\xe9", b"caf\xe9")


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_cannot_run_code(tmp_path: Path) -> None:
    folder = write_cifar10(tmp_path / "cifar")
    (folder / "data_batch_3").write_bytes(pickle.dumps({"data": Harmful(tmp_path / "touched"), "labels": []}))
    with pytest.raises(ValueError, match=r"data_batch_3 asks to load .*do not trust it"):
        read_cifar(folder, "train")
    assert not (tmp_path / "touched").exists()


def test_a_pickle_cut_anywhere_is_named(tmp_path: Path) -> None:
    folder = write_cifar10(tmp_path / "cifar")
    whole = (folder / "data_batch_2").read_bytes()
    for length in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        (folder / "data_batch_2").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="data_batch_2 is no complete pickle"):
            read_cifar(folder, "train")


def test_a_file_that_is_no_pickle_is_named(tmp_path: Path) -> None:
    folder = write_cifar10(tmp_path / "cifar")
    (folder / "batches.meta").write_text("<html>not found</html>")
    with pytest.raises(ValueError, match=r"batches\.meta is no complete pickle"):
        read_cifar(folder, "test")


PIXELS = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"data": PIXELS, "labels": [0]}, "holds 2 images but 1 labels"),
        ({"data": PIXELS}, "has no entry labels or fine_labels, only data"),
        ({"labels": [0, 1]}, "holds no uint8 rows of pixels under 'data' but NoneType"),
        ({"data": PIXELS[:0], "labels": []}, r"holds no uint8 rows of pixels under 'data' but uint8 \(0, 3072\)"),
        ({"data": PIXELS[:, :3000], "labels": [0, 1]}, "rows of 3000 numbers, which make no square image"),
        ({"data": PIXELS[:, :300], "labels": [0, 1]}, "images of different widths"),
        ({"data": PIXELS, "labels": [0, 2]}, "has the label 2, but .* 2 classes"),
        ({"data": PIXELS, "labels": ["a", "b"]}, "labels that are not whole numbers"),
    ],
)
def test_a_batch_with_wrong_content_is_refused(tmp_path: Path, content: dict[str, Any], says: str) -> None:
    folder = write_cifar10(tmp_path / "cifar")
    dump_pickle(folder / "data_batch_4", content)
    with pytest.raises(ValueError, match=says):
        read_cifar(folder, "train")


def test_missing_batches_are_named(tmp_path: Path) -> None:
    folder = write_cifar10(tmp_path / "cifar")
    (folder / "data_batch_2").unlink()
    (folder / "data_batch_5").unlink()
    with pytest.raises(FileNotFoundError, match="lacks data_batch_2, data_batch_5"):
        read_cifar(folder, "train")
    assert len(read_cifar(folder, "test")) == 2


def test_two_data_sets_side_by_side_are_not_guessed_between(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "one")
    write_cifar10(tmp_path / "two")
    with pytest.raises(ValueError, match=r"holds 2 data sets \(one, two\); give one"):
        read_cifar(tmp_path, "train")


def test_a_folder_without_pickles_says_what_was_looked_for_and_found(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").touch()
    with pytest.raises(FileNotFoundError, match=r"data_batch_1 to .*found cifar-10-python\.tar\.gz"):
        read_cifar(tmp_path, "train")
    with pytest.raises(ValueError, match=r"neither CIFAR's pickles .* nor class folders .*found cifar-10-python"):
        find_kind(tmp_path)


@pytest.mark.parametrize(
    "read", [lambda root: read_cifar(root, "train"), lambda root: read_folder(root, "train"), find_kind]
)
def test_a_missing_folder_or_a_file_is_named(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    with pytest.raises(FileNotFoundError, match=f"there is no folder {tmp_path}/none"):
        read(tmp_path / "none")
    (tmp_path / "data.tar").touch()
    with pytest.raises(NotADirectoryError, match=r"data\.tar is a file; unpack it"):
        read(tmp_path / "data.tar")


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="split must be 'train' or 'test', got 'val'"):
        read_cifar(tmp_path, "val")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="split must be 'train' or 'val', got 'test'"):
        read_folder(tmp_path, "test")  # type: ignore[arg-type]


def test_val_counts_its_classes_as_train_does(tmp_path: Path) -> None:
    write_images(tmp_path, "train/ant/1.jpg", "train/bee/1.jpg", "train/cat/1.jpg", "val/cat/1.jpg", "val/bee/1.jpg")
    source = read_folder(tmp_path, "val")
    assert source.labels.tolist() == [1, 2]
    assert source.classes == ("ant", "bee", "cat")
    write_images(tmp_path, "val/dog/1.jpg")
    with pytest.raises(ValueError, match=r"val/dog is a class that .*train does not have \(1 such"):
        read_folder(tmp_path, "val")


def test_other_files_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    write_images(
        tmp_path, "ant/1.jpg", "ant/._1.jpg", "ant/notes.txt", "ant/.thumbs/2.jpg", ".cache/3.jpg", "labels.csv"
    )
    assert list(read_folder(tmp_path, "train").items) == [str(tmp_path / "ant/1.jpg")]


def test_linked_class_folders_are_followed(tmp_path: Path) -> None:
    write_images(tmp_path, "all/ant/1.jpg", "all/bee/1.jpg")
    (tmp_path / "few").mkdir()
    (tmp_path / "few/ant").symlink_to(tmp_path / "all/ant")
    assert list(read_folder(tmp_path / "few", "train").items) == [str(tmp_path / "few/ant/1.jpg")]


def test_class_folders_without_images_are_named_and_counted(tmp_path: Path) -> None:
    write_images(tmp_path, "ant/1.jpg", "bee/notes.txt")
    (tmp_path / "cat").mkdir()
    with pytest.raises(ValueError, match=r"bee holds no images \(2 such class folders of 3\)"):
        read_folder(tmp_path, "train")


def test_empty_files_and_broken_links_are_named_and_counted(tmp_path: Path) -> None:
    write_images(tmp_path, "ant/1.jpg", "ant/2.jpg", "bee/3.jpg")
    (tmp_path / "ant/2.jpg").write_bytes(b"")
    (tmp_path / "bee/4.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(ValueError, match=r"ant/2\.jpg is empty or a broken link \(2 such files\)"):
        read_folder(tmp_path, "train")


@pytest.mark.parametrize("names", [("train", "val"), ("Train", "Test"), ("TRAINING", "valid"), ("train", "validation")])
def test_splits_are_known_by_their_names(tmp_path: Path, names: tuple[str, str]) -> None:
    write_images(tmp_path, f"{names[0]}/ant/1.jpg", f"{names[0]}/bee/2.jpg", f"{names[1]}/bee/3.jpg", "notes/x.txt")
    train, val = read_folder(tmp_path, "train"), read_folder(tmp_path, "val")
    assert (len(train), train.classes) == (2, ("ant", "bee"))
    assert (list(val.items), val.labels.tolist()) == ([str(tmp_path / names[1] / "bee/3.jpg")], [1])
    said = find_splits(tmp_path).describe(2, 1, 2)
    assert said == f"2 training images in 2 classes ({names[0]}), 1 to validate on ({names[1]})"


def test_a_test_folder_beside_val_is_told_and_left_alone(tmp_path: Path) -> None:
    write_images(tmp_path, "train/ant/1.jpg", "val/ant/2.jpg", "test/3.jpg")
    assert list(read_folder(tmp_path, "val").items) == [str(tmp_path / "val/ant/2.jpg")]
    assert find_splits(tmp_path).describe(1, 1, 1).endswith("; test is not used")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_images(tmp_path, "car/1.jpg", "plane/1.jpg", "train/1.jpg")
    assert read_folder(tmp_path, "train").classes == ("car", "plane", "train")


def test_without_splits_nothing_is_validated_on_what_is_trained_on(tmp_path: Path) -> None:
    write_images(tmp_path, "ant/1.jpg", "bee/1.jpg")
    with pytest.raises(ValueError, match=r"has no folder val: .* or hold a share of them out, .* --validation 0\.1"):
        read_folder(tmp_path, "val")
    assert len(read_folder(tmp_path, "val", whole=True)) == 2
    (tmp_path / "test" / "ant").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds test and neither train nor val"):
        read_folder(tmp_path, "train")


def test_two_folders_of_one_meaning_are_not_guessed_between(tmp_path: Path) -> None:
    write_images(tmp_path, "train/ant/1.jpg", "Training/ant/1.jpg")
    with pytest.raises(ValueError, match="holds Training and train, which all stand for train; keep one"):
        read_folder(tmp_path, "train")


@pytest.mark.parametrize("labels", ["table", "kit"])
def test_imagenets_flat_validation_folder_is_refused_with_the_command_that_sorts_it(
    tmp_path: Path, labels: str, capsys: pytest.CaptureFixture[str]
) -> None:
    val, names = tmp_path / "data/val", [f"ILSVRC2012_val_{n:08}" for n in (1, 2, 3)]
    write_images(tmp_path / "data", "train/n01/1.JPEG", "train/n02/1.JPEG", *(f"val/{name}.JPEG" for name in names))
    with pytest.raises(ValueError, match=r"sorted by python -m mixdali\.pipelines\.sources\.sort_val \S+/val LABELS"):
        read_folder(tmp_path / "data", "val")
    truth = tmp_path / "LOC_val_solution.csv"
    truth.write_text("ImageId,PredictionString\n" + f"{names[0]},n02 1 2 3 4 \n{names[1]},n01 0 0 9 9 n01 1 1 2 2\n")
    assert sort_val([str(val), str(truth)]) == 2
    assert "does not tell the class of ILSVRC2012_val_00000003.JPEG (1 such images)" in capsys.readouterr().err
    assert len(list(val.glob("*.JPEG"))) == 3
    truth.write_text(truth.read_text() + f"{names[2]},n02 1 2 3 4\n")
    if labels == "kit":
        kit = tmp_path / "kit" / "data"
        kit.mkdir(parents=True)
        (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("7\n3\n7\n")
        synsets = np.array([(3, "n01"), (7, "n02")], dtype=[("ILSVRC2012_ID", object), ("WNID", object)])
        savemat(kit / "meta.mat", {"synsets": synsets})
    assert sort_val([str(val), str(truth if labels == "table" else tmp_path / "kit")]) == 0
    assert "3 images moved into 2 class folders" in capsys.readouterr().out
    source = read_folder(tmp_path / "data", "val")
    assert [(Path(path).stem, label) for path, label in zip(source.items, source.labels.tolist(), strict=True)] == [
        (names[1], 0),
        (names[0], 1),
        (names[2], 1),
    ]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "holds no class folders; the layout must be ROOT/train/CLASS/image.jpg .*found nothing"),
        (["1.jpg", "2.jpg"], r"holds images but no class folders; the layout must be .*found 1\.jpg, 2\.jpg"),
        (["train/1.jpg"], r"train holds images but no class folders"),
        (["val/ant/1.jpg"], "has no folder train; the layout must be"),
    ],
)
def test_another_layout_is_told_what_it_must_be(tmp_path: Path, names: list[str], says: str) -> None:
    write_images(tmp_path, *names)
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        read_folder(tmp_path, "train")
