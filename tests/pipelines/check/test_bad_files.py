"""Files that are no use: the check lists exactly those, and a loader stops with their names or does without them."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from pipelines import imagenet
from pipelines.check.__main__ import files_of_training, main
from pipelines.check.children import find_faults
from pipelines.sources.exclude import read_list, write_list
from pipelines.sources.files import read_folder
from pipelines.sources.source import Source
from tests.helpers.broken import KINDS, claiming, jpeg, write_folder

NUMBER = 80  # of good images
SETTINGS = {"num_classes": 2, "size": 16, "device": "cpu", "num_threads": 2}
ALL = ("images", "labels", "index", "path")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """80 images among which ten are broken, and their names; six of the same to validate on, two of them broken."""
    root = tmp_path_factory.mktemp("data") / "images"
    # what crashes a decoder in large batches stands alone and side by side
    bad = write_folder(root / "train", NUMBER - len(KINDS), {kind: 7 * n % NUMBER for n, kind in enumerate(KINDS)})
    bad += write_folder(root / "val", 4, {"text": 1, "cut": 4})
    return root, bad


@pytest.fixture(scope="module")
def listed(folder: tuple[Path, list[str]]) -> Path:
    """What the command writes for that folder: list.txt, and report.csv beside it."""
    root, _ = folder
    path = root.parent / "list.txt"
    report = str(root.parent / "report.csv")
    assert main([str(root), "--list", str(path), "--report", report, "--num_processes", "1"]) == 1
    return path


def test_the_check_lists_exactly_the_broken_ones_and_says_what_each_is(
    folder: tuple[Path, list[str]], listed: Path
) -> None:
    root, bad = folder
    assert listed.read_text().splitlines() == [file for file in files_of_training(str(root)) if file in bad]
    with open(root.parent / "report.csv", newline="") as file:
        reasons = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert sorted(reasons) == sorted(bad)
    for said in ("is a text", "is an HTML", "is an empty file", "pixels cannot", "header cannot", "a GIF", "900 mega"):
        assert [reason for reason in reasons.values() if said in reason], said


def test_a_list_leaves_exactly_those_out_and_the_others_keep_their_index(
    folder: tuple[Path, list[str]], listed: Path
) -> None:
    root, bad = folder
    everything = read_folder(root, "train", keep_empty=True)
    loader = imagenet.train_loader(root, batch_size=7, exclude=listed, outputs=ALL, **SETTINGS)
    seen = [pair for batch in loader for pair in zip(batch.path, batch.index.tolist(), strict=True)]
    assert len(loader) == 10
    assert sorted(path for path, _ in seen) == sorted(set(everything.items) - set(bad))
    assert all(everything.items[index] == path for path, index in seen)
    assert loader.skipped == []


def test_skipping_reports_exactly_those_and_trains_on_others_in_their_place(folder: tuple[Path, list[str]]) -> None:
    root, bad = folder
    loader = imagenet.train_loader(root, batch_size=40, on_error="skip", outputs=ALL, **SETTINGS)
    everything = read_folder(root, "train", keep_empty=True)
    batches = list(loader)
    assert [len(batch.path) for batch in batches] == [40, 40]
    paths = [path for batch in batches for path in batch.path]
    assert set(paths) == set(everything.items) - set(bad)
    for batch in batches:  # the image that stands in has its own label and index
        for path, label, index in zip(batch.path, batch.labels.tolist(), batch.index.tolist(), strict=True):
            assert everything.items[index] == path
            assert everything.labels[index] == label
    assert [path for path, _ in loader.skipped] == [path for path in everything.items if path in bad]


def test_nothing_else_of_the_batch_changes_and_a_resume_gives_the_same_bytes(tmp_path: Path) -> None:
    (bad,) = write_folder(tmp_path / "broken", 39, {"start_and_text": 11})
    write_folder(tmp_path / "whole", 40, {})

    def loader(name: str) -> imagenet.Loader:
        return imagenet.train_loader(tmp_path / name, batch_size=8, on_error="skip", outputs=ALL, **SETTINGS)

    whole, skipping, resumed = list(loader("whole")), loader("broken"), loader("broken")
    batches = list(skipping)
    for ours, theirs in zip(batches, whole, strict=True):
        same = [Path(path).name != Path(bad).name for path in theirs.path]
        assert torch.equal(ours.images[same], theirs.images[same])
        assert torch.equal(ours.index[same], theirs.index[same])
    first = iter(skipping)
    next(first)
    state = skipping.state_dict()
    resumed.load_state_dict(state)
    assert resumed.skipped == skipping.skipped == [(bad, "is damaged: its header cannot be read")]
    for ours, theirs in zip(first, resumed, strict=True):
        assert torch.equal(ours.images, theirs.images)
        assert ours.path == theirs.path
    with pytest.raises(ValueError, match=r"0011\.JPEG is damaged"):  # one that stops does not take it over in silence
        imagenet.train_loader(tmp_path / "broken", batch_size=8, outputs=ALL, **SETTINGS).load_state_dict(state)


def test_a_validation_loader_leaves_them_out_and_shows_the_others_once(folder: tuple[Path, list[str]]) -> None:
    root, bad = folder
    source = read_folder(root, "val")
    for batch_size in (4, 1):
        loader = imagenet.val_loader(root, batch_size=batch_size, on_error="skip", outputs=ALL, **SETTINGS)
        for _ in range(2):
            assert [path for batch in loader for path in batch.path] == [
                path for path in source.items if path not in bad
            ]
            loader.release()  # as the trainer does between two measurements
        assert [path for path, _ in loader.skipped] == [path for path in source.items if path in bad]


@pytest.mark.parametrize("kind", ["text", "cut", "start_and_text", "huge"])
def test_stopping_names_the_file_and_what_lists_all(tmp_path: Path, kind: str) -> None:
    (bad,) = write_folder(tmp_path, 39, {kind: 20})
    loader = imagenet.train_loader(tmp_path, batch_size=40, **SETTINGS)
    with pytest.raises(ValueError, match=f"{bad} .*; leave it out with exclude, of which python -m mixdali") as error:
        list(loader)
    assert "\n" not in str(error.value)


def test_what_is_lost_while_training_stops_in_one_line_even_where_bad_files_are_skipped(tmp_path: Path) -> None:
    write_folder(tmp_path, 10, {})
    loader = imagenet.train_loader(tmp_path, batch_size=5, on_error="skip", **SETTINGS)
    next(iter(loader))
    for path in tmp_path.rglob("*.JPEG"):
        path.unlink()
    with pytest.raises(OSError, match=r"^the data cannot be read: .*\.JPEG; is it still there"):
        list(loader)


def test_an_image_that_says_it_is_too_large_is_not_decoded(tmp_path: Path) -> None:
    files = [tmp_path / "small.jpg", tmp_path / "large.jpg"]
    files[0].write_bytes(jpeg())
    files[1].write_bytes(claiming(16384, jpeg()))
    (fault,) = find_faults([str(file) for file in files], num_processes=1)
    assert fault.reason == "says that it is 16384 x 16384, 268 megapixels, above the limit"
    source = Source([str(file) for file in files], [0, 1])
    with pytest.raises(ValueError, match=r"large.jpg says that it is 16384 x 16384"):
        list(imagenet.val_loader(source, batch_size=2, **SETTINGS))
    with pytest.raises(ValueError, match=r"small.jpg says that it is 64 x 48, 0 megapixels"):
        list(imagenet.val_loader(source.select([0]), batch_size=1, max_megapixels=0.003, **SETTINGS))


def test_a_whole_jpeg_with_more_behind_it_is_in_doubt_once_and_then_taken(tmp_path: Path) -> None:
    (tmp_path / "more.jpg").write_bytes(jpeg() + bytes(100))
    loader = imagenet.val_loader(Source([str(tmp_path / "more.jpg")], [0]), batch_size=1, **SETTINGS)
    assert len(list(loader)) == 1


def test_the_walk_is_that_of_training(tmp_path: Path) -> None:
    write_folder(tmp_path / "elsewhere", 4, {"text": 1})
    train = tmp_path / "data" / "train"
    train.mkdir(parents=True)
    (train / "a").symlink_to(tmp_path / "elsewhere" / "a")
    (train / "b").symlink_to(tmp_path / "elsewhere" / "b")
    (train / "b" / "._0001.JPEG").write_bytes(b"a resource fork")
    (train / "lost.JPEG").write_bytes(b"beside the class folders")
    assert files_of_training(str(tmp_path / "data")) == list(read_folder(tmp_path / "data", "train").items)
    assert files_of_training(str(tmp_path / "elsewhere")) == sorted(read_folder(tmp_path / "elsewhere", "train").items)
    (train / "a" / "again").symlink_to(train / "a")
    with pytest.raises(ValueError, match="again is a link to a folder that it lies in"):
        read_folder(tmp_path / "data", "train")


# Runs in place of any program that is started with -c.
DECODER = """
import json, os, sys, time
if sys.argv[0] == "-c":
    print("ready", flush=True)
    for line in sys.stdin:
        names = [os.path.basename(file) for file in json.loads(line)]
        if "die.jpg" in names:
            os.kill(os.getpid(), 11)
        if "hang.jpg" in names:
            time.sleep(60)
        print(json.dumps([None] * len(names)), flush=True)
    os._exit(0)
"""


def test_a_child_that_dies_or_hangs_is_told_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder here is one that kills its process at "die" and sleeps at "hang"."""
    (tmp_path / "sitecustomize.py").write_text(DECODER)
    monkeypatch.syspath_prepend(str(tmp_path))
    files = [str(tmp_path / f"{name}.jpg") for name in ("one", "die", "two", "three", "hang", "four")]
    for file in files:
        Path(file).write_bytes(jpeg())
    found = list(find_faults(files, num_processes=1, seconds=0.5))
    assert [(Path(fault.file).stem, fault.reason) for fault in found] == [
        ("die", "crashes DALI's decoder"),
        ("hang", "is not decoded within 0.5 s"),
    ]


def test_the_command_in_a_shell(tmp_path: Path) -> None:
    def check(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "pipelines.check", *words], capture_output=True, text=True)

    (tmp_path / "text.JPEG").write_text("no image")
    bad = check(str(tmp_path))
    assert (bad.returncode, bad.stdout) == (1, f"{tmp_path / 'text.JPEG'}\n")
    assert "1 of 1 images cannot be decoded" in bad.stderr
    missing = check(str(tmp_path / "nowhere"))
    assert (missing.returncode, missing.stderr.strip()) == (
        2,
        f"error: there is no folder {tmp_path / 'nowhere'}; give the folder that holds the data set",
    )


def test_a_list_of_other_data_or_of_files_that_are_gone_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "one", 4, {})
    write_folder(tmp_path / "two", 4, {})
    listed = tmp_path / "list.txt"
    write_list(listed, [str(tmp_path / "one" / "a" / "0000.JPEG")])
    with pytest.raises(ValueError, match=r"line 1 of .* names .*0000.JPEG, which does not lie in .*two \(1 of 1"):
        imagenet.train_loader(tmp_path / "two", batch_size=2, exclude=listed, **SETTINGS)
    (tmp_path / "link").symlink_to(tmp_path / "one")
    through = imagenet.train_loader(tmp_path / "link", batch_size=3, exclude=listed, **SETTINGS)
    assert len(through.dataset) == 3
    listed.write_text("one/a/gone.JPEG\n")
    with pytest.raises(ValueError, match=r"names .*one/a/gone.JPEG, which is not there \(1 of 1"):
        read_list(listed)
    with pytest.raises(FileNotFoundError, match=r"exclude: there is no list .*nowhere"):
        imagenet.val_loader(tmp_path / "two", batch_size=2, exclude=tmp_path / "nowhere", **SETTINGS)
    with pytest.raises(ValueError, match="on_error must be one of 'stop', 'skip', got 'ignore'"):
        imagenet.train_loader(tmp_path / "two", batch_size=2, on_error="ignore", **SETTINGS)
    Image.new("RGB", (4, 4)).save(tmp_path / "two" / "a" / "line\nbreak.png")
    with pytest.raises(ValueError, match="has a line break in its name"):
        write_list(listed, [str(tmp_path / "two" / "a" / "line\nbreak.png")])
