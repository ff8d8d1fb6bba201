"""Write docs/recipes.md, where the settings of the recipes come from, out of the recipes: python -m docs.recipes"""

from __future__ import annotations

import importlib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from docs.papers import paper
from train.cli.main import find_recipe, recipe_names, recipe_outline
from train.cli.shown import written
from train.data.sources import STATISTICS
from train.recipe import FIXED, MACHINE, Claim, Origin, Recipe

PAGE = Path(__file__).parent / "recipes.md"

FIELDS = [field for field in fields(Recipe) if field.name not in (*FIXED, *MACHINE)]

MEAN, DEVIATION = STATISTICS["cifar"]

HEAD = f"""# Where the settings come from

Of each recipe the paper and the official code, each setting and whether it stands in the paper, in its code or is ours,
and every difference with its reason. Written by `python -m docs.recipes` from `origin` in the files of `train/recipes`.

Settings that are not named are at their defaults: what they switch on, the paper and its code do not have. Of a variant
only what it has otherwise than the recipe is named. Variants whose name begins with `small` are ours as a whole, for
two CPU cores. Which code is meant is told by its repository, commit and file; "from memory" and "as recalled" say that
no text was at hand.

The first layer of every network normalises: images in memory by the mean {MEAN} and the deviation
{DEVIATION}, whichever data set they are of, image files by those of ImageNet.

*The command runs in a checkout of the project: [set-up](commands.md#set-up).*
"""


def main() -> None:
    PAGE.write_text(page())


def page() -> str:
    """The text of the page, as the recipes have it now."""
    return "\n".join([HEAD, *(section(name) for name in recipe_names())])


def origin_of(name: str) -> Origin:
    """That of a recipe's file."""
    found = importlib.import_module(f"train.recipes.{name}").origin
    assert isinstance(found, Origin)
    return found


def decided(name: str, variant: str) -> list[str]:
    """The fields that need a source: of a recipe those not at their defaults, of a variant those it has otherwise."""
    recipe, own = find_recipe(name)[1], find_recipe(name, variant)[1]
    if variant == "recipe":
        return [f.name for f in FIELDS if f.default is MISSING or getattr(own, f.name) != f.default]
    return [f.name for f in FIELDS if getattr(own, f.name) != getattr(recipe, f.name)]


def is_small(variant: str) -> bool:
    """Whether a variant is ours as a whole."""
    return variant.startswith("small")


def sources(origin: Origin) -> dict[str, str]:
    """By field where it comes from, for people."""
    found = dict.fromkeys(origin.from_paper, "the paper") | dict.fromkeys(origin.from_code, "its code")
    return found | {name: f"ours: {why}" for name, why in origin.ours.items()}


def section(name: str) -> str:
    origin, (summary, variants) = origin_of(name), recipe_outline(name)
    lines = [f"## {name}", "", f"{summary}{_cited(name)}", ""]
    lines += [f"Code: {origin.code or 'none is public'}.", "", *table(name, "recipe", origin)]
    lines += _told(origin, find_recipe(name)[1].own_claim)
    for variant in variants[1:]:
        if not is_small(variant):
            own = origin.variants.get(variant, Origin())
            code = f" Code: {own.code}." if own.code else ""
            lines += [f"**`{name} {variant}`**{code}", "", *table(name, variant, own)]
            lines += _told(own, find_recipe(name, variant)[1].own_claim)
    small = " ".join(f"`{variant}`" for variant in variants if is_small(variant))
    return "\n".join([*lines, *([f"Ours as a whole: {small}.", ""] if small else [])])


def table(name: str, variant: str, origin: Origin) -> list[str]:
    recipe, known = find_recipe(name, variant)[1], sources(origin)
    rows = [
        f"| {field} | `{_value(getattr(recipe, field))}` | {known.get(field, '')} |" for field in decided(name, variant)
    ]
    if not rows:
        return ["All settings are those of the recipe.", ""]
    return ["| setting | value | from |", "| --- | --- | --- |", *rows, ""]


def _told(origin: Origin, claim: Claim | None) -> list[str]:
    lines = []
    if claim is not None:
        without = "" if claim.baseline is None else f", {claim.baseline:g} without the method"
        lines += [f"The paper's number on {claim.data}: {claim.accuracy:g} %{without} ({claim.where}).", ""]
    if origin.differs:
        lines += ["Differs:", "", *(f"- {text}." for text in origin.differs), ""]
    return lines


def _cited(name: str) -> str:
    cited = paper(name)
    return f" {cited.strip()}." if cited else ""


def _value(value: Any) -> str:
    text = " ".join(written(value, 0).split()).replace("( ", "(").replace(", )", ")").replace(",)", ")")
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
