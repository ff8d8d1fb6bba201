"""What a file of recipes offers, read from its text, which is quicker than importing torch and runs nothing."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from mixdali.names import nearest

MAKERS = ("Recipe", "replace", "claiming")


@dataclass(frozen=True)
class Outline:
    """A file of recipes in words."""

    summary: str
    """The first paragraph of its docstring."""
    variants: tuple[str, ...]
    """The names of its recipes, `recipe` first."""


def outline_recipes(path: Path) -> Outline:
    """The outline of a recipe file: a Python file that has `recipe = Recipe(...)` or `recipe = replace(...)` in it.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is none of that kind; one line.
    """
    if not path.is_file():
        near = nearest(path.name, [file.name for file in path.parent.glob("*.py")])
        raise FileNotFoundError(f"{path} does not exist; {near}")
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else f": {error}"
        raise ValueError(f"{path}{line}") from None
    variants = [name for node in tree.body for name in _made_recipes(node)]
    if "recipe" not in variants:
        raise ValueError(f"{path} is no recipe file: it has no line `recipe = Recipe(...)` or `recipe = replace(...)`")
    summary = " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())
    return Outline(summary, tuple(sorted(dict.fromkeys(variants), key=lambda variant: variant != "recipe")))


def _made_recipes(node: ast.stmt) -> list[str]:
    """The names that a statement gives to what `Recipe`, `replace` or `Recipe.claiming` makes."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(node.value, ast.Call):
        return []
    maker = ast.unparse(node.value.func).rpartition(".")[2]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name) and maker in MAKERS]
