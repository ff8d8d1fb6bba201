"""Which larger files hold the images of a data set: a file, a folder of them or a pattern, and their splits."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Literal

from ..source import Source
from ..splits import NAMES, Split, Splits
from ..walk import holds_images, subfolders
from .arrays import has_arrays, read_arrays
from .huggingface import read_saved, saved_splits
from .recordio import read_recordio
from .tars import read_tars
from .tfrecords import read_tfrecords

CLASSES = "classes.txt"
BRACES = re.compile(r"\{([^{}]*)\}")
MOST = 1_000_000  # names that a pattern may stand for


@dataclass(frozen=True)
class Form:
    """A form of files.

    name    of what is in them, for people.
    kind    whose pipeline reads them: "cifar" images in memory, "imagenet" encoded images.
    named   what their names match.
    reader  the files of a split, that split, and the names of the classes where they are known.
    """

    name: str
    kind: Literal["cifar", "imagenet"]
    named: re.Pattern[str]
    reader: Callable[[Sequence[Path], Split, Sequence[str]], Source]


def _one_file(files: Sequence[Path], split: Split, classes: Sequence[str]) -> Source:
    if len(files) > 1:
        raise ValueError(f"{files[0].parent} holds {len(files)} .npz files; give one of them")
    source = read_arrays(files[0], split)
    return Source(source.items, source.labels, tuple(classes))


def _encoded(read: Callable[..., Source]) -> Callable[[Sequence[Path], Split, Sequence[str]], Source]:
    return lambda files, _, classes: read(files, classes=classes)


ARRAYS = Form("NumPy arrays", "cifar", re.compile(r".*\.npz"), _one_file)
TABLES = Form("arrow tables (Hugging Face)", "imagenet", re.compile("(?!)"), _encoded(read_saved))
FORMS = (
    Form("WebDataset samples", "imagenet", re.compile(r".*\.tar"), _encoded(read_tars)),
    Form("TFRecords", "imagenet", re.compile(r".*\.tfrecords?|.*-\d{5}-of-\d{5}"), _encoded(read_tfrecords)),
    Form("RecordIO", "imagenet", re.compile(r".*\.rec"), _encoded(read_recordio)),
    ARRAYS,
)


@dataclass(frozen=True)
class Records:
    """The larger files of a data set.

    root    as it was given, made absolute.
    files   by the split that their names tell; all under "" where they tell none.
    splits  how the splits are called here.
    """

    form: Form
    root: Path
    files: Mapping[str, tuple[Path, ...]]
    splits: Splits

    def read(self, split: Split) -> Source:
        """The images of a split. Errors, in one line, for a split that is not there and those of the form's reader."""
        files = self.files.get(split) or (self.files.get("test") if split == "val" else None) or self.files.get("")
        if split == "val" and self.splits.is_flat:
            raise ValueError(
                f"{self.root} tells no splits: what it is trained on cannot be what it is validated on; begin the "
                "names of some files with val and of the others with train, or hold a share of the images out, by "
                "--validation 0.1 of the trainer"
            )
        if not files:
            raise FileNotFoundError(f"{self.root} has no files for {split}, only for {', '.join(self.files)}")
        return self.form.reader(files, split, _classes(self.root, files))

    def describe(self, train: Source, val: Source | None, excluded: int = 0) -> str:
        """What was found, for people."""
        files = {file for files in self.files.values() for file in files}
        of_them = ("folder" if any(file.is_dir() for file in files) else "file") + "s" * (len(files) != 1)
        num_classes = len(train.classes) or int(train.labels.max()) + 1
        said = self.splits.describe(len(train), None if val is None else len(val), num_classes, excluded)
        lowest = int(train.labels.min())
        begins = f"; no image is of a class below {lowest}" if lowest else ""
        return f"{self.form.name} in {len(files)} {of_them}, {said}{begins}"


def find_records(root: str | os.PathLike[str]) -> Records | None:
    """The larger files that `root` stands for; None if there are none.

    It is a file; a folder that holds them, or whose folders `train` and `val` do; a pattern with *, ? and {a,b} or
    {000..012}; or a folder that `save_to_disk` of `datasets` wrote.

    The split is told by a word of the file's name, or of the folder between it and the root: `train-0001.tar`,
    `val/0.tar`. A folder of class folders is none of this, whatever lies beside them.

    ValueError for files of several forms, and where some tell a split and others do not; FileNotFoundError for a
    pattern that matches nothing.
    """
    place = Path(root).expanduser().absolute()
    if place.is_dir() and (saved := saved_splits(place)) is not None:
        return Records(TABLES, place, {split: (folder,) for split, folder in saved.items()}, _called(place, saved))
    if place.is_dir():
        files, around = _in_folder(place), place
    elif place.is_file():
        files, around = ([place] if form_of(place) else []), place.parent
    elif any(sign in str(root) for sign in "*?[{"):
        files = list(_matching(str(place)))
        around = Path(os.path.commonpath([file.parent for file in files]))
    else:
        return None
    forms = {form.name: form for form in map(form_of, files) if form is not None}
    if len(forms) > 1:
        raise ValueError(f"{place} holds files of several forms, {' and '.join(forms)}; give those of one, as '*.tar'")
    if not forms:
        return None
    (form,) = forms.values()
    by_split = _inside(files[0]) if form is ARRAYS else _by_split(files, around)
    return Records(form, place, by_split, _called(place, {split: Path(split) for split in by_split}))


def _called(root: Path, names: Mapping[str, Path]) -> Splits:
    """The splits by the names that they have here."""
    if "test" in names and len(names) == 1:
        raise ValueError(f"{root} holds a split test and none to train or to validate on; call it train or val")
    val = names.get("val")
    return Splits(root, names.get("train"), val or names.get("test"), names.get("test") if val else None)


def form_of(file: Path) -> Form | None:
    """The form that a file's name tells."""
    return next((form for form in FORMS if form.named.fullmatch(file.name.lower())), None)


def _in_folder(folder: Path) -> list[Path]:
    own = _files(folder)
    below = subfolders(folder)
    split = {name: _files(folder / name) for name in below if name.lower() in sum(NAMES.values(), ())}
    if own and not any(_is_of_images(folder / name) for name in below):
        return own
    if any(split.values()) and not any(subfolders(folder / name) for name in split):
        return [file for name in split for file in split[name]]
    return []


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.name[0] != "." and form_of(file) and file.is_file())


def _is_of_images(folder: Path) -> bool:
    """Whether it holds images, or folders that do: then it is a class or a split."""
    return holds_images(folder) or any(holds_images(folder / name) for name in subfolders(folder))


def _matching(pattern: str) -> Iterator[Path]:
    for one in _expanded(pattern):
        found = sorted(glob(one))
        if not found:
            raise FileNotFoundError(f"no file matches {one}")
        for path in found:
            if form_of(Path(path)) is None:
                raise ValueError(f"{pattern} matches {path}, which is no file of a known form; end the pattern in .tar")
            yield Path(path)


def _expanded(pattern: str) -> list[str]:
    found = BRACES.search(pattern)
    if found is None:
        return [pattern]
    ends = re.fullmatch(r"(\d+)\.\.(\d+)", found[1])
    words = found[1].split(",")
    if ends is not None:
        first, last = int(ends[1]), int(ends[2])
        if not 0 <= last - first < MOST:
            raise ValueError(f"{pattern} has the range {found[1]}, which must rise, by less than {MOST:,}")
        words = [f"{number:0{len(ends[1])}}" for number in range(first, last + 1)]
    return [one for word in words for one in _expanded(pattern[: found.start()] + word + pattern[found.end() :])]


def _by_split(files: Sequence[Path], around: Path) -> dict[str, tuple[Path, ...]]:
    found: dict[str, list[Path]] = {}
    for file in files:
        words = set(re.split(r"[^a-z]+", str(file.relative_to(around)).lower()))
        told = [split for split, names in NAMES.items() if words & set(names)]
        if len(told) > 1:
            raise ValueError(f"the name of {file} tells {' and '.join(told)}; which split is it of?")
        found.setdefault(told[0] if told else "", []).append(file)
    if "" in found and len(found) > 1:
        some = next(split for split in found if split)
        raise ValueError(
            f"the name of {found[''][0]} tells no split, that of {found[some][0]} tells {some}; begin each with train "
            "or val"
        )
    return {split: tuple(of_it) for split, of_it in found.items()}


def _inside(file: Path) -> dict[str, tuple[Path, ...]]:
    """An .npz may hold several splits."""
    return {split: (file,) for split in ("train", "val") if has_arrays(file, split)} or {"": (file,)}


def _classes(root: Path, files: Sequence[Path]) -> tuple[str, ...]:
    """The names in `classes.txt` of the root or beside the files, a line each; none if there is no such file."""
    for folder in (root, files[0].parent):
        if (folder / CLASSES).is_file():
            text = (folder / CLASSES).read_text(encoding="utf-8-sig")
            names = tuple(line.strip() for line in text.splitlines() if line.strip())
            if len(set(names)) < len(names):
                raise ValueError(f"{folder / CLASSES} names a class twice")
            return names
    return ()
