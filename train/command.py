"""What the smaller commands share: arguments from a dataclass, and mistakes of the user in one line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from train.names import nearest
from train.overrides import plain_sentence

T = TypeVar("T")


def run_command(command: Callable[[Sequence[str]], int]) -> int:
    """The command line's arguments to `command`; -> the exit code. A mistake of the user is a line on stderr and 2."""
    try:
        return command(sys.argv[1:])
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def parse(kind: type[T], arguments: Sequence[str], *, program: str, summary: str) -> T:
    """A dataclass from the command line; its fields' docstrings are the help.

    Raises:
        ValueError: an unknown field, with the nearest ones, or a value that it cannot take.
        SystemExit: after `--help`.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed, unknown = tyro.cli(
                kind,
                args=list(arguments),
                prog=f"python -m {program}",
                description=summary,
                use_underscores=True,
                return_unknown_args=True,
                config=(tyro.conf.AvoidSubcommands,),
            )
    except SystemExit as error:
        if not error.code:
            raise
        raise ValueError(plain_sentence(said.getvalue())) from None
    if unknown:
        name = unknown[0].partition("=")[0].lstrip("-")
        raise ValueError(f"{unknown[0]} is no argument of python -m {program}; {nearest(name, _names(parsed))}")
    return parsed


def _names(value: Any) -> list[str]:
    """The fields of a dataclass, and of those in it."""
    if not dataclasses.is_dataclass(value):
        return []
    return [name for field in dataclasses.fields(value) for name in _names(getattr(value, field.name)) or [field.name]]
