"""The numbers of a run: metrics.jsonl, and TensorBoard's files where it is installed."""

from __future__ import annotations

import importlib.util
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any


class Log:
    """Writes one JSON line for the run and one an epoch to `folder`/metrics.jsonl.

    The file is always written anew from all of them, so that an epoch stands there once however often a run is resumed,
    and none is missing once a full disk has room again.
    """

    def __init__(self, folder: Path, header: dict[str, Any], history: list[dict[str, float]]) -> None:
        self.folder, self.path = folder, folder / "metrics.jsonl"
        self.lines: list[dict[str, Any]] = [header, *history]
        self._board: Any = None

    def write(self) -> None:
        """Write what there is. OSError if that cannot be done; then the file is as it was."""
        aside = self.folder / ".metrics.jsonl.writing"
        try:
            aside.write_text("".join(json.dumps(line) + "\n" for line in self.lines))
            os.replace(aside, self.path)
        except OSError:
            with suppress(OSError):
                aside.unlink()
            raise

    def add(self, row: dict[str, float]) -> None:
        """Write what was measured in an epoch. OSError as `write`."""
        self.lines.append(row)
        self.write()
        if self._board is None and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=int(row["epoch"]))
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(name, value, int(row["epoch"]))
            self._board.flush()

    def close(self) -> None:
        """Nothing comes after."""
        if self._board is not None:
            self._board.close()
