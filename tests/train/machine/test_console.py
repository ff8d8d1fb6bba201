"""What commands print: names as they are, tables whole, and mistakes in one line that names the field."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.table import Table

from train.machine.command import new_console, parse, say
from train.show.progress import PlainProgress, TerminalProgress

ROOT = Path(__file__).parents[3]
NAME = "runs/mix[1] [bold]:star:"


def test_a_name_is_shown_as_it_is_in_lines_in_tables_and_in_titles() -> None:
    file = io.StringIO()
    console = new_console(file=file)
    say(console, NAME)
    table = Table(NAME, title=NAME)
    table.add_row(NAME)
    console.print(table)
    console.print(NAME)
    assert file.getvalue().count(NAME) == 5


def test_a_table_is_whole_where_there_is_no_window() -> None:
    file = io.StringIO()
    table = Table(*(f"a header of column {number}" for number in range(12)))
    new_console(file=file).print(table)
    assert all(f" a header of column {number} " in file.getvalue() for number in range(12))


@pytest.mark.parametrize("progress", [PlainProgress, TerminalProgress])
def test_an_epoch_is_shown_to_people_and_to_logs(progress: type[PlainProgress | TerminalProgress]) -> None:
    file = io.StringIO()
    shown = progress(new_console(file=file))
    shown.start_epoch(0, 3, 10, 0)
    row = {"train_loss": 1.0, "train_accuracy": 0.5, "accuracy": 0.25, "images_per_second": 10.0, "waiting": 0.0}
    shown.end_epoch(row)
    shown.close()
    assert "epoch 1/3  loss 1.000  accuracy 50.0%  held-out 25.00%" in file.getvalue()


def test_no_command_makes_a_console_of_its_own() -> None:
    """One that would take brackets in a name for a style."""
    made = {str(path.relative_to(ROOT)) for path in (ROOT / "train").rglob("*.py") if " Console(" in path.read_text()}
    assert made == {"train/machine/command.py"}


@dataclass(frozen=True, kw_only=True)
class Fields:
    """One of each kind."""

    whole: int = 1
    number: float = 1.0
    maybe: int | None = None
    perhaps: float | None = None
    pair: tuple[int, int] | None = None
    sizes: tuple[int, int] = (1, 1)
    many: tuple[float, ...] = (1.0,)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--whole 1.5", "--whole takes a whole number, got 1.5"),
        ("--number x", "--number takes a number, got x"),
        ("--maybe abc", "--maybe takes a whole number or None, got abc"),
        ("--maybe 1.5", "--maybe takes a whole number or None, got 1.5"),
        ("--perhaps none", "--perhaps takes a number or None, got none"),
        ("--pair 3", "--pair takes 2 whole numbers or None, got 3"),
        ("--pair a b", "--pair takes 2 whole numbers or None, got a b"),
        ("--sizes 1 2 3", "--sizes takes 2 whole numbers, got 1 2 3"),
        ("--many 1 x", "--many takes numbers, got 1 x"),
    ],
)
def test_a_wrong_number_is_told_by_its_field(words: str, message: str) -> None:
    with pytest.raises(ValueError, match="takes") as error:
        parse(Fields, words.split(), program="x", summary="s")
    assert str(error.value) == message


def test_right_numbers_are_read() -> None:
    words = "--whole 2 --number 1e-3 --maybe 4 --perhaps 5 --pair 6 7 --sizes 8 9 --many 1 2.5 3"
    found = parse(Fields, words.split(), program="x", summary="s")
    assert found == Fields(whole=2, number=1e-3, maybe=4, perhaps=5.0, pair=(6, 7), sizes=(8, 9), many=(1.0, 2.5, 3.0))
    assert (
        parse(Fields, ["--maybe", "None", "--perhaps", "None", "--pair", "None"], program="x", summary="s") == Fields()
    )


def test_output_that_nobody_takes_any_more_ends_no_work(tmp_path: Path) -> None:
    """As under `| head`, and when a terminal is closed or the disk of a log is full."""
    program = (
        "from train.machine.command import new_console, say\n"
        "console = new_console()\nfor number in range(2000): say(console, 'x' * 100)\n"
        f"open({str(tmp_path / 'done')!r}, 'w').close()\n"
    )
    for target in ("pipe", "full"):
        with open("/dev/full", "w") as full:
            out = subprocess.PIPE if target == "pipe" else full
            with subprocess.Popen(
                [sys.executable, "-c", program], stdout=out, stderr=subprocess.DEVNULL, cwd=ROOT
            ) as one:
                if one.stdout is not None:
                    one.stdout.close()
        assert (tmp_path / "done").is_file(), target
        (tmp_path / "done").unlink()
