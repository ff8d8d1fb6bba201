"""Parts of a recipe that the command line gives whole: `--mix 'CutMix(alpha=1.0)'`, `--robust None`."""

from __future__ import annotations

import copy
import dataclasses
import textwrap
import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pipelines.expressions import read, setting_hints
from train.recipe import FIXED, Recipe

WIDTH = 100


def take_parts(recipe: Recipe, arguments: Sequence[str], vocabulary: Mapping[str, type]) -> tuple[Recipe, list[str]]:
    """The recipe with the parts that are given whole, and the arguments that are left.

    Parts of parts come after what they are parts of, wherever they stand. The recipe is not checked: together with what
    else the arguments set its parts may fit.

    Raises:
        ValueError: an expression that is none, of a part that does not fit there, or a part given twice.
    """
    left = list(arguments)
    done: set[str] = set()
    deepest = max((word.partition("=")[0].count(".") for word in left if word.startswith("--")), default=0)
    for depth in range(deepest + 1):
        place = 0
        while place < len(left):
            option, given, text = left[place].partition("=")
            name = option[2:].replace("-", "_")
            hint = None
            if option.startswith("--") and name.count(".") == depth:
                hint = _hint_at(recipe, name, vocabulary)
            if hint is None:
                place += 1
                continue
            if not given and (place + 1 == len(left) or left[place + 1].startswith("--")):
                raise ValueError(f"--{name} needs a part, such as {_example(hint, vocabulary)}")
            if name in done:
                raise ValueError(f"--{name} is given twice")
            done.add(name)
            value = read(text if given else left[place + 1], vocabulary, hint, f"--{name}")
            recipe = _with(recipe, name.split("."), value)
            del left[place : place + (1 if given else 2)]
    return recipe, left


def describe_parts(recipe: Recipe, vocabulary: Mapping[str, type]) -> str:
    """What may stand for each part of a recipe, for people."""
    lines = ["parts of the recipe, written whole as in Python and read, never run; single fields may follow:"]
    lines += ["  --mix 'CutMix(alpha=1.0)' --mix.prob 0.5", ""]
    for field in dataclasses.fields(Recipe):
        hint = setting_hints(Recipe)[field.name]
        if _hint_at(recipe, field.name, vocabulary) is None:
            continue
        names = ", ".join([*_names(hint, vocabulary), *(["None"] if type(None) in get_args(_bare(hint)) else [])])
        text = f"[{names}(...), ...]" if _is_list(hint) else names
        start = f"  --{field.name} "
        lines += textwrap.wrap(text, WIDTH, initial_indent=f"{start:<15}", subsequent_indent=" " * 15)
    return "\n".join([*lines, "", "  --show       print the recipe of this command as a file, and do not train"])


def part_fields(recipe: Recipe, vocabulary: Mapping[str, type]) -> list[str]:
    """The fields of a recipe that can be given whole."""
    return [field.name for field in dataclasses.fields(recipe) if _hint_at(recipe, field.name, vocabulary) is not None]


def _hint_at(recipe: Recipe, name: str, vocabulary: Mapping[str, type]) -> Any:
    """The type of the field of this dotted name, if it holds a part, several of them or None; else None."""
    value: Any = recipe
    hint: Any = Recipe
    if name.split(".")[0] in FIXED:
        return None
    for key in name.split("."):
        if (
            dataclasses.is_dataclass(value)
            and not isinstance(value, type)
            and key in (field.name for field in dataclasses.fields(value))
        ):
            hint, value = setting_hints(type(value)).get(key), getattr(value, key)
        elif isinstance(value, tuple | list) and key.isdecimal() and int(key) < len(value):
            hint, value = _of_list(hint), value[int(key)]
        else:
            return None
    return hint if _holds_parts(hint, vocabulary) else None


def _with(value: Any, keys: Sequence[str], part: Any) -> Any:
    """A copy in which the part is at a place; nothing is checked."""
    if not keys:
        return part
    if isinstance(value, tuple | list):
        place = int(keys[0])
        return (*value[:place], _with(value[place], keys[1:], part), *value[place + 1 :])
    changed = copy.copy(value)
    object.__setattr__(changed, keys[0], _with(getattr(value, keys[0]), keys[1:], part))
    return changed


def _bare(hint: Any) -> Any:
    return _bare(get_args(hint)[0]) if get_origin(hint) is Annotated else hint


def _choices(hint: Any) -> list[Any]:
    """The types that a union is made of, without None."""
    hint = _bare(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return [choice for one in get_args(hint) if one is not type(None) for choice in _choices(one)]
    return [hint]


def _is_list(hint: Any) -> bool:
    origin = get_origin(_bare(hint))
    return isinstance(origin, type) and issubclass(origin, Sequence)


def _of_list(hint: Any) -> Any:
    return next((get_args(one)[0] for one in _choices(hint) if _is_list(one)), None)


def _holds_parts(hint: Any, vocabulary: Mapping[str, type]) -> bool:
    if hint is None:
        return False
    return all(
        _holds_parts(get_args(one)[0], vocabulary) if _is_list(one) else bool(_fitting(one, vocabulary))
        for one in _choices(hint)
    )


def _fitting(kind: Any, vocabulary: Mapping[str, type]) -> list[str]:
    if not isinstance(kind, type) or kind is object:
        return []
    return [name for name, known in vocabulary.items() if issubclass(known, kind)]


def _names(hint: Any, vocabulary: Mapping[str, type]) -> list[str]:
    inside = [get_args(one)[0] if _is_list(one) else one for one in _choices(hint)]
    return list(dict.fromkeys(name for one in inside for kind in _choices(one) for name in _fitting(kind, vocabulary)))


def _example(hint: Any, vocabulary: Mapping[str, type]) -> str:
    name = _names(hint, vocabulary)[0]
    return f"'[{name}(...)]'" if any(map(_is_list, _choices(hint))) else f"'{name}(...)'"
