"""What other people's loops read of a loader: its sampler and its dataset."""

from collections.abc import Callable, Iterator
from typing import Any


class EpochSampler:
    """The `sampler` of a loader: who tells it the epoch tells the loader.

    number  images that the loader hands out in an epoch.
    behind  the sampler that really draws, if there is one: its other attributes are found here too.
    """

    def __init__(self, set_epoch: Callable[[int], None], number: Callable[[], int], behind: Any = None) -> None:
        self.set_epoch, self._number, self._behind = set_epoch, number, behind

    def __len__(self) -> int:
        return self._number()

    def __iter__(self) -> Iterator[Any]:
        if self._behind is None:
            raise TypeError("the order is the pipeline's own; iterate the loader")
        return iter(self._behind)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self._behind is None:
            raise AttributeError(name)
        return getattr(self._behind, name)


class BatchSampler:
    """The `batch_sampler` of a loader: it holds the sampler, and whoever makes another loader of it is told what to do.

    instead  what that is.
    """

    def __init__(self, sampler: EpochSampler, number: int, batch_size: int | None, instead: str) -> None:
        self.sampler, self.batch_size = sampler, batch_size
        self._number, self._instead = number, instead

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[Any]:
        raise TypeError(f"a loader made anew of this one's parts would not be the same: {self._instead}")


class Images:
    """The `dataset` of a `mixdali.Loader`: a length, and nothing to read one by one."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, place: int) -> Any:
        raise TypeError("a DALI pipeline reads these images, in batches: iterate the mixdali.Loader")


def has_state(loader: Any) -> bool:
    """Whether its state can be taken and loaded. accelerate's loaders always have the methods, and look behind them."""
    behind = getattr(loader, "base_dataloader", loader)
    return all(callable(getattr(behind, name, None)) for name in ("state_dict", "load_state_dict"))
