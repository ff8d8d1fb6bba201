"""The commands of a study: which there are, which are done, and doing the others."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from train.files.sealed import written
from train.study import numbers
from train.study.declare import OF_CERTIFICATES, OF_RUN, TRAINER, Scale, Study

CERTIFICATES = "certificates.json"


@dataclass(frozen=True)
class Job:
    """One run of one arm, and its evaluation."""

    arm: str
    seed: int
    name: str
    """Of the folder of its run."""
    train: tuple[str, ...]
    """The words after `python -m train`, or after `python -m` another program."""
    evaluate: tuple[str, ...]
    """Those after `python -m train.evaluate`; none if nothing of it is measured."""
    program: str = TRAINER
    """What trains."""
    certify: tuple[str, ...] = ()
    """The words after `python -m train.certify`; none if nothing of it is measured."""

    @property
    def commands(self) -> list[list[str]]:
        """As typed after `python -m`."""
        after = (("train.evaluate", self.evaluate), ("train.certify", self.certify))
        return [[self.program, *self.train], *([name, *words] for name, words in after if words)]

    @property
    def texts(self) -> list[str]:
        """The same for people."""
        return [f"python -m {shlex.join(command)}" for command in self.commands]

    def products(self, runs: Path) -> list[Path]:
        """The file that each command leaves when it has ended well: its checkpoint, its numbers."""
        folder = runs / self.name
        if self.program != TRAINER:
            return [folder / numbers.FILE]
        numbers_of = ((self.evaluate, folder / "evaluate-last" / "evaluate.json"), (self.certify, self.certified(runs)))
        return [folder / "last.pt", *(path for words, path in numbers_of if words)]

    def certified(self, runs: Path) -> Path:
        """What certifying leaves."""
        return runs / self.name / "certify" / CERTIFICATES


def jobs_of(study: Study, scale: Scale, root: str | None, runs: Path) -> list[Job]:
    """A job for each arm and seed, seed by seed, so that a study that is stopped has whole seeds.

    A run's folder is named by arm, seed and all of its words: where the study changes, so does the folder.
    """
    asked = list(dict.fromkeys(measure.part for measure in study.measures.values() if measure.part != OF_RUN))
    parts = [part for part in asked if part != OF_CERTIFICATES]
    where = [] if root is None else ["--root", root]
    found = []
    for seed in scale.seeds:
        for arm, chosen in study.arms.items():
            words = [
                *shlex.split(chosen.recipe),
                *shlex.split(scale.overrides),
                *shlex.split(chosen.overrides),
                *("--seed", str(seed)),
            ]
            told = [*words, *where, *([] if chosen.program == TRAINER else [chosen.program])]
            digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:6]
            name = f"{_plain(arm)}-{seed}-{digest}"
            train = (*words, *where, "--folder", str(runs), "--name", name)
            evaluate = (str(runs / name), *where, "--parts", *parts, *shlex.split(scale.evaluate))
            is_evaluated = bool(parts) and chosen.program == TRAINER
            run = runs / name
            place = (str(run), *where, "--folder", str(run), "--name", "certify", *shlex.split(scale.certify))
            certify = place if OF_CERTIFICATES in asked else ()
            found.append(Job(arm, seed, name, train, evaluate if is_evaluated else (), chosen.program, certify))
    return found


def _plain(arm: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in arm).strip("_")


class Done:
    """The commands that ended well, in a file; so that a study that was stopped does what is left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.texts: list[str] = json.loads(path.read_text()) if path.is_file() else []
        self._lock = threading.Lock()

    def __contains__(self, text: str) -> bool:
        return text in self.texts

    def add(self, text: str) -> None:
        with self._lock:
            self.texts.append(text)
            with written(self.path) as aside:
                aside.write_text(json.dumps(self.texts, indent=1) + "\n")


Runner = Callable[[Sequence[str], Path, Mapping[str, str]], int]
"""A command, as typed after `python -m`, the file that what it says is added to, and variables -> its exit code."""


def run_python(command: Sequence[str], log: Path, variables: Mapping[str, str]) -> int:
    """A process of its own."""
    with open(log, "a") as file:
        file.write(f"$ python -m {shlex.join(command)}\n")
        file.flush()
        words = [sys.executable, "-m", *command]
        environment = {**os.environ, **variables}
        return subprocess.run(words, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False).returncode


def work_off(
    jobs: Sequence[Job], done: Done, runs: Path, parallel: int, say: Callable[[str], None], run: Runner = run_python
) -> list[str]:
    """Do what is not done yet, `parallel` jobs at a time. -> a line for each job that failed.

    Ctrl-C reaches the commands too, which save what they have; it is raised again once they have ended.
    """
    runs.mkdir(parents=True, exist_ok=True)
    left = [job for job in jobs if not is_done(job, done, runs)]
    say(f"{len(jobs)} runs, {len(jobs) - len(left)} of them done")
    # the data pipeline gets a core of its own, as in a run that is alone
    variables = {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // parallel - 1))}

    def work(job: Job) -> str | None:
        for command, text, product in zip(job.commands, job.texts, job.products(runs), strict=True):
            if text in done and product.is_file():
                continue
            log = runs / f"{job.name}.log"
            code = run(command, log, variables)
            if code:
                said = log.read_text(errors="replace").strip().splitlines() if log.is_file() else [""]
                return f"{job.arm}, seed {job.seed}: code {code}, {said[-1]}; all that it said is in {log}"
            done.add(text)
        say(f"{job.arm}, seed {job.seed}: done")
        return None

    pool = ThreadPoolExecutor(parallel)
    try:
        return [failed for failed in pool.map(work, left) if failed is not None]
    finally:
        pool.shutdown(cancel_futures=True)


def is_done(job: Job, done: Done, runs: Path) -> bool:
    """Whether its commands ended well and what they left is still there."""
    return all(text in done for text in job.texts) and all(path.is_file() for path in job.products(runs))
