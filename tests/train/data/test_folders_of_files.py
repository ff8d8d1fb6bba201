"""Runs on folders of image files: bad files, folders without splits, and what is said of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.broken import write_folder
from train.cli.main import main
from train.data.sources import prepare_sources, read_sources
from train.recipes import demo

TINY = [
    *("demo", "--data", "imagenet", "--model", "preact_resnet8_w4", "--size", "16", "16", "--num_epochs", "1"),
    *("--batch_size", "10", "--device", "cpu", "--num_threads", "1", "--precision", "float32", "--mix", "None"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """30 images to train on, of which three are broken, and 10 to validate on, one of them broken; and their names."""
    root = tmp_path_factory.mktemp("data")
    bad = write_folder(root / "train", 27, {"text": 3, "empty": 4, "cut": 20})
    return root, bad + write_folder(root / "val", 9, {"start_and_text": 7})


def run(root: Path, place: Path, *more: str) -> int:
    return main([*TINY, "--root", str(root), "--folder", str(place), "--name", "run", *more])


def test_skipped_files_are_counted_and_listed_and_the_list_leaves_them_out(
    folder: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, bad = folder
    assert run(root, tmp_path / "skip", "--on_error", "skip") == 0
    said = capsys.readouterr().out
    listed = tmp_path / "skip" / "run" / "skipped.txt"
    assert listed.read_text().splitlines() == sorted(bad)
    assert f"4 image files cannot be used, the first: {min(bad)} is an empty file; all are listed in {listed}" in said
    row = json.loads((tmp_path / "skip" / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert (row["skipped_files"], row["held_out_images"]) == (4, 9)

    assert run(root, tmp_path / "exclude", "--exclude", str(listed), "--batch_size", "9") == 0
    said = capsys.readouterr().out
    assert f"{root}: 27 training images in 2 classes (train), 9 to validate on (val); 4 files excluded" in said
    assert not (tmp_path / "exclude" / "run" / "skipped.txt").exists()


def test_a_run_that_stops_names_the_file(
    folder: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, bad = folder
    empty = next(file for file in bad if not Path(file).stat().st_size)
    assert run(root, tmp_path) == 2
    assert f"error: {empty} is empty or a broken link (1 such files)" in capsys.readouterr().err
    (tmp_path / "list.txt").write_text(empty)
    assert run(root, tmp_path, "--exclude", str(tmp_path / "list.txt")) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith("error: ")
    assert any(file in line for file in bad)


def test_a_folder_without_splits_is_validated_on_a_share_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "flat", 30, {})
    assert run(tmp_path / "flat", tmp_path) == 2
    assert "flat has no folder val: what it is trained on cannot be what it is validated on" in capsys.readouterr().err
    recipe = replace(demo.recipe, data="imagenet", validation=0.2)
    read = read_sources("imagenet", str(tmp_path / "flat"), validation=0.2)
    sources = prepare_sources(recipe, read, str(tmp_path / "flat"))
    assert (len(sources.train), len(sources.held_out), sorted(sources.also)) == (24, 6, [])
    assert not {*sources.train.items} & {*sources.held_out.items}
    assert read.found == f"{tmp_path / 'flat'}: 30 training images in 2 classes (no splits)"
