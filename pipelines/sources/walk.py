"""How folders of images are walked: the same way when they are listed for training and when they are checked."""

from __future__ import annotations

import os
from pathlib import Path

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pnm", ".ppm", ".pgm", ".jp2")


def find_folder(root: str | os.PathLike[str]) -> Path:
    """The folder, made absolute. FileNotFoundError or NotADirectoryError if it is none."""
    folder = Path(root).expanduser().absolute()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise NotADirectoryError(f"{folder} is a file; unpack it if it is an archive, and give the folder")
    raise FileNotFoundError(f"there is no folder {folder}; give the folder that holds the data set")


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in it, sorted, those of links too, without hidden ones; none if it is no folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def holds_images(folder: Path) -> bool:
    """Whether a file with one of the endings lies in the folder itself."""
    with os.scandir(folder) as entries:
        return any(_is_image(entry) and not entry.is_dir() for entry in entries)


def listing(folder: Path) -> str:
    """What lies in a folder, for people."""
    names = sorted(os.listdir(folder))
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return shown or "nothing"


def images_below(folder: Path) -> tuple[list[str], list[str]]:
    """Paths of the images in a folder and in those inside it, ordered by folder and then by name; and of those among
    them that are empty or links that lead nowhere.

    Links to folders are followed. What has a name that begins with a dot is passed over, and so are other endings than
    EXTENSIONS, in any case. ValueError for a link to a folder around it, which would be walked without end.
    """
    found: dict[str, list[str]] = {}
    empty: list[str] = []
    waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [(str(folder), ())]
    while waiting:
        here, around = waiting.pop()
        names = found[here] = []
        facts = os.stat(here)
        identity = (facts.st_dev, facts.st_ino)
        if identity in around:
            raise ValueError(f"{here} is a link to a folder that it lies in; remove it")
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    waiting.append((entry.path, (*around, identity)))
                elif _is_image(entry):
                    names.append(entry.name)
                    if not _size(entry):
                        empty.append(entry.path)
    return [os.path.join(here, name) for here in sorted(found) for name in sorted(found[here])], sorted(empty)


def _is_image(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.name.lower().endswith(EXTENSIONS)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:  # a link that leads nowhere
        return 0
