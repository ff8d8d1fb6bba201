"""MXNet's RecordIO, as im2rec packs images: `.rec`, perhaps with an `.idx` beside it.

A piece is a magic number, its kind and length (4 bytes each, the kind in the upper three bits), the data, and zeros up
to a multiple of four. A record whose data hold the magic number is cut there, into several pieces, and the number
itself left out. The data of an image's record are a header and the encoded image.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from ..source import Source
from .index import Columns, columns, read_indexed

MAGIC = 0xCED7230A
WHOLE, FIRST, MIDDLE, LAST = range(4)  # kinds of pieces
HEADER = struct.Struct("<IfQQ")  # how many labels follow, the label where none does, two numbers


def read_recordio(
    paths: Sequence[str | os.PathLike[str]], *, classes: Sequence[str] = (), cache: Path | None = None
) -> Source:
    """The images in RecordIO files, in order, with their class numbers.

    Items are named FILE/KEY, by the keys in the .idx beside a file; FILE/NUMBER, the record's, without one. Where each
    image lies is found at the first call, from the file itself, and kept in the user's cache as long as the file stays
    what it is.

    classes, cache  as in `records.index.read_indexed`.

    FileNotFoundError for a file that is not there, ValueError for one that is damaged or cut off, for an .idx of
    another file, and for a record with other than one label.
    """
    files = [Path(path).expanduser().absolute() for path in paths] if not isinstance(paths, str | os.PathLike) else []
    told = [(index.stat().st_size, index.stat().st_mtime_ns) for index in map(_beside, files) if index.is_file()]
    return read_indexed(files or paths, "RecordIO", _scan, settings=str(told), classes=classes, cache=cache)


def _beside(file: Path) -> Path:
    return file.with_suffix(".idx")


def _scan(file: Path) -> Columns:
    rows: list[tuple[str, str, int, int]] = []
    holes: list[int] = []
    places = []
    with open(file, "rb") as opened:
        for number, (place, start, end, inside, head) in enumerate(_records(opened, file)):
            where = f"{file}/{number:07}"
            if len(head) < HEADER.size:
                raise ValueError(f"{where} is too short for an image's record")
            count, label, _, _ = HEADER.unpack(head[: HEADER.size])
            skip = HEADER.size + 4 * count
            if count == 1 and len(head) >= skip:
                (label,) = struct.unpack("<f", head[HEADER.size : skip])
            if count > 1 or len(head) < skip:
                raise ValueError(f"{where} has {count:,} labels where one is needed")
            if not 0 <= label < 2**24 or label != int(label):
                raise ValueError(f"{where} has the label {label:g}, which is no class number")
            rows.append((f"{number:07}", str(int(label)), start + skip, end - start - skip))
            holes += inside
            places.append(place)
    if not rows:
        raise ValueError(f"{file} holds no records")
    if _beside(file).is_file():
        keys = _keys(_beside(file), places, file)
        rows = [(key, *row[1:]) for key, row in zip(keys, rows, strict=True)]
    return columns(rows, holes)


def _records(opened: BinaryIO, file: Path) -> Iterator[tuple[int, int, int, list[int], bytes]]:
    """Of each record: where it lies, where its data begin and end, which four bytes inside are no data, and the first
    bytes of the data."""
    size = os.fstat(opened.fileno()).st_size
    at = 0
    while at < size:
        place, inside = at, []
        kind, start, end = _piece(opened, at, size, file)
        if kind not in (WHOLE, FIRST):
            raise ValueError(f"{file} is damaged at byte {at:,}: a record begins in its middle; fetch it again")
        head = os.pread(opened.fileno(), min(HEADER.size + 4, end - start), start)
        while kind in (FIRST, MIDDLE):
            if end % 4 or end >= size:
                raise ValueError(f"{file} is cut off or damaged at byte {end:,}; fetch it again")
            # The magic number of the next piece is data; what follows it is not.
            inside.append(end + 4)
            kind, _, last = _piece(opened, end, size, file)
            if kind not in (MIDDLE, LAST):
                raise ValueError(f"{file} is damaged at byte {end:,}: a record has no end; fetch it again")
            end = last
        yield place, start, end, inside, head
        at = -(-end // 4) * 4


def _piece(opened: BinaryIO, at: int, size: int, file: Path) -> tuple[int, int, int]:
    """Kind, start and end of the piece at a place."""
    head = os.pread(opened.fileno(), 8, at)
    if len(head) == 8:
        magic, told = struct.unpack("<II", head)
        if magic != MAGIC:
            what = "is no RecordIO file" if not at else f"is damaged at byte {at:,}"
            raise ValueError(f"{file} {what}; fetch it again")
        end = at + 8 + (told & (1 << 29) - 1)
        if end <= size:
            return told >> 29, at + 8, end
    raise ValueError(f"{file} is cut off; fetch it again")


def _keys(index: Path, places: Sequence[int], file: Path) -> list[str]:
    """The keys of the records, in their order."""
    try:
        pairs = [line.split("\t") for line in index.read_text().splitlines() if line.strip()]
        keys = {int(place): key.strip() for key, place in pairs}
    except (ValueError, UnicodeDecodeError):
        raise ValueError(f"{index} must have a key and a place in every line, with a tab between") from None
    if (
        sorted(keys) != list(places)
        or len(set(keys.values())) < len(pairs)
        or not all(map(str.isdecimal, keys.values()))
    ):
        raise ValueError(f"{index} is no index of {file}, which has {len(places):,} records; remove it or make it anew")
    return [keys[place] for place in places]
