"""The command: `python -m train.study NAME`."""

from __future__ import annotations

import importlib
import os
import pkgutil
import platform
import runpy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import tyro

from mixdali.checks import positive_int
from mixdali.names import nearest
from pipelines.bench.header import header
from train.machine.command import new_console, parse, say
from train.study import studies
from train.study.declare import Study
from train.study.report import contents, write_report
from train.study.results import read_numbers
from train.study.work import Done, jobs_of, work_off

SUMMARY = "Compare recipes over seeds, with intervals. What was done before is not done again."
CORES_OF_A_RUN = 2


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Which study, how much of it, and where."""

    name: Annotated[str | None, tyro.conf.Positional] = None
    """A study of train/study/studies, or a file of one's own that ends in .py and sets STUDY. None lists them."""
    scale: str = "cpu"
    """How much work: one of the study's scales."""
    root: str | None = None
    """Folder of the data, as of python -m train. None: the embedded digits."""
    seeds: tuple[int, ...] = ()
    """Other seeds than the scale's."""
    jobs: int | None = None
    """Runs at a time; None: one for every two cores."""
    folder: str = "runs"
    """Where the study's own folder lies, study-NAME-SCALE."""
    show: bool = False
    """Print the commands and run none."""

    def __post_init__(self) -> None:
        if self.jobs is not None:
            positive_int("jobs", self.jobs)


def main(words: Sequence[str]) -> int:
    """Run what is missing and write the report; -> the exit code. Raises ValueError and others of one line."""
    asked = parse(Arguments, words, program="train.study", summary=SUMMARY)
    console = new_console()
    if asked.name is None:
        for name in names():
            say(console, f"{name}: {find(name).question}")
        return 0
    study = find(asked.name)
    scale = study.scale(asked.scale)
    if asked.seeds:
        scale = replace(scale, seeds=asked.seeds)
    title = Path(asked.name).stem
    folder = Path(asked.folder) / f"study-{title}-{asked.scale}"
    runs = folder / "runs"
    jobs = jobs_of(study, scale, asked.root, runs)
    if asked.show:
        print("\n".join(text for job in jobs for text in job.texts))
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    done = Done(folder / "done.json")
    parallel = asked.jobs or max(1, len(os.sched_getaffinity(0)) // CORES_OF_A_RUN)
    failed = work_off(jobs, done, runs, parallel, lambda text: say(console, text))
    numbers = read_numbers(study, jobs, done, runs)
    content = contents(f"{title}, scale {asked.scale}", study, scale, jobs, numbers, machine())
    paths = write_report(folder, content)
    for text in failed:
        say(console, f"failed: {text}")
    say(console, f"{folder}: {', '.join(path.name for path in paths)}")
    return 1 if failed else 0


def names() -> list[str]:
    """The studies that there are."""
    return [module.name for module in pkgutil.iter_modules(studies.__path__)]


def find(name: str) -> Study:
    """The study of this name, or of a file.

    Raises:
        ValueError, FileNotFoundError: there is none.
    """
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise FileNotFoundError(f"there is no file {name}")
        found = runpy.run_path(name).get("STUDY")
    elif name in names():
        found = importlib.import_module(f"train.study.studies.{name}").STUDY
    else:
        raise ValueError(f"there is no study {name!r}; {nearest(name, names())}")
    if not isinstance(found, Study):
        raise ValueError(f"{name} sets no STUDY, a train.study.declare.Study")
    return found


def machine() -> dict[str, Any]:
    """What the numbers were measured with."""
    found = header((), program="train.study")
    return {
        "commit": found["commit"],
        **{name: value for name, value in found["machine"].items() if value},
        "Python": platform.python_version(),
        "torch": version("torch"),
        "mixdali": version("mixdali"),
    }
