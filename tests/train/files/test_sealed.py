"""No other content is ever read from a file than was written, and no fault of the disk costs what was there."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from train.files import checkpoint, sealed
from train.files.sealed import Damaged

NUM_MUTATIONS = 500


def content(step: int) -> dict[str, Any]:
    weights = torch.randn(40, 30, generator=torch.Generator().manual_seed(step))
    return {"step": step, "epoch": 0, "model": {"weight": weights}, "history": [{"loss": 0.5}], "text": "a" * 300}


def mutated(data: bytes, random: random.Random) -> bytes:
    """The bytes of a file after something happened to them."""
    place, length = random.randrange(len(data)), random.randrange(1, 600)
    kind = random.choice(["bit"] * 6 + ["cut", "zeros", "noise", "insert", "remove", "append", "swap", "twice"])
    if kind == "bit":
        changed = bytearray(data)
        changed[place] ^= 1 << random.randrange(8)
        return bytes(changed)
    return {
        "cut": data[:place],
        "zeros": data[:place] + bytes(length) + data[place + length :],
        "noise": data[:place] + random.randbytes(length) + data[place + length :],
        "insert": data[:place] + random.randbytes(length) + data[place:],
        "remove": data[:place] + data[place + length :],
        "append": data + random.randbytes(length),
        "swap": data[place:] + data[:place],
        "twice": data + data,
    }[kind]


def assert_as_written(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert torch.equal(found["model"]["weight"], expected["model"]["weight"])
    assert {**found, "model": None, "format": None} == {**expected, "model": None, "format": None}


@pytest.mark.parametrize("seed", range(5))
def test_a_mutated_file_is_never_read_as_something_else(tmp_path: Path, seed: int) -> None:
    written, path = content(1), tmp_path / "last.pt"
    checkpoint.save(path, written)
    data, source, refused = path.read_bytes(), random.Random(seed), 0
    for _ in range(NUM_MUTATIONS // 5):
        path.write_bytes(mutated(data, source))
        try:
            found = checkpoint.load(path)
        except ValueError as error:
            refused += str(error).startswith(f"{path} is no ") and "\n" not in str(error)
            continue
        # What is left is a file in which nothing changed, such as zeros where there were zeros.
        assert_as_written(found, written)
    assert refused > NUM_MUTATIONS // 5 * 0.9


def test_every_single_byte_counts(tmp_path: Path) -> None:
    """Also those between the parts, of their names and of the digest itself."""
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"step": 1, "weight": torch.zeros(3)})
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(changed)
        with pytest.raises(Damaged):
            checkpoint.load(path)


def test_a_damaged_file_names_those_beside_it_that_can_be_read(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoint.save(tmp_path / "last.pt", content(step), keep=2)
    checkpoint.save(tmp_path / "best.pt", content(1))
    for name, advice in (
        ("last.pt", "last-2.pt and best.pt beside it can be read"),
        ("last-2.pt", "best.pt beside it"),
    ):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(Damaged, match=rf"{name} is no readable checkpoint \(.*\); {advice}"):
            checkpoint.load(path)


def test_older_files_without_a_digest_are_read_and_their_parts_checked(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    torch.save({"format": 1, **content(1)}, path)
    assert_as_written(checkpoint.load(path), content(1))
    data = bytearray(path.read_bytes())
    weight = content(1)["model"]["weight"].numpy().tobytes()
    data[bytes(data).index(weight) + 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(Damaged, match=r"its part archive/data/0|its part .*/data/0"):
        checkpoint.load(path)


def test_torch_reads_a_file_with_a_digest_too(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "last.pt", content(1))
    assert_as_written(torch.load(tmp_path / "last.pt", weights_only=True), content(1))


def test_the_last_files_are_kept_in_order(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    for step in range(1, 6):
        checkpoint.save(path, content(step), keep=3)
        assert checkpoint.load(path)["step"] == step
    assert [checkpoint.load(file)["step"] for file in checkpoint.kept(tmp_path)] == [5, 4, 3]
    checkpoint.save(path, content(6), keep=2)
    assert [checkpoint.load(file)["step"] for file in checkpoint.kept(tmp_path)] == [6, 5]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last-2.pt", "last.pt"]


def full_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Writing through `sealed` fails as on a disk with room for so many bytes more."""
    left, opened = after, open

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: bytes) -> int:
            nonlocal left
            left -= len(data)
            if left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(data)  # type: ignore[no-any-return]

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: Any) -> None:
            self.file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    monkeypatch.setattr(sealed, "open", lambda path, mode: Full(opened(path, mode)), raising=False)


def small_files(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Writing fails in the system itself."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, before[1]))


def unsynced(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """A disk that says only when asked to be done that it was not."""

    def fails(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fails)


@pytest.mark.parametrize("share", [0, 0.1, 0.6, 0.999], ids=str)
@pytest.mark.parametrize("fault", [full_disk, small_files, unsynced])
def test_a_disk_without_room_costs_nothing_and_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch, int], None], share: float
) -> None:
    path, limit = tmp_path / "last.pt", resource.getrlimit(resource.RLIMIT_FSIZE)
    for step in (1, 2):
        checkpoint.save(path, content(step), keep=2)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with monkeypatch.context() as patch:
        fault(patch, int(share * path.stat().st_size))
        try:
            with pytest.raises(OSError, match=r"last\.pt cannot be written: (No space left|File too large)[^\n]*$"):
                checkpoint.save(path, content(3), keep=2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    checkpoint.save(path, content(3), keep=2)
    assert [checkpoint.load(file)["step"] for file in checkpoint.kept(tmp_path)] == [3, 2]


@pytest.mark.parametrize("function", ["link", "replace"])
def test_there_is_a_whole_file_whenever_the_program_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    """Before each of the names that are changed one after the other."""

    class Killed(BaseException):
        pass

    path, number = tmp_path / "last.pt", 0
    while True:
        number += 1
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        for step in (1, 2):
            checkpoint.save(path, content(step), keep=3)
        left, real = number, getattr(os, function)

        def dies(*names: Any, real: Callable[..., None] = real) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            real(*names)

        with monkeypatch.context() as patch:
            patch.setattr(os, function, dies)
            try:
                checkpoint.save(path, content(3), keep=3)
            except Killed:
                newest = checkpoint.newest(tmp_path)
                assert newest is not None
                assert newest.content["step"] == 2
                continue
        break
    assert number == {"link": 2, "replace": 4}[function]
    checkpoint.save(path, content(4), keep=3)
    assert [checkpoint.load(file)["step"] for file in checkpoint.kept(tmp_path)][:2] == [4, 3]


def test_a_disk_without_second_names_keeps_the_earlier_ones_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuses)
    for step in (1, 2, 3):
        checkpoint.save(tmp_path / "last.pt", content(step), keep=2)
    assert [checkpoint.load(file)["step"] for file in checkpoint.kept(tmp_path)] == [3, 2]


def test_whatever_is_written_as_a_whole_is_written_in_one_way() -> None:
    """By what cleans up behind itself when the disk is full."""
    root = Path(__file__).parents[3]
    by_hand = [
        str(path.relative_to(root))
        for top in ("train", "pipelines")
        for path in sorted((root / top).rglob("*.py"))
        if "os.replace(" in (text := path.read_text()) and '.writing"' in text
    ]
    assert by_hand == ["train/files/sealed.py", "pipelines/show/pictures.py"]
