"""Mixing in the workers of a torch DataLoader."""

from collections.abc import Callable
from typing import Any

from mixdali.checks import count
from mixdali.mix import Mix
from mixdali.ranks import check_rank, rank_of
from mixdali.seeds import derive_seed
from mixdali.wrapping.batches import BatchMix, Key


def collate(
    mix: Mix,
    *,
    num_classes: int | None,
    smoothing: float = 0.0,
    with_plan: bool = False,
    seed: int = 0,
    rank: int | None = None,
    images: Key = 0,
    targets: Key = 1,
    collate_fn: Callable[[list[Any]], Any] | None = None,
) -> "Collate":
    """A `collate_fn` for torch's DataLoader that mixes the batch it has collated; one for each DataLoader.

    collate_fn  makes the batch; None: torch's default_collate. The other arguments, the form of what comes out and the
                errors are those of `mixdali.mixed`.

    A collate function is told neither the epoch nor the number of its batch. So the draws follow from seed, rank and,
    in a worker, the seed torch gave that worker and how many batches it has collated: they differ for every batch,
    worker and epoch, and they repeat for the same `generator` of the DataLoader (or torch.manual_seed before each run)
    and the same num_workers, unless in_order=False. With num_workers=0 they follow from the count of batches since the
    function was made. rank=None is found as in `mixdali.mixed`, when a batch is collated or a worker is spawned. Where
    the draws must not hang on any of this, use `mixdali.mixed` around the DataLoader.

    `set_epoch(epoch)` of the function, called before the DataLoader is iterated, makes the draws follow from the epoch,
    the number of the worker and the count, and from no generator: so a run can be resumed at an epoch, though not
    within one. Workers that live on (persistent_workers=True) are not told.
    """
    check_rank(rank)
    derive_seed(seed)
    if isinstance(mix, Mix) and mix.uses_epoch:
        raise ValueError(
            "a collate function is not told the epoch, with which this mix changes; use mixdali.mixed around the loader"
        )
    mix_batch = BatchMix(mix, num_classes, smoothing, with_plan, images, targets)
    return Collate(mix_batch, collate_fn, seed, rank)


class Collate:
    """What `collate` returns."""

    def __init__(
        self, mix_batch: BatchMix, collate_fn: Callable[[list[Any]], Any] | None, seed: int, rank: int | None
    ) -> None:
        self._mix_batch, self._collate_fn, self._seed, self._rank = mix_batch, collate_fn, seed, rank
        self._epoch: int | None = None
        self._stream: tuple[int | str, ...] = ()
        self._count = 0

    def set_epoch(self, epoch: int) -> None:
        """The next batches are this epoch's first."""
        count("epoch", epoch)
        self._epoch, self._stream = epoch, ()

    def __call__(self, samples: list[Any]) -> Any:
        from torch.utils.data import default_collate, get_worker_info

        worker = get_worker_info()
        if self._epoch is not None:
            stream: tuple[int | str, ...] = ("epoch", self._epoch, -1 if worker is None else worker.id)
        else:
            stream = ("main" if worker is None else worker.seed,)
        if stream != self._stream:
            # also in a worker that was forked from a process where this function had been called
            self._stream, self._count = stream, 0
        seed = derive_seed(derive_seed(self._seed, "collate", rank_of(self._rank)), *stream, self._count)
        self._count += 1
        return self._mix_batch((self._collate_fn or default_collate)(samples), seed, None)

    def __getstate__(self) -> dict[str, Any]:
        # A worker that is spawned knows nothing of torch.distributed.
        return {**self.__dict__, "_rank": rank_of(self._rank)}
