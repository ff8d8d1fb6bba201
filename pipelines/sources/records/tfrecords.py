"""TFRecords: files of `tf.train.Example`, each a table of features by their names.

A record is its length (8 bytes), the checksum of that (4), the data, and the checksum of these (4). Nothing of
TensorFlow's is needed to read them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..source import Source
from .crc32c import masked_crc
from .index import Columns, columns, read_indexed

IMAGES = ("image/encoded", "image", "image_raw", "encoded", "jpeg", "jpg")
LABELS = ("image/class/label", "label", "class", "image/label", "target")
LONGEST = 200  # bytes of a label that is a text


class Feature(NamedTuple):
    """Where its only value lies, if that is bytes: (start, end); or whole numbers."""

    place: tuple[int, int] | None = None
    numbers: tuple[int, ...] = ()


def read_tfrecords(
    paths: Sequence[str | os.PathLike[str]],
    *,
    image: str | None = None,
    label: str | None = None,
    classes: Sequence[str] = (),
    cache: Path | None = None,
) -> Source:
    """The images in TFRecords, in order, with their class numbers; items are named FILE/NUMBER, the record's.

    image    the feature that holds the encoded image. None: the one of IMAGES that is there.
    label    the feature that holds the class number, or a class's name where `classes` are given. None: the one of
             LABELS that is there.
    classes, cache
             as in `records.index.read_indexed`.

    Where each image lies is found at the first call, when every checksum is compared too, and kept in the user's cache
    as long as the file stays what it is. The images themselves are read where they are, in any order.

    FileNotFoundError for a file that is not there, ValueError for one that is damaged or cut off, and for a record
    without an image or a label.
    """
    return read_indexed(
        paths,
        "TFRecord",
        partial(_scan, image=image, label=label),
        settings=f"{image}|{label}",
        classes=classes,
        cache=cache,
    )


def write_index(file: str | os.PathLike[str], index: str | os.PathLike[str]) -> None:
    """Write the index that `fn.readers.tfrecord` needs: offset and size of every record, a line each.

    ValueError for a file that is damaged or cut off.
    """
    with open(file, "rb") as opened:
        lines = [f"{start - 12} {len(data) + 16}\n" for start, data in _records(opened, Path(file))]
    Path(index).write_text("".join(lines))


def _scan(file: Path, image: str | None, label: str | None) -> Columns:
    rows = []
    with open(file, "rb") as opened:
        for number, (start, data) in enumerate(_records(opened, file)):
            where = f"{file}/{number:07}"
            try:
                features = dict(_features(data))
            except (IndexError, ValueError):
                raise ValueError(f"{where} is no tf.train.Example") from None
            encoded = features[_chosen(features, image, IMAGES, "image", where)]
            told = features[_chosen(features, label, LABELS, "label", where)]
            if encoded.place is None:
                raise ValueError(
                    f"{where} has an image that is not one value of bytes; pass image, the feature that is"
                )
            first, last = encoded.place
            rows.append((f"{number:07}", _label(told, data, where), start + first, last - first))
    if not rows:
        raise ValueError(f"{file} holds no records")
    return columns(rows)


def _records(opened: BinaryIO, file: Path) -> Iterator[tuple[int, bytes]]:
    """Where the data of each record begins, and the data."""
    size = os.fstat(opened.fileno()).st_size
    start = 0
    while start < size:
        head = opened.read(12)
        if len(head) == 12 and masked_crc(head[:8]) != struct.unpack("<I", head[8:])[0]:
            what = "is no TFRecord" if not start else f"is damaged at byte {start:,}"
            raise ValueError(f"{file} {what}; fetch it again, or unpack it if it is compressed")
        length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else size
        if start + 16 + length > size:
            raise ValueError(f"{file} is cut off; fetch it again")
        data, tail = opened.read(length), opened.read(4)
        if masked_crc(data) != struct.unpack("<I", tail)[0]:
            raise ValueError(f"{file} is damaged in the record at byte {start:,}: its checksum differs; fetch it again")
        yield start + 12, data
        start += 16 + length


def _chosen(features: dict[str, Feature], asked: str | None, known: Sequence[str], what: str, where: str) -> str:
    found = [name for name in (known if asked is None else (asked,)) if name in features]
    if len(found) != 1:
        several = f"several features that could be the {what}, {', '.join(found)}"
        none = f"no {what} among its features, {', '.join(sorted(features)) or 'none'}"
        raise ValueError(f"{where} has {several if found else none}; pass {what}, the name of one")
    return found[0]


def _label(feature: Feature, data: bytes, where: str) -> str:
    if feature.place is not None:
        return data[slice(*feature.place)][:LONGEST].decode(errors="replace").strip()
    if len(feature.numbers) == 1:
        return str(feature.numbers[0])
    raise ValueError(
        f"{where} has {len(feature.numbers)} labels where one is needed; pass label, the feature that is one"
    )


# Of protocol buffers: a message is fields, each a number with a kind, and a value: a number in sevens of bits (kind 0),
# eight bytes (1), a length and as many bytes (2), four bytes (5).


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, kind, start and end of each field's value; a number's own value is both."""
    while start < end:
        key, start = _varint(data, start)
        kind = key & 7
        if kind == 0:
            value, start = _varint(data, start)
            yield key >> 3, kind, value, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            if kind != 2:
                raise ValueError
            size, start = _varint(data, start)
        if start + size > end:
            raise ValueError
        yield key >> 3, kind, start, start + size
        start += size


def _features(data: bytes) -> Iterator[tuple[str, Feature]]:
    """Of `Example { Features features = 1 }`, `Features { map<string, Feature> feature = 1 }`."""
    for number, kind, start, end in _fields(data, 0, len(data)):
        if number != 1 or kind != 2:
            raise ValueError
        for _, _, at, stop in _fields(data, start, end):
            entry = {field: (first, last) for field, _, first, last in _fields(data, at, stop)}
            name = data[slice(*entry[1])].decode() if 1 in entry else ""
            yield name, _values(data, *entry.get(2, (0, 0)))


def _values(data: bytes, start: int, end: int) -> Feature:
    """Of `Feature { oneof { BytesList = 1; FloatList = 2; Int64List = 3 } }`, whose lists hold their values under 1."""
    for form, _, first, last in _fields(data, start, end):
        if form == 1:
            values = [(at, stop) for _, kind, at, stop in _fields(data, first, last) if kind == 2]
            return Feature(place=values[0]) if len(values) == 1 else Feature()
        if form == 3:
            found: list[int] = []
            for _, kind, at, stop in _fields(data, first, last):
                while kind == 2 and at < stop:
                    value, at = _varint(data, at)
                    found.append(value)
                if kind == 0:
                    found.append(at)
            return Feature(numbers=tuple(value - (1 << 64) if value >> 63 else value for value in found))
    return Feature()
