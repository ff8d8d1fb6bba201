"""The command line: `python -m train RECIPE [VARIANT] [--field value ...]`."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mixdali.names import nearest, one_line
from train.files.outline import outline_recipes
from train.machine.launch import find_rank

if TYPE_CHECKING:
    from train.files.recipe_file import RecipeFile
    from train.recipe import Recipe

SECONDS_TO_SPEAK = 3.0
USAGE = "python -m train RECIPE [VARIANT] [--field value ...]"
SHOW = "--show"


@dataclass(frozen=True)
class Chosen:
    """What a command line begins with."""

    title: str
    """The recipe, by its name or that of its file, and the variant."""
    summary: str
    stored: Recipe
    """As its file has it."""
    file: RecipeFile | None
    """Where it is a recipe of one's own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; -> the exit code. A mistake of the user is one line on stderr and code 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(describe_recipes())
        return 0
    try:
        return run_command(arguments)
    except (ValueError, TypeError, OSError, ImportError) as error:
        text, rank = one_line(error), find_rank(os.environ)
        # All processes of a run meet the same mistake, and rank 0 says so. torchrun stops them all as soon as one ends,
        # so the others leave it the time to; who is left then has met one of its own.
        if rank and not isinstance(error, ConnectionError):
            time.sleep(SECONDS_TO_SPEAK)
            text = f"error in rank {rank}: {text.removeprefix('error: ')}"
        # Of a process that is gone one of the others speaks.
        if getattr(error, "speaks", True):
            print(text, file=sys.stderr)
        return 2


def run_command(arguments: Sequence[str]) -> int:
    """Train what the command line says. Raises ValueError and others of one line for the user."""
    words, fields = split_words(arguments)
    chosen = choose_recipe(*words)
    try:
        return _train(chosen, words, fields)
    except (ValueError, TypeError, OSError, ImportError) as error:
        # What goes wrong in somebody's own code says where.
        place = None if chosen.file is None else _place(error, chosen.file)
        if place is None:
            raise
        raise ValueError(f"{place}: {type(error).__name__}: {error}") from error


def _train(chosen: Chosen, words: Sequence[str], fields: Sequence[str]) -> int:
    # These load torch, and are not needed to say that a name is wrong.
    from train.cli.overrides import hint_at_rate, parse_overrides
    from train.cli.shown import write_recipe
    from train.files.plain import differences, to_plain
    from train.loop.runner import train_recipe
    from train.machine.command import new_console
    from train.recipe import check_own

    title, stored, file = chosen.title, chosen.stored, chosen.file
    given = [word for word in fields if word != SHOW]
    recipe, run = parse_overrides(" ".join(words), chosen.summary, stored, given, file)
    if file is not None:
        check_own(recipe, file)
    hint = hint_at_rate(stored, recipe)
    if hint and os.environ.get("RANK", "0") == "0":
        print(hint, file=sys.stderr)
    if SHOW in fields:
        print(write_recipe(recipe, [*words, *given], file), end="")
        return 0
    overrides = differences(to_plain(stored), to_plain(recipe))
    return train_recipe(title, recipe, run, overrides=overrides, console=new_console(), file=file)


def _place(error: Exception, file: RecipeFile) -> str | None:
    from train.files.recipe_file import place_in_file

    return place_in_file(error, file.path)


def split_words(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """-> the recipe with its variant, if one is named, and what sets fields. ValueError if a field comes first."""
    number = 2 if len(arguments) > 1 and not arguments[1].startswith("-") else 1
    if arguments[0].startswith("-"):
        raise ValueError(f"the recipe comes first: {USAGE}")
    return list(arguments[:number]), list(arguments[number:])


def choose_recipe(name: str, variant: str = "recipe") -> Chosen:
    """The recipe that a command line begins with: a name, or a file that ends in .py.

    Raises:
        ValueError, FileNotFoundError: there is no such recipe or variant, or something is wrong in the file; one line.
    """
    if not name.endswith(".py"):
        title, stored = find_recipe(name, variant)
        return Chosen(title, recipe_outline(name)[0], stored, None)
    path = Path(name)
    _check_variant(str(path), variant, outline_recipes(path).variants)

    from train.files.recipe_file import read_recipe_file
    from train.recipe import Recipe

    file = read_recipe_file(path)
    made = file.names.get(variant)
    if not isinstance(made, Recipe):
        raise ValueError(f"{path}: {variant} must be a Recipe, got {type(made).__name__}")
    return Chosen(_title(path.stem, variant), file.outline.summary, made, file)


def find_recipe(name: str, variant: str = "recipe") -> tuple[str, Recipe]:
    """-> its title and the recipe. ValueError with the nearest names if there is none."""
    if name not in recipe_names():
        if Path(f"{name}.py").is_file():
            raise ValueError(f"recipe {name!r} is unknown; for the file write {name}.py")
        raise ValueError(f"recipe {name!r} is unknown; {nearest(name, recipe_names())}")
    _check_variant(name, variant, recipe_outline(name)[1])
    return _title(name, variant), getattr(importlib.import_module(f"train.recipes.{name}"), variant)


def _check_variant(name: str, variant: str, variants: Sequence[str]) -> None:
    if variant not in variants:
        raise ValueError(f"recipe {name} has no variant {variant!r}; {nearest(variant, variants[1:])}")


def _title(name: str, variant: str) -> str:
    return name if variant == "recipe" else f"{name} {variant}"


def recipe_names() -> list[str]:
    """The files in train/recipes."""
    return sorted(module.name for module in pkgutil.iter_modules([str(_recipe_folder())]))


def recipe_outline(name: str) -> tuple[str, Sequence[str]]:
    """The first paragraph of a recipe's file, and its variants with `recipe` first."""
    outline = outline_recipes(_recipe_folder() / f"{name}.py")
    return outline.summary, outline.variants


def describe_recipes() -> str:
    """What can be trained, for people."""
    lines = [USAGE, ""]
    for name in recipe_names():
        summary, variants = recipe_outline(name)
        lines += [f"  {name}" + (f"  [{' | '.join(variants[1:])}]" if variants[1:] else ""), f"      {summary}"]
    lines += ["", "RECIPE may also be a file of your own: python -m train my_recipe.py"]
    return "\n".join([*lines, "Every field of a recipe can be set: python -m train RECIPE --help"])


def _recipe_folder() -> Path:
    return Path(__file__).parent.parent / "recipes"
