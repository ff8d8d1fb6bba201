"""The command line: `python -m train RECIPE [VARIANT] [--field value ...]`."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixdali.names import nearest

if TYPE_CHECKING:
    from train.recipe import Recipe

SECONDS_TO_SPEAK = 3.0
USAGE = "python -m train RECIPE [VARIANT] [--field value ...]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; -> the exit code. A mistake of the user is one line on stderr and code 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(describe_recipes())
        return 0
    try:
        return run_command(arguments)
    except (ValueError, TypeError, OSError, ImportError) as error:
        # All processes of a run meet the same mistake and one of them says so. torchrun stops them all as soon as one
        # ends, so the others leave it the time to.
        if os.environ.get("RANK", "0") == "0":
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        else:
            time.sleep(SECONDS_TO_SPEAK)
        return 2


def run_command(arguments: Sequence[str]) -> int:
    """Train what the command line says. Raises ValueError and others of one line for the user."""
    words, fields = split_words(arguments)
    title, stored = find_recipe(*words)

    # These load torch, and are not needed to say that a name is wrong.
    from rich.console import Console

    from train.cli.overrides import parse_overrides
    from train.files.plain import differences, to_plain
    from train.loop.runner import train_recipe

    recipe, run = parse_overrides(title, recipe_outline(words[0])[0], stored, fields)
    overrides = differences(to_plain(stored), to_plain(recipe))
    return train_recipe(title, recipe, run, overrides=overrides, console=Console())


def split_words(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """-> the recipe with its variant, if one is named, and what sets fields. ValueError if a field comes first."""
    number = 2 if len(arguments) > 1 and not arguments[1].startswith("-") else 1
    if arguments[0].startswith("-"):
        raise ValueError(f"the recipe comes first: {USAGE}")
    return list(arguments[:number]), list(arguments[number:])


def find_recipe(name: str, variant: str = "recipe") -> tuple[str, Recipe]:
    """-> its title and the recipe. ValueError with the nearest names if there is none."""
    if name not in recipe_names():
        raise ValueError(f"recipe {name!r} is unknown; {nearest(name, recipe_names())}")
    variants = recipe_outline(name)[1]
    if variant not in variants:
        raise ValueError(f"recipe {name} has no variant {variant!r}; {nearest(variant, variants[1:])}")
    title = name if variant == "recipe" else f"{name} {variant}"
    return title, getattr(importlib.import_module(f"train.recipes.{name}"), variant)


def recipe_names() -> list[str]:
    """The files in train/recipes."""
    return sorted(module.name for module in pkgutil.iter_modules([str(_recipe_folder())]))


def recipe_outline(name: str) -> tuple[str, list[str]]:
    """The first paragraph of a recipe's file, and its variants with `recipe` first.

    Read from the text, which is quicker than importing torch.
    """
    tree = ast.parse((_recipe_folder() / f"{name}.py").read_text())
    summary = " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())
    variants = [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name)
        for target in node.targets
        if isinstance(target, ast.Name) and node.value.func.id in ("Recipe", "replace")
    ]
    return summary, sorted(variants, key=lambda variant: variant != "recipe")


def describe_recipes() -> str:
    """What can be trained, for people."""
    lines = [USAGE, ""]
    for name in recipe_names():
        summary, variants = recipe_outline(name)
        lines += [f"  {name}" + (f"  [{' | '.join(variants[1:])}]" if variants[1:] else ""), f"      {summary}"]
    return "\n".join([*lines, "", "Every field of a recipe can be set: python -m train RECIPE --help"])


def _recipe_folder() -> Path:
    return Path(__file__).parent.parent / "recipes"
