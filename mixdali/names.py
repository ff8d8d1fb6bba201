"""What users are told of their mistakes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(word: str, known: Sequence[str], otherwise: Sequence[str] | None = None) -> str:
    """The end of an error message: the known names that look like `word`; if none does, `otherwise` or all of them."""
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    if close:
        return f"nearest: {', '.join(close)}"
    return f"there are: {', '.join(known if otherwise is None else otherwise) or 'none'}"


def one_line(error: Exception) -> str:
    """What a command says of a mistake of the user."""
    return f"error: {' '.join(str(error).split())}"
