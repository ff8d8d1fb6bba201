"""Images and labels inside the batches of other people's loaders."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from mixdali.checks import fraction, positive_int
from mixdali.mix import Mix
from mixdali.pixels import to_float
from mixdali.targets import one_hot

Key = int | str


@dataclasses.dataclass(frozen=True)
class BatchMix:
    """Mixes a batch of any form, given a seed; the fields are the arguments of `mixdali.mixed`."""

    mix: Mix
    num_classes: int | None
    smoothing: float
    with_plan: bool
    images: Key
    targets: Key

    def __post_init__(self) -> None:
        if not isinstance(self.mix, Mix):
            raise TypeError(f"mix must be a method such as mixdali.MixUp(), got {self.mix!r}")
        if self.num_classes is not None:
            positive_int("num_classes", self.num_classes)
        fraction("smoothing", self.smoothing)
        if self.num_classes is None and self.smoothing:
            raise ValueError("smoothing needs num_classes: with num_classes=None labels stay class indices")
        if self.images == self.targets:
            raise ValueError(f"images and targets must be two entries of a batch, got {self.images!r} for both")

    def __call__(self, batch: Any, seed: int, epoch: int | None) -> Any:
        """The batch, mixed; with its plan if that was asked for."""
        import torch

        images = _pixels(self._tensor(batch, "images", self.images))
        labels = self._tensor(batch, "targets", self.targets)
        if labels.ndim == 0 or len(labels) != len(images):
            raise ValueError(f"a batch has {len(images)} images, but targets of the shape {tuple(labels.shape)}")
        targets = None if self.num_classes is None else self._probabilities(labels, self.num_classes)
        plan = self.mix.draw(images, targets=labels, rng=torch.Generator().manual_seed(seed), epoch=epoch)
        images, targets = self.mix.apply(images, targets, plan)
        changed = {self.images: images} if targets is None else {self.images: images, self.targets: targets}
        mixed = _replaced(batch, changed)
        return (mixed, plan) if self.with_plan or self.num_classes is None else mixed

    def labels(self, batch: Any) -> tuple[Any, int | None]:
        """The labels of a batch, and how many classes there are, where that is known."""
        return self._tensor(batch, "targets", self.targets), self.num_classes

    def _tensor(self, batch: Any, name: str, key: Key) -> Any:
        import torch

        value = _entry(batch, name, key)
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"entry {key!r} of a batch, its {name}, must be a torch tensor, got {type(value).__name__}")
        return value

    def _probabilities(self, labels: Any, num_classes: int) -> Any:
        if not labels.is_floating_point():
            return one_hot(labels, num_classes, self.smoothing)
        if self.smoothing:
            raise ValueError("smoothing is for class indices; these targets are floats already: smooth them before")
        if labels.ndim != 2 or labels.shape[1] != num_classes:
            raise ValueError(
                f"float targets must be (N, num_classes) = ({len(labels)}, {num_classes}), got {tuple(labels.shape)}"
            )
        return labels


def _pixels(images: Any) -> Any:
    few = [size in (1, 3, 4) for size in images.shape]
    # floats may well have many channels; in uint8 this is a batch of HWC images
    if not images.is_floating_point() and few[1:] == [False, False, True]:
        raise ValueError(f"images must be (N, C, H, W), got {tuple(images.shape)}; permute(0, 3, 1, 2) them first")
    return to_float(images)


def _entry(batch: Any, name: str, key: Key) -> Any:
    if isinstance(batch, Mapping):
        if key in batch:
            return batch[key]
        raise ValueError(f"{name}={key!r} is no key of a batch; it has {', '.join(map(repr, batch))}")
    if isinstance(key, str):
        if _has_fields(batch) and hasattr(batch, key):
            return getattr(batch, key)
        raise ValueError(f"{name}={key!r} is no field of a batch, which is a {type(batch).__name__}")
    if not isinstance(batch, (tuple, list)):
        raise TypeError(
            f"a batch must be a tuple, a list, a dict or a dataclass, got {type(batch).__name__}; "
            f"dicts and dataclasses need names, as in images='image', targets='label'"
        )
    if not 0 <= key < len(batch):
        raise ValueError(f"{name}={key} is no place of a batch of {len(batch)} entries")
    return batch[key]


def _replaced(batch: Any, changed: dict[Key, Any]) -> Any:
    """A batch of the same form; the given one stays as it is."""
    if dataclasses.is_dataclass(batch):
        return dataclasses.replace(batch, **changed)  # type: ignore[arg-type, type-var]
    if not isinstance(batch, tuple):
        batch = copy.copy(batch)
        for key, value in changed.items():
            batch[key] = value
        return batch
    names = getattr(batch, "_fields", ())
    places = {names.index(key) if isinstance(key, str) else key: value for key, value in changed.items()}
    values = [places.get(place, value) for place, value in enumerate(batch)]
    return batch._make(values) if names else type(batch)(values)  # type: ignore[attr-defined]


def _has_fields(batch: Any) -> bool:
    return hasattr(batch, "_fields") or dataclasses.is_dataclass(batch)
