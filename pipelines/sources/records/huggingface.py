"""Data sets of Hugging Face's library `datasets`: tables in arrow with a column of images and one of labels."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from ..source import Source
from ..splits import NAMES

LABELS = ("label", "labels", "target", "class", "fine_label")
BATCH = 1000  # rows that are looked at together


def read_dataset(
    dataset: Any,
    *,
    image: str | None = None,
    label: str | None = None,
    classes: Sequence[str] = (),
    name: str | os.PathLike[str] = "dataset",
) -> Source:
    """The images of a `datasets.Dataset`, in its order, with their class numbers; items are named NAME/NUMBER.

    image    the column that holds the images, as `datasets.Image`. None: the only one of these.
    label    the column that holds the class numbers. None: the only `datasets.ClassLabel`, or the one of LABELS that is
             there.
    classes  their names. By default those of the `ClassLabel`.
    name     what the data set is called here.

    The encoded images are read where they are, in any order; `datasets` does not decode them.

    ImportError without the library, TypeError for what is no such data set, ValueError for columns that cannot be told.
    """
    from datasets import ClassLabel, Dataset, Image

    if not isinstance(dataset, Dataset):
        raise TypeError(f"dataset must be a datasets.Dataset, one split of it, got {type(dataset).__name__}")
    image = _only([key for key, kind in dataset.features.items() if isinstance(kind, Image)], image, "image", dataset)
    told = [key for key, kind in dataset.features.items() if isinstance(kind, ClassLabel)]
    label = _only(told or [key for key in LABELS if key in dataset.features], label, "label", dataset)
    values = dataset.select_columns([label]).with_format("numpy")[:][label] if len(dataset) else np.array([], np.int64)
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError(f"the column {label} of {name} must hold class numbers, got {dataset.features[label]}")
    kind = dataset.features[label]
    names = tuple(classes) or (tuple(kind.names) if isinstance(kind, ClassLabel) else ())
    place = os.path.abspath(name)
    encoded = dataset.select_columns([image]).cast_column(image, Image(decode=False)).with_format(None)
    column = Column(encoded, image, np.arange(len(dataset)), place, dataset._fingerprint)
    return Source([f"{place}/{row:07}" for row in range(len(dataset))], values, names, spans=column)


def saved_splits(folder: Path) -> Mapping[str, Path] | None:
    """Of a folder that `save_to_disk` wrote, the folder of each split; that of a data set without splits under "".

    None if it is none. ValueError for splits of which none is called as one to train or to validate on.
    """
    if (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file():
        return {"": folder}
    listed = folder / "dataset_dict.json"
    if not listed.is_file():
        return None
    try:
        names = [str(name) for name in json.loads(listed.read_text())["splits"]]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{listed} is damaged; save the data set again") from None
    found: dict[str, Path] = {}
    for split, known in NAMES.items():
        of_it = [name for name in names if name.lower() in known]
        if len(of_it) > 1:
            raise ValueError(f"{folder} holds {' and '.join(of_it)}, which all stand for {split}; keep one of them")
        if of_it:
            found[split] = folder / of_it[0]
    if not found:
        raise ValueError(f"{folder} holds the splits {', '.join(names)}; none is called train or val")
    return found


def read_saved(folders: Sequence[Path], *, classes: Sequence[str] = ()) -> Source:
    """A data set in the folder that `save_to_disk` wrote. Errors as of `read_dataset`, ValueError for a damaged one."""
    (folder,) = folders
    try:
        from datasets import load_from_disk
    except ImportError:
        raise ImportError(
            f"{folder} is a data set of Hugging Face's library datasets: pip install 'mixdali[huggingface]'"
        ) from None
    try:
        dataset = load_from_disk(str(folder))
    except Exception as error:  # damaged files can raise nearly anything
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{folder} cannot be read ({said[:120]}); save the data set again") from None
    return read_dataset(dataset, classes=classes, name=folder)


@dataclass(frozen=True, eq=False)
class Column:
    """Encoded images in a column, as `pipelines.sources.spans.Held`.

    dataset  of this column alone, undecoded. rows  in it, (N,). name  of it. fingerprint  what `datasets` tells it by.
    """

    dataset: Any
    column: str
    rows: np.ndarray
    name: str
    fingerprint: str

    @property
    def files(self) -> tuple[str, ...]:
        return (self.name,)

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, positions: np.ndarray) -> Column:
        return replace(self, rows=self.rows[positions])

    def read(self, row: int) -> bytes:
        place = int(self.rows[row])
        found = self.dataset[place][self.column] or {}
        if found.get("bytes") is None and found.get("path"):
            return Path(found["path"]).read_bytes()
        return found.get("bytes") or b""

    def empty(self) -> list[int]:
        import pyarrow.compute as pc

        sizes = []
        for table in self.dataset.with_format("arrow").iter(BATCH):
            images = table[self.column].combine_chunks()
            of_bytes = pc.fill_null(pc.binary_length(pc.struct_field(images, "bytes")), 0)
            has_path = pc.fill_null(pc.binary_length(pc.struct_field(images, "path")), 0)
            # A path beside the bytes is a name alone; one without bytes is where they are.
            alone = pc.and_(pc.is_null(pc.struct_field(images, "bytes")), pc.greater(has_path, 0))
            sizes.append(np.asarray(pc.if_else(alone, 1, of_bytes)))
        return np.flatnonzero(np.concatenate(sizes)[self.rows] == 0).tolist()

    def identity(self) -> str:
        rows = np.ascontiguousarray(self.rows, np.int64).tobytes()
        return blake2b(self.fingerprint.encode() + rows, digest_size=8).hexdigest()


def _only(found: Sequence[str], asked: str | None, what: str, dataset: Any) -> str:
    if asked is not None and asked in dataset.features:
        return asked
    if asked is not None or len(found) != 1:
        several = f"several columns of {what}s, {', '.join(found)}"
        none = f"no column {asked or f'of {what}s'}, only {', '.join(dataset.features)}"
        raise ValueError(
            f"the data set has {several if asked is None and found else none}; pass {what}, the name of one, or leave "
            "one by select_columns"
        )
    return found[0]
