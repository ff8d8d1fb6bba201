"""Sort ImageNet's validation images, which come in one folder, into a folder for each class.

python -m mixdali.pipelines.sources.sort_val VAL LABELS, where LABELS is LOC_val_solution.csv (of the Kaggle release) or
the folder of the development kit (`ILSVRC2012_devkit_t12`), or any CSV whose first column is the image's name and whose
second one begins with its class. Files are moved within VAL, none is written or lost; a second call moves what is left.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from mixdali.names import one_line

from .walk import EXTENSIONS

TRUTH = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; -> the exit code. A mistake of the user is one line on stderr and code 2."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("val", type=Path, help="the folder with the images")
    parser.add_argument("labels", type=Path, help="LOC_val_solution.csv, or the folder of the development kit")
    asked = parser.parse_args(arguments)
    try:
        moved, classes = sort_images(asked.val, asked.labels)
    except (ValueError, OSError, ImportError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    print(f"{moved} images moved into {classes} class folders of {asked.val}")
    return 0


def sort_images(val: Path, labels: Path) -> tuple[int, int]:
    """Move every image that lies in `val` itself into a folder of its class; -> images moved, and their classes.

    ValueError, before anything is moved, for an image whose class the labels do not tell.
    """
    if not val.is_dir():
        raise FileNotFoundError(f"there is no folder {val}")
    images = sorted(path for path in val.iterdir() if path.suffix.lower() in EXTENSIONS and path.is_file())
    if not images:
        raise ValueError(f"{val} holds no images beside its folders; are they sorted already?")
    known = read_devkit(labels, [path.stem for path in images]) if labels.is_dir() else read_csv(labels)
    strangers = [path for path in images if path.stem not in known]
    if strangers:
        raise ValueError(f"{labels} does not tell the class of {strangers[0].name} ({len(strangers)} such images)")
    there = [path for path in images if (val / known[path.stem] / path.name).exists()]
    if there:
        raise FileExistsError(f"{val / known[there[0].stem] / there[0].name} is there already; nothing was moved")
    for path in images:
        folder = val / known[path.stem]
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    return len(images), len({known[path.stem] for path in images})


def read_csv(path: Path) -> dict[str, str]:
    """The class of each image, by its name without ending."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    if any(len(row) < 2 or not row[1].split() for row in rows):
        raise ValueError(f"{path} must have a name and a class in every row")
    found = {Path(row[0].strip()).stem: row[1].split()[0] for row in rows}
    wrong = next((name for name in found.values() if "/" in name or name.startswith(".")), None)
    if wrong is not None:
        raise ValueError(f"{path} names the class {wrong!r}, which cannot be a folder's name")
    return found


def read_devkit(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The same of ImageNet's development kit: numbers of classes in the images' order, and the WordNet names."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise ImportError(f"{META} is read by scipy: pip install scipy, or give LOC_val_solution.csv") from None
    truth, meta = (next(iter(sorted(folder.rglob(name))), None) for name in (TRUTH, META))
    if truth is None or meta is None:
        raise FileNotFoundError(f"{folder} holds no {TRUTH if truth is None else META}; give the unpacked kit")
    numbers = [int(line) for line in truth.read_text().split()]
    synsets = loadmat(meta, squeeze_me=True)["synsets"]
    classes = {int(number): str(wnid) for number, wnid in zip(synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True)}
    # ILSVRC2012_val_00000001 is the first line
    places = {name: int(name.rpartition("_")[2]) for name in names if name.rpartition("_")[2].isdecimal()}
    return {name: classes[numbers[place - 1]] for name, place in places.items() if 0 < place <= len(numbers)}


if __name__ == "__main__":
    sys.exit(main())
