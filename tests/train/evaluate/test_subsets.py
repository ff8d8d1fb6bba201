"""Which images are evaluated."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from pipelines.sources.source import Source
from train.evaluate.parts.by_class import by_class, worst_class
from train.evaluate.subsets import choose_places
from train.show.intervals import wilson

ARRAY = Source(np.zeros((20, 4, 4, 3), np.uint8), np.zeros(20, dtype=np.int64), index=np.arange(100, 120))
FILES = Source(
    [f"/data/val/{name}/ILSVRC2012_val_{number:08}.JPEG" for name in ("n01", "n02") for number in range(4)],
    np.repeat([0, 1], 4),
)


def test_the_first_are_the_first_and_others_are_spread() -> None:
    assert choose_places(ARRAY, None, 5, None).tolist() == [0, 1, 2, 3, 4]
    assert choose_places(ARRAY, 5, None, None).tolist() == [0, 4, 8, 12, 16]
    assert choose_places(ARRAY, None, None, None).tolist() == list(range(20))


def test_a_list_of_indices_is_taken_in_its_order(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# mine\n117\n\n100\n105\n")
    np.save(tmp_path / "list.npy", np.array([117, 100, 105]))
    for name in ("list.txt", "list.npy"):
        assert choose_places(ARRAY, None, None, tmp_path / name).tolist() == [17, 0, 5]


def test_robustbenchs_list_names_files_by_the_ends_of_their_paths(tmp_path: Path) -> None:
    path = tmp_path / "imagenet_test_image_ids.txt"
    path.write_text("n02/ILSVRC2012_val_00000003.JPEG\nn01/ILSVRC2012_val_00000002.JPEG")
    assert choose_places(FILES, None, None, path).tolist() == [7, 2]


@pytest.mark.parametrize(
    ("text", "source", "message"),
    [
        ("120\n", ARRAY, "lists 120, which is none of the 20 test images (1 of 1 are not there)"),
        ("101\n101\n", ARRAY, "lists an image twice"),
        ("\n# nothing\n", ARRAY, "lists no image"),
        ("n01/a.JPEG\n", ARRAY, "lists files (n01/a.JPEG), the data are images in memory; list indices"),
        ("n03/ILSVRC2012_val_00000001.JPEG\n", FILES, "which is none of the 8 test images"),
        ("ILSVRC2012_val_00000001.JPEG\n", FILES, "1 parts of a path do not tell two images apart"),
        ("n01/ILSVRC2012_val_00000001.JPEG\na.JPEG\n", FILES, "must list paths of one depth"),
    ],
)
def test_a_list_that_does_not_fit_is_one_line(tmp_path: Path, text: str, source: Source, message: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        choose_places(source, None, None, path)


def test_two_ways_to_choose_and_more_than_there_are_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="are three ways to choose images; pass one of them"):
        choose_places(ARRAY, 5, 5, None)
    with pytest.raises(ValueError, match="first must be at most 20, the number of test images, got 21"):
        choose_places(ARRAY, None, 21, None)
    with pytest.raises(FileNotFoundError, match="subset: there is no file"):
        choose_places(ARRAY, None, None, tmp_path / "none.txt")
    np.save(tmp_path / "floats.npy", np.zeros(3))
    with pytest.raises(ValueError, match="must hold integers"):
        choose_places(ARRAY, None, None, tmp_path / "floats.npy")


def test_each_class_has_its_accuracy_and_the_worst_is_named() -> None:
    found = by_class([1, 1, 0, 1, 0, 0], np.array([0, 0, 0, 2, 2, 2]), ("cat", "dog", "owl"))
    assert found == {
        "cat": {"accuracy": 2 / 3, "interval": list(wilson(2 / 3, 3)), "images": 3},
        "owl": {"accuracy": 1 / 3, "interval": list(wilson(1 / 3, 3)), "images": 3},
    }
    assert worst_class(found) == "owl"
