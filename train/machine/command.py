"""What the smaller commands share: arguments from a dataclass, and mistakes of the user in one line."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro
from rich.console import Console
from tyro.constructors import ConstructorRegistry

from mixdali.names import nearest, one_line
from train.machine.numbers import add_numbers

T = TypeVar("T")
WIDTH = 1000


def run_command(command: Callable[[Sequence[str]], int]) -> int:
    """The command line's arguments to `command`; -> the exit code.

    A mistake of the user is a line on stderr and 2; Ctrl-C, where the command has no other answer to it, 130.
    """
    try:
        return command(sys.argv[1:])
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


class _LastingOutput:
    """Standard output as it is at the time; what it cannot take any more is left out, so that a closed terminal, a pipe
    whose reader has ended or a full disk ends no work."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stdout, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            sys.stdout.write(text)
        return len(text)

    def flush(self) -> None:
        try:
            sys.stdout.flush()
        except OSError as error:
            # What is still in Python's hands would be an error once more when the program ends.
            if error.errno in (errno.EPIPE, errno.EIO):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, sys.stdout.fileno())
                os.close(nowhere)


def new_console(**settings: Any) -> Console:
    """Where a command prints. Texts are shown as they are: in `runs/mix[1]` rich would take the brackets for a style.

    settings  of `rich.console.Console`.
    """
    settings = {"file": _LastingOutput(), **settings}
    console = Console(markup=False, emoji=False, **settings)
    # Whoever reads a pipe or a file wants whole tables; how wide a window is does not matter there.
    return console if console.is_terminal else Console(markup=False, emoji=False, width=WIDTH, **settings)


def say(console: Console, text: str) -> None:
    """One line, as long as it is."""
    console.print(text, soft_wrap=True, highlight=False, markup=False, emoji=False)


def parse(kind: type[T], arguments: Sequence[str], *, program: str, summary: str) -> T:
    """A dataclass from the command line; its fields' docstrings are the help.

    Raises:
        ValueError: an unknown field, with the nearest ones, or a value that it cannot take.
        SystemExit: after `--help`.
    """
    parsed, unknown = read_arguments(kind, arguments, program=program, summary=summary)
    if unknown:
        name = unknown[0].partition("=")[0].lstrip("-")
        raise ValueError(f"{unknown[0]} is no argument of python -m {program}; {nearest(name, _names(parsed))}")
    return parsed


def _names(value: Any) -> list[str]:
    """The fields of a dataclass, and of those in it."""
    if not dataclasses.is_dataclass(value):
        return []
    return [name for field in dataclasses.fields(value) for name in _names(getattr(value, field.name)) or [field.name]]


def read_arguments(
    kind: type[T], arguments: Sequence[str], *, program: str, summary: str, **settings: Any
) -> tuple[T, list[str]]:
    """A dataclass from the command line, and the arguments that are none of its fields.

    settings  tyro's own.

    Raises:
        ValueError: a value that a field cannot take.
        SystemExit: after `--help`.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                kind,
                args=list(arguments),
                prog=f"python -m {program}",
                description=summary,
                use_underscores=True,
                return_unknown_args=True,
                config=(tyro.conf.AvoidSubcommands,),
                **({"registry": add_numbers(ConstructorRegistry())} | settings),
            )
    except SystemExit as error:
        if not error.code:
            raise
        raise ValueError(_plain_sentence(said.getvalue())) from None


def _plain_sentence(boxed: str) -> str:
    """The message in a box that tyro drew, without its frame and its advice."""
    inner = [line.strip("│| ") for line in boxed.splitlines() if line.strip("│| ")]
    # The frame is of plain hyphens where the output cannot show another.
    start = next((i for i, line in enumerate(inner) if line.startswith("╭") or line.endswith("---")), -1) + 1
    end = next(
        (i for i, line in enumerate(inner) if i > start and (line[0] in "─╰" or not line.strip("-"))), len(inner)
    )
    sentence = " ".join(inner[start:end])
    # What the rules of `numbers`, or a dataclass itself, have to say names the field.
    return re.sub(r"^Error parsing (?:(--\S+):(?= takes)|[A-Z]\w*: |[a-z]\w*(?:\.\w+)+: )", r"\1", sentence)
