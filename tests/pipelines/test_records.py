"""Images in larger files of every form: tars, TFRecords, RecordIO."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import fn, pipeline_def, tfrecord

from mixdali import Loader
from pipelines import imagenet
from pipelines.check.__main__ import main as check
from pipelines.sources.datasets.known import find_kind, read_train, records_of
from pipelines.sources.records.crc32c import crc32c
from pipelines.sources.records.recordio import read_recordio
from pipelines.sources.records.tfrecords import read_tfrecords, write_index
from pipelines.sources.source import Source
from tests.helpers.broken import KINDS, jpeg
from tests.helpers.mutations import mutated
from tests.helpers.records import (
    MAGIC,
    WRITERS,
    example,
    write_samples_as_recordio,
    write_samples_as_tfrecord,
    write_tfrecord,
)

SAMPLES = [(jpeg(n, (40 + n, 50)), n % 3) for n in range(14)]
FORMS = pytest.mark.parametrize("form", WRITERS)
ALL = ("images", "labels", "index", "path")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(folder: Path, form: str) -> Path:
    """Nine images to train on in one file, three in another, and two to validate on."""
    folder.mkdir()
    ending, writer = WRITERS[form]
    for name, part in {"train-0": SAMPLES[:9], "train-1": SAMPLES[9:12], "val-0": SAMPLES[12:]}.items():
        writer(folder / f"{name}{ending}", part)
    return folder


def content(source: Source) -> list[tuple[bytes, int]]:
    assert source.spans is not None
    return [(source.spans.read(row), label) for row, label in enumerate(source.labels.tolist())]


def loader(source: Any, **more: Any) -> Loader:
    settings = {"batch_size": 4, "num_classes": 3, "size": 16, "device": "cpu", "num_threads": 2, "outputs": ALL}
    return imagenet.train_loader(source, **(settings | more))


@FORMS
def test_what_is_found_is_what_was_written_and_said(form: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "data", form)
    records = records_of(folder)
    assert records is not None
    train, val = records.read("train"), records.read("val")
    assert (content(train), content(val)) == (SAMPLES[:12], SAMPLES[12:])
    assert " in 3 files, " in records.describe(train, val)
    assert records.describe(train, val).endswith(", 12 training images in 3 classes (train), 2 to validate on (val)")
    assert find_kind(folder) == "imagenet"
    ending = WRITERS[form][0]
    assert content(read_train(f"{folder}/{{train,val}}-*{ending}")) == SAMPLES[:12]
    assert content(read_train(f"{folder}/train-{{0..1}}{ending}")) == SAMPLES[:12]
    (folder / "classes.txt").write_text("cat\ndog\nowl\n")
    assert read_train(folder).classes == ("cat", "dog", "owl")


@FORMS
def test_an_epoch_is_all_images_once_and_a_loader_resumes_within_it_to_the_byte(form: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "data", form)
    whole, stopped, resumed = (loader(folder) for _ in range(3))
    epochs = [list(whole), list(whole)]
    pairs = [[(batch.index[n].item(), batch.labels[n].item()) for batch in one for n in range(4)] for one in epochs]
    assert [sorted(one) for one in pairs] == [[(n, n % 3) for n in range(12)]] * 2
    assert pairs[0] != pairs[1]
    source = read_train(folder)
    assert all(source.items[n] == path for batch in epochs[0] for n, path in zip(batch.index, batch.path, strict=True))
    batches = iter(stopped)
    next(batches)
    resumed.load_state_dict(stopped.state_dict())
    for ours, theirs in zip([*batches, *stopped], [*resumed, *resumed], strict=True):
        assert ours.path == theirs.path
        assert all(torch.equal(getattr(ours, name), getattr(theirs, name)) for name in ALL[:3])
    shares = [{n for batch in loader(folder, batch_size=6, shard=(k, 2)) for n in batch.index.tolist()} for k in (0, 1)]
    assert [len(share) for share in shares] == [6, 6]
    assert len(shares[0] | shares[1]) == 12


def test_a_state_of_other_files_is_refused(tmp_path: Path) -> None:
    ours = loader(write(tmp_path / "a", "tar"))
    next(iter(ours))
    folder = write(tmp_path / "b", "tar")
    (folder / "train-0.tar").rename(folder / "train-2.tar")
    with pytest.raises(ValueError, match=r"the state is of another loader: its source .*images"):
        loader(folder).load_state_dict(ours.state_dict())


def test_repeated_images_come_as_often_as_they_are_asked_for(tmp_path: Path) -> None:
    source = read_train(write(tmp_path / "data", "tar"))
    for shard in ((0, 1), (0, 2), (1, 2)):
        repeating = loader(source, batch_size=3, repeats=2, shard=shard)
        epochs = [[n for batch in repeating for n in batch.index.tolist()] for _ in range(2)]
        assert [len(epoch) for epoch in epochs] == [12 // shard[1]] * 2
        assert epochs[0] != epochs[1]
        assert len(set(epochs[0])) == 6  # with two ranks each has every chosen image once


@FORMS
def test_bad_images_are_found_listed_and_left_out_by_their_names(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ending, writer = WRITERS[form]
    samples = list(SAMPLES)
    samples[3], samples[7] = ((KINDS[kind](jpeg()), 0) for kind in ("text", "start_and_text"))
    path = writer(tmp_path / f"train{ending}", samples)
    assert check([str(path), "--list", str(tmp_path / "bad.txt"), "--num_processes", "1"]) == 1
    assert "2 of 14 images cannot be decoded" in capsys.readouterr().err
    listed = (tmp_path / "bad.txt").read_text().splitlines()
    assert listed == [read_train(path).items[n] for n in (3, 7)]
    seen = [n for batch in loader(path, exclude=str(tmp_path / "bad.txt")) for n in batch.index.tolist()]
    assert sorted(seen) == sorted({*range(14)} - {3, 7})
    (tmp_path / "keys.txt").write_text("\n".join(line.removesuffix(".jpg") for line in listed))
    assert len(loader(path, exclude=str(tmp_path / "keys.txt"), batch_size=12)) == 1
    (tmp_path / "wrong.txt").write_text(f"{path}/nobody.jpg")
    with pytest.raises(ValueError, match=r"exclude: line 1 of .*nobody\.jpg, which is not there"):
        loader(path, exclude=str(tmp_path / "wrong.txt"))


def test_dalis_own_readers_find_the_same(tmp_path: Path) -> None:
    rec = write_samples_as_recordio(tmp_path / "a.rec", SAMPLES)
    records = write_samples_as_tfrecord(tmp_path / "a.tfrecord", SAMPLES)
    write_index(records, tmp_path / "a.index")

    @pipeline_def(batch_size=14, num_threads=1, device_id=None)
    def plain() -> Any:
        encoded, label = fn.readers.mxnet(path=str(rec), index_path=str(rec.with_suffix(".idx")))
        features = fn.readers.tfrecord(
            path=str(records),
            index_path=str(tmp_path / "a.index"),
            features={
                "image/encoded": tfrecord.FixedLenFeature((), tfrecord.string, ""),
                "image/class/label": tfrecord.FixedLenFeature([1], tfrecord.int64, -1),
            },
        )
        return encoded, label, features["image/encoded"], features["image/class/label"]

    images, labels, others, classes = plain().run()
    for found, told, ours in ((images, labels, read_recordio([rec])), (others, classes, read_tfrecords([records]))):
        theirs = [(np.asarray(found[n]).tobytes(), int(np.asarray(told[n]).item())) for n in range(14)]
        assert theirs == content(ours) == SAMPLES


def test_a_record_that_holds_the_magic_number_is_put_together_again(tmp_path: Path) -> None:
    samples = [
        (b"\xff\xd8\xff\xe0" + MAGIC * 2 + b"x" + MAGIC + b"abc" + MAGIC, 1),
        (MAGIC + bytes(5), 2),
        *SAMPLES[:2],
    ]
    path = write_samples_as_recordio(tmp_path / "a.rec", samples)
    assert path.read_bytes().count(MAGIC) > len(samples)
    assert content(read_recordio([path])) == samples
    assert content(read_recordio([path]).select([2, 1])) == [samples[2], samples[1]]


@pytest.mark.parametrize("length", [0, 1, 5, 255, 256, 257, 511, 513, 4096, 10001])
def test_the_checksum_is_that_of_its_definition(length: int) -> None:
    assert crc32c(b"123456789") == 0xE3069283
    data = random.Random(length).randbytes(length)
    crc = 0xFFFFFFFF
    for bit in (byte >> place & 1 for byte in data for place in range(8)):
        crc = crc >> 1 ^ (0x82F63B78 if (crc ^ bit) & 1 else 0)
    assert crc32c(data) == crc ^ 0xFFFFFFFF


def test_mistakes_in_the_files_are_one_line_each(tmp_path: Path) -> None:
    image = SAMPLES[0][0]
    good = write_samples_as_tfrecord(tmp_path / "good.tfrecord", SAMPLES[:2]).read_bytes()
    rec = write_samples_as_recordio(tmp_path / "good.rec", SAMPLES[:2], index=False).read_bytes()
    several = struct.pack("<IfQQ2f", 2, 0, 0, 0, 1, 2)
    cases: dict[str, tuple[str, bytes | list[bytes]]] = {
        "cut.tfrecord": ("is cut off", good[:-9]),
        "text.tfrecord": ("is no TFRecord", b"text and no record at all"),
        "flip.tfrecord": ("its checksum differs", good[:100] + bytes([good[100] ^ 1]) + good[101:]),
        "empty.tfrecord": ("holds no records", b""),
        "bare.tfrecord": ("has no label among its features, image", [example({"image": image})]),
        "two.tfrecord": ("several features that could be the image", [example({"image": b"", "jpg": b""})]),
        "many.tfrecord": ("has 2 labels where one", [example({"image": image, "label": [1, 2]})]),
        "raw.tfrecord": ("no tf.train.Example", [b"\xff\xff\xff"]),
        "minus.tfrecord": ("has the label '-1', which is no class number", [example({"image": image, "label": [-1]})]),
        "cut.rec": ("is cut off", rec[:-9]),
        "text.rec": ("is no RecordIO file", b"text and no record"),
        "empty.rec": ("holds no records", b""),
        "half.rec": ("label 1.5, which is no class number", rec.replace(*(struct.pack("<f", n) for n in (1, 1.5)), 1)),
        "many.rec": ("has 2 labels where one", MAGIC + struct.pack("<I", len(several)) + several),
    }  # fmt: skip
    for name, (says, whole) in cases.items():
        path = tmp_path / name
        if isinstance(whole, bytes):
            path.write_bytes(whole)
        else:
            write_tfrecord(path, whole)
        with pytest.raises(ValueError, match=says) as error:
            read_train(path)
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)
    write_samples_as_recordio(tmp_path / "other.rec", SAMPLES).with_suffix(".idx").rename(tmp_path / "good.idx")
    with pytest.raises(ValueError, match=r"good\.idx is no index of .*good\.rec, which has 2 records"):
        read_train(tmp_path / "good.rec")


def test_mistakes_in_the_names_are_one_line_each(tmp_path: Path) -> None:
    def refused(root: Path | str, says: str, kind: type[Exception] = ValueError) -> None:
        with pytest.raises(kind, match=says) as error:
            records_of(root).read("val")  # type: ignore[union-attr]
        assert "\n" not in str(error.value)

    flat = write(tmp_path / "flat", "tar")
    (flat / "train-0.tar").rename(flat / "0.tar")
    refused(flat, r"0\.tar tells no split, that of .*train-1.tar tells train; begin each with train or val")
    refused(flat / "0.tar", "tells no splits: what it is trained on .* or hold a share .* by --validation 0.1")
    refused(flat / "train-1.tar", "has no files for val, only for train", FileNotFoundError)
    refused(f"{flat}/nothing-*.tar", "no file matches .*nothing", FileNotFoundError)
    refused(f"{flat}/{{0..99999999}}.tar", "has the range 0..99999999, which must rise, by less than 1,000,000")
    (flat / "val-0.tar").rename(flat / "train-val.tar")
    refused(flat, r"the name of .*train-val\.tar tells train and val; which split is it of")
    write_samples_as_recordio(flat / "x.rec", SAMPLES)
    refused(flat, "holds files of several forms, WebDataset samples and RecordIO; give those of one")
    (tmp_path / "images" / "cat").mkdir(parents=True)
    (tmp_path / "images" / "cat" / "a.jpg").write_bytes(jpeg())
    (flat / "0.tar").rename(tmp_path / "images" / "archive.tar")
    assert records_of(tmp_path / "images") is None  # class folders, and an archive beside them


@pytest.mark.parametrize("times", [1, pytest.param(16, marks=pytest.mark.long)])
@pytest.mark.parametrize("form", ["tfrecord", "recordio"])
def test_a_mutated_file_gives_what_a_plain_reader_finds_or_an_error(form: str, times: int, tmp_path: Path) -> None:
    """A TFRecord has checksums, so it is what it was or less of it. RecordIO has none: a plain reader is asked."""
    rng, read = random.Random(times), 0
    ending, writer = WRITERS[form]
    samples = [(b"\xff\xd8\xff" + bytes([n]) * 40, n % 3) for n in range(4)]
    path = writer(tmp_path / f"x{ending}", samples)
    path.with_suffix(".idx").unlink(missing_ok=True)
    whole = path.read_bytes()
    for _ in range(60 * times):
        path.write_bytes(mutated(whole, rng))
        try:
            found = content(read_train(path))
        except (ValueError, OSError) as error:
            said = str(error)
        else:
            said, read = "read", read + 1
            assert found == (samples[: len(found)] if form == "tfrecord" else plain_recordio(path.read_bytes()))
        assert said
        assert "\n" not in said
    assert read


def plain_recordio(whole: bytes) -> list[tuple[bytes, int]]:
    """The images and labels of records of one piece each."""
    found = []
    while whole:
        magic, told = struct.unpack("<II", whole[:8])
        assert (magic, told >> 29) == (0xCED7230A, 0)
        count, label, _, _ = struct.unpack("<IfQQ", whole[8:32])
        if count == 1:
            (label,) = struct.unpack("<f", whole[32:36])
        found.append((whole[32 + 4 * count : 8 + told], int(label)))
        whole = whole[8 + told + -told % 4 :]
    return found
