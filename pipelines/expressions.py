"""Mixes written as Python expressions, for command lines: read, never run."""

import ast
import inspect
from typing import Any

import mixdali
from mixdali import Fixed, Mix, Ramp
from mixdali.names import nearest


def parse_mix(text: str) -> Mix:
    """`"Choose([MixUp(alpha=0.8), CutMix()])"` -> that mix.

    The expression is made of mixdali's methods, `Ramp` and `Fixed`, called with literals, lists, tuples and each other.
    ValueError or TypeError for anything else, with the nearest names for a name that is unknown.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f'a mix is written as in Python, such as "CutMix(alpha=1.0)", got {text!r:.200}') from None
    mix = _value(tree.body)
    if isinstance(mix, Mix):
        return mix
    raise ValueError(f'{text!r:.200} is no mix; write one such as "CutMix(alpha=1.0)"')


def parse_setting(text: str) -> float | tuple[float, float] | Ramp | Fixed:
    """A setting of a mix: `0.2`, `(2, 5)`, `Fixed(0.3)` or `Ramp([(0, 0.2), (100, 1.0)])`. ValueError for another."""
    try:
        value = _value(ast.parse(text.strip(), mode="eval").body)
        return value if isinstance(value, tuple | Ramp | Fixed) else float(value)
    except (SyntaxError, TypeError, ValueError):
        raise ValueError(f"{text!r} is none of 0.2, (2, 5), Fixed(0.3) and Ramp([(0, 0.2), (100, 1.0)])") from None


def mix_names() -> list[str]:
    """The methods an expression can be made of."""
    return [name for name, kind in _known().items() if issubclass(kind, Mix)]


def _known() -> dict[str, type]:
    public = {name: value for name, value in vars(mixdali).items() if isinstance(value, type)}
    return {name: kind for name, kind in public.items() if kind in (Fixed, Ramp) or _is_method(kind)}


def _is_method(kind: type) -> bool:
    return issubclass(kind, Mix) and kind is not Mix


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        return _called(node)
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(_value(element) for element in node.elts)
    try:
        return ast.literal_eval(node)
    except ValueError:
        written = ast.unparse(node)
    if written.removeprefix("mixdali.") in _known():
        raise ValueError(f"{written} must be called: {written}(...)")
    raise ValueError(f"a mix is made of methods, numbers, texts and lists, got {written!r:.80}")


def _called(node: ast.Call) -> Any:
    name = ast.unparse(node.func).removeprefix("mixdali.")
    known = _known()
    if name not in known:
        raise ValueError(f"there is no method {name!r:.80}; {nearest(name, list(known))}")
    kind, settings = known[name], inspect.signature(known[name])
    named = {}
    for keyword in node.keywords:
        setting = keyword.arg or "**"
        if setting not in settings.parameters:
            raise ValueError(f"{name} has no setting {setting!r}; {nearest(setting, list(settings.parameters))}")
        named[setting] = _value(keyword.value)
    values = [_value(argument) for argument in node.args]
    try:
        settings.bind(*values, **named)
    except TypeError as error:
        raise ValueError(f"{name}: {error}; its settings are {', '.join(settings.parameters)}, by name") from None
    try:
        return kind(*values, **named)
    except TypeError as error:
        # Python's own words do not say which part of the expression it is
        raise TypeError(f"{error}, in {ast.unparse(node):.120}") from None
