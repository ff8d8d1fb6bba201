"""Images that attacks made: whether they are what they must be, and files of them.

No attack is believed. Whatever made an image, it counts only if it is finite, in [0, 1] and in the ball.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from train.evaluate.parts.shifts import Batches, Images, Networks, Remember, forget
from train.files.sealed import written

ORDERS = {"Linf": torch.inf, "L2": 2.0, "L1": 1.0}
SLACK = {"Linf": 1e-5, "L2": 1e-5, "L1": 1e-4}
"""Rounding of float32, over the radius; the L1 norm is a sum of thousands of pixels."""
LEAST = 1e-6
"""Rounding of a pixel."""

Keep = Callable[[str, Tensor], None]
"""A network's name, and (N, 3, H, W) the image that each of the images ended as, in their order."""


def check_adversarial(reached: Tensor, images: Tensor, eps: float, norm: str, made_by: str) -> None:
    """ValueError unless each of `reached` (N, ...) is finite, in [0, 1] and at most eps away from its image.

    Args:
        reached: what an attack made of the images.
        images: (N, ...) as they were, on the same device.
        eps: in units of images in [0, 1].
        norm: "Linf", "L2" or "L1".
        made_by: the attack, for the message.
    """
    if reached.shape != images.shape:
        raise ValueError(f"{made_by} made images of the shape {tuple(reached.shape)} of {tuple(images.shape)}")
    if not len(reached):
        return
    if not bool(reached.isfinite().all()):
        raise ValueError(f"{made_by} made images that are not finite; its numbers cannot be reported")
    low, high = (float(value) for value in reached.aminmax())
    if low < -LEAST or high > 1 + LEAST:
        raise ValueError(f"{made_by} left [0, 1]: its images hold values from {low:.6g} to {high:.6g}")
    far = float(distances(reached, images, norm).max())
    if far > eps * (1 + SLACK[norm]) + LEAST:
        raise ValueError(f"{made_by} left the ball: an image moved by {far:.6g} in {norm}, eps is {eps:.6g}")


def distances(reached: Tensor, images: Tensor, norm: str) -> Tensor:
    """(N,) how far each image moved, in double precision."""
    return torch.linalg.vector_norm((reached.double() - images.double()).flatten(1), ord=ORDERS[norm], dim=1)


@dataclass(frozen=True, eq=False)
class Saved:
    """The adversarial images of a file."""

    path: Path
    index: np.ndarray
    """(N,) of the images in their data set."""
    labels: np.ndarray
    """(N,)"""
    settings: Mapping[str, Mapping[str, Any]]
    """By attack its norm, eps, and what else it was set to."""
    images: Mapping[tuple[str, str], np.ndarray]
    """By attack and network (N, 3, H, W) float32."""


def write_adversarial(saved: Saved) -> None:
    """Write the file; it is always whole. An array for each attack and network, named `ATTACK/NETWORK`."""
    content: dict[str, Any] = {f"{attack}/{network}": images for (attack, network), images in saved.images.items()}
    content |= {"index": saved.index, "labels": saved.labels, "settings": np.array(json.dumps(saved.settings))}
    with written(saved.path) as aside, open(aside, "wb") as file:
        np.savez(file, **content)


def read_adversarial(path: Path) -> Saved:
    """A file of `write_adversarial`.

    Raises:
        FileNotFoundError, ValueError: there is none, or it is of something else; one line.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; --save_adversarial writes one")
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = dict(content)
        settings = json.loads(str(arrays.pop("settings")))
        index, labels = arrays.pop("index"), arrays.pop("labels")
        images = {(name.partition("/")[0], name.partition("/")[2]): values for name, values in arrays.items()}
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no file of adversarial images ({error}); --save_adversarial writes one") from error
    for (attack, network), values in images.items():
        if values.dtype != np.float32 or values.ndim != 4 or len(values) != len(index) or attack not in settings:
            raise ValueError(f"{path}: {attack}/{network} is not (N, 3, H, W) float32 for {len(index)} images")
    return Saved(path, index, labels, settings, images)


def measure_saved(networks: Networks, batches: Batches, saved: Saved, *, remember: Remember = forget) -> dict[str, Any]:
    """Accuracy on the adversarial images of a file, after a check of ball, range and finiteness.

    The images are read back as they were saved, so that the network that they were made on gets the accuracy that was
    reported then; for others it is the accuracy under transfer.

    Args:
        batches: the images that the adversarial ones were made of: the same, in the same order.
        remember: by attack, network of the file and batch.

    Returns:
        For each network, by `ATTACK/NETWORK` of the file: accuracy, 0 to 1.

    Raises:
        ValueError: the file is of other images, or what is in it is not in the ball.
    """
    hits: dict[str, dict[str, list[int]]] = {name: {} for name in networks}
    start = 0
    for number, batch in enumerate(batches):
        rows = slice(start, start + len(batch.images))
        if not np.array_equal(saved.index[rows], batch.index.cpu().numpy()):
            raise ValueError(f"{saved.path} holds adversarial images of other images; choose the same by --subset")
        if not np.array_equal(saved.labels[rows], batch.labels.cpu().numpy()):
            raise ValueError(f"{saved.path} was made with other labels than those of the data")
        start += len(batch.images)
        for (attack, network), images in saved.images.items():
            found = remember(f"{attack}/{network} {number}", _count(networks, batch, images[rows], saved, attack))
            for name, row in found.items():
                hits[name].setdefault(f"{attack}/{network}", []).extend(row)
    if start != len(saved.index):
        raise ValueError(f"{saved.path} holds {len(saved.index):,} images, {start:,} are evaluated; choose the same")
    return {name: {key: sum(row) / len(row) for key, row in own.items()} for name, own in hits.items()}


def _count(
    networks: Networks, batch: Images, images: np.ndarray, saved: Saved, attack: str
) -> Callable[[], dict[str, Any]]:
    def compute() -> dict[str, Any]:
        reached = torch.from_numpy(images).to(batch.images.device)
        own = saved.settings[attack]
        check_adversarial(reached, batch.images, own["eps"], own["norm"], f"{saved.path}: {attack}")
        with torch.no_grad():
            return {
                name: (network(reached).argmax(dim=1) == batch.labels).long().tolist()
                for name, network in networks.items()
            }

    return compute
