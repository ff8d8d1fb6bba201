"""Further test images of the same classes, and further labels of the same images, by the lists that were published.

ImageNet-A and -R are folders with some of the classes, named as those of the network. ImageNet-V2 has folders named by
numbers. ReaL (Beyer et al., "Are we done with ImageNet?", 2020, arXiv:2006.07159) gives the validation images new
labels, several or none for an image.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from train.evaluate.parts.shifts import Batches, Networks, Remember, forget, read_logits

if TYPE_CHECKING:
    from pipelines.sources.source import Source

WNID = re.compile(r"n\d{8}")
NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})\.")


@dataclass(frozen=True, eq=False)
class Variant:
    """Other images of the network's classes."""

    source: Source
    """Labels are the network's."""
    classes: np.ndarray
    """Rising numbers of the classes that have images."""
    matched: str
    """How folders were matched with classes, in words."""


def read_variant(folder: Path, classes: Sequence[str]) -> Variant:
    """The images of a folder of class folders.

    Folders that are all named as classes of the network are those. Where they are all numbers, and the network has the
    1,000 classes of ImageNet by their wnids, sorted, they count these, as ImageNet-V2's do: 10 is the class after 9,
    not the one after 1. Whatever else there is, is refused.

    Args:
        folder: with class folders and nothing else.
        classes: the network's, in order.

    Raises:
        FileNotFoundError, ValueError: one line on what is missing or ambiguous.
    """
    from pipelines.sources.files import EXTENSIONS
    from pipelines.sources.source import Source

    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        raise FileNotFoundError(f"variants: there is no folder {folder}")
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
    if not names:
        raise ValueError(f"variants: {folder} has no class folders")
    numbers, matched = _match(folder, names, classes)
    paths, labels = list[str](), list[int]()
    for name in names:
        files = sorted(entry.path for entry in os.scandir(folder / name) if entry.name.lower().endswith(EXTENSIONS))
        if not files:
            raise ValueError(f"variants: {folder / name} holds no images")
        paths += files
        labels += [numbers[name]] * len(files)
    return Variant(Source(paths, np.array(labels)), np.array(sorted(numbers.values())), matched)


def _match(folder: Path, names: Sequence[str], classes: Sequence[str]) -> tuple[dict[str, int], str]:
    known = {name: number for number, name in enumerate(classes)}
    strangers = [name for name in names if name not in known]
    if not strangers:
        return {name: known[name] for name in names}, f"{len(names)} of {len(classes)} classes, by name"
    if all(name.isdecimal() for name in names):
        found = {name: int(name) for name in names}
        if len(classes) == 1000 and are_wnids(classes) and set(found.values()) == set(range(1000)):
            return found, "1,000 classes, by number in the order of their wnids"
        raise ValueError(
            f"variants: {folder} numbers its {len(names)} classes, which is clear only for a network of ImageNet's "
            f"1,000 wnids and folders 0 to 999, got {len(classes)} classes such as {classes[0]}; rename the folders"
        )
    raise ValueError(f"variants: {folder / strangers[0]} is none of the network's {len(classes)} classes")


def are_wnids(classes: Sequence[str]) -> bool:
    """Whether they are sorted names such as n01440764."""
    return all(WNID.fullmatch(name) for name in classes) and list(classes) == sorted(classes)


def measure_variants(
    networks: Networks,
    variants: Mapping[str, tuple[Variant, Batches]],
    *,
    remember: Remember = forget,
) -> dict[str, Any]:
    """Accuracy on other images of the classes.

    Returns:
        For each network, by name of the variant: `accuracy`, 0 to 1, where the greatest logit of the classes that the
        variant has decides, as ImageNet-A's and -R's authors count; `of_all_classes`, where that of all decides;
        `images` and `classes`, how many; `matched`, in words.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in networks}
    for title, (variant, batches) in variants.items():
        row = remember(title, partial(_count, networks, variant, batches))
        for name in networks:
            found[name][title] = row[name]
    return found


def _count(networks: Networks, variant: Variant, batches: Batches) -> dict[str, Any]:
    logits, labels = read_logits(networks, batches)
    facts = {"images": len(labels), "classes": len(variant.classes), "matched": variant.matched}
    counted = {}
    for name, values in logits.items():
        some = variant.classes[values[:, variant.classes.tolist()].argmax(dim=1).numpy()]
        accuracy = float((some == labels.numpy()).mean())
        of_all = float((values.argmax(dim=1) == labels).double().mean())
        counted[name] = {"accuracy": accuracy, "of_all_classes": of_all, **facts}
    return counted


def read_real(path: Path, source: Source, classes: Sequence[str]) -> list[frozenset[int]]:
    """The labels that ReaL gives each image of `source`, none or several.

    Args:
        path: its real.json, a list of lists of class numbers, in the order of the validation images' numbers.
        source: files of ImageNet's validation images, whose names hold their numbers.
        classes: the network's, in order; ImageNet's 1,000 wnids.

    Raises:
        FileNotFoundError, ValueError: one line on what is missing or does not fit.
    """
    if not path.is_file():
        raise FileNotFoundError(f"real: there is no file {path}")
    if len(classes) != 1000 or not are_wnids(classes):
        raise ValueError(f"real: {path} counts ImageNet's 1,000 wnids, the data have {len(classes)} classes")
    if isinstance(source.items, np.ndarray):
        raise ValueError("real: the data are images in memory, without the numbers of ImageNet's validation images")
    try:
        listed = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"real: {path} is no readable JSON ({error})") from error
    if not isinstance(listed, list) or not all(
        isinstance(row, list) and all(isinstance(one, int) and 0 <= one < 1000 for one in row) for row in listed
    ):
        raise ValueError(f"real: {path} must hold a list of lists of class numbers, 0 to 999")
    found = []
    for item in source.items:
        match = NUMBER.search(item.rpartition("/")[2])
        if match is None or not 1 <= int(match[1]) <= len(listed):
            rule = f"must be named ILSVRC2012_val_NUMBER, from 1 to {len(listed):,}, as many as {path.name} has"
            raise ValueError(f"real: {item} {rule}")
        found.append(frozenset(listed[int(match[1]) - 1]))
    if not any(found):
        raise ValueError(f"real: {path} has no label for any of these images")
    return found


def measure_real(networks: Networks, batches: Batches, wanted: Sequence[frozenset[int]]) -> dict[str, Any]:
    """Accuracy by labels of which an image has several; one without labels is not counted.

    Returns:
        For each network `accuracy`, 0 to 1, the share of the images with labels for which the greatest logit is one of
        them; `images`, how many these are; `without`, how many have none.
    """
    logits, _ = read_logits(networks, batches)
    counted = [place for place, labels in enumerate(wanted) if labels]
    return {name: _share(values, wanted, counted) for name, values in logits.items()}


def _share(logits: Tensor, wanted: Sequence[frozenset[int]], counted: Sequence[int]) -> dict[str, Any]:
    guesses = logits.argmax(dim=1).tolist()
    right = sum(guesses[place] in wanted[place] for place in counted)
    return {"accuracy": right / len(counted), "images": len(counted), "without": len(wanted) - len(counted)}
