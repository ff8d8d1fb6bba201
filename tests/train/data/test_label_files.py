"""Files of labels: CIFAR-10N and Imagenette's as they come, our own record, and what does not match."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.sources.files import read_cifar, read_folder
from pipelines.sources.source import Source
from tests.helpers.training import coloured
from train.data.labels.files import read_labels
from train.data.labels.noise import LabelNoise, write_changes


def numbered(count: int = 12) -> Source:
    return coloured(count, num_classes=4)


def write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> Path:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read(path: Path | str, source: Source, root: Path | None = None) -> list[int]:
    return read_labels(str(path), source, source.classes, None if root is None else str(root)).tolist()


def test_the_record_says_what_was_changed_and_trains_on_it_again(tmp_path: Path) -> None:
    source = numbered(40)
    given = LabelNoise(rate=0.5, to="other").apply(source.labels, source.index, source.classes, 3)
    path = tmp_path / "changed_labels.csv"
    write_changes(path, source.index, source.labels, given, source.classes)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == np.flatnonzero(given != source.labels).tolist()
    for row in rows:
        assert row["original_class"] == source.classes[int(row["original"])]
        assert row["given_class"] == source.classes[given[int(row["index"])]]
    assert read(f"{path}:given", source) == given.tolist()
    assert read(f"{path}:given_class", source) == given.tolist()
    assert [file.name for file in tmp_path.iterdir()] == ["changed_labels.csv"]


@pytest.mark.parametrize("kind", [".npy", ".npz", ".pt", ".csv"])
def test_a_file_of_labels_in_order(kind: str, tmp_path: Path) -> None:
    source, labels = numbered(), np.array([1, 2, 3, 0] * 3)
    path = tmp_path / f"labels{kind}"
    if kind == ".npy":
        np.save(path, labels)
    elif kind == ".npz":
        np.savez(path, noisy=labels)
    elif kind == ".pt":
        torch.save({"noisy": torch.from_numpy(labels)}, path)
    else:
        write_csv(path, ["noisy"], [[number] for number in labels])
    assert read(path, source) == labels.tolist()
    assert read(path.name, source, root=tmp_path) == labels.tolist()
    # A source that is a part of the data set takes what is at its places.
    assert read(path, source.select([5, 1])) == [2, 2]


def test_cifar_10n_is_read_as_it_comes(shared_data: Callable[[str], Path]) -> None:
    train = read_cifar(shared_data("cifar10/cifar-10-python.tar.xz"), "train")
    human = shared_data("cifar10-labels/CIFAR-10_human.pt")
    packed = shared_data("cifar10-labels/cifar10n_labels.npz")
    rates = {"aggre_label": 0.0901, "worse_label": 0.4021, "random_label1": 0.1723, "clean_label": 0.0}
    for column, rate in rates.items():
        labels = read_labels(f"{human}:{column}", train, train.classes, None)
        assert (labels != train.labels).mean() == pytest.approx(rate, abs=1e-4)
        assert (labels == read_labels(f"{packed}:{column}", train, train.classes, None)).all()
    with pytest.raises(ValueError, match=r"clean_label says that image 0 is class 6, the data says 7 \(\d"):
        read_labels(f"{human}:worse_label", train.relabel((train.labels + 1) % 10), train.classes, None)
    with pytest.raises(ValueError, match=r"has 50,000 labels, the data has 5,000 training images"):
        read_labels(f"{human}:worse_label", train.select(range(5000)), train.classes, None)


def test_imagenettes_noisy_labels_are_found_by_path(shared_data: Callable[[str], Path]) -> None:
    root = shared_data("imagenette2-160-mini/imagenette2-160-mini.tar")
    train = read_folder(root, "train")
    for percent, rate in ((0, 0.0), (1, 0.01), (25, 0.25), (50, 0.5)):
        labels = read_labels(f"noisy_imagenette.csv:noisy_labels_{percent}", train, train.classes, str(root))
        assert (labels != train.labels).mean() == pytest.approx(rate, abs=0.04)
    with open(root / "noisy_imagenette.csv", newline="") as file:
        by_path = {row["path"]: row["noisy_labels_50"] for row in csv.DictReader(file)}
    for row in (0, 700, 1199):
        name = str(Path(train.items[row]).relative_to(root))
        assert train.classes[labels[row]] == by_path[name]


FOLDERS = [f"/data/train/{'abcd'[n % 4]}/{n}.jpg" for n in range(12)]


@pytest.mark.parametrize("heading", ["path", "Path", "FILENAME", "image", "file_name", "anything"])
@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig"])
def test_a_table_of_paths_is_read_by_path_whatever_its_heading_and_whoever_saved_it(
    heading: str, mark: str, tmp_path: Path
) -> None:
    source = replace_items(numbered(), FOLDERS)
    wanted = [3, 2, 1, 0] * 3
    rows = [f"{'/'.join(item.split('/')[2:])},{label}" for item, label in zip(FOLDERS, wanted, strict=True)]
    for lines in (rows[::-1], [row.replace("train/", "/elsewhere/") for row in rows[5:] + rows[:5]]):
        (tmp_path / "labels.csv").write_text("\r\n".join([f"{heading},label", *lines]), encoding=mark)
        assert read(f"{tmp_path}/labels.csv:label", source) == wanted
        assert read(f"{tmp_path}/labels.csv", source) == wanted


def test_rows_that_could_be_of_several_images_are_refused(tmp_path: Path) -> None:
    source = replace_items(numbered(), [f"/data/train/{'abcd'[n % 4]}/{n // 4}.jpg" for n in range(12)])
    unique = replace_items(numbered(), FOLDERS)
    tables = {
        "bare.csv": (["filename"], [[f"{n}.jpg"] for n in range(12)], source, "0.jpg, which is the name of 4 training"),
        "twice.csv": (
            ["path"],
            [["a/0.jpg"], *[[f"{'abcd'[n % 4]}/{n}.jpg"] for n in range(12)]],
            unique,
            "a/0.jpg more",
        ),
        "depths.csv": (["path"], [["a/0.jpg"], ["1.jpg"]], unique, "different depths, '1.jpg' and 'a/0.jpg'"),
        "two.csv": (["Path", "image"], [["a/0.jpg", "0.jpg"]], unique, "several columns of path, Path, image"),
        "ids.csv": (
            ["image_id"],
            [[f"n{n}"] for n in range(12)],
            unique,
            "every row of column 'image_id', which may tell",
        ),
        "number.csv": (["id"], [[n] for n in range(12)], numbered(), "every row of column 'id', which may tell"),
    }
    for name, (header, rows, given, message) in tables.items():
        path = write_csv(tmp_path / name, [*header, "label"], [[*row, 0] for row in rows])
        with pytest.raises(ValueError, match=re.escape(message)) as error:
            read(f"{path}:label", given)
        assert "\n" not in str(error.value)
    bare = write_csv(tmp_path / "names.csv", ["Filename", "label"], [[f"{n}.jpg", n % 3] for n in range(12)][::-1])
    assert read(f"{bare}:label", unique) == [n % 3 for n in range(12)]


def test_a_file_that_does_not_match_is_one_line(tmp_path: Path) -> None:
    source = numbered()
    files = replace_items(source, [f"/data/train/{label}/{n}.jpg" for n, label in enumerate(source.labels)])
    np.save(tmp_path / "short.npy", np.zeros(5, np.int64))
    np.save(tmp_path / "long.npy", np.zeros(13, np.int64))
    np.save(tmp_path / "real.npy", np.zeros(12))
    np.save(tmp_path / "high.npy", np.full(12, 4))
    np.savez(tmp_path / "many.npz", first=np.zeros(12, int), second=np.zeros(12, int))
    np.savez(tmp_path / "ragged.npz", first=np.zeros(12, int), second=np.zeros(3, int))
    (tmp_path / "text.txt").write_text("0")
    (tmp_path / "broken.pt").write_bytes(b"PK nothing")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n3\n")
    write_csv(tmp_path / "names.csv", ["label"], [["z"]] * 12)
    write_csv(tmp_path / "paths.csv", ["path", "label"], [["train/0/0.jpg", "0"]])
    write_csv(tmp_path / "far.csv", ["index", "label"], [["12", "0"]])
    write_csv(tmp_path / "twice.csv", ["index", "label"], [["1", "0"], ["1", "2"]])
    write_csv(tmp_path / "word.csv", ["index", "label"], [["one", "0"]])
    write_csv(tmp_path / "other.csv", ["index", "original", "given"], [["1", "3", "0"]])
    messages = {
        "short.npy": "short.npy has 5 labels, the data has 12 training images",
        "long.npy": "long.npy has 13 labels, the data has 12",
        "real.npy": "must be integers",
        "high.npy": "holds the label 4, outside 0 to 3",
        "many.npz": "holds first, second; add which after a colon: many.npz:first",
        "many.npz:thrid": "no column 'thrid'",
        "ragged.npz": "must hold columns of one length",
        "text.txt": r"must end in \.pt, \.npz, \.npy, \.csv",
        "broken.pt": "no readable file of labels",
        "ragged.csv": "no readable file of labels .rows of different lengths.",
        "names.csv": "names the class 'z', which the data does not have",
        "paths.csv:label": "gives labels to files, the data are images in memory",
        "far.csv:label": "gives image 12 a label, the data has images 0 to 11",
        "twice.csv:label": "must have each image once",
        "word.csv:label": "must have whole numbers in its column index",
        "other.csv:given": "says that image 1 is class 3, the data says 1",
    }
    for name, message in messages.items():
        with pytest.raises(ValueError, match=message) as error:
            read(tmp_path / name, source)
        assert "\n" not in str(error.value)
        assert str(error.value).startswith("labels: ")
    with pytest.raises(ValueError, match=r"has no train/1/1.jpg \(11 of 12 training images are not there\)"):
        read(f"{tmp_path}/paths.csv:label", files)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.npy; a relative path counts from the data"):
        read(tmp_path / "none.npy", source)


def replace_items(source: Source, items: list[str]) -> Source:
    return Source(items, source.labels, source.classes)


def test_a_file_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.mkdir, (tmp_path / "broken in",)

    torch.save({"label": Evil()}, tmp_path / "labels.pt")
    np.save(tmp_path / "labels.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    for name in ("labels.pt", "labels.npy"):
        with pytest.raises(ValueError, match="no readable file of labels"):
            read(tmp_path / name, numbered())
    assert not (tmp_path / "broken in").exists()
