"""Runs on images in larger files: what is found, one epoch, and bad images by their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.broken import KINDS, jpeg
from tests.helpers.records import WRITERS
from tests.train.data.test_folders_of_files import TINY
from train.cli.main import main

SAMPLES = [(jpeg(n, (40 + n, 50)), n % 2) for n in range(30)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(root: Path | str, place: Path, *more: str) -> int:
    return main([*TINY, "--root", str(root), "--folder", str(place), "--name", "run", *more])


@pytest.mark.parametrize(
    ("form", "called"),
    [("tfrecord", "TFRecords"), pytest.param("recordio", "RecordIO", marks=pytest.mark.long)],
)
def test_an_epoch_of_each_form(form: str, called: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ending, writer = WRITERS[form]
    writer(tmp_path / f"train-0{ending}", SAMPLES[:20])
    writer(tmp_path / f"val-0{ending}", SAMPLES[20:])
    pattern = f"{tmp_path}/{{train,val}}-*{ending}"
    assert run(pattern, tmp_path / "runs") == 0
    said = capsys.readouterr().out
    assert f"{pattern}: {called} in 2 files, 20 training images in 2 classes (train), 10 to validate on (val)" in said


def test_an_epoch_of_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(30) % 2)
    assert run(tmp_path / "data.npz", tmp_path, "--data", "cifar") == 2
    assert "data.npz tells no splits" in capsys.readouterr().err
    assert run(tmp_path / "data.npz", tmp_path, "--data", "cifar", "--validation", "10") == 0
    assert "data.npz: NumPy arrays in 1 file, 30 training images in 2 classes (no splits)" in capsys.readouterr().out
    assert run(tmp_path / "data.npz", tmp_path) == 2
    assert "holds NumPy arrays, the recipe reads image files; pass --data cifar" in capsys.readouterr().err


def test_bad_images_in_tars_stop_a_run_or_are_skipped_and_their_list_leaves_them_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = list(SAMPLES)
    samples[3], samples[25] = (KINDS["text"](b""), 0), (KINDS["start_and_text"](b""), 1)
    data = tmp_path / "data"
    data.mkdir()
    paths = [data / "train.tar", data / "val.tar"]
    for path, part in zip(paths, (samples[:20], samples[20:]), strict=True):
        WRITERS["tar"][1](path, part)
    names = [f"{paths[0]}/0000003.jpg", f"{paths[1]}/0000005.jpg"]
    assert run(data, tmp_path / "stop") == 2
    said = capsys.readouterr()
    assert (
        "data: WebDataset samples in 2 files, 20 training images in 2 classes (train), 10 to validate on (val)"
        in said.out
    )
    assert names[0] in said.err
    assert run(data, tmp_path / "skip", "--on_error", "skip") == 0
    capsys.readouterr()
    listed = tmp_path / "skip" / "run" / "skipped.txt"
    assert listed.read_text().splitlines() == names
    assert run(data, tmp_path / "exclude", "--exclude", str(listed), "--batch_size", "9") == 0
    assert (
        "19 training images in 2 classes (train), 9 to validate on (val); 2 files excluded" in capsys.readouterr().out
    )
