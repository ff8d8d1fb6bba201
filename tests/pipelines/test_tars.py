"""Images in tar files, as WebDataset has them."""

from __future__ import annotations

import random
import tarfile
from pathlib import Path

import pytest
import torch

from mixdali import Loader, MixUp, Ramp
from pipelines import imagenet
from pipelines.sources.records.tars import read_tars
from tests.helpers.broken import KINDS, jpeg
from tests.helpers.mutations import mutated
from tests.helpers.records import write_tar

SETTINGS = {"num_classes": 3, "size": 16, "device": "cpu", "num_threads": 2}
ALL = ("images", "labels", "index", "path")


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """14 images in two files, 9 and 5 of them; the label of image n is n % 3."""
    folder = tmp_path_factory.mktemp("tars")
    found = []
    for number, places in enumerate((range(9), range(9, 14))):
        samples = {}
        for n in places:
            samples |= {
                f"a/{n:04}.cls": str(n % 3).encode(),
                f"a/{n:04}.jpg": jpeg(n, (40 + n, 50)),
                f"a/{n:04}.json": b"{}",
            }
        found.append(write_tar(folder / f"{number}.tar", samples))
    return found


def loader(tars: list[Path], cache: Path, **more: object) -> Loader:
    source = read_tars(tars, cache=cache)
    return imagenet.train_loader(source, **({"batch_size": 4, "outputs": ALL} | SETTINGS | more))


def test_an_epoch_is_the_set_that_a_plain_reader_finds(tars: list[Path], tmp_path: Path) -> None:
    plain = []
    for path in tars:
        with tarfile.open(path) as tar:
            content = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        plain += [(f"{path}/{name}", int(content[name[:-3] + "cls"])) for name in content if name.endswith("jpg")]
    source = read_tars(tars, cache=tmp_path)
    assert list(zip(source.items, source.labels.tolist(), strict=True)) == plain
    orders = set()
    train = loader(tars, tmp_path, batch_size=7)
    for _ in range(2):
        batches = list(train)
        pairs = [pair for batch in batches for pair in zip(batch.index.tolist(), batch.labels.tolist(), strict=True)]
        assert sorted(pairs) == [(n, n % 3) for n in range(14)]
        assert [source.items[n] for n, _ in pairs] == [path for batch in batches for path in batch.path]
        orders.add(tuple(pairs))
    assert len(orders) == 2


def test_the_images_are_those_of_the_same_files_unpacked(tars: list[Path], tmp_path: Path) -> None:
    for path in tars:
        with tarfile.open(path) as tar:
            tar.extractall(tmp_path / "all", filter="data")
    files = sorted((tmp_path / "all").rglob("*.jpg"))
    unpacked = imagenet.Source([str(file) for file in files], [n % 3 for n in range(14)])
    packed = read_tars(tars, cache=tmp_path)
    for shard in ((0, 1), (0, 3), (2, 3)):
        ours, theirs = (
            imagenet.val_loader(source, batch_size=4, outputs=("images", "index"), shard=shard, **SETTINGS)
            for source in (packed, unpacked)
        )
        seen = [image for batch in ours for image in zip(batch.index.tolist(), batch.images, strict=True)]
        wanted = {
            place: image for batch in theirs for place, image in zip(batch.index.tolist(), batch.images, strict=True)
        }
        assert len(seen) in (14, 4, 5)
        if shard == (0, 1):
            assert [place for place, _ in seen] == list(range(14))
        assert all(torch.equal(image, wanted[place]) for place, image in seen if place in wanted)


@pytest.mark.parametrize("stop", [0, 2, 3, 4])
def test_a_resumed_loader_goes_on_to_the_byte_in_every_epoch(tars: list[Path], tmp_path: Path, stop: int) -> None:
    settings = {"mix": MixUp(alpha=Ramp([(0, 0.2), (2, 1.0)])), "outputs": ("images", "targets", "index")}

    def batches(of: Loader, number: int) -> list:
        endless = (batch for _ in range(9) for batch in of)
        return [next(endless) for _ in range(number)]

    whole, stopped, resumed = (
        batches(loader(tars, tmp_path, **settings), 7),
        *(loader(tars, tmp_path, **settings) for _ in "ab"),
    )
    parts = batches(stopped, stop)
    resumed.load_state_dict(stopped.state_dict())
    parts += batches(resumed, 7 - stop)
    for ours, theirs in zip(whole, parts, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_ranks_share_an_epoch_of_all_files(tars: list[Path], tmp_path: Path) -> None:
    seen = [
        n
        for rank in range(2)
        for batch in loader(tars, tmp_path, batch_size=7, shard=(rank, 2))
        for n in batch.index.tolist()
    ]
    assert sorted(seen) == list(range(14))


def test_bad_images_in_a_tar_are_skipped_or_named(tmp_path: Path) -> None:
    samples = {f"{n:02}.cls": b"0" for n in range(40)} | {f"{n:02}.jpg": jpeg(n) for n in range(40)}
    bad = dict(zip(("03.jpg", "17.jpg", "30.jpg"), ("text", "empty", "start_and_text"), strict=True))
    samples |= {name: KINDS[kind](jpeg()) for name, kind in bad.items()}
    path = write_tar(tmp_path / "x.tar", samples)
    skipping = loader([path], tmp_path, batch_size=40, on_error="skip")
    (batch,) = skipping
    assert [name for name, _ in skipping.skipped] == [f"{path}/{name}" for name in bad]
    assert not {*batch.path} & {f"{path}/{name}" for name in bad}
    with pytest.raises(ValueError, match=r"x\.tar/\d\d\.jpg is "):
        list(loader([path], tmp_path, batch_size=40))


def test_mistakes_are_one_line_each(tars: list[Path], tmp_path: Path) -> None:
    whole = tars[0].read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.tar").write_text("no tar")
    write_tar(tmp_path / "none.tar", {"a.txt": b"x"})
    write_tar(tmp_path / "bare.tar", {"a.jpg": jpeg(), "b.jpg": jpeg(), "b.cls": b"1"})
    write_tar(tmp_path / "word.tar", {"a.jpg": jpeg(), "a.cls": b"cat"})
    write_tar(tmp_path / "two.tar", {"a.jpg": jpeg(), "a.png": jpeg(), "a.cls": b"1"})
    for name, says in {
        "cut": "cut off|no whole, uncompressed tar",
        "text": "is no whole, uncompressed tar file",
        "none": "holds no images",
        "bare": r"has no a\.cls beside its image \(1 of 2 such\)",
        "word": r"a\.jpg has the label 'cat', which is no class number; pass classes",
        "two": "holds two images of the sample a",
    }.items():
        with pytest.raises(ValueError, match=says) as error:
            read_tars([tmp_path / f"{name}.tar"], cache=tmp_path / "cache")
        assert "\n" not in str(error.value)
    assert read_tars([tmp_path / "word.tar"], classes=["dog", "cat"], cache=tmp_path / "cache").labels.tolist() == [1]
    with pytest.raises(FileNotFoundError, match="there is no tar file"):
        read_tars([tmp_path / "nowhere.tar"])
    with pytest.raises(TypeError, match="paths must be a list of tar files"):
        read_tars(str(tars[0]))  # type: ignore[arg-type]


@pytest.mark.parametrize("times", [1, pytest.param(16, marks=pytest.mark.long)])
def test_a_mutated_tar_gives_what_a_plain_reader_finds_or_an_error(times: int, tmp_path: Path) -> None:
    rng, read = random.Random(times), 0
    samples = {}
    for n in range(4):
        samples |= {f"{n}.cls": str(n % 3).encode(), f"{n}.jpg": b"\xff\xd8\xff" + bytes(40)}
    whole = write_tar(tmp_path / "whole.tar", samples).read_bytes()
    path = tmp_path / "changed.tar"
    for round_ in range(60 * times):
        path.write_bytes(mutated(whole, rng))
        try:
            source = read_tars([path], cache=tmp_path / str(round_))
        except (ValueError, OSError) as error:
            said = str(error)
        else:
            said = "read"
            with tarfile.open(path) as tar:
                content = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]
            for row, (item, label) in enumerate(zip(source.items, source.labels.tolist(), strict=True)):
                name = item.removeprefix(f"{path}/")
                assert source.spans is not None
                assert source.spans.read(row) == content[name]
                assert int(content[name[:-3] + "cls"].decode().strip()) == label
            read += 1
        assert said
        assert "\n" not in said
    assert read
