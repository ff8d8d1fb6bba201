"""The command: one run left alone, the same one killed at random, and what differs between them."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from train.files import checkpoint
from train.killed.processes import Group
from train.machine.command import new_console, parse, say

SUMMARY = "Kill a small run at random moments, and compare it with the same run left alone."
NAME = "killed"
SECONDS_TO_WAIT = 300.0
SECONDS_OF_DELAY = 0.3
# What a row of a run's numbers says about the machine.
TIMES = ("seconds", "images_per_second", "waiting", "robust_seconds")

RECIPE = '''"""A small run that writes down which images each of its steps saw."""

import json
import os
from dataclasses import dataclass, replace

from mixdali import CutMix
from train.objectives import CrossEntropy
from train.recipes import demo


@dataclass(frozen=True)
class Logged(CrossEntropy):
    """Cross-entropy; a line for each call goes to seen-RANK.jsonl in the folder `place`."""

    place: str = ""

    @property
    def outputs(self):
        return (*super().outputs, "index")

    def __call__(self, model, batch, state, draws=None):
        line = {"epoch": batch.epoch, "step": batch.step, "index": batch.index.tolist()}
        with open(os.path.join(self.place, f"seen-{os.environ.get('RANK', '0')}.jsonl"), "a") as file:
            file.write(json.dumps(line) + "\\n")
        return super().__call__(model, batch, state, draws)


recipe = replace(
    demo.recipe,
    model="preact_resnet8_w4",
    mix=CutMix(prob=0.5),
    ema_decay=0.9,
    precision="float32",
    objective=Logged(),
)
'''


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is killed, and how often."""

    kills: int = 100
    """SIGKILLs, at moments drawn by the seed: of all processes, or of one of them."""
    processes: int = 2
    """Of the run."""
    num_epochs: int = 12
    """Of the run."""
    num_images: int = 2048
    """Of the embedded digits, to train on."""
    batch_size: int = 32
    """Images a step, over all processes together."""
    save_seconds: float = 1.0
    """From one checkpoint to the next within an epoch."""
    seed: int = 0
    """Of the moments."""
    folder: Path = Path("runs/killed")
    """Where both runs are made; it must not be there yet."""

    def __post_init__(self) -> None:
        for name in ("kills", "processes", "num_epochs", "num_images", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not self.save_seconds > 0:
            raise ValueError(f"save_seconds must be above 0, got {self.save_seconds}")


def main(words: Sequence[str]) -> int:
    """Compare what the command line says; -> 0 if both runs end alike, else 1."""
    return compare(parse(Arguments, words, program="train.killed", summary=SUMMARY), new_console())


def compare(asked: Arguments, console: Console) -> int:
    """Run both, and say how they differ."""
    if asked.folder.exists():
        raise ValueError(f"{asked.folder} is there already; remove it, or pass another --folder")
    steps_per_epoch = asked.num_images // asked.batch_size
    total = steps_per_epoch * asked.num_epochs
    began = time.perf_counter()
    for name in ("whole", "killed"):
        (asked.folder / name).mkdir(parents=True)
        (asked.folder / name / "recipe.py").write_text(RECIPE)
    with _start(asked, "whole") as group:
        _expect(group, group.wait(SECONDS_TO_WAIT * asked.num_epochs))
    say(
        console,
        f"left alone: {asked.num_epochs} epochs of {steps_per_epoch} steps, {time.perf_counter() - began:.0f} s",
    )
    within, after_midst, single = kill_often(asked, steps_per_epoch, total, console)
    differences = find_differences(asked)
    say(
        console,
        f"{asked.kills} kills: {within} while an epoch was under way, {asked.kills - within} elsewhere; {single} of "
        f"one process alone; {after_midst} times the run went on in the middle of an epoch; "
        f"{time.perf_counter() - began:.0f} s in all",
    )
    for line in differences:
        say(console, f"differs: {line}")
    if not differences:
        say(console, "weights, averages, optimiser, numbers of every epoch and images of every step are the same")
    return 1 if differences else 0


def kill_often(asked: Arguments, steps_per_epoch: int, total: int, console: Console) -> tuple[int, int, int]:
    """Kill the run at random steps, and let it end. -> kills while the steps of an epoch were under way, times that it
    then went on in the middle of one, and kills of one process alone."""
    source = random.Random(asked.seed)
    moments = sorted(source.randrange(total - 1) for _ in range(asked.kills))
    within = after_midst = single = 0
    log = asked.folder / "killed" / "seen-0.jsonl"
    for number, moment in enumerate(moments, start=1):
        with _start(asked, "killed") as group:
            started = time.monotonic()
            while last_step(log) < moment or log.stat().st_mtime_ns < group.started_ns:
                if group.ended() or time.monotonic() - started > SECONDS_TO_WAIT:
                    raise ValueError(f"the run ended by itself, or stands still, before kill {number}: {group.said()}")
                time.sleep(0.005)
            time.sleep(source.uniform(0, SECONDS_OF_DELAY))
            alone = asked.processes > 1 and source.random() < 0.2
            group.kill([source.randrange(asked.processes)] if alone else None)
            single += alone
            if alone:
                group.wait(SECONDS_TO_WAIT)
        step = (last_step(log) + 1) % steps_per_epoch
        within += step != 0
        newest = checkpoint.newest(asked.folder / "killed" / NAME)
        after_midst += newest is not None and 0 < newest.content["epoch_step"] < steps_per_epoch
        if number % 10 == 0:
            say(console, f"{number} kills, the last one after step {last_step(log) + 1} of {total}")
    with _start(asked, "killed") as group:
        _expect(group, group.wait(SECONDS_TO_WAIT * asked.num_epochs))
    return within, after_midst, single


def last_step(log: Path) -> int:
    """The step that was written down last, -1 before the first."""
    lines = log.read_text().splitlines() if log.is_file() else []
    for line in reversed(lines):
        if line.endswith("}"):
            return int(json.loads(line)["step"])
    return -1


def find_differences(asked: Arguments) -> list[str]:
    """What is not the same at the end of both runs, to the byte."""
    contents = [checkpoint.load(asked.folder / name / NAME / "last.pt") for name in ("killed", "whole")]
    found = [
        f"{part} of last.pt"
        for part in ("model", "ema", "optimizer", "schedule", "objective", "epoch", "step", "best", "finished")
        if not _equal(contents[0][part], contents[1][part])
    ]
    rows = [[{k: v for k, v in row.items() if k not in TIMES} for row in content["history"]] for content in contents]
    if rows[0] != rows[1]:
        found.append("the numbers of an epoch")
    for rank in range(asked.processes):
        killed, whole = (_seen(asked.folder / name / f"seen-{rank}.jsonl") for name in ("killed", "whole"))
        found += [
            f"rank {rank}, step {step}: the images"
            for step in sorted(killed.keys() | whole.keys())
            if len(killed.get(step, ())) != 1 or killed.get(step) != whole.get(step)
        ][:3]
    return found


def _seen(log: Path) -> dict[int, set[tuple[int, ...]]]:
    """The images of each step; steps that were repeated have several entries if they differ. A kill may cut a line."""
    found: dict[int, set[tuple[int, ...]]] = {}
    for line in log.read_text().splitlines():
        for text in line.replace("}{", "}\n{").splitlines():
            if text.startswith("{") and text.endswith("}"):
                seen = json.loads(text)
                found.setdefault(seen["step"], set()).add((seen["epoch"], *seen["index"]))
    return found


def _equal(one: Any, other: Any) -> bool:
    if hasattr(one, "dtype"):
        return bool((one == other).all()) and one.shape == other.shape and one.dtype == other.dtype
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def _start(asked: Arguments, name: str) -> Group:
    place = asked.folder / name
    words = [str(place / "recipe.py"), "--objective.place", str(place), "--name", NAME, "--folder", str(place)]
    settings = {
        "num_epochs": asked.num_epochs,
        "num_images": asked.num_images,
        "batch_size": asked.batch_size,
        "save_every": asked.save_seconds / 60,
        "device": "cpu",
        "num_threads": 1,
    }
    words += [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    return Group(words, asked.processes, place / "said.txt")


def _expect(group: Group, codes: list[int]) -> None:
    if any(codes):
        raise ValueError(f"the run ended with {codes}: {group.said()}")
