"""Which folders of a data set are its training images, and which those to validate on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .walk import holds_images, listing, subfolders

Split = Literal["train", "val"]

LAYOUT = "ROOT/train/CLASS/image.jpg and ROOT/val/CLASS/image.jpg, or ROOT/CLASS/image.jpg"
# In any case. Where there are both, `val` is validated on and `test` left alone.
NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
SORT = "python -m mixdali.pipelines.sources.sort_val"


@dataclass(frozen=True)
class Splits:
    """train, val: the folders; None where there is none. test: beside a `val`, where it is not used.

    Without any split, `root` itself holds the class folders.
    """

    root: Path
    train: Path | None = None
    val: Path | None = None
    test: Path | None = None

    @property
    def is_flat(self) -> bool:
        return self.train is None and self.val is None

    def folder(self, split: Split, *, whole: bool = False) -> Path:
        """The folder of class folders of a split.

        whole  without splits it is the root, also for "val": for folders that are a test set as a whole.

        ValueError for "val" of a root without splits, FileNotFoundError for a split that is not there.
        """
        if self.is_flat:
            if split == "val" and not whole:
                raise ValueError(
                    f"{self.root} has no folder val: what it is trained on cannot be what it is validated on; move "
                    f"some images to {self.root}/val/CLASS and the others to {self.root}/train/CLASS, or hold a share "
                    "of them out, by --validation 0.1 of the trainer"
                )
            return self.root
        found = self.train if split == "train" else self.val
        if found is None:
            cure = "; --validation 0.1 of the trainer holds out a share instead" if split == "val" else ""
            raise FileNotFoundError(
                f"{self.root} has no folder {split}; the layout must be {LAYOUT}; found {listing(self.root)}{cure}"
            )
        return found

    def describe(self, train: int, val: int | None, num_classes: int, excluded: int = 0) -> str:
        """What was found here, for people.

        train, val  images of the splits. num_classes  of the training images. excluded  files that a list leaves out.
        """
        where = "no splits" if self.train is None else self.train.name
        said = f"{train:,} training images in {num_classes} classes ({where})"
        if val is not None and self.val is not None:
            said += f", {val:,} to validate on ({self.val.name})"
        if self.test is not None:
            said += f"; {self.test.name} is not used"
        return said + (f"; {excluded:,} files excluded" if excluded else "")


def find_splits(root: Path) -> Splits:
    """The splits of a folder, by their names in any case: train, val (valid, validation), test (testing).

    A folder so named that holds images and no folders, beside others, is a class (`train` among vehicles).
    ValueError for two folders of one name or meaning.
    """
    names = subfolders(root)
    found: dict[str, Path] = {}
    for split, known in NAMES.items():
        folders = [name for name in names if name.lower() in known]
        if len(folders) > 1:
            raise ValueError(f"{root} holds {' and '.join(folders)}, which all stand for {split}; keep one of them")
        if folders:
            found[split] = root / folders[0]
    if len(found) < len(names) and not any(subfolders(folder) for folder in found.values()):
        return Splits(root)
    if found.keys() == {"test"}:
        raise ValueError(
            f"{root} holds {found['test'].name} and neither train nor val; call it val to validate on it, or give "
            "it as the folder itself"
        )
    if "val" not in found and "test" in found:
        found["val"] = found.pop("test")
    return Splits(root, **found)


def no_class_folders(folder: Path, split: str) -> str:
    """What to say of a folder that should hold class folders and does not."""
    if not holds_images(folder):
        return f"{folder} holds no class folders; the layout must be {LAYOUT}; found {listing(folder)}"
    sort = (
        f"; ImageNet's validation images are sorted by {SORT} {folder} LABELS, with LOC_val_solution.csv or the folder "
        "of the development kit as LABELS"
        if split == "val"
        else ""
    )
    return f"{folder} holds images but no class folders; the layout must be {LAYOUT}; found {listing(folder)}{sort}"
