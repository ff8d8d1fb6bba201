"""Sources: what they take, and what select and relabel keep."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.source import Source


def numbered(length: int) -> Source:
    """Each image is painted with its own number, and so is its label."""
    items = np.zeros((length, 2, 3, 3), np.uint8) + np.arange(length, dtype=np.uint8)[:, None, None, None]
    return Source(items, np.arange(length), tuple("abc"))


def named(length: int) -> Source:
    return Source([f"{i}.jpg" for i in range(length)], np.arange(length), tuple("abc"))


def facts(source: Source) -> list[tuple[int, int, int]]:
    """Number of the image, label and index, item by item."""
    if isinstance(source.items, np.ndarray):
        numbers = [int(image[0, 0, 0]) for image in source.items]
    else:
        numbers = [int(Path(path).stem) for path in source.items]
    return list(zip(numbers, source.labels.tolist(), source.index.tolist(), strict=True))


lengths_and_choices = st.integers(1, 30).flatmap(
    lambda length: st.tuples(st.just(length), st.lists(st.integers(0, length - 1), min_size=1, max_size=40))
)


@pytest.mark.parametrize("make", [numbered, named])
@given(case=lengths_and_choices)
def test_image_label_and_index_stay_together_through_select(make: Any, case: tuple[int, list[int]]) -> None:
    length, chosen = case
    assert facts(make(length).select(chosen)) == [(i, i, i) for i in chosen]


@pytest.mark.parametrize("make", [numbered, named])
@given(case=lengths_and_choices, data=st.data())
def test_selecting_twice_is_selecting_the_selected(make: Any, case: tuple[int, list[int]], data: Any) -> None:
    length, first = case
    second = data.draw(st.lists(st.integers(0, len(first) - 1), min_size=1))
    source = make(length)
    assert facts(source.select(first).select(second)) == facts(source.select([first[i] for i in second]))


@given(mask=st.lists(st.booleans(), min_size=1, max_size=30).filter(any))
def test_a_mask_selects_what_its_positions_select(mask: list[bool]) -> None:
    source = numbered(len(mask))
    assert facts(source.select(np.array(mask))) == facts(source.select([i for i, kept in enumerate(mask) if kept]))


@given(case=lengths_and_choices, data=st.data())
def test_relabel_changes_labels_and_nothing_else(case: tuple[int, list[int]], data: Any) -> None:
    length, chosen = case
    labels = data.draw(st.lists(st.integers(-1, 2**31 - 1), min_size=len(chosen), max_size=len(chosen)))
    source = numbered(length).select(chosen)
    changed = source.relabel(labels)
    assert facts(changed) == [(i, label, i) for i, label in zip(chosen, labels, strict=True)]
    assert changed.classes == source.classes
    assert facts(source) == [(i, i, i) for i in chosen]


def test_images_are_shared_where_they_can_be() -> None:
    source = numbered(20)
    assert Source(source.items, source.labels).items is source.items
    assert source.relabel(source.labels).items is source.items
    assert np.shares_memory(source.select(range(5, 15)).items, source.items)
    assert np.shares_memory(source.select(np.arange(20) < 10).items, source.items)


def test_labels_are_a_read_only_copy() -> None:
    mine = np.array([0, 1, 2], np.int32)
    source = Source(["a", "b", "c"], mine)
    mine[0] = 9
    assert source.labels.dtype == np.int32
    assert source.labels.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="read-only"):
        source.labels[0] = 5


def test_paths_of_any_kind_become_text() -> None:
    assert list(Source([Path("/a/b.jpg"), "/c.jpg"], [0, 0]).items) == ["/a/b.jpg", "/c.jpg"]
    assert list(Source(np.array(["/a.jpg", "/b.jpg"]), [0, 0]).items) == ["/a.jpg", "/b.jpg"]


def test_a_source_of_a_million_files_prints_in_one_line() -> None:
    assert repr(named(3)) == "Source(3 image files, 3 classes)"
    assert repr(numbered(3)) == "Source(3 2x3 images, 3 classes)"


images = np.zeros((3, 4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"items": images, "labels": [0, 1]}, ValueError, "labels must have one entry for each item: got 2 for 3"),
        ({"items": images, "labels": [0.0, 1.0, 2.0]}, TypeError, "labels must be integers, got dtype float64"),
        ({"items": images, "labels": [True, False, True]}, TypeError, "labels must be integers, got dtype bool"),
        ({"items": images, "labels": [[0], [1], [2]]}, ValueError, "labels must be one-dimensional"),
        ({"items": images, "labels": [0, 1, 2**31]}, ValueError, "labels must fit in 32 bits"),
        ({"items": images.astype(np.float32), "labels": [0] * 3}, TypeError, "items must be uint8 images"),
        ({"items": images.transpose(0, 3, 1, 2), "labels": [0] * 3}, ValueError, r"items must be images of shape"),
        ({"items": images[0], "labels": [0] * 4}, ValueError, "items must be images of shape"),
        ({"items": "folder", "labels": [0] * 6}, TypeError, "got the single path 'folder'"),
        ({"items": [1, 2], "labels": [0, 0]}, TypeError, "items must be a uint8 array"),
        ({"items": [b"a", b"b"], "labels": [0, 0]}, TypeError, "expected a path as text"),
        ({"items": images, "labels": [0] * 3, "index": [0, 1]}, ValueError, "index must have one entry for each item"),
        ({"items": images, "labels": [0] * 3, "index": [0, -1, 2]}, ValueError, "index must be positions of 0 or more"),
        ({"items": images, "labels": [0] * 3, "classes": "cat"}, TypeError, "classes must be a sequence of names"),
    ],
)
def test_what_makes_no_source_is_refused(arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Source(**arguments)


@pytest.mark.parametrize(
    ("indices", "error", "says"),
    [
        ([], ValueError, "select none of the 5 items"),
        (np.zeros(5, bool), ValueError, "select none of the 5 items"),
        ([5], ValueError, "from 0 to 4, got 5"),
        ([0, -1], ValueError, "from 0 to 4, got -1"),
        ([0.0], TypeError, "integers or a boolean mask"),
        (3, TypeError, "integers or a boolean mask"),
        ([True, False], ValueError, "a mask must have one entry for each item: got 2 for 5"),
    ],
)
def test_what_selects_nothing_sensible_is_refused(indices: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        numbered(5).select(indices)


def test_relabel_wants_one_label_for_each_item() -> None:
    with pytest.raises(ValueError, match="labels must have one entry for each item: got 1 for 5 items"):
        numbered(5).relabel([0])


def test_check_names_the_item_the_label_and_the_number_of_classes_it_takes() -> None:
    numbered(5).check(5)
    with pytest.raises(ValueError, match=r"^image 3 has label 3, .*\(2 such labels.*must be at least 5$"):
        numbered(5).check(3)
    with pytest.raises(ValueError, match=r"^image 4 has label 4, .*must be at least 5$"):
        numbered(5).select([0, 4]).check(3)
    with pytest.raises(ValueError, match=r"/2\.jpg has label -1, .*relabel it or leave it out"):
        named(3).relabel([0, 1, -1]).check(3)


def test_check_refuses_an_empty_source() -> None:
    with pytest.raises(ValueError, match="holds no images"):
        Source([], []).check(10)


def test_relative_paths_are_those_of_the_folder_where_they_were_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = Source(["a.jpg", Path("sub") / "b.jpg", "/c.jpg"], [0, 1, 2])
    monkeypatch.chdir("/")
    assert source.items == (str(tmp_path / "a.jpg"), str(tmp_path / "sub" / "b.jpg"), "/c.jpg")


def test_a_file_name_that_is_not_utf8_is_named() -> None:
    source = Source(["/b\u00e4r.jpg", "/\u718a.jpg"], [0, 1])
    assert source.items == ("/b\u00e4r.jpg", "/\u718a.jpg")
    with pytest.raises(ValueError, match=r"the file name b'/b\\xe4r\.jpg' is not UTF-8, which DALI needs; rename it"):
        Source(["/a.jpg", os.fsdecode(b"/b\xe4r.jpg")], [0, 1])
