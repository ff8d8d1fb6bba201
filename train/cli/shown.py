"""A recipe as the text of a recipe file, which trains the same."""

from __future__ import annotations

import dataclasses
import keyword
import math
import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from train.files.plain import OWN, type_name
from train.files.recipe_file import RecipeFile
from train.recipe import HOMES, Recipe, kinds_in

WIDTH = 100  # with the name of a field before it, about 120


def write_recipe(recipe: Recipe, arguments: Sequence[str], file: RecipeFile | None) -> str:
    """A recipe file with every field written out.

    Args:
        arguments: of the command, which is named in the first line.
        file: the recipe file that defines parts of the recipe; they are imported from it.

    Raises:
        ValueError: the file cannot be imported by its name.
    """
    command = " ".join(shlex.join(["python", "-m", "train", *arguments]).split("\n"))
    known, own = [], []
    for kind in dict.fromkeys(kinds_in(recipe)):
        if type_name(kind).startswith(f"{OWN}."):
            own.append(kind.__name__)
        else:
            known.append((_home(kind), kind.__name__))
    if recipe.model.startswith(f"{OWN}:"):
        own.append(recipe.model.removeprefix(f"{OWN}:").partition("(")[0].strip())
    lines = [f"# {command}", *_own_imports(sorted(set(own)), file)]
    for home in sorted({home for home, _ in known}):
        lines.append(f"from {home} import {', '.join(sorted(name for where, name in known if where == home))}")
    return "\n".join([*lines, "", f"recipe = {written(recipe, 0, whole=True)}", ""])


def written(value: Any, indent: int, *, whole: bool = False) -> str:
    """A value as Python, in lines of at most WIDTH characters where that can be; `whole`: a field a line."""
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    name, comma = "", ""
    if isinstance(value, tuple | list):
        items, comma = [("", item) for item in value], "," if len(value) == 1 else ""
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        name = type(value).__name__
        items = [(f"{field.name}=", getattr(value, field.name)) for field in dataclasses.fields(value)]
    else:
        plain = isinstance(value, str) and repr(value) == f"'{value}'" and '"' not in value
        return f'"{value}"' if plain else repr(value)
    line = f"{name}({', '.join(f'{start}{written(item, 0)}' for start, item in items)}{comma})"
    if not whole and "\n" not in line and indent + len(line) <= WIDTH:
        return line
    inside = "".join(f"{' ' * (indent + 4)}{start}{written(item, indent + 4)},\n" for start, item in items)
    return f"{name}(\n{inside}{' ' * indent})"


def _home(kind: type) -> str:
    """The shortest of the modules that hand out a class."""
    homes = [home.__name__ for home in HOMES if vars(home).get(kind.__name__) is kind]
    return min([*homes, kind.__module__], key=len)


def _own_imports(names: Sequence[str], file: RecipeFile | None) -> list[str]:
    if not names or file is None:
        return []
    module, folder = file.path.stem, str(file.path.parent)
    if not module.isidentifier() or keyword.iskeyword(module) or _found(module) not in (None, file.path):
        raise ValueError(
            f"{file.path} cannot be imported by the name {module!r}, so what it defines cannot be; rename it"
        )
    return [
        "import sys",
        "",
        f"sys.path.insert(0, {written(folder, 0)})",
        "",
        f"from {module} import {', '.join(names)}",
    ]


def _found(module: str) -> Path | None:
    """The file that a module of this name would be imported from."""
    if module in sys.stdlib_module_names:
        return Path(module)
    spec = find_spec(module)
    return Path(spec.origin).resolve() if spec is not None and spec.origin is not None else None
