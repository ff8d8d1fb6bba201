"""docs/write_a_recipe.md: its file and its commands, as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.train.cli.test_whole import ROOT, run

PAGE = (ROOT / "docs" / "write_a_recipe.md").read_text()
COMMANDS = re.findall(r"^    python -m (\S+) (.*)$", PAGE, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder but for the page's file."""
    folder = tmp_path_factory.mktemp("page")
    (text,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (folder / "my_recipe.py").write_text(text)
    return folder


def test_the_commands_of_the_page_run_one_after_the_other(folder: Path) -> None:
    said = {f"{module} {words}": run(folder, *shlex.split(words), module=module) for module, words in COMMANDS}
    assert len(said) == 7
    for command, text in said.items():
        if "--show" in command:
            assert "\nrecipe = Recipe(\n" in text
    assert "my_recipe unmixed, changed: num_epochs 2, now 1; objective.gamma 2.0, now 1.0" in " ".join(
        said["train my_recipe.py unmixed --objective.gamma 1 --num_epochs 1"].split()
    )
    (evaluated,) = [text for command, text in said.items() if command.startswith("train.evaluate")]
    assert evaluated.startswith(f"own:small_net of runs/my_recipe/last.pt: read from {folder / 'my_recipe.py'}\n")
