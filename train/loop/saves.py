"""The checkpoints of a run: when they cannot be written, the run goes on and says so."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import torch

from train.files import checkpoint
from train.files.folders import RunFolder
from train.loop.epochs import Training, is_finished


class Saves:
    """Called to write a checkpoint, in all processes together; rank 0 writes.

    Args:
        training: what is saved.
        folder: where.
        facts: what a checkpoint says beside the state.
        keep: how many of the last ones are kept.
        tell: is told in one line what cannot be written.
    """

    def __init__(
        self, training: Training, folder: RunFolder, facts: dict[str, Any], keep: int, tell: Callable[[str], None]
    ) -> None:
        self.training, self.folder, self.facts, self.keep, self.tell = training, folder, facts, keep, tell
        self.trouble: OSError | None = None
        """Why the last one is not written."""
        self._saved = self._place() if folder.resumes else ""
        self._best: dict[str, Any] | None = None  # could not be written yet

    def __call__(self, is_best: bool) -> None:
        """Write the state as last.pt and, if it is the best so far, as best.pt."""
        training, world = self.training, self.training.world
        finished = is_finished(training.recipe, training.state)
        content = {**self.facts, "finished": finished, **training.state.to_checkpoint(training.train, world)}
        if not world.is_main:
            return
        before, best = self.trouble, content if is_best else self._best
        try:
            # The best first: if only one of the two gets written, the epoch is repeated and nothing is missing.
            if best is not None:
                checkpoint.save(self.folder.best, best)
                best = None
            checkpoint.save(self.folder.last, content, keep=self.keep)
        except OSError as error:
            self.trouble = error
            self._best = _copied(content) if best is content else best
            if before is None and self._saved:
                self.tell(f"{error}; training goes on, and {self._saved} stays saved until there is room again")
            return
        self.trouble, self._best, self._saved = None, None, self._place()
        if before is not None:
            self.tell(f"{self.folder.last} is written again")

    def advise(self) -> str:
        """How to go on once the run has ended, for people."""
        return f"the same command goes on in {self.folder.path} after {self._saved or 'its start'}"

    def _place(self) -> str:
        state = self.training.state
        return f"epoch {state.epoch}, step {state.epoch_step}"


def _copied(content: dict[str, Any]) -> dict[str, Any]:
    """What training does not change any more, in the memory of the CPU."""
    memory = io.BytesIO()
    torch.save(content, memory)
    memory.seek(0)
    found: dict[str, Any] = torch.load(memory, map_location="cpu", weights_only=True)
    return found
