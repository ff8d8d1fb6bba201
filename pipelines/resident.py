"""Images that live in memory, handed to DALI a batch at a time."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixdali import derive_seed


class Shuffled:
    """Batch i of a stream without end: every epoch a new order of all rows, its last partial batch left out.

    arrays      of N rows each; a batch is the same rows of all of them.
    shard       (k, n): every n-th row of the order from the k-th on, as many on every rank.
    seed        the order depends on it and on the epoch alone.

    A pure function of i, so that DALI resumes it exactly.
    """

    def __init__(self, arrays: Sequence[NDArray], batch_size: int, shard: tuple[int, int], seed: int) -> None:
        self.arrays, self.batch_size, self.shard, self.seed = arrays, batch_size, shard, seed
        self.batches = len(arrays[0]) // shard[1] // batch_size
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __call__(self, i: int) -> tuple[NDArray, ...]:
        epoch, batch = divmod(i, self.batches)
        if self._epoch != epoch:
            everyone = np.random.default_rng(derive_seed(self.seed, "order", epoch)).permutation(len(self.arrays[0]))
            self._epoch, self._order = epoch, everyone[self.shard[0] :: self.shard[1]]
        rows = self._order[batch * self.batch_size : (batch + 1) * self.batch_size]
        return tuple(array[rows] for array in self.arrays)


class InOrder:
    """Batch i of a stream without end: every epoch all rows of the shard in order, the last batch perhaps smaller."""

    def __init__(self, arrays: Sequence[NDArray], batch_size: int, shard: tuple[int, int]) -> None:
        self.arrays, self.batch_size = arrays, batch_size
        self.rows = np.arange(len(arrays[0]))[shard[0] :: shard[1]]
        self.batches = (len(self.rows) + batch_size - 1) // batch_size

    def __call__(self, i: int) -> tuple[NDArray, ...]:
        start = i % self.batches * self.batch_size
        return tuple(array[self.rows[start : start + self.batch_size]] for array in self.arrays)
