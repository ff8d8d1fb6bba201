"""Images that live in memory, handed to DALI a batch at a time."""

from collections.abc import Callable, Sequence

from numpy.typing import NDArray

from mixdali import sampling


class _Rows:
    """Batch i: the same rows of all arrays."""

    def __init__(self, arrays: Sequence[NDArray], rows: Callable[[int], NDArray]) -> None:
        self._arrays, self._rows = arrays, rows

    def __call__(self, i: int) -> tuple[NDArray, ...]:
        rows = self._rows(i)
        return tuple(array[rows] for array in self._arrays)


class Shuffled(_Rows):
    """Every epoch a new order of the rows of `arrays`, N each; as in `mixdali.sampling.Shuffled`."""

    def __init__(self, arrays: Sequence[NDArray], batch_size: int, shard: tuple[int, int], seed: int) -> None:
        super().__init__(arrays, sampling.Shuffled(len(arrays[0]), batch_size, shard, seed))


class InOrder(_Rows):
    """Every epoch the rows of `arrays` in order; as in `mixdali.sampling.InOrder`."""

    def __init__(self, arrays: Sequence[NDArray], batch_size: int, shard: tuple[int, int]) -> None:
        super().__init__(arrays, sampling.InOrder(len(arrays[0]), batch_size, shard))
