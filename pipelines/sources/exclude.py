"""Files of a data set that are to be left out: a list of paths, one a line, as `pipelines.check` writes it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .source import Source


def write_list(path: Path, files: Iterable[str]) -> None:
    """One path a line. ValueError for a file whose name holds a line break."""
    lines = list(files)
    broken = next((line for line in lines if "\n" in line or "\r" in line), None)
    if broken is not None:
        raise ValueError(f"{broken!r} has a line break in its name and cannot stand in a list; rename it")
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape")


def read_list(
    path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None, *, sources: Iterable[Source] = ()
) -> frozenset[str]:
    """The paths in a list, made absolute; a relative one counts from the list's folder.

    sources  that may hold images in larger files: these are listed by their names, as FILE/KEY.jpg or FILE/KEY.

    FileNotFoundError if there is no such list, ValueError if it names a file that is not there, or none in `root`.
    """
    place = Path(path).expanduser().absolute()
    if not place.is_file():
        raise FileNotFoundError(f"exclude: there is no list {place}; python -m mixdali.pipelines.check writes one")
    try:
        lines = place.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as error:
        raise type(error)(f"exclude: {place} cannot be read: {error.strerror}") from None
    found = {os.path.normpath(place.parent / line): number for number, line in enumerate(lines, 1) if line.strip()}
    names, larger = _inside(sources)
    found = {names.get(file, file): line for file, line in found.items()}
    held = set(names.values())
    gone = [
        file for file in found if file not in held and not os.path.lexists(file) and not _is_elsewhere(file, larger)
    ]
    if gone:
        raise ValueError(
            f"exclude: line {found[gone[0]]} of {place} names {gone[0]}, which is not there ({len(gone)} of "
            f"{len(found)} such lines); write the list anew with python -m mixdali.pipelines.check"
        )
    if root is not None:
        outside = [file for file in found if not _lies_in(file, root)]
        if outside:
            raise ValueError(
                f"exclude: line {found[outside[0]]} of {place} names {outside[0]}, which does not lie in {root} "
                f"({len(outside)} of {len(found)} such lines); is it the list of other data?"
            )
    return frozenset(found)


def _inside(sources: Iterable[Source]) -> tuple[dict[str, str], set[str]]:
    """The images of larger files, by their names and by their names without endings; and these files."""
    names: dict[str, str] = {}
    larger: set[str] = set()
    for source in sources:
        if source.spans is not None:
            larger |= set(source.spans.files)
            for item in source.items:
                folder, _, name = item.rpartition("/")
                names |= {item: item, f"{folder}/{name.partition('.')[0]}": item}
    return names, larger


def _is_elsewhere(file: str, larger: Iterable[str]) -> bool:
    """Whether it is in a larger file that is there but none of these: a list may be of several splits."""
    around = next(folder for folder in Path(file).parents if folder.exists())
    return (around.is_file() or (around / "state.json").is_file()) and str(around) not in larger


def _lies_in(file: str, root: str | os.PathLike[str]) -> bool:
    folders = (os.path.normpath(os.path.abspath(os.path.expanduser(root))), os.path.realpath(os.path.expanduser(root)))
    return Path(file).is_relative_to(folders[0]) or Path(os.path.realpath(file)).is_relative_to(folders[1])


def are_listed(items: Iterable[str], listed: Iterable[str]) -> list[bool]:
    """Which of the items a list names: by their paths, or by another path that leads to the same file."""
    places: dict[str, list[str]] = {}
    for path in listed:
        places.setdefault(os.path.basename(path), []).append(path)
    return [any(_same(item, path) for path in places.get(os.path.basename(item), ())) for item in items]


def _same(item: str, path: str) -> bool:
    try:
        return os.path.normpath(item) == path or os.path.samefile(item, path)
    except OSError:  # links that lead nowhere
        return False
