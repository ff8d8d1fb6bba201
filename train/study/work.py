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
from train.study.declare import BEST, LAST, OF_CERTIFICATES, OF_RUN, TRAINER, Scale, Study

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
    """Those after `python -m train.evaluate`, of the last epoch; none if nothing of it is measured."""
    program: str = TRAINER
    """What trains."""
    evaluate_best: tuple[str, ...] = ()
    """The same of the best epoch."""
    certify: tuple[str, ...] = ()
    """The words after `python -m train.certify`; none if nothing of it is measured."""

    @property
    def commands(self) -> list[list[str]]:
        """As typed after `python -m`."""
        after = (
            ("train.evaluate", self.evaluate),
            ("train.evaluate", self.evaluate_best),
            ("train.certify", self.certify),
        )
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
        numbers_of = (
            (self.evaluate, self.evaluated(runs, LAST)),
            (self.evaluate_best, self.evaluated(runs, BEST)),
            (self.certify, self.certified(runs)),
        )
        return [folder / "last.pt", *(path for words, path in numbers_of if words)]

    def evaluated(self, runs: Path, checkpoint: str) -> Path:
        """What evaluating its last or best epoch leaves."""
        return runs / self.name / f"evaluate-{checkpoint}" / "evaluate.json"

    def certified(self, runs: Path) -> Path:
        """What certifying leaves."""
        return runs / self.name / "certify" / CERTIFICATES


def jobs_of(study: Study, scale: Scale, root: str | None, runs: Path) -> list[Job]:
    """A job for each arm and seed, seed by seed, so that a study that is stopped has whole seeds.

    A run's folder is named by arm, seed and all of its words: where the study changes, so does the folder.
    """
    last, best = _parts_of(study, LAST), _parts_of(study, BEST)
    is_certified = any(measure.part == OF_CERTIFICATES for measure in study.measures.values())
    where = [] if root is None else ["--root", root]
    found = []
    for seed in scale.seeds:
        for arm, chosen in study.arms.items():
            words = [
                *shlex.split(chosen.recipe),
                *shlex.split(scale.overrides.replace("{attack}", chosen.attack)),
                *shlex.split(chosen.overrides),
                *("--seed", str(seed)),
            ]
            is_trained = chosen.program == TRAINER
            told = [*words, *where, *([] if is_trained else [chosen.program])]
            digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:6]
            name = f"{_plain(arm)}-{seed}-{digest}"
            run = runs / name
            measured = shlex.split(scale.evaluate)
            evaluate = (str(run), *where, "--parts", *last, *measured)
            evaluate_best = (str(run / "best.pt"), *where, "--parts", *best, *measured)
            certify = (str(run), *where, "--folder", str(run), "--name", "certify", *shlex.split(scale.certify))
            found.append(
                Job(
                    arm,
                    seed,
                    name,
                    (*words, *where, "--folder", str(runs), "--name", name),
                    evaluate if last and is_trained else (),
                    chosen.program,
                    evaluate_best if best and is_trained else (),
                    certify if is_certified else (),
                )
            )
    return found


def _parts_of(study: Study, checkpoint: str) -> list[str]:
    """What `train.evaluate` is asked for of a run's last or best epoch."""
    measures = [one for one in study.measures.values() if one.part not in (OF_RUN, OF_CERTIFICATES)]
    return list(dict.fromkeys(one.part for one in measures if checkpoint in one.checkpoints))


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
