"""What a person sees while a run trains: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from train.machine.command import say

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Shows nothing: for the processes beside the main one."""

    def start_epoch(self, epoch: int, num_epochs: int, num_steps: int, done: int) -> None:
        """`epoch` epochs are finished; `done` of the next one's `num_steps` steps as well."""
        return None

    def update(self, done: int, reading: dict[str, float]) -> None:
        """`reading` has loss, accuracy (0 to 1), images_per_second, waiting (0 to 1), lr and left (seconds)."""
        return None

    def end_epoch(self, row: dict[str, float]) -> None:
        """`row` is a line of metrics.jsonl."""
        return None

    def close(self) -> None:
        """The run ends."""
        return None


class PlainProgress(Progress):
    """A line every ten seconds and one an epoch, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.shown = time.perf_counter()

    def start_epoch(self, epoch: int, num_epochs: int, num_steps: int, done: int) -> None:
        self.title, self.num_steps = f"epoch {epoch + 1}/{num_epochs}", num_steps

    def update(self, done: int, reading: dict[str, float]) -> None:
        if time.perf_counter() - self.shown > SECONDS_BETWEEN_LINES and done < self.num_steps:
            self.shown = time.perf_counter()
            self._print(f"{self.title}  {done}/{self.num_steps}  {describe_reading(reading)}")

    def end_epoch(self, row: dict[str, float]) -> None:
        self.shown = time.perf_counter()
        self._print(f"{self.title}  {describe_row(row)}")

    def _print(self, text: str) -> None:
        say(self.console, text)


class TerminalProgress(Progress):
    """One bar for the epoch that runs, one line for each that is done."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Bar(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[reading]}", markup=False),
            console=console,
            transient=True,
            refresh_per_second=4,
        )
        self.task = self.bar.add_task("", reading="")
        self.bar.start()

    def start_epoch(self, epoch: int, num_epochs: int, num_steps: int, done: int) -> None:
        self.title = f"epoch {epoch + 1}/{num_epochs}"
        self.bar.reset(self.task, description=self.title, total=num_steps, completed=done, reading="")

    def update(self, done: int, reading: dict[str, float]) -> None:
        self.bar.update(self.task, completed=done, reading=describe_reading(reading))

    def end_epoch(self, row: dict[str, float]) -> None:
        self.console.print(Text.assemble((self.title, "bold"), f"  {describe_row(row)}"))

    def close(self) -> None:
        self.bar.stop()


def new_progress(console: Console) -> Progress:
    """The bar if `console` is a terminal, else lines."""
    return TerminalProgress(console) if console.is_terminal else PlainProgress(console)


def describe_reading(reading: dict[str, float]) -> str:
    """The training so far in this epoch, in one line."""
    return (
        f"loss {reading['loss']:.3f}  accuracy {reading['accuracy']:.1%}{_attainable(reading, '')}"
        f"  {reading['images_per_second']:,.0f} images/s  waiting {reading['waiting']:.0%}  lr {reading['lr']:.3g}"
        f"{_skipped(reading)}{_left(reading)}"
    )


def _attainable(numbers: dict[str, float], start: str) -> str:
    """Of mixed images nobody can have all."""
    name = f"{start}attainable"
    return f" of {numbers[name]:.0%}" if name in numbers else ""


def _left(reading: dict[str, float]) -> str:
    return f"  {describe_time(reading['left'])} left" if "left" in reading else ""


def describe_time(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 05 min`, `2 d 7 h`."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def _skipped(numbers: dict[str, float]) -> str:
    return f"  left out {numbers['skipped_steps']:.0f} steps" if numbers.get("skipped_steps") else ""


def describe_row(row: dict[str, float]) -> str:
    """A finished epoch in one line."""
    held_out = f"  held-out {row['accuracy']:.2%}" if "accuracy" in row else ""
    average = f"  average {row['ema_accuracy']:.2%}" if "ema_accuracy" in row else ""
    robust = next((row[name] for name in ("ema_robust_accuracy", "robust_accuracy") if name in row), None)
    attacked = "" if robust is None else f"  under attack {robust:.2%}"
    more = [name for name in ("test", "real", "corrupted") if f"{name}_accuracy" in row]
    also = "".join(f"  {name} {row[f'{name}_accuracy']:.2%}" for name in more)
    training = f"accuracy {row['train_accuracy']:.1%}{_attainable(row, 'train_')}"
    return (
        f"loss {row['train_loss']:.3f}  {training}{held_out}{average}"
        f"{attacked}{also}  {row['images_per_second']:,.0f} images/s  waiting {row['waiting']:.0%}" + _skipped(row)
    )
