"""What a further source of training images is, and its part of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mixdali.checks import require

GAUSSIAN = "gaussian"


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Further images, so many in every batch. They come in an order of their own, without end, and are shuffled anew
    whenever all of them were seen; validation split, subset and label noise are those of the training images alone.
    """

    root: str = GAUSSIAN
    """Where the images are: a folder with CIFAR's pickles or with folders of image files, an .npz with `image` and
    `label`, or a last.pt of train.generator, which draws them. "gaussian": drawn from a Gaussian that is fitted to
    the training images of each class."""
    share: float = 0.5
    """So much of every batch, at least one image; from 1 on so many images of every batch."""
    smoothing: float = 0.0
    """Label smoothing of these images. 1: every class is as likely and no labels are read, for images that belong to
    no class."""
    weight: float = 1.0
    """Weight of these images in the loss, for an objective that weighs; the training images have 1."""
    augment: bool = True
    """Random crop and flip."""
    num_images: int | None = None
    """Only so many of the images, drawn by the seed; None takes all. Of images that are drawn anew: so many, and None
    is as many as there are training images."""

    def __post_init__(self) -> None:
        require(bool(self.root), "streams: root", repr(self.root), "must be a folder, a file or gaussian")
        part = 0 < self.share < 1 or (math.isfinite(self.share) and self.share >= 1 and self.share % 1 == 0)
        require(part, "streams: share", self.share, "must be a share of the batch below 1 or a number of images")
        require(0 <= self.smoothing <= 1, "streams: smoothing", self.smoothing, "must be in [0, 1]")
        valid = math.isfinite(self.weight) and self.weight >= 0
        require(valid, "streams: weight", self.weight, "must not be negative")
        if self.num_images is not None:
            require(self.num_images > 0, "streams: num_images", self.num_images, "must be above 0, or None for all")

    @property
    def is_unlabelled(self) -> bool:
        """Whether its images belong to no class."""
        return self.smoothing == 1

    def count(self, batch_size: int) -> int:
        """How many images of a batch of `batch_size` are of this stream."""
        if self.share >= 1:
            return int(self.share)
        # As the code of Gowal et al. counts the other part, round(batch * ratio), with what 1 - 0.7 leaves of 0.3.
        others = round(round(batch_size * (1 - self.share), 9))
        return batch_size - min(max(others, 1), batch_size - 1)


def split_batch(streams: Sequence[Stream], batch_size: int) -> tuple[int, ...]:
    """How many images of a batch are training images, and how many are of each stream.

    Raises:
        ValueError: the streams leave no place for training images.
    """
    counts = [stream.count(batch_size) for stream in streams]
    own = batch_size - sum(counts)
    if own < 1 or min(counts, default=1) < 1:
        asked = ", ".join(map(str, counts))
        raise ValueError(
            f"streams take {asked} images of a batch of {batch_size}, which leaves none for the training images; "
            "lower --streams.0.share or raise --batch_size"
        )
    return (own, *counts)


def check_streams(streams: Sequence[Stream], objective: str, outputs: Sequence[str]) -> None:
    """ValueError unless an objective of this name, which asks for these fields of a batch, can use the streams."""
    for name in ("mask", "weights"):
        if name in outputs and not streams:
            raise ValueError(f"{objective} needs a stream of further images; pass --streams.0.root")
    for number, stream in enumerate(streams):
        if stream.weight != 1 and "weights" not in outputs:
            raise ValueError(f"streams.{number}.weight is {stream.weight:g}, but {objective} does not weigh images")
        if stream.is_unlabelled and "labels" in outputs:
            raise ValueError(f"streams.{number} has images of no class, but {objective} reads the labels of all images")
