"""The numbers of a run: metrics.jsonl, and boards beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from train.files.boards import Boards
from train.files.sealed import written
from train.machine.run import Board as Name


class Log:
    """Writes one JSON line for the run and one an epoch to `folder`/metrics.jsonl.

    The file is always written anew from all of them, so that an epoch stands there once however often a run is resumed,
    and none is missing once a full disk has room again.

    say  tells people a line.
    """

    def __init__(
        self,
        folder: Path,
        header: dict[str, Any],
        history: list[dict[str, float]],
        boards: Sequence[Name] | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self.path = folder / "metrics.jsonl"
        self.lines: list[dict[str, Any]] = [header, *history]
        title, settings = header.get("name", folder.name), header.get("recipe", {})
        self._boards = Boards(boards, folder, title, settings, say)

    def write(self) -> None:
        """Write what there is. OSError if that cannot be done; then the file is as it was."""
        with written(self.path) as aside:
            aside.write_text("".join(json.dumps(line) + "\n" for line in self.lines))

    def add(self, row: dict[str, float]) -> None:
        """Write what was measured in an epoch. OSError as `write`."""
        self.lines.append(row)
        try:
            self.write()
        finally:
            self._boards.add(row)

    def close(self) -> None:
        """Nothing comes after."""
        self._boards.close()
