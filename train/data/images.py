"""Test images in batches, again and again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from train.attacks.images import check_images
from train.data.batches import find_pipeline
from train.data.sources import fingerprint
from train.machine.distributed import World
from train.machine.run import Run
from train.machine.stop import Stop
from train.recipe import Data

if TYPE_CHECKING:
    from pipelines.sources.source import Source


@dataclass(eq=False)
class HeldOutBatch:
    """A batch on the device of the networks."""

    images: Tensor
    """(N, 3, H, W) float32 in [0, 1], contiguous."""
    labels: Tensor
    """(N,) int64."""
    index: Tensor
    """(N,) int64, the places of the images in the full data set."""


@dataclass(frozen=True, eq=False)
class HeldOutImages:
    """Images in a fixed order. Every `iter` begins at the first one and builds its pipeline anew."""

    source: Source
    kind: Data
    num_classes: int
    size: tuple[int, int]
    """Height and width of what comes out."""
    batch_size: int
    world: World
    stop: Stop
    """Asked before every batch; it raises `Stopped`."""
    form: Mapping[str, Any] = field(default_factory=dict)
    """What else decides what comes out, as `train.data.batches.held_out_form` gives it."""

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[HeldOutBatch]:
        loader: Any = find_pipeline(self.kind).val_loader(
            self.source,
            batch_size=min(self.batch_size, len(self.source)),
            num_classes=self.num_classes,
            size=self.size,
            **self.form,
            outputs=("images", "labels", "index"),
            device=self.world.kind,
            num_threads=Run().threads(1),
        )
        for raw in loader:
            self.stop.check()
            images, labels, index = (part.to(self.world.device) for part in (raw.images, raw.labels, raw.index))
            check_images(images)
            yield HeldOutBatch(images.contiguous(), labels.long(), index.long())

    def select(self, places: Any) -> HeldOutImages:
        """Those at these places, in the order given; at least one."""
        return replace(self, source=self.source.select(places))

    def spread(self, number: int) -> HeldOutImages:
        """So many, evenly spread; all if there are no more."""
        return self.select(spread(len(self), number)) if number < len(self) else self


def spread(total: int, number: int | None) -> np.ndarray:
    """Rising places of at most so many of `total`, evenly spread; None: all."""
    if number is None or number >= total:
        return np.arange(total)
    return np.arange(number) * total // number


def identify_images(source: Source) -> dict[str, Any]:
    """What tells images, and which of the full data set they are."""
    return {
        "number": len(source),
        "fingerprint": fingerprint(source)[:12],
        "indices": hashlib.sha256(np.ascontiguousarray(source.index).tobytes()).hexdigest()[:12],
    }


def labels_of(images: HeldOutImages) -> Tensor:
    """(N,) int64 on the CPU."""
    return torch.from_numpy(np.array(images.source.labels, dtype=np.int64))
