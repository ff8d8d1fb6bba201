"""Small files that are whole or not there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write beside, then rename. OSError if that cannot be done; `path` is then as it was, and nothing lies beside."""
    aside = path.with_name(f".{path.name}.writing")
    try:
        aside.write_text(text)
        os.replace(aside, path)
    except OSError:
        with suppress(OSError):
            aside.unlink()
        raise
