"""SVHN's cropped digits, as MATLAB files.

Netzer, Wang, Coates, Bissacco, Wu and Ng, "Reading Digits in Natural Images with Unsupervised Feature Learning", NIPS
workshop 2011. `train_32x32.mat` and `test_32x32.mat` hold X (32, 32, 3, N) uint8 and y (N, 1), where 10 stands for the
digit 0. The easier images of `extra_32x32.mat` are not read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..source import Source

SIDE = 32
CLASSES = tuple(str(digit) for digit in range(10))


def holds_svhn(folder: Path) -> bool:
    """Whether a folder holds one of the two files."""
    return any((folder / f"{split}_32x32.mat").is_file() for split in ("train", "test"))


def read_svhn(root: str | os.PathLike[str], split: Literal["train", "test"]) -> Source:
    """The images (N, 32, 32, 3) uint8 and their digits, 0 to 9, of a folder with SVHN's files.

    Raises FileNotFoundError if the file is missing, ValueError if it is damaged or of something else, ImportError
    without scipy.
    """
    path = Path(root).expanduser().absolute() / f"{split}_32x32.mat"
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {path}; fetch train_32x32.mat and test_32x32.mat of SVHN's cropped digits"
        )
    content = _load(path)
    pixels, digits = content.get("X"), content.get("y")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[:-1] != (SIDE, SIDE, 3):
        kind = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else "nothing"
        raise ValueError(f"{path} must hold X (32, 32, 3, N) uint8, got {kind}; give the original file")
    if not isinstance(digits, np.ndarray) or digits.size != pixels.shape[-1]:
        count = digits.size if isinstance(digits, np.ndarray) else "no"
        raise ValueError(f"{path} holds {pixels.shape[-1]} images but {count} labels; fetch it again")
    labels = digits.ravel().astype(np.int64)
    if labels.min() < 1 or labels.max() > 10:
        wrong = labels.min() if labels.min() < 1 else labels.max()
        raise ValueError(f"{path} has the label {wrong}; SVHN's are 1 to 10, and 10 is the digit 0")
    return Source(np.ascontiguousarray(pixels.transpose(3, 0, 1, 2)), labels % 10, CLASSES)


def _load(path: Path) -> dict[str, Any]:
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError:
        raise ImportError(f"{path} is a MATLAB file, which scipy reads: pip install scipy") from None
    try:
        return loadmat(path)
    except (MatReadError, ValueError, TypeError, OSError, EOFError, NotImplementedError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is no readable MATLAB file ({said}); fetch it again") from error
