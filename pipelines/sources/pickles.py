"""Python-2 pickles of plain data and arrays, as CIFAR comes in: read without running code, and written."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np

LONGEST = 200  # characters of what Python says


def load_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle that may hold numbers, text, lists, dictionaries and numpy arrays, and nothing else.

    Text of Python 2 comes back as bytes, the keys as str. Loading runs no code of the file's choosing.
    Raises ValueError, naming the file, if it is cut off or damaged, asks for anything else, or is no dictionary.
    """
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="bytes").load()
    except OSError:
        raise
    except _Forbidden as error:
        said = _in_one_line(error)
        raise ValueError(f"{path} asks to load {said}, which a data file has no need of; do not trust it") from None
    except Exception as error:  # damaged bytes can raise nearly anything
        said = _in_one_line(error)
        raise ValueError(f"{path} is no complete pickle ({said}); fetch or unpack it again") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__} instead of a dictionary; give the original file")
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): value for key, value in content.items()}


def _in_one_line(error: Exception) -> str:
    """What Python says of a pickle may have several, and so may a name in one."""
    return " ".join(str(error).split())[:LONGEST]


class _Forbidden(Exception):
    """Not a pickle error, so that it is told apart from damage."""


def _encode(text: str, encoding: str) -> bytes:
    # How Python 3 writes bytes in protocol 2. Bound to one codec, so that no other can be looked up.
    if encoding not in ("latin1", b"latin1"):
        raise _Forbidden(f"the codec {encoding!r}")
    return text.encode("latin1")


# numpy's own functions that make an array from a pickle, by protocol, found without naming where numpy keeps them.
_REBUILD: dict[int, Any] = {protocol: np.empty(1).__reduce_ex__(protocol)[0] for protocol in (4, 5)}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        wanted = module.replace("numpy.core.", "numpy._core.")  # numpy 2 moved it
        allowed = {
            ("numpy._core.multiarray", "_reconstruct"): _REBUILD[4],
            ("numpy._core.numeric", "_frombuffer"): _REBUILD[5],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): _encode,
        }
        if (wanted, name) not in allowed:
            raise _Forbidden(f"{module}.{name}")
        return allowed[wanted, name]


def dump_pickle(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary of ints, str, lists and uint8 arrays as Python 2 would, byte for byte the same every time.

    Such a file reads with `encoding="latin1"` and with `encoding="bytes"`; a pickle by Python 3 only with one of them.
    """
    path.write_bytes(pickle.PROTO + b"\x02" + _dumped(content) + pickle.STOP)


def _dumped(value: Any) -> bytes:
    if isinstance(value, str):
        text = value.encode("latin1")
        return pickle.BINSTRING + struct.pack("<i", len(text)) + text
    if isinstance(value, int):
        return pickle.BININT + struct.pack("<i", value)
    if isinstance(value, list):
        return pickle.EMPTY_LIST + pickle.MARK + b"".join(map(_dumped, value)) + pickle.APPENDS
    if isinstance(value, dict):
        pairs = (_dumped(key) + _dumped(entry) for key, entry in value.items())
        return pickle.EMPTY_DICT + pickle.MARK + b"".join(pairs) + pickle.SETITEMS
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return _dumped_array(value)
    raise TypeError(f"a pickle of plain data cannot hold a {type(value).__name__}")


def _dumped_array(array: np.ndarray) -> bytes:
    """An empty array is made first, and then given its state, as numpy's own pickles do."""
    raw = array.tobytes()
    dtype = _call("numpy dtype", _dumped("u1"), _dumped(0), _dumped(1))
    # Version, byte order, subtype, names, fields, item size, alignment, flags.
    dtype += _tuple(_dumped(3), _dumped("|"), pickle.NONE * 3, _dumped(-1), _dumped(-1), _dumped(0)) + pickle.BUILD
    empty = _call("numpy.core.multiarray _reconstruct", _global("numpy ndarray"), _tuple(_dumped(0)), _dumped("b"))
    shape = _tuple(*map(_dumped, array.shape))
    pixels = pickle.BINSTRING + struct.pack("<i", len(raw)) + raw
    # Version, shape, dtype, whether in Fortran's order, data.
    return empty + _tuple(_dumped(1), shape, dtype, pickle.NEWFALSE, pixels) + pickle.BUILD


def _tuple(*parts: bytes) -> bytes:
    return pickle.MARK + b"".join(parts) + pickle.TUPLE


def _global(name: str) -> bytes:
    return pickle.GLOBAL + name.replace(" ", "\n").encode() + b"\n"


def _call(name: str, *arguments: bytes) -> bytes:
    return _global(name) + _tuple(*arguments) + pickle.REDUCE
