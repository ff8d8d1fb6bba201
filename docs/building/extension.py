"""An extension of griffe, which reads the code for the reference: columns as sections, dataclasses with all fields.

A dataclass says of a field what it is in columns, or in a text under the field. For the site each gets its arguments in
one place, its own first and then those of the classes it is made from. A function that takes the fields of a dataclass
as arguments (`pipelines.named`) gets them too.
"""

import re
from collections.abc import Iterator

import griffe

from docs.building.columns import section, with_sections


class Columns(griffe.Extension):
    def on_package(self, *, pkg: griffe.Module, **kwargs: object) -> None:
        spread = list(_spread_functions(pkg))
        for function, kind in spread:
            _spread(function, kind)
        for thing in list(_walk(pkg)):
            if thing.docstring is not None and (thing.is_class or thing.is_function):
                thing.docstring.value = with_sections(thing.docstring.value, _arguments(thing))
        for kind in [thing for thing in _walk(pkg) if thing.is_class and _is_dataclass(thing)]:
            _gather_fields(kind)
        for function, kind in spread:
            _describe(function, _described(kind))
        for kind in [thing for thing in _walk(pkg) if thing.is_class and _is_dataclass(thing)]:
            for field in _fields(kind):
                kind.members[field].docstring = None  # it stands among the arguments


def _spread_functions(pkg: griffe.Module) -> Iterator[tuple[griffe.Function, griffe.Class]]:
    """Functions that take a dataclass's fields, each with that dataclass."""
    for function in _walk(pkg):
        for decorator in function.decorators if function.is_function else ():
            if named := re.fullmatch(r"(?:loader|pipeline)_of\((\w+)\)", str(decorator.value)):
                yield function, pkg[function.resolve(named[1]).partition(".")[2]]


def _spread(function: griffe.Function, kind: griffe.Class) -> None:
    """The fields of a dataclass in place of the function's second argument."""
    source, _, *own = function.parameters
    stated = {field: one.members[field] for one in [*reversed(kind.mro()), kind] for field in _fields(one)}
    fields = [
        griffe.Parameter(name, annotation=field.annotation, kind=griffe.ParameterKind.keyword_only, default=field.value)
        for name, field in stated.items()
    ]
    fields.sort(key=lambda field: field.default is not None)
    function.parameters = griffe.Parameters(source, *fields, *own)


def _describe(function: griffe.Function, fields: dict[str, str]) -> None:
    """What is said of the fields, and behind it what the function says of them itself."""
    own = _described(function)
    said = own | {name: f"{text} {own[name]}" if name in own else text for name, text in fields.items()}
    function.docstring.value = "\n\n".join([*_without_arguments(function), section(list(said.items()))])


def _walk(thing: griffe.Object) -> Iterator[griffe.Object]:
    yield thing
    for member in thing.members.values():
        if not member.is_alias:
            yield from _walk(member)


def _arguments(thing: griffe.Object) -> set[str]:
    if thing.is_function:
        return {parameter.name.lstrip("*") for parameter in thing.parameters}
    if _is_dataclass(thing):
        return _names(thing)
    made = thing.members.get("__init__")
    return set() if made is None or made.is_alias else _arguments(made)


def _is_dataclass(kind: griffe.Object) -> bool:
    return any("dataclass" in str(decorator.value) for decorator in kind.decorators)


def _fields(kind: griffe.Object) -> list[str]:
    """The names of the fields that a dataclass states itself."""
    return [
        name
        for name, member in kind.members.items()
        if member.is_attribute
        and member.annotation is not None
        and "ClassVar" not in str(member.annotation)
        and "property" not in member.labels
    ]


def _gather_fields(kind: griffe.Object) -> None:
    """`Args:` of a dataclass: what its docstring says, what stands under its fields, and what its parents say."""
    said: dict[str, str] = {}
    for parent in [kind, *kind.mro()]:  # its own ones first
        if not _is_dataclass(parent):
            continue
        under = {
            name: " ".join(parent.members[name].docstring.value.split())
            for name in _fields(parent)
            if parent.members[name].docstring is not None
        }
        for name, text in (_described(parent) | under).items():
            if name in _names(kind):
                said.setdefault(name, text)
    if not said:
        return
    rest = _without_arguments(kind)
    gathered = section(list(said.items()))
    if kind.docstring is None:
        kind.docstring = griffe.Docstring(gathered, parent=kind)
    kind.docstring.value = "\n\n".join([*rest, gathered])


def _names(kind: griffe.Object) -> set[str]:
    return {name for one in [*kind.mro(), kind] if _is_dataclass(one) for name in _fields(one)}


def _without_arguments(thing: griffe.Object) -> list[str]:
    text = "" if thing.docstring is None else thing.docstring.value
    return [paragraph for paragraph in re.split(r"\n\n", text) if not paragraph.startswith("Args:")]


def _described(kind: griffe.Object) -> dict[str, str]:
    """What the `Args:` of a docstring say."""
    text = "" if kind.docstring is None else kind.docstring.value
    found = re.search(r"^Args:\n((?:    .*\n?)+)", text, flags=re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*)$", found[1], flags=re.MULTILINE) if found else []
    return dict(entries)
