"""The command line of the measurements."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console

from mixdali.names import one_line

from ..arguments import device_id
from . import report
from .data import Data, embedded, find_data
from .header import ROOT, header, lines, merged_versions
from .race import Outcome, run
from .rows import Conditions, Race, mix_race, peer_race
from .scaling import PARTS, Measured
from .scaling_report import picture, study
from .summary import plain, results

TABLES = ("mixes", "peers")

DESCRIPTION = """Measure what each mix costs against no mix, and how fast the loaders of others are.

All contestants of a table run side by side, a process each, and take turns in every round; each is confined to as many
cores as it has threads. In a checkout `make bench-peers` builds the environment of the others (torchvision, timm,
FFCV); elsewhere any python that has them will do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; -> the exit code: 0, 1 if a contestant failed, 2 for a mistake of the user."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    chosen = _parser().parse_args(arguments)
    try:
        return _measure(chosen, arguments)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing is written", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--root", nargs="+", metavar="FOLDER", help="class folders or CIFAR's pickles; the embedded digits by default")
    add(
        "--quick",
        action="store_true",
        help="fewer rows, three short rounds: about a minute on the digits, once kernels are compiled",
    )
    add("--scaling", action="store_true", help="how cost grows, with threads, sizes, classes, files and time")
    add("--tables", nargs="+", choices=[*TABLES, *PARTS], help="only these; the last six are those of --scaling")
    add(
        "--rows",
        nargs="+",
        metavar="NAME",
        help="beside the reference only these, or those whose names hold one of these",
    )
    add("--device", choices=["cpu", "gpu"], default="cpu")
    add("--threads", type=_positive, default=2, metavar="N", help="threads, or workers, of everybody (2)")
    add("--batch_size", type=_positive, metavar="N", help="64 for files and 256 for arrays by default")
    add("--rounds", type=_positive, metavar="N", help="11 by default, 3 with --quick; 5 and 2 for --scaling")
    add("--starts", type=_positive, default=1, metavar="N", help="times that all start anew, for --rounds each (1)")
    add("--peers_python", metavar="PATH", help="python of the others; .venv-peers/bin/python if that is there")
    add("--out", type=Path, default=Path("runs/bench"), metavar="FOLDER", help="results go to a new folder in it")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {number}")
    return number


def _measure(chosen: argparse.Namespace, arguments: Sequence[str]) -> int:
    conditions = Conditions(chosen.threads, chosen.device, chosen.batch_size, chosen.quick)
    names = _names(chosen)
    device_id(chosen.device)  # refuses a GPU that is not there
    full, quick = (5, 2) if chosen.scaling else (11, 3)
    rounds = chosen.rounds or (quick if chosen.quick else full)
    if chosen.scaling and chosen.starts > 1:
        raise ValueError("--starts: --scaling watches processes as they run and starts them once; leave it out")
    head = header(arguments, device=chosen.device, threads=chosen.threads, rounds=rounds, starts=chosen.starts)
    python = _python(chosen.peers_python)
    folders = [find_data(root) for root in chosen.root] if chosen.root else embedded()
    # Names of rows and folders are shown as they are, brackets and all.
    console = Console(markup=False, emoji=False, width=None if sys.stdout.isatty() else 150)
    with Console(stderr=True, markup=False, emoji=False).status("") as status:

        def measured(race: Race, number: int) -> list[Outcome]:
            return run(race, rounds=number, starts=chosen.starts, peers=python, say=status.update)

        if chosen.scaling:
            found = study(names, folders, conditions, rounds, measured, console)
            content, outcomes, figure = found.plain(), found.outcomes(), picture(found)
            _print_lines(console, [f"{o.contestant.name}: {o.problem}" for o in outcomes if o.problem])
        else:
            races = [race for data in folders for race in _races(names, data, conditions, chosen.rows)]
            content, outcomes, figure = _compare(races, rounds, measured, console)
    head["versions"] = merged_versions(outcome.start["versions"] for outcome in outcomes if outcome.start)
    name, out = "scaling" if chosen.scaling else "bench", report.new_folder(chosen.out)
    report.write_picture(out / f"{name}.png", figure)
    report.write_json(out / f"{name}.json", {"header": head, **content})
    _print_lines(console, [*lines(head), f"{out}/{name}.json and {name}.png"])
    return 1 if any(outcome.problem and not outcome.missing for outcome in outcomes) else 0


def _compare(
    races: Sequence[Race], rounds: int, measured: Measured, console: Console
) -> tuple[dict[str, Any], list[Outcome], Figure]:
    """Run the races and print a table for each; -> what goes into the file, all outcomes, and the picture."""
    everybody: list[Outcome] = []
    tables, panels = [], []
    for race in races:
        outcomes = measured(race, rounds)
        rows = results(outcomes, race.reference)
        console.print(report.table(race.title, race.reference, rows))
        _print_lines(console, report.problems(rows))
        panels.append((race.title, race.reference, rows))
        plain_rows = [plain(outcome, row) for outcome, row in zip(outcomes, rows, strict=True)]
        settings = dict(race.settings)
        tables.append({"title": race.title, "reference": race.reference, "settings": settings, "rows": plain_rows})
        everybody += outcomes
    return {"tables": tables}, everybody, report.bars(panels)


def _print_lines(console: Console, lines: Sequence[str]) -> None:
    """As they are, however long: to be copied."""
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _names(chosen: argparse.Namespace) -> Sequence[str]:
    """Of the tables that are asked for."""
    known = PARTS if chosen.scaling else TABLES
    for name in chosen.tables or ():
        if name not in known:
            kind = "only there with" if name in PARTS else "not one of those of"
            raise ValueError(f"--tables: {name} is {kind} --scaling")
    return chosen.tables or known


def _races(names: Sequence[str], data: Data, conditions: Conditions, words: Sequence[str] | None) -> list[Race]:
    makers = {"mixes": mix_race, "peers": peer_race}
    races = [makers[name](data, conditions) for name in names]
    if words is None:
        return races
    kept = [_only(race, words) for race in races]
    found = [race for race in kept if len(race.contestants) > 1]
    if not found:
        rows = ", ".join(repr(contestant.name) for race in races for contestant in race.contestants)
        raise ValueError(f"--rows {' '.join(words)}: no row beside the reference has such a name; there are {rows}")
    return found


def _only(race: Race, words: Sequence[str]) -> Race:
    names = [contestant.name for contestant in race.contestants]
    kept = {race.reference}
    for word in words:
        kept |= {word} if word in names else {name for name in names if word in name}
    return replace(race, contestants=tuple(c for c in race.contestants if c.name in kept))


def _python(given: str | None) -> str:
    beside = ROOT / ".venv-peers" / "bin" / "python"
    if given is not None and not Path(given).is_file():
        raise FileNotFoundError(f"there is no {given}; in a checkout make bench-peers builds the peers' environment")
    return given or (str(beside) if beside.is_file() else sys.executable)
