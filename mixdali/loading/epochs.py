"""How an epoch falls into batches, and where in its epochs a loader stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """batches: how many are handed out. last: images of the last one. discarded: batches thrown away after it."""

    batches: int
    last: int
    discarded: int


def epoch_of(num_samples: int, batch_size: int, last_batch: str) -> Epoch:
    """An epoch of a pipeline whose source holds `num_samples` images and neither pads nor wraps."""
    if last_batch == "drop":
        return _dropping(num_samples, batch_size, discarded=0)
    batches = (num_samples + batch_size - 1) // batch_size
    return Epoch(batches, num_samples - (batches - 1) * batch_size, 0)


def epoch_of_reader(meta: Mapping[str, Any], batch_size: int, last_batch: str) -> Epoch:
    """An epoch of one shard of a DALI reader; `meta` is an entry of `pipeline.reader_meta()`.

    DALI's shards differ by at most one image; all ranks get the same number of batches when the last one is dropped.
    """
    total, shards, shard = meta["epoch_size"], meta["number_of_shards"], meta["shard_id"]
    largest = (total + shards - 1) // shards
    delivered = (largest + batch_size - 1) // batch_size
    if last_batch == "drop":
        smallest = total // shards
        return _dropping(smallest, batch_size, delivered - smallest // batch_size if meta["pad_last_batch"] else 0)
    if not meta["pad_last_batch"]:
        raise ValueError('last_batch="partial" needs a reader with pad_last_batch=True')
    if shards > 1 and not meta["stick_to_shard"]:
        raise ValueError('last_batch="partial" of a shard needs a reader with stick_to_shard=True')
    whole = epoch_of((shard + 1) * total // shards - shard * total // shards, batch_size, "partial")
    return Epoch(whole.batches, whole.last, delivered - whole.batches)


def epoch_of_pipeline(
    readers: Mapping[str, Mapping[str, Any]],
    sources: Sequence[tuple[int, int]],
    num_samples: int | None,
    batch_size: int,
    last_batch: str,
) -> tuple[Epoch, int]:
    """An epoch of a pipeline, and the images that all its shards hold.

    readers      `pipeline.reader_meta()`.
    sources      of Python sources: images in an epoch of their shard, and of all shards.
    num_samples  images in an epoch, as the user says.
    """
    if num_samples is None and not readers and len(sources) == 1:
        num_samples = sources[0][0]
    if num_samples is None:
        if len(readers) != 1:
            raise ValueError(
                f"num_samples must be given for a pipeline with {len(readers)} readers: images in an epoch"
            )
        reader = next(iter(readers.values()))
        return epoch_of_reader(reader, batch_size, last_batch), reader["epoch_size"]
    for samples, _ in sources:
        if samples != num_samples:
            raise ValueError(f"num_samples is {num_samples}, but the pipeline's source has {samples} in an epoch")
    return epoch_of(num_samples, batch_size, last_batch), max([num_samples, *(total for _, total in sources)])


def _dropping(num_samples: int, batch_size: int, discarded: int) -> Epoch:
    if num_samples < batch_size:
        raise ValueError(
            f"{num_samples} images an epoch do not fill one batch of {batch_size}; take a smaller batch_size"
        )
    return Epoch(num_samples // batch_size, batch_size, discarded)


@dataclass
class Place:
    """An epoch, counted from 0, and how many of its batches were handed out.

    After the last batch that is the next epoch's beginning, also for a loop that counts and never asks for more.

    entered  a pass has handed out a batch of this epoch, so that the next pass is the next epoch. Else the next pass
             is this epoch, or the rest of it if it was loaded from a state; so a pass may be begun more than once.
    """

    epoch: int = 0
    batch: int = 0
    entered: bool = False

    @property
    def next_epoch(self) -> int:
        """The epoch of the next pass."""
        return self.epoch + 1 if self.entered else self.epoch

    def begin(self) -> bool:
        """A new pass. -> whether it leaves an epoch early, which is over then."""
        left = self.entered
        if left:
            self.move(self.epoch + 1)
        return left

    def count(self, batches: int | None) -> bool:
        """A batch is handed out. -> whether it is the last one of so many in an epoch (None: nobody knows)."""
        self.batch, self.entered = self.batch + 1, True
        last = self.batch == batches
        if last:
            self.move(self.epoch + 1)
        return last

    def move(self, epoch: int, batch: int = 0) -> None:
        """To a place that no pass has entered."""
        self.epoch, self.batch, self.entered = epoch, batch, False
