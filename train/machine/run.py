"""Where and on what something is trained; nothing here changes what is learned from the data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.augment import DecoderHints
from train.machine.distributed import Device

Board = Literal["tensorboard", "wandb", "mlflow"]
"""Where a run's numbers can go."""

DALI_S_OWN = DecoderHints()


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a network is trained, and on what."""

    root: str | None = None
    """Folder with CIFAR's pickles; None: the embedded digits."""
    name: str | None = None
    """Folder of the training inside `folder`; None is the command's own name, with -2, -3, ... where that is taken."""
    folder: str = "runs"
    """Where the trainings lie."""
    device: Device = "auto"
    """auto takes a GPU if there is one."""
    exact: bool = False
    """Refuse to go on with a stopped training whose bytes would no longer be those of one that was not stopped: on
    another device, with another number of torch's threads, or after an upgrade."""
    resume: Path | None = None
    """Go on from this last.pt or best.pt, or from the folder of a training, in a folder of its own; the file stays as
    it is. Settings, data and number of processes must be the same."""

    def __post_init__(self) -> None:
        check_folder_name(self.name)


@dataclass(frozen=True, kw_only=True)
class Run(Place):
    """Settings of a run that are not part of the recipe."""

    root: str | None = None
    """The data: a folder of CIFAR's pickles, or of image files as train/CLASS/ and val/CLASS/; a list of files; tars
    and other larger files, their folder or a pattern such as 'shards/{train,val}-*.tar'. None: the embedded digits."""
    name: str | None = None
    """Folder of the run inside `folder`; None takes the recipe's name, with -2, -3, ... where that is taken."""
    folder: str = "runs"
    """Where the runs lie."""
    exclude: str | None = None
    """List of image files to leave out, one path a line, as `python -m pipelines.check FOLDER --list FILE` writes
    it."""
    on_error: Literal["stop", "skip"] = "stop"
    """An image file that cannot be decoded stops the run with its name, or another image takes its place ("skip"): then
    every epoch ends with how many there were, and the folder of the run has their list."""
    max_megapixels: float = 256.0
    """An image file that says it has more is taken for one that cannot be decoded."""
    boards: tuple[Board, ...] | None = None
    """Where the numbers go beside metrics.jsonl: TensorBoard, Weights & Biases, MLflow. None: TensorBoard where it is
    installed."""
    profile: int = 0
    """Trace so many steps with torch's profiler, and write trace.json."""
    num_threads: int | None = None
    """Threads of the data pipeline, which change no byte; None shares the CPU's cores among the processes, up to 8
    each."""
    prefetch: int = 2
    """Batches that the data pipeline makes ahead, which change no byte; each takes its memory. DALI's own number is
    2."""
    decoder: DecoderHints = DALI_S_OWN
    """Hints for DALI's decoder of image files on a GPU."""
    save_every: float = 10.0
    """Minutes from one checkpoint to the next within an epoch; after every epoch there is one too."""
    keep: int = 2
    """So many of the last checkpoints are kept, as last.pt, last-2.pt and so on, beside best.pt."""
    once: bool = False
    """Where this very run is finished already, show what it reached, instead of training it anew in NAME-2."""
    parts: int = 1
    """Forward and backward passes a step, one after the other, each on an equal part of the batch, whose gradients are
    added up: for a batch that the memory does not hold. Mixing and batch norm see the part alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.save_every > 0:
            raise ValueError(f"save_every must be a number of minutes above 0, got {self.save_every}")
        if self.profile < 0:
            raise ValueError(f"profile must be a number of steps, got {self.profile}")
        for name in ("keep", "parts", "prefetch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.num_threads is not None and self.num_threads < 1:
            raise ValueError(f"num_threads must be 1 or more, got {self.num_threads}")

        if not self.max_megapixels > 0:
            raise ValueError(f"max_megapixels must be above 0, got {self.max_megapixels}")

    @property
    def of_files(self) -> dict[str, Any]:
        """What loaders of image files are told beside what all are told: of bad ones, and hints for their decoder."""
        return {"on_error": self.on_error, "max_megapixels": self.max_megapixels, "decoder": self.decoder}

    def threads(self, num_processes: int) -> int:
        """Pipeline threads of one of `num_processes` processes on this machine."""
        return self.num_threads or max(1, min(8, len(os.sched_getaffinity(0)) // num_processes))


def check_folder_name(name: str | None) -> None:
    """ValueError unless it is the name of one folder, or None."""
    if name is not None and (name in ("", ".", "..") or "/" in name):
        raise ValueError(f"name must be the name of one folder, got {name!r}; --folder says where it lies")
