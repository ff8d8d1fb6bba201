"""ImageNet's other lists: folders are matched by name or by number, never by guess; several labels for an image."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.sources.source import Source
from tests.helpers.shifts import batches
from train.evaluate.parts.published import measure_real, measure_variants, read_real, read_variant

WNIDS = tuple(f"n{1_000_000 + 7 * number:08}" for number in range(1000))


def write(root: Path, names: Any, count: int = 1) -> Path:
    for name in names:
        (root / str(name)).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (4, 4)).save(root / str(name) / f"{number}.jpg")
    return root


def test_folders_named_as_classes_are_those_and_only_they_compete(tmp_path: Path) -> None:
    variant = read_variant(write(tmp_path / "imagenet-a", ["c", "a"], 2), ("a", "b", "c", "d"))
    assert variant.source.labels.tolist() == [0, 0, 2, 2]
    assert variant.classes.tolist() == [0, 2]
    images = torch.zeros(4, 3, 4, 4)
    # The greatest logit of all is b's, which the variant does not have.
    logits = torch.tensor([[2.0, 9, 1, 0], [1, 9, 2, 0], [0, 9, 3, 4], [0, 9, 3, 1]])
    pieces = batches(images, torch.tensor([0, 0, 2, 2]))
    found = measure_variants({"n": lambda _: logits}, {"A": (variant, pieces)})["n"]["A"]
    assert found["accuracy"] == 0.75
    assert found["of_all_classes"] == 0
    assert (found["images"], found["classes"], found["matched"]) == (4, 2, "2 of 4 classes, by name")


def test_numbered_folders_count_the_wnids_and_ten_follows_nine(tmp_path: Path) -> None:
    variant = read_variant(write(tmp_path / "v2", range(1000)), WNIDS)
    labels = {
        path.split("/")[-2]: label for path, label in zip(variant.source.items, variant.source.labels, strict=True)
    }
    assert labels["10"] == 10
    assert labels["9"] == 9
    assert labels["999"] == 999


@pytest.mark.parametrize(
    ("names", "classes", "message"),
    [
        (["0", "1", "2"], WNIDS, "numbers its 3 classes, which is clear only for a network of ImageNet's 1,000 wnids"),
        (["0", "1"], ("cat", "dog"), "got 2 classes such as cat; rename the folders"),
        (["a", "z"], ("a", "b"), "/z is none of the network's 2 classes"),
        (["0", "a"], ("a", "b"), "/0 is none of the network's 2 classes"),
        ([], ("a", "b"), "has no class folders"),
    ],
)
def test_what_is_ambiguous_is_refused(tmp_path: Path, names: list[str], classes: Any, message: str) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match=re.escape(message)):
        read_variant(write(tmp_path / "other", names), classes)


def test_classes_that_are_called_by_numbers_are_matched_by_name(tmp_path: Path) -> None:
    variant = read_variant(write(tmp_path / "digits", ["10", "2"]), ("0", "10", "2"))
    assert variant.source.labels.tolist() == [1, 2]


def validation(*numbers: int) -> Source:
    items = [f"/val/{WNIDS[0]}/ILSVRC2012_val_{number:08}.JPEG" for number in numbers]
    return Source(items, np.zeros(len(items), dtype=np.int64))


def test_real_counts_any_of_several_labels_and_leaves_out_who_has_none(tmp_path: Path) -> None:
    path = tmp_path / "real.json"
    path.write_text(json.dumps([[5], [], [7, 8], [1], [2]]))
    wanted = read_real(path, validation(3, 1, 2, 5), WNIDS)
    assert wanted == [{7, 8}, {5}, set(), {2}]
    logits = torch.zeros(4, 1000)
    logits[range(4), [8, 5, 0, 3]] = 1.0
    found = measure_real({"n": lambda _: logits}, batches(torch.zeros(4, 3, 4, 4), torch.zeros(4).long()), wanted)["n"]
    assert found == {"accuracy": 2 / 3, "images": 3, "without": 1}


@pytest.mark.parametrize(
    ("text", "numbers", "classes", "message"),
    [
        ("[[1]]", (2,), WNIDS, "must be named ILSVRC2012_val_NUMBER, from 1 to 1, as many as real.json has"),
        ("[[1000]]", (1,), WNIDS, "must hold a list of lists of class numbers, 0 to 999"),
        ("[1]", (1,), WNIDS, "must hold a list of lists of class numbers"),
        ("[[", (1,), WNIDS, "is no readable JSON"),
        ("[[]]", (1,), WNIDS, "has no label for any of these images"),
        ("[[1]]", (1,), ("a", "b"), "counts ImageNet's 1,000 wnids, the data have 2 classes"),
    ],
)
def test_a_list_of_labels_that_does_not_fit_is_refused(
    tmp_path: Path, text: str, numbers: Any, classes: Any, message: str
) -> None:
    path = tmp_path / "real.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_real(path, validation(*numbers), classes)
