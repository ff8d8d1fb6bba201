"""The weights of a run by the names that RobustBench gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from train.files import checkpoint
from train.files.sealed import written
from train.machine.command import new_console, parse, run_command, say
from train.models.robustbench import to_robustbench

SUMMARY = "Write the weights of a run as a state_dict for RobustBench's networks."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All that the command line can set."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A last.pt or best.pt of a classifier, or the folder of its run."""
    file: Annotated[Path, tyro.conf.Positional]
    """Where the state_dict is written; it must not be there yet."""
    average: bool = True
    """Take the averaged weights where the run kept them."""


def main(words: Sequence[str]) -> int:
    """Write the file; -> the exit code. ValueError and others of one line for the user."""
    asked, console = parse(Arguments, words, program="train.evaluate.export", summary=SUMMARY), new_console()
    path = checkpoint.find(asked.checkpoint)
    content = checkpoint.load_classifier(path)
    name = content["network"]["name"]
    if content["network"]["num_classes"] != len(content["classes"]):
        raise ValueError(f"{path} has outputs beside its classes, which RobustBench's networks do not have")
    state = to_robustbench(checkpoint.load_model(path, average=asked.average), name)
    if asked.file.exists():
        raise FileExistsError(f"{asked.file} is there already; name another file")
    if not asked.file.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {asked.file.parent}")
    with written(asked.file) as aside:
        torch.save(state, aside)
    kept = "averaged weights" if asked.average and content["ema"] is not None else "weights of the last step"
    say(console, f"{asked.file}: {name}, {kept}, with mu and sigma, {len(state)} tensors")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
