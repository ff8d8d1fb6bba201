"""How an epoch falls into batches."""

from collections.abc import Mapping
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


def _dropping(num_samples: int, batch_size: int, discarded: int) -> Epoch:
    if num_samples < batch_size:
        raise ValueError(
            f"{num_samples} images an epoch do not fill one batch of {batch_size}; take a smaller batch_size"
        )
    return Epoch(num_samples // batch_size, batch_size, discarded)
