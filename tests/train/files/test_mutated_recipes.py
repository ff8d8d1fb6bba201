"""Recipes with something changed in them: a recipe or an error of one line, and only a recipe file is run."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.mutations import mutated
from train.cli.shown import write_recipe
from train.files.outline import outline_recipes
from train.files.plain import to_plain
from train.files.recipe_file import read_recipe_file
from train.recipe import Recipe, from_plain
from train.recipes import demo, yun2019cutmix

COUNTS = [pytest.param(1, id="short"), pytest.param(16, id="long", marks=pytest.mark.long)]
TIMES = 60  # of the short form
RUN = "import builtins\nbuiltins.recipe_files_run = getattr(builtins, 'recipe_files_run', 0) + 1\n"


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [name for name in sys.modules if name.startswith("recipe_file_")]:
        del sys.modules[name]


def check(read: Callable[[], Any]) -> Any:
    """What is read; None for an error that a user can read."""
    try:
        return read()
    except (ValueError, TypeError, OSError) as error:
        said = str(error)
    assert said
    assert "\n" not in said
    return None


@pytest.mark.filterwarnings("ignore::SyntaxWarning")  # of what a change makes of a number or of a text
@pytest.mark.parametrize("times", COUNTS)
def test_a_mutated_recipe_file_is_a_recipe_or_an_error_and_is_run_only_as_a_recipe_file(
    times: int, tmp_path: Path
) -> None:
    import builtins

    text = write_recipe(demo.recipe, ["demo"], None).encode()
    rng, read, run = random.Random(times), 0, 0
    builtins.recipe_files_run = 0  # type: ignore[attr-defined]
    for number in range(TIMES * times):
        path = tmp_path / f"mine{number}.py"
        path.write_bytes(RUN.encode() + mutated(text, rng))
        outline = check(lambda path=path: outline_recipes(path))
        assert builtins.recipe_files_run == run  # type: ignore[attr-defined]
        if outline is None:
            assert check(lambda path=path: read_recipe_file(path)) is None
            assert builtins.recipe_files_run == run  # type: ignore[attr-defined]
            continue
        file = check(lambda path=path: read_recipe_file(path))
        run = builtins.recipe_files_run  # type: ignore[attr-defined]
        if file is not None:
            assert isinstance(file.names["recipe"], Recipe)
            read += 1
    del builtins.recipe_files_run  # type: ignore[attr-defined]
    assert 0 < read <= run < TIMES * times


@pytest.mark.parametrize("times", COUNTS)
def test_a_mutated_stored_recipe_is_a_recipe_or_an_error(times: int) -> None:
    whole = json.dumps(to_plain(yun2019cutmix.recipe)).encode()
    rng, read = random.Random(times), 0
    for _ in range(TIMES * times):
        try:
            plain = json.loads(mutated(whole, rng))
        except ValueError:
            continue
        found = check(lambda plain=plain: from_plain(plain))
        read += found is not None
    assert read
