"""Larger files of images, written from what their formats say: tars, TFRecords, RecordIO."""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

Samples = Sequence[tuple[bytes, int]]
MAGIC = struct.pack("<I", 0xCED7230A)


def write_tar(path: Path, samples: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in samples.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_samples_as_tar(path: Path, samples: Samples) -> Path:
    content: dict[str, bytes] = {}
    for number, (image, label) in enumerate(samples):
        content |= {f"{number:07}.cls": str(label).encode(), f"{number:07}.jpg": image}
    return write_tar(path, content)


def checksum(data: bytes) -> int:
    """CRC-32C bit by bit, masked as in TFRecords."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _number(value: int) -> bytes:
    found = []
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _field(number: int, content: bytes) -> bytes:
    return _number(number << 3 | 2) + _number(len(content)) + content


def example(features: dict[str, bytes | list[int] | list[float]]) -> bytes:
    """A serialised tf.train.Example."""
    entries = b""
    for name, value in features.items():
        if isinstance(value, bytes):
            feature = _field(1, _field(1, value))
        elif all(isinstance(one, int) for one in value):
            feature = _field(3, _field(1, b"".join(_number(one % 2**64) for one in value)))  # type: ignore[operator]
        else:
            feature = _field(2, _field(1, struct.pack(f"<{len(value)}f", *value)))
        entries += _field(1, _field(1, name.encode()) + _field(2, feature))
    return _field(1, entries)


def write_tfrecord(path: Path, records: Sequence[bytes]) -> Path:
    whole = b""
    for data in records:
        length = struct.pack("<Q", len(data))
        whole += length + struct.pack("<I", checksum(length)) + data + struct.pack("<I", checksum(data))
    path.write_bytes(whole)
    return path


def write_samples_as_tfrecord(path: Path, samples: Samples) -> Path:
    records = [
        example({"image/class/label": [label], "image/height": [50], "image/scale": [0.5], "image/encoded": image})
        for image, label in samples
    ]
    return write_tfrecord(path, records)


def write_samples_as_recordio(path: Path, samples: Samples, *, index: bool = True) -> Path:
    whole, places = b"", []
    for number, (image, label) in enumerate(samples):
        places.append(f"{number + 100}\t{len(whole)}\n")
        data = struct.pack("<IfQQ", 0, label, number, 0) + image
        cuts = [at for at in range(0, len(data) - 3, 4) if data[at : at + 4] == MAGIC]
        ends = zip([0, *(cut + 4 for cut in cuts)], [*cuts, len(data)], strict=True)
        for piece, (start, end) in enumerate(ends):
            kind = 0 if not cuts else 1 if not piece else 3 if piece == len(cuts) else 2
            whole += MAGIC + struct.pack("<I", kind << 29 | end - start) + data[start:end] + bytes(-(end - start) % 4)
    path.write_bytes(whole)
    if index:
        path.with_suffix(".idx").write_text("".join(places))
    return path


WRITERS: dict[str, tuple[str, Callable[[Path, Samples], Path]]] = {
    "tar": (".tar", write_samples_as_tar),
    "tfrecord": (".tfrecord", write_samples_as_tfrecord),
    "recordio": (".rec", write_samples_as_recordio),
}
