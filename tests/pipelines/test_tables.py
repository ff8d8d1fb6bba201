"""Image files from lists; classes chosen, renamed and balanced."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines import imagenet
from pipelines.sources.files import find_kind, read_files, read_folder
from pipelines.sources.source import Source
from pipelines.sources.tables import read_table, splits_of
from tests.helpers.broken import write_folder
from train.cli.main import main
from train.data.sources import read_sources

ROWS = [(f"images/{'ab'[n % 2]}/{n:04}.JPEG", ("cat", "dog")[n % 2], "train" if n < 9 else "Val") for n in range(12)]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    write_folder(tmp_path / "images", 12, {})
    path = tmp_path / "list.csv"
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([("Path", "Label", "split"), *ROWS[::-1]])
    return path


def test_a_list_gives_what_a_plain_reader_of_it_gives(listed: Path) -> None:
    with open(listed, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    for split, name in (("train", "train"), ("val", "Val")):
        plain = {(n, row["Path"], row["Label"]) for n, row in enumerate(rows) if row["split"] == name}
        source = read_files(listed, split)
        assert source.classes == ("cat", "dog")
        names = [os.path.relpath(item, listed.parent) for item in source.items]
        told = zip(source.index.tolist(), names, (source.classes[label] for label in source.labels), strict=True)
        assert set(told) == plain
    assert find_kind(listed) == "imagenet"
    assert splits_of(listed).describe(9, 3, 2) == "9 training images in 2 classes (train), 3 to validate on (Val)"


def test_a_loader_of_a_list_shows_each_of_its_rows_once_and_resumes_to_the_byte(listed: Path) -> None:
    def loader() -> imagenet.Loader:
        outputs = ("images", "labels", "index", "path")
        return imagenet.train_loader(listed, batch_size=3, num_classes=2, size=16, device="cpu", outputs=outputs)

    first, second, source = loader(), loader(), read_table(listed, "train")
    batches = iter(first)
    seen = [next(batches)]
    second.load_state_dict(first.state_dict())
    rest = list(batches)
    for ours, theirs in zip(rest, second, strict=True):
        assert torch.equal(ours.images, theirs.images)
    pairs = [pair for batch in seen + rest for pair in zip(batch.index.tolist(), batch.labels.tolist(), strict=True)]
    assert sorted(pairs) == sorted(zip(source.index.tolist(), source.labels.tolist(), strict=True))


def test_lines_of_a_path_and_a_label(tmp_path: Path) -> None:
    write_folder(tmp_path / "my images", 4, {})
    (tmp_path / "list.txt").write_text("".join(f"my images/{'ab'[n % 2]}/{n:04}.JPEG {n % 2}\n" for n in range(4)))
    source = read_table(tmp_path / "list.txt", "train")
    assert source.labels.tolist() == [0, 1, 0, 1]
    assert source.classes == ()
    assert sorted(source.items) == sorted(read_folder(tmp_path / "my images", "train").items)
    with pytest.raises(ValueError, match="has no column split: what it is trained on cannot"):
        read_table(tmp_path / "list.txt", "val")
    sources = read_sources("imagenet", str(tmp_path / "list.txt"), validation=0.5)
    assert (sources.num_classes, sources.has_test) == (2, False)
    assert sources.found.endswith("list.txt: 4 training images in 2 classes (no splits)")


def test_a_run_reads_a_list(listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["demo", "--data", "imagenet", "--root", str(listed), "--folder", str(tmp_path / "runs"), "--show"]
    assert main(words) == 0
    assert read_sources("imagenet", str(listed)).found == (
        f"{listed}: 9 training images in 2 classes (train), 3 to validate on (Val)"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", r"must have one column headed path, filename, file, file_name, got a, b"),
        ("path,image,label\na,b,0\n", r"must have one column headed path, .*, got path and image"),
        ("path,label\na.jpg,0\na.jpg,1\n", r"names .*a\.jpg more than once"),
        ("path,label\na.jpg,0\n", r"names .*a\.jpg, which is not there \(1 such files\); relative paths count from"),
        ("path,label\na.jpg\n", "has rows of different lengths"),
        ("path,label\n", "lists no images"),
        ("path,label\na.jpg,1\nb.jpg,2\n", "has labels up to 2 but no image of class 0"),
        ("path,label\na.jpg,cat\nb.jpg,\n", r"has no label in row 2 \(1 such rows\)"),
        ("path,label,split\na.jpg,0,trian\n", "names the split 'trian'; known are train, training, val"),
        ("path,label,split\na.jpg,0,val\n", "lists no images for train"),
        ("", "is no readable table"),
    ],
)
def test_a_list_that_cannot_be_told_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=says) as error:
        read_table(tmp_path / "list.csv", "train")
    assert "\n" not in str(error.value)


def test_classes_are_chosen_renamed_and_balanced() -> None:
    source = Source([f"/{n}.jpg" for n in range(9)], [0, 0, 0, 0, 1, 1, 2, 2, 2], ("cat", "dog", "wolf"))
    kept = source.keep_classes(["wolf", "cat"])
    assert (kept.classes, kept.labels.tolist()) == (("wolf", "cat"), [1, 1, 1, 1, 0, 0, 0])
    assert kept.index.tolist() == [0, 1, 2, 3, 6, 7, 8]
    mapped = source.map_classes({"cat": "feline", "dog": "canine", "wolf": "canine"})
    assert (mapped.classes, mapped.labels.tolist()) == (("feline", "canine"), [0] * 4 + [1] * 5)
    even = source.balanced()
    assert Counter(even.labels.tolist()) == {0: 4, 1: 4, 2: 4}
    assert even.index.tolist() == [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 8]
    assert [even.items[row] for row in np.flatnonzero(even.index == 6)] == ["/6.jpg", "/6.jpg"]
    for wrong, says in {
        "fox": "there is no image of class 'fox'; classes are cat, dog, wolf",
        3: "there is no image of class 3",
    }.items():
        with pytest.raises(ValueError, match=says):
            source.keep_classes([wrong])
    with pytest.raises(ValueError, match="each of the 3 classes once: 'dog' is not named"):
        source.map_classes({"cat": "a", "wolf": "b"})
