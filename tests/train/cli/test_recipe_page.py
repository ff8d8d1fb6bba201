"""docs/write_a_recipe.md: its file and its commands, as they stand."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.train.cli.test_whole import said
from train.cli.main import main
from train.evaluate.run import main as evaluate

PAGE = (Path(__file__).parents[3] / "docs" / "write_a_recipe.md").read_text()
COMMANDS = re.findall(r"^    python -m (\S+) (.*)$", PAGE, flags=re.MULTILINE)


def test_the_commands_of_the_page_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (text,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    Path("my_recipe.py").write_text(text)
    modules = {"train": main, "train.evaluate": evaluate}
    told = {
        f"{module} {words}": " ".join(said(capsys, modules[module], *shlex.split(words, comments=True)).split())
        for module, words in COMMANDS
    }
    assert len(told) == 7
    for command, text in told.items():
        if "--show" in command:
            assert " recipe = Recipe( paper=" in text
    changed = told["train my_recipe.py unmixed --objective.gamma 1 --num_epochs 1"]
    assert changed.startswith("my_recipe unmixed, changed: num_epochs 2, now 1; objective.gamma 2.0, now 1.0")
    (evaluated,) = [text for command, text in told.items() if command.startswith("train.evaluate")]
    assert evaluated.startswith(f"own:small_net of runs/my_recipe/last.pt: read from {tmp_path / 'my_recipe.py'}")
