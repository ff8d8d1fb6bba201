"""Which rows of a data set make batch i of a stream without end.

Pure functions of i, so that DALI resumes them exactly.
"""

from typing import Any

from mixdali.loading.epochs import epoch_of
from mixdali.seeds import derive_seed


class Shuffled:
    """Every epoch a new order of all rows, its last partial batch left out.

    shard        (k, n): every n-th row of the order from the k-th on, as many on every rank.
    seed         the order depends on it and on the epoch alone.
    num_samples  rows of this shard in an epoch, with those of the last partial batch.
    """

    def __init__(self, number: int, batch_size: int, shard: tuple[int, int], seed: int) -> None:
        check_shard(shard, number)
        self.num_samples = number // shard[1]
        self._batches = epoch_of(self.num_samples, batch_size, "drop").batches
        self._number, self._batch_size, self._shard, self._seed = number, batch_size, shard, seed
        self.facts = {"shard": shard, "items": number, "batch_size": batch_size, "seed": seed}
        self._epoch = -1
        self._order: Any = None

    def __call__(self, i: int) -> Any:
        """Rows of batch i, (batch_size,) int64."""
        import numpy as np

        epoch, batch = divmod(i, self._batches)
        if self._epoch != epoch:
            everyone = np.random.default_rng(derive_seed(self._seed, "order", epoch)).permutation(self._number)
            self._epoch, self._order = epoch, everyone[self._shard[0] :: self._shard[1]]
        return self._order[batch * self._batch_size : (batch + 1) * self._batch_size]


class InOrder:
    """Every epoch all rows of the shard in order, the last batch perhaps smaller. Arguments as in `Shuffled`."""

    def __init__(self, number: int, batch_size: int, shard: tuple[int, int]) -> None:
        check_shard(shard, number)
        self._rows = range(number)[shard[0] :: shard[1]]
        self.num_samples = len(self._rows)
        self._batches = epoch_of(self.num_samples, batch_size, "partial").batches
        self._batch_size = batch_size
        self.facts = {"shard": shard, "items": number, "batch_size": batch_size}

    def __call__(self, i: int) -> Any:
        """Rows of batch i, (batch_size,) or fewer, int64."""
        import numpy as np

        start = i % self._batches * self._batch_size
        return np.asarray(self._rows[start : start + self._batch_size], dtype=np.int64)


class Given:
    """Every epoch the same rows, in the order given: the k-th of n equal parts one after the other, the last partial
    batch left out.

    seed  what the rows follow from, for `facts`. Other arguments as in `Shuffled`.
    """

    def __init__(self, rows: Any, batch_size: int, shard: tuple[int, int], seed: int) -> None:
        check_shard(shard, len(rows))
        self.num_samples = len(rows) // shard[1]
        self._rows = rows[shard[0] * self.num_samples : (shard[0] + 1) * self.num_samples]
        self._batches = epoch_of(self.num_samples, batch_size, "drop").batches
        self._batch_size = batch_size
        self.facts = {"shard": shard, "items": len(rows), "batch_size": batch_size, "seed": seed}

    def __call__(self, i: int) -> Any:
        """Rows of batch i, (batch_size,) int64."""
        import numpy as np

        start = i % self._batches * self._batch_size
        return np.asarray(self._rows[start : start + self._batch_size], dtype=np.int64)


def check_shard(shard: tuple[int, int], number: int) -> None:
    rank, ranks = shard
    if not 0 <= rank < ranks:
        raise ValueError(f"shard must be (rank, number of ranks) with 0 <= rank < number, got {shard!r}")
    if number < ranks:
        raise ValueError(f"{number} images cannot be shared by {ranks} ranks")
