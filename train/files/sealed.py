"""Files of tensors that end with a digest of all that comes before it: written whole or not at all, read only whole.

torch itself checks nothing of what it reads: most flipped bits become other weights.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Any

import torch

MARK = b"\nsha256 of all bytes before this line: "
SEAL = len(MARK) + 64
PART = 1 << 20


class Damaged(ValueError):
    """A file is not what was written, or was never such a file."""

    def __init__(self, path: Path, reason: str, advice: str = "move it away") -> None:
        super().__init__(f"{path} is no readable checkpoint ({reason}); {advice}")
        self.path, self.reason = path, reason


def numbered(path: Path, number: int) -> Path:
    """Where the file is kept that was written `number` - 1 times before the one at `path`: last-2.pt for last.pt."""
    return path if number == 1 else path.with_stem(f"{path.stem}-{number}")


def write(path: Path, content: Any, *, keep: int = 1) -> None:
    """Write `content` as `torch.save` does, with its digest. At `path` there is always a whole file or none.

    Args:
        keep: so many of the files written here stay: the earlier ones as `numbered` says.

    Raises:
        OSError: it cannot be written, for one on a full disk; then everything is as it was.
    """
    try:
        with written(path) as aside:
            with open(aside, "wb") as file:
                hashed = _Hashed(file)
                torch.save(content, hashed)  # type: ignore[arg-type]  # it only writes
                if hashed.error is not None:
                    raise hashed.error
                file.write(MARK + hashed.digest.hexdigest().encode())
                file.flush()
                os.fsync(file.fileno())
            _move_back(path, keep)
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Where to write a file that is then called `path`. If the block fails, what was there stays, and nothing half."""
    aside = path.with_name(f".{path.name}.writing")
    try:
        yield aside
        os.replace(aside, path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise


def read(path: Path) -> tuple[Any, bool]:
    """What a file holds, with its tensors on the CPU, and whether it has a digest; older ones have none.

    Raises:
        Damaged: its digest, or without one the checksum of a part, is not that of its content; or it holds what tensors
            and plain values are not made of.
        OSError: it cannot be opened or read.
    """
    with open(path, "rb") as file:
        sealed = check(file, path)
        try:
            if not sealed and (part := zipfile.ZipFile(file).testzip()) is not None:
                raise Damaged(path, f"its part {part} is not what was written")
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True), sealed
        except Damaged:
            raise
        except Exception as error:  # whatever the bytes of a broken file lead Python's and torch's readers to
            raise Damaged(path, _first_line(error)) from error


def check(file: IO[bytes], path: Path) -> bool:
    """Whether an open file ends with a digest. Damaged if that is not the one of what comes before it."""
    try:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - SEAL))
        seal = file.read(SEAL)
        if not seal.startswith(MARK):
            return False
        file.seek(0)
        found, left = hashlib.sha256(), size - SEAL
        while left and (part := file.read(min(PART, left))):
            found.update(part)
            left -= len(part)
    except OSError as error:
        raise OSError(f"{path} cannot be read: {error.strerror}") from error
    if MARK + found.hexdigest().encode() != seal:
        raise Damaged(path, "its bytes are not those that were written")
    return True


class _Hashed:
    """What torch writes a file through: it takes the digest, and keeps an error of the disk for afterwards, since torch
    ends the program if it is told in the middle of its writing."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                self.file.write(data)
            except OSError as error:
                self.error = error
            self.digest.update(data)
        return len(data)

    def flush(self) -> None:
        """`write` does it at the end."""


def _move_back(path: Path, keep: int) -> None:
    """Number the files that are there anew, for one that comes. The newest has its old name too until that comes."""
    for number in count(keep + 1):
        if not (surplus := numbered(path, number)).exists():
            break
        surplus.unlink()
    for number in range(keep, 2, -1):
        if (newer := numbered(path, number - 1)).exists():
            os.replace(newer, numbered(path, number))
    if keep == 1 or not path.exists():
        return
    aside = path.with_name(f".{path.name}.earlier")
    aside.unlink(missing_ok=True)
    try:
        os.link(path, aside)
    except OSError:  # a disk that knows no second names: for a moment there is only the numbered one
        os.replace(path, numbered(path, 2))
        return
    os.replace(aside, numbered(path, 2))
    aside.unlink(missing_ok=True)  # still there if both names were of one file already


def _sync_folder(folder: Path) -> None:
    """A new name outlasts a loss of power only then; some disks cannot do it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
