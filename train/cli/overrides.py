"""Fields of a recipe set on the command line."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, get_args

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from mixdali import Fixed, Ramp
from mixdali.names import nearest
from pipelines.expressions import parse_number, parse_setting
from train.cli.whole import describe_parts, part_fields, take_parts
from train.data.streams import Stream
from train.files.plain import to_plain
from train.files.recipe_file import RecipeFile
from train.machine.command import read_arguments
from train.machine.numbers import add_numbers
from train.machine.run import Run
from train.recipe import FIXED, Recipe, vocabulary


@dataclass(frozen=True)
class Command:
    """All that a command line can set."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    run: Annotated[Run, tyro.conf.arg(name="")]


def parse_overrides(
    command: str, summary: str, stored: Recipe, arguments: Sequence[str], file: RecipeFile | None = None
) -> tuple[Recipe, Run]:
    """The recipe `stored` with the parts and fields that `arguments` set, and the settings of the run.

    Args:
        command: the recipe and its variant, as they were given.
        file: the recipe file, for parts that it defines.

    Raises:
        ValueError: an unknown field, with the nearest ones, or a value that it cannot take.
        SystemExit: after `--help`.
    """
    known = vocabulary(file)
    recipe, fields = take_parts(stored, arguments, known)
    try:
        parsed, unknown = read_arguments(
            Command,
            fields,
            program=f"train {command}",
            summary=summary,
            default=Command(_with_streams(recipe, fields), Run()),
            registry=_registry(),
        )
    except SystemExit:
        print(describe_parts(stored, known))
        raise
    if unknown:
        names = [*field_names(parsed), *part_fields(parsed.recipe, known), "show"]
        raise ValueError(_refuse(unknown[0], names))
    return parsed.recipe, parsed.run


def hint_at_rate(stored: Recipe, recipe: Recipe) -> str:
    """A line for who changed the optimiser of a recipe and not the rate, which belongs to it; else nothing."""
    before, now = type(stored.optimizer).__name__, type(recipe.optimizer).__name__
    if before == now or recipe.lr != stored.lr:
        return ""
    return f"note: lr {stored.lr:g} is the recipe's for {before}, and {now} may want another; --lr sets it"


def _with_streams(recipe: Recipe, arguments: Sequence[str]) -> Recipe:
    """The recipe with the further streams that are named: with two of its own, `--streams.2.share` names a third."""
    streams = recipe.streams
    while any(word.startswith(f"--streams.{len(streams)}.") for word in arguments):
        streams = (*streams, Stream())
    extended = copy.copy(recipe)
    # Unchecked: together with what else the arguments set they may fit, and then a recipe is made of them.
    object.__setattr__(extended, "streams", streams)
    return extended


def field_names(value: object) -> list[str]:
    """The dotted names that can be set: of a `Command`, `lr`, `mix.alpha`, `mix.mixes.0.alpha`, `root`."""
    names = [name for part in vars(value).values() for name in _dotted(to_plain(part), ())]
    # A recipe without streams takes a first one.
    named = ["streams.0.root" if name == "streams" else name for name in names]
    return [name for name in named if name.split(".")[0] not in FIXED]


def _registry() -> ConstructorRegistry:
    """tyro's rules, and more: for numbers such as 8/255, for several numbers or None, whose default tyro cannot show by
    itself, and for settings of a mix that are numbers or more than that."""
    registry = add_numbers(ConstructorRegistry())

    @registry.primitive_rule
    def numbers(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[tuple[float, ...] | None] | None:
        if info.type != Sequence[float] | None:
            return None
        return PrimitiveConstructorSpec(
            nargs="*",
            metavar="[FLOAT [FLOAT ...]]",
            instance_from_str=lambda words: tuple(map(parse_number, words)) or None,
            is_instance=lambda value: value is None or isinstance(value, Sequence),
            str_from_instance=lambda value: [] if value is None else [str(number) for number in value],
        )

    @registry.primitive_rule
    def settings(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[object] | None:
        kinds = set(get_args(info.type))
        if not kinds & {Ramp, Fixed}:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar="FLOAT|(A,B)|Fixed(LAM)|Ramp(POINTS)" if Fixed in kinds else "FLOAT|Ramp(POINTS)",
            instance_from_str=lambda words: parse_setting(words[0]),
            is_instance=lambda value: isinstance(value, int | float | tuple | Ramp | Fixed),
            str_from_instance=lambda value: [_written(value)],
        )

    return registry


def _written(value: object) -> str:
    if isinstance(value, Ramp):
        return f"Ramp({value.points})"
    return f"Fixed({value.lam})" if isinstance(value, Fixed) else str(value)


def _dotted(plain: object, path: tuple[str, ...]) -> list[str]:
    if isinstance(plain, dict):
        return [name for key, item in plain.items() if key != "type" for name in _dotted(item, (*path, key))]
    if isinstance(plain, list) and any(isinstance(item, dict) for item in plain):
        return [name for number, item in enumerate(plain) for name in _dotted(item, (*path, str(number)))]
    return [".".join(path)]


def _refuse(word: str, fields: Sequence[str]) -> str:
    if not word.startswith("--"):
        return f"{word!r} is neither a variant nor the value of a field; fields are set as --lr 0.1"
    name = word.partition("=")[0].lstrip("-").replace("-", "_")
    return f"--{name} is no field of the recipe or the run; {nearest(name, fields)}"
