"""Functions that take the fields of a dataclass as arguments of their own, by name.

What many functions share is so written once, with its type, its default and its line of documentation; each of them
still shows it in `help()`, to an editor and to a type checker, and says which argument it does not know.
"""

import inspect
import os
from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter, Signature
from typing import Any, ParamSpec, Protocol, TypeVar

from nvidia.dali.pipeline import Pipeline

from mixdali import Loader
from mixdali.names import nearest

from .sources.source import Source

Given = ParamSpec("Given")
Asked = TypeVar("Asked")


class LoaderMaker(Protocol[Given]):
    """A function of a source, and of arguments by name."""

    def __call__(
        self, source: Source | str | os.PathLike[str], *args: Given.args, **kwargs: Given.kwargs
    ) -> Loader: ...


def loader_of(
    kind: Callable[Given, Asked],
) -> Callable[[Callable[[Source | str | os.PathLike[str], Asked], Loader]], LoaderMaker[Given]]:
    """Makes `f(source, asked)` a function `f(source, *, ...)` of the fields of `kind`, a dataclass; it is given one."""
    return lambda function: _spread(kind, function)


def pipeline_of(kind: type) -> Callable[[Any], Any]:
    """As `loader_of`, for what `pipeline_def` makes: its own arguments and those of DALI's pipelines stay."""
    dali = ("enable_conditionals", "debug", *inspect.signature(Pipeline).parameters)
    return lambda function: _spread(kind, function, also=dali)


def _spread(kind: Any, function: Callable[..., Any], also: Sequence[str] = ()) -> Any:
    source, _, *own = inspect.signature(function).parameters.values()
    shared = sorted(inspect.signature(kind).parameters.values(), key=lambda one: one.default is not Parameter.empty)
    rest = [Parameter("pipeline", Parameter.VAR_KEYWORD, annotation=Any)] if also else []
    signature = inspect.signature(function).replace(parameters=[source, *shared, *own, *rest])
    names = [parameter.name for parameter in shared]
    known = [*names, *(parameter.name for parameter in own), *also]

    @wraps(function)
    def call(*args: Any, **given: Any) -> Any:
        for name in given:
            if name not in known and name != source.name:
                raise TypeError(f"{function.__name__} has no argument {name!r}; {nearest(name, known, names)}")
        _check_call(function.__name__, signature, args, given)
        taken = {name: given.pop(name) for name in names if name in given}
        return function(args[0] if args else given.pop(source.name), kind(**taken), **given)

    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__doc__ = _documented(function, kind)
    return call


def _check_call(name: str, signature: Signature, args: tuple[Any, ...], given: dict[str, Any]) -> None:
    try:
        signature.bind(*args, **given)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None


def _documented(function: Callable[..., Any], kind: type) -> str:
    """The function's docstring, and below it what those of the dataclass and its bases say of their fields."""
    bases = [base for base in reversed(kind.__mro__) if vars(base).get("__annotations__")]
    shared = [(inspect.getdoc(base) or "").partition("\n\n")[2] for base in bases]
    return "\n\n".join([inspect.getdoc(function) or "", "Arguments shared by all of its kind:", "\n".join(shared)])
