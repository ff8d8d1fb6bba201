"""CRC-32C, the checksum of TFRecords (RFC 3720), by NumPy: of lanes of 128 bytes at once, then joined by pairs."""

from __future__ import annotations

import functools

import numpy as np

POLYNOMIAL = 0x82F63B78  # reflected
LANE = 128  # bytes
ALL = 0xFFFFFFFF


def masked_crc(data: bytes) -> int:
    """The checksum as TFRecords have it: turned by 15 bits and shifted by a constant."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & ALL


def crc32c(data: bytes) -> int:
    if len(data) < 2 * LANE:
        return _short(data)
    # To begin with ones is to begin with zeros and the first four bytes inverted; then zeros in front change nothing.
    lanes = 1 << (-(-len(data) // LANE) - 1).bit_length()
    padded = np.zeros(lanes * LANE, np.uint8)
    padded[-len(data) :] = np.frombuffer(data, np.uint8)
    padded[len(padded) - len(data) :][:4] ^= 0xFF
    words = padded.view("<u2").reshape(lanes, LANE // 2).T.astype(np.uint16, order="C")
    table, states = _table(), np.zeros(lanes, np.uint32)
    for word in words:
        states = table.take(states.astype(np.uint16) ^ word, mode="clip") ^ (states >> 16)
    for level in range(lanes.bit_length() - 1):
        states = _shifted(states[::2], level) ^ states[1::2]
    return int(states[0]) ^ ALL


def _short(data: bytes) -> int:
    table, crc = _bytes(), ALL
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ ALL


@functools.cache
def _bytes() -> list[int]:
    """What a byte makes of a state of zeros."""
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        found.append(value)
    return found


@functools.cache
def _table() -> np.ndarray:
    """What two bytes, the lower one first, make of a state of zeros: (65536,)."""
    one = np.array(_bytes(), np.uint32)
    values = np.arange(65536, dtype=np.uint32)
    first = one[values & 0xFF] ^ (values >> 8)
    return one[first & 0xFF] ^ (first >> 8)


@functools.cache
def _tables(level: int) -> np.ndarray:
    """What LANE * 2**level zero bytes make of a state, by its four bytes: (4, 256)."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    if level:
        after = _shifted(_shifted(bits, level - 1), level - 1)
    else:
        after, one = bits, np.array(_bytes(), np.uint32)
        for _ in range(LANE):
            after = one[after & 0xFF] ^ (after >> 8)
    values = np.arange(256)
    found = np.zeros((4, 256), np.uint32)
    for place, row in enumerate(found):
        for bit in range(8):
            row ^= np.where(values >> bit & 1, after[8 * place + bit], 0).astype(np.uint32)
    return found


def _shifted(states: np.ndarray, level: int) -> np.ndarray:
    tables = _tables(level)
    return np.bitwise_xor.reduce([tables[place][states >> 8 * place & 0xFF] for place in range(4)])
