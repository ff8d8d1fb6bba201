"""Docstrings of this project as the site's generator reads them.

A docstring here explains its arguments in columns,

    alpha   the law of lam.
    inside  True: the box is never cut off,
            but moved.

or, in `train`, as `Args:`; a dataclass may say of a field what it is in a text under the field. For the site all of
them become `Args:`, and a dataclass gets those of the classes it is made from as well. Columns that are no arguments
become a list.
"""

import re
from collections.abc import Iterator

import griffe

# One name, or several with commas, then two spaces or a line's end; what it is may go on, indented, on further lines.
NAMES = r"[a-z_]\w*(?:, [a-z_]\w*| and [a-z_]\w*)*"
ENTRY = re.compile(rf"^({NAMES})(?:  +(\S.*)|$)")
SECTION = re.compile(r"^(Args|Returns|Raises|Yields):$")


class Columns(griffe.Extension):
    def on_package(self, *, pkg: griffe.Module, **kwargs: object) -> None:
        for thing in list(_walk(pkg)):
            if thing.docstring is not None and (thing.is_class or thing.is_function):
                thing.docstring.value = with_sections(thing.docstring.value, _arguments(thing))
        for kind in [thing for thing in _walk(pkg) if thing.is_class and _is_dataclass(thing)]:
            _gather_fields(kind)
        for kind in [thing for thing in _walk(pkg) if thing.is_class and _is_dataclass(thing)]:
            for field in _fields(kind):
                kind.members[field].docstring = None  # it stands among the arguments


def with_sections(text: str, arguments: set[str]) -> str:
    """A docstring whose columns are sections or lists. The sections come last, as the generator wants them."""
    kept, described = [], []
    for paragraph in _paragraphs(text):
        entries = list(_entries(paragraph))
        if not entries:
            kept.append(paragraph)
        elif all(name in arguments for names, _ in entries for name in _split(names)):
            described += entries
        else:
            kept.append("\n".join(f"- `{'`, `'.join(_split(names))}`: {said}" for names, said in entries))
    sections = [paragraph for paragraph in kept if SECTION.match(paragraph.split("\n")[0])]
    text = "\n\n".join(paragraph for paragraph in kept if paragraph not in sections)
    if described:
        sections.insert(0, _section(described))
    return "\n\n".join([text, *sections])


def _section(entries: list[tuple[str, str]]) -> str:
    lines = [f"    {name}: {said}" for names, said in entries for name in _split(names)]
    return "\n".join(["Args:", *lines])


def _paragraphs(text: str) -> Iterator[str]:
    """Between blank lines; a column may hold none."""
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.split("\n")
        # Columns may follow a sentence directly.
        start = next((n for n in range(len(lines)) if list(_entries("\n".join(lines[n:])))), 0)
        if start:
            yield "\n".join(lines[:start])
        yield "\n".join(lines[start:])


def _entries(paragraph: str) -> Iterator[tuple[str, str]]:
    """The names and texts of a paragraph in columns; nothing for any other."""
    found: list[list[str]] = []
    for line in paragraph.split("\n"):
        entry = ENTRY.match(line)
        if entry:
            found.append([entry[1], entry[2] or ""])
        elif found and re.match(r"^ {4,}\S", line):
            found[-1][1] += f" {line.strip()}"
        else:
            return
    if all(said for _, said in found):
        yield from ((names, said.strip()) for names, said in found)


def _split(names: str) -> list[str]:
    return re.split(r", | and ", names)


def _walk(thing: griffe.Object) -> Iterator[griffe.Object]:
    yield thing
    for member in thing.members.values():
        if not member.is_alias:
            yield from _walk(member)


def _arguments(thing: griffe.Object) -> set[str]:
    if thing.is_function:
        return {parameter.name.lstrip("*") for parameter in thing.parameters}
    own = {name for name, member in thing.members.items() if member.is_attribute}
    made = thing.members.get("__init__")
    return own | (set() if made is None or made.is_alias else _arguments(made))


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
    text = "" if kind.docstring is None else kind.docstring.value
    rest = [paragraph for paragraph in re.split(r"\n\n", text) if not paragraph.startswith("Args:")]
    section = _section(list(said.items()))
    if kind.docstring is None:
        kind.docstring = griffe.Docstring(section, parent=kind)
    kind.docstring.value = "\n\n".join([*rest, section])


def _names(kind: griffe.Object) -> set[str]:
    return {name for one in [*kind.mro(), kind] if _is_dataclass(one) for name in _fields(one)}


def _described(kind: griffe.Object) -> dict[str, str]:
    """What the `Args:` of a docstring say."""
    text = "" if kind.docstring is None else kind.docstring.value
    found = re.search(r"^Args:\n((?:    .*\n?)+)", text, flags=re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*)$", found[1], flags=re.MULTILINE) if found else []
    return dict(entries)
