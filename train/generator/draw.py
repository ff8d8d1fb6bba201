"""`python -m train.generator.draw CHECKPOINT`: labelled images from a trained generator, as a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from train.data.streams.samples import generated_source, write_samples
from train.files import checkpoint
from train.machine.command import parse, run_command


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is drawn, and where it is written."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A last.pt of `python -m train.generator`, or the folder of its training."""
    num_images: int = 10_000
    """Images of all classes together, which take turns."""
    seed: int = 0
    """The same seed gives the same images."""
    file: Path | None = None
    """The .npz to write; None is samples-SEED.npz beside the checkpoint. It must not exist."""


def main(words: Sequence[str]) -> int:
    """Draw and write. Raises ValueError and others of one line for the user."""
    asked = parse(Arguments, words, program="train.generator.draw", summary="Labelled images from a generator.")
    path = checkpoint.find(asked.checkpoint)
    file = asked.file or path.parent / f"samples-{asked.seed}.npz"
    if file.exists():
        raise FileExistsError(f"{file} exists already; pass another --file")
    source = generated_source(path, asked.num_images, asked.seed)
    write_samples(file, source)
    print(f"{file}: {len(source):,} images of {len(source.classes)} classes")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
