"""Mixes, and whatever else is made of settings, written as Python expressions: for command lines; read, never run."""

import ast
import inspect
import operator
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import mixdali
from mixdali import Fixed, Mix, Ramp
from mixdali.names import nearest

LONGEST = 80  # characters of an expression that an error shows
ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
PLAIN: dict[Any, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text in quotes",
    type(None): "None",
}


def read(text: str, vocabulary: Mapping[str, type], hint: Any = Any, name: str = "what is written") -> Any:
    """`"Choose([MixUp(alpha=0.8), CutMix()])"` -> that mix.

    An expression calls the classes of the vocabulary with literals, lists, tuples (both are read as tuples), sums and
    quotients of numbers such as `8 / 255`, and each other. A class may be written with its package, `mixdali.CutMix`.

    Args:
        vocabulary: the classes by name.
        hint: the type that is wanted, as in an annotation.
        name: of what is set, for errors.

    Raises:
        ValueError: anything else, and what the classes refuse; one line, with the place in the text and near names.
    """
    text = text.strip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of doubtful escapes in texts
            tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f", at character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        what = error.msg if isinstance(error, SyntaxError) else "it cannot be read"
        raise ValueError(f"{text!r:.{LONGEST}} is not written as in Python: {what}{where}") from None
    reader = _Reader(text, vocabulary)
    return reader.checked(tree.body, hint, name)


def parse_mix(text: str) -> Mix:
    """A mix of mixdali's methods, `Ramp` and `Fixed`; `read` says how it is written, and what is raised."""
    return read(text, mix_vocabulary(), Mix, "mix")


def parse_setting(text: str) -> float | tuple[float, float] | Ramp | Fixed:
    """A setting of a mix: `0.2`, `(2, 5)`, `Fixed(0.3)` or `Ramp([(0, 0.2), (100, 1.0)])`. ValueError for another."""
    return read(text, {"Fixed": Fixed, "Ramp": Ramp}, float | tuple[float, float] | Ramp | Fixed)


def parse_number(text: str) -> float:
    """A number, or an expression of numbers such as `8/255`. ValueError for anything else."""
    try:
        return float(read(text, {}, float))
    except ValueError:
        pass
    try:
        return float(text)  # "inf", "nan"
    except ValueError:
        raise ValueError(f"{text!r} is no number, such as 0.1 or 8/255") from None


def mix_names() -> list[str]:
    """The methods an expression can be made of."""
    return [name for name, kind in mix_vocabulary().items() if issubclass(kind, Mix)]


def mix_vocabulary() -> dict[str, type]:
    """The public methods of mixdali and what their settings are made of, by name."""
    public = {name: value for name, value in vars(mixdali).items() if isinstance(value, type)}
    return {name: kind for name, kind in public.items() if kind in (Fixed, Ramp) or is_method(kind)}


def is_method(kind: type) -> bool:
    """Whether it is a mix that can be made, and not what methods have in common."""
    return issubclass(kind, Mix) and not inspect.isabstract(kind)


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type as annotations write it; what cannot be told fits."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return fits(value, inside[0])
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inside)
    if origin is Literal:
        return value in inside
    if origin is tuple and inside and inside[-1] is not Ellipsis:
        return isinstance(value, tuple | list) and len(value) == len(inside) and all(map(fits, value, inside))
    if origin is tuple or (isinstance(origin, type) and issubclass(origin, Sequence)):
        return isinstance(value, tuple | list) and all(fits(one, inside[0]) for one in value)
    if hint in (int, float):
        return isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) and hint is not Any else True


def describe(hint: Any, vocabulary: Mapping[str, type]) -> str:
    """What fits, in words: `a Mix (CutMix, MixUp) or None`."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return describe(inside[0], vocabulary)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe(one, vocabulary) for one in inside))
    if origin is Literal:
        return " or ".join(map(repr, inside))
    if origin is tuple and inside and inside[-1] is not Ellipsis:
        return f"a list of {len(inside)} ({', '.join(dict.fromkeys(describe(one, vocabulary) for one in inside))})"
    if origin is tuple or (isinstance(origin, type) and issubclass(origin, Sequence)):
        return f"a list, each {describe(inside[0], vocabulary)}"
    if hint in PLAIN or not isinstance(hint, type):
        return PLAIN.get(hint, str(hint))
    names = [name for name, kind in vocabulary.items() if issubclass(kind, hint)]
    if names == [hint.__name__]:
        return f"{hint.__name__}(...)"
    article = "an" if hint.__name__[0] in "AEIOU" else "a"
    return f"{article} {hint.__name__} ({', '.join(names)})" if names else f"{article} {hint.__name__}"


@cache
def setting_hints(kind: type) -> Mapping[str, Any]:
    """The types of a class's settings by name; empty where they cannot be told."""
    try:
        return get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):  # a name that is imported for a type checker alone
        return {}


@dataclass(frozen=True)
class _Reader:
    text: str
    vocabulary: Mapping[str, type]

    def checked(self, node: ast.expr, hint: Any, name: str) -> Any:
        value = self.value(node, hint)
        if fits(value, hint):
            return value
        raise self.error(f"{name} takes {describe(hint, self.vocabulary)}, got {self.part(node)}", node)

    def value(self, node: ast.expr, hint: Any = Any) -> Any:
        if isinstance(node, ast.Call):
            return self.called(node, hint)
        if isinstance(node, ast.List | ast.Tuple):
            return tuple(self.value(element, hint) for element in node.elts)
        if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool | int | float | str)):
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
            number = self.number(node.operand)
            return -number if isinstance(node.op, ast.USub) else number
        if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            try:
                return ARITHMETIC[type(node.op)](self.number(node.left), self.number(node.right))
            except ArithmeticError as error:
                raise self.error(str(error), node) from None
        if isinstance(node, ast.Name | ast.Attribute):
            name, kind = self.named(node, hint)
            raise self.error(f"{name} must be called: {name}{_brackets(kind)}", node)
        raise self.error(f"parts, numbers, texts and lists are read, got {self.part(node)}", node)

    def number(self, node: ast.expr) -> Any:
        value = self.value(node)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        raise self.error(f"only numbers are reckoned with, got {self.part(node)}", node)

    def named(self, node: ast.expr, hint: Any = Any) -> tuple[str, type]:
        written = ast.unparse(node)
        package, _, name = written.rpartition(".")
        kind = self.vocabulary.get(name)
        if kind is not None and package in ("", kind.__module__.partition(".")[0]):
            return written, kind
        # What would fit is nearer than what would not.
        fitting = [name for name, kind in self.vocabulary.items() if hint is not Any and _could_be(kind, hint)]
        known = [*(fitting or self.vocabulary), *(["None"] if hint is Any or fits(None, hint) else [])]
        raise self.error(f"there is no {written:.{LONGEST}}; {nearest(name, known)}", node)

    def called(self, node: ast.Call, hint: Any) -> Any:
        name, kind = self.named(node.func, hint)
        settings, hints = inspect.signature(kind), setting_hints(kind)
        given: dict[str, ast.expr] = {}
        for keyword in node.keywords:
            setting = keyword.arg or "**"
            if setting not in settings.parameters:
                known = nearest(setting, list(settings.parameters))
                raise self.error(f"{name} has no setting {setting!r}; {known}", keyword)
            if setting in given:
                raise self.error(f"{name} is given {setting} twice", keyword)
            given[setting] = keyword.value
        try:
            bound = settings.bind(*node.args, **given)
        except TypeError as error:
            by_name = f"its settings are {', '.join(settings.parameters) or 'none'}, by name"
            raise self.error(f"{name}: {error}; {by_name}", node) from None
        values = {
            setting: self.checked(one, hints.get(setting, Any), f"{name}: {setting}")
            for setting, one in bound.arguments.items()
        }
        try:
            return kind(**values)
        except (TypeError, ValueError) as error:
            raise self.error(str(error), node) from None

    def error(self, text: str, node: ast.expr | ast.keyword) -> ValueError:
        part = self.part(node)
        if part == " ".join(self.text.split()) or not part:
            return ValueError(f"{text}, in {self._brief(self.text)}")
        return ValueError(f"{text}, at character {self._place(node)} of {self._brief(self.text)}")

    def part(self, node: ast.expr | ast.keyword) -> str:
        return self._brief(ast.get_source_segment(self.text, node) or "")

    def _brief(self, text: str) -> str:
        text = " ".join(text.split())
        return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."

    def _place(self, node: ast.expr | ast.keyword) -> int:
        """The number of its first character, from 1; Python counts bytes in a line."""
        before = self.text.encode().splitlines(keepends=True)[: node.lineno]
        return len((b"".join(before[:-1]) + before[-1][: node.col_offset]).decode()) + 1


def _brackets(kind: type) -> str:
    return "(...)" if inspect.signature(kind).parameters else "()"


def _could_be(kind: type, hint: Any) -> bool:
    """Whether a class fits a type, or a part of it."""
    if isinstance(hint, type) and get_origin(hint) is None:
        return issubclass(kind, hint)
    return any(_could_be(kind, inside) for inside in get_args(hint))
