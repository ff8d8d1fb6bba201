"""Find the images that DALI cannot decode: python -m mixdali.pipelines.check FOLDER

Exactly the images that training reads are looked at: of a folder its splits, its classes, linked folders, no hidden
files; those of a list; and those in tars and other larger files, which are named TAR/NAME. Names go
to standard output, or with --list to a list that loaders and `train` take as `exclude`. What is wrong with each is in
the report, a CSV of two columns. The exit code is 0 where all can be decoded, 1 where some cannot, 2 for a mistake.
"""

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from mixdali.names import one_line

from ..arguments import MEGAPIXELS
from ..sources.datasets.known import records_of
from ..sources.exclude import write_list
from ..sources.spans import Held
from ..sources.splits import Split, find_splits
from ..sources.tables import is_table, read_table, splits_of
from ..sources.walk import EXTENSIONS, find_folder, images_below, subfolders
from .children import Fault, find_faults


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; -> the exit code."""
    try:
        return run(_parser().parse_args(arguments))
    except (ValueError, OSError, RuntimeError) as error:
        print(one_line(error), file=sys.stderr)
        return 2


def run(asked: argparse.Namespace) -> int:
    """Check what the command line asks for; -> the exit code."""
    parts = parts_of_training(asked.folder)
    files = [file for part, _ in parts for file in part]
    found: list[Fault] = []
    settings: dict[str, Any] = {"max_megapixels": asked.max_megapixels, "num_processes": asked.num_processes}
    for fault in chain.from_iterable(find_faults(part, held=held, **settings) for part, held in parts):
        found.append(fault)
        if asked.list is None:
            print(fault.file, flush=True)
    if asked.list is not None:
        write_list(asked.list, [fault.file for fault in found])
    if asked.report is not None:
        write_report(asked.report, found)
    for line in summary(files, found, asked.list):
        print(line, file=sys.stderr)
    return 1 if found else 0


def parts_of_training(root: str) -> list[tuple[Sequence[str], Held | None]]:
    """The names of all images that training reads, and where they are no files of their own, the images. Errors, in one
    line, where there are none."""
    records = None if is_table(root) else records_of(root)
    if records is None and not is_table(root):
        return [(files_of_training(root), None)]
    if records is not None and records.form.kind == "cifar":
        raise ValueError(f"{root} holds images in memory, which nobody decodes: there is nothing to check")
    layout = splits_of(root) if records is None else records.splits
    known: tuple[Split, ...] = ("train", "val")
    splits = [split for split in known if getattr(layout, split) is not None] or known[:1]
    sources = [read_table(root, split, keep_empty=True) if records is None else records.read(split) for split in splits]
    return [(list(source.items), source.spans) for source in sources]


def files_of_training(folder: str) -> list[str]:
    """All that training reads of a folder, empty files and links that lead nowhere too; of one without class folders,
    its images. ValueError if there are none."""
    root = find_folder(folder)
    splits = find_splits(root)
    parts = [part for part in (splits.train, splits.val) if part is not None] or [root]
    files = [file for part in parts for name in subfolders(part) for file in images_below(part / name)[0]]
    files = files or images_below(root)[0]
    if not files:
        raise ValueError(f"{folder} holds no images: no file ends in {', '.join(EXTENSIONS)}")
    return files


def write_report(path: Path, found: Sequence[Fault]) -> None:
    """A CSV: path, reason."""
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file).writerows([("path", "reason"), *((fault.file, fault.reason) for fault in found)])


def summary(files: Sequence[str], found: Sequence[Fault], listed: Path | None) -> list[str]:
    """What was found, for people."""
    kinds = Counter(Path(fault.file).name + " " + fault.reason for fault in found)
    lines = [f"  {kind}" for kind in list(kinds)[:10]] + ([f"  and {len(kinds) - 10} more"] if len(kinds) > 10 else [])
    told = f"; leave them out with exclude={listed}, or --exclude {listed} of the trainer" if listed else ""
    return [*lines, f"{len(found)} of {len(files)} images cannot be decoded{told if found else ''}"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}", description="Find the images that DALI cannot decode"
    )
    add = parser.add_argument
    add("folder", help="as training takes it: class folders, in train and val or without, a list, tars; or of images")
    add("--list", type=Path, metavar="FILE", help="write the names to this list, which `exclude` takes")
    add("--report", type=Path, metavar="FILE", help="write names and reasons to this CSV")
    add(
        "--max_megapixels",
        type=float,
        default=MEGAPIXELS,
        metavar="N",
        help=f"list images that say they have more, undecoded ({MEGAPIXELS:g})",
    )
    add("--num_processes", type=int, metavar="N", help="processes that decode; one for each core by default")
    return parser


if __name__ == "__main__":
    sys.exit(main())
