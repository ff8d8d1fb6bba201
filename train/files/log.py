"""The numbers of a run: metrics.jsonl, and boards beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.files.boards import Board, open_boards
from train.files.sealed import written
from train.machine.run import Board as Name


class Log:
    """Writes one JSON line for the run and one an epoch to `folder`/metrics.jsonl.

    The file is always written anew from all of them, so that an epoch stands there once however often a run is resumed,
    and none is missing once a full disk has room again.
    """

    def __init__(
        self,
        folder: Path,
        header: dict[str, Any],
        history: list[dict[str, float]],
        boards: Sequence[Name] | None = None,
    ) -> None:
        self.folder, self.path = folder, folder / "metrics.jsonl"
        self.lines: list[dict[str, Any]] = [header, *history]
        self._names, self._boards = boards, list[Board]()
        self._opened = False

    def write(self) -> None:
        """Write what there is. OSError if that cannot be done; then the file is as it was."""
        with written(self.path) as aside:
            aside.write_text("".join(json.dumps(line) + "\n" for line in self.lines))

    def add(self, row: dict[str, float]) -> None:
        """Write what was measured in an epoch. OSError as `write`."""
        self.lines.append(row)
        self.write()
        if not self._opened:
            header, self._opened = self.lines[0], True
            title, settings = header.get("name", self.folder.name), header.get("recipe", {})
            self._boards = open_boards(self._names, self.folder, title, settings, int(row["epoch"]) - 1)
        for board in self._boards:
            board.add(row)

    def close(self) -> None:
        """Nothing comes after."""
        for board in self._boards:
            board.close()
