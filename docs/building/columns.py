"""Docstrings of this project as the site's generator reads them.

A docstring here explains its arguments in columns,

    alpha   the law of lam.
    inside  True: the box is never cut off,
            but moved.

or, in `train`, as `Args:`. For the site columns become `Args:` too, and those that are no arguments a list.
"""

import re
from collections import Counter
from collections.abc import Iterator

NAMES = r"[a-z_]\w*(?:, [a-z_]\w*| and [a-z_]\w*)*"
SECTION = re.compile(r"^(Args|Returns|Raises|Yields):$")


def with_sections(text: str, arguments: set[str]) -> str:
    """A docstring whose columns are sections or lists. The sections come last, as the generator wants them."""
    kept, described = [], []
    for paragraph in _paragraphs(text):
        entries = list(_entries(paragraph))
        if not entries:
            kept.append(paragraph)
        elif all(name in arguments for names, _ in entries for name in split(names)):
            described += entries
        else:
            kept.append("\n".join(f"- `{'`, `'.join(split(names))}`: {said}" for names, said in entries))
    sections = [paragraph for paragraph in kept if SECTION.match(paragraph.split("\n")[0])]
    text = "\n\n".join(paragraph for paragraph in kept if paragraph not in sections)
    if described:
        sections.insert(0, section(described))
    return "\n\n".join([text, *sections])


def section(entries: list[tuple[str, str]]) -> str:
    lines = [f"    {name}: {said}" for names, said in entries for name in split(names)]
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
    lines = paragraph.split("\n")
    starts = Counter(match.end() for line in lines if (match := re.match(rf"(?:{NAMES},?)?  +(?=\S)", line)))
    if not starts:
        return
    column, found = starts.most_common(1)[0][0], list[list[str]]()
    for line in lines:
        name, space, said = line[: column - 1].strip(), line[column - 1 : column], line[column:].strip()
        if re.fullmatch(NAMES, line):  # longer than the column is wide, so that the text begins below; or without one
            name, said = line, ""
        elif not re.fullmatch(f"{NAMES},?", name) or space != " " or line.startswith(" "):
            name = ""
        if name and found and found[-1][0].endswith(","):  # several names, one below the other
            found[-1] = [f"{found[-1][0]} {name}", f"{found[-1][1]} {said}"]
        elif name:
            found.append([name, said])
        elif found and line[:column].strip() == "" and line.strip():
            found[-1][1] += f" {line.strip()}"
        else:
            return
    if all(said for _, said in found):
        yield from ((names, said.strip()) for names, said in found)


def split(names: str) -> list[str]:
    return re.split(r", | and ", names)
