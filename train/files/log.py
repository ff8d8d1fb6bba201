"""The numbers of a run: metrics.jsonl, and TensorBoard's files where it is installed."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any


class Log:
    """Writes one JSON line for the run and one an epoch to `folder`/metrics.jsonl.

    Opening it writes the file anew from `history`, so that an epoch stands there once however often a run is resumed.
    """

    def __init__(self, folder: Path, header: dict[str, Any], history: list[dict[str, float]]) -> None:
        self.path = folder / "metrics.jsonl"
        temporary = folder / ".metrics.jsonl.writing"
        temporary.write_text("".join(json.dumps(line) + "\n" for line in [header, *history]))
        os.replace(temporary, self.path)
        self.board: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=len(history) + 1)

    def add(self, row: dict[str, float]) -> None:
        """Write what was measured in an epoch."""
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
        if self.board is not None:
            for name, value in row.items():
                self.board.add_scalar(name, value, int(row["epoch"]))
            self.board.flush()

    def close(self) -> None:
        """Nothing comes after."""
        if self.board is not None:
            self.board.close()
