"""Folders that are made once and kept in the user's cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory


def user_cache() -> Path:
    """mixdali's folder in the user's cache: under $XDG_CACHE_HOME, or under ~/.cache where that is not set."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):  # by the XDG base directory specification a relative path is ignored
        return Path(given) / "mixdali"
    try:
        return Path.home() / ".cache" / "mixdali"
    except RuntimeError:
        raise FileNotFoundError(
            "this user has no home folder; set XDG_CACHE_HOME to a folder that can be written to"
        ) from None


def make_once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """`folder`, which `fill` has filled now or in an earlier call.

    It is filled under another name and renamed, so that it is there in full or not at all, also when the program is
    interrupted; of several processes that do this at once, one wins and the others use what it made.
    Raises OSError in one line if it cannot be written.
    """
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True) as beside:
            made = Path(beside) / folder.name
            made.mkdir()
            fill(made)
            _rename(made, folder)
    except OSError as error:
        raise type(error)(
            f"cannot write {folder}: {error.strerror or error}; set XDG_CACHE_HOME to a folder that can be written to"
        ) from None
    return folder


def _rename(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was first
            raise
