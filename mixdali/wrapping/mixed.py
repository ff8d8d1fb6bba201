"""Mixing for any iterable of torch batches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mixdali.checks import count
from mixdali.mix import Mix
from mixdali.seeds import derive_seed
from mixdali.wrapping.batches import BatchMix, Key


def mixed(
    loader: Any,
    mix: Mix,
    *,
    num_classes: int | None,
    smoothing: float = 0.0,
    with_plan: bool = False,
    seed: int = 0,
    rank: int = 0,
    images: Key = 0,
    targets: Key = 1,
) -> "MixedLoader":
    """The loader's batches, in their own form and on their own device, with images and labels mixed.

    loader       any iterable of batches that can be gone through again: torch's DataLoader, timm's loaders, a
                 WebDataset loader, torchdata's StatefulDataLoader, a list. A batch is a tuple, a named tuple, a list,
                 a dict or a dataclass. It is left as it is; what is handed out is a new one.
    num_classes  labels become probabilities (N, num_classes). None: they stay as they are and every item is
                 `(batch, plan)`, the compact form: image n has the labels n and plan.partner[n] with the weights
                 plan.lam[n] and 1 - plan.lam[n]; `mixdali.mixed_loss` computes with it.
    smoothing    label smoothing in [0, 1], for class indices only.
    with_plan    every item is `(batch, plan)`, with the batch mixed in full.
    seed, rank   the draws of a batch follow from these, the epoch and the number of the batch, and from nothing else:
                 the workers and threads of the loader do not matter. Every rank of a distributed run gives its own.
    images,      which entries of a batch they are: a place, or a key or field name. Nothing is guessed: dicts and
    targets      dataclasses need both names.

    Images are (N, C, H, W): uint8, which becomes float in [0, 1], or floats, which keep their dtype. Mixing commutes
    with normalising, so normalised images are right too; only for methods that fill with a colour or add noise is it
    another thing. Labels are class indices (N,), or floats (N, num_classes), soft or multi-hot, which are taken as
    they are.

    Further entries stay where they are. They belong to the image that keeps its place: the one that lam is the weight
    of. What belongs to the partner is `entry[plan.partner]`.

    What is returned has the loader's `len()` and its other attributes, `set_epoch`, `state_dict` and `load_state_dict`.
    Epochs are counted from 0, one for each pass.

    Errors: TypeError and ValueError for arguments and batches that cannot be right, naming the entry.
    """
    if isinstance(loader, Iterator) or not isinstance(loader, Iterable):
        raise TypeError(f"loader must be an iterable that can be gone through again, got {type(loader).__name__}")
    count("rank", rank)
    mix_batch = BatchMix(mix, num_classes, smoothing, with_plan, images, targets)
    return MixedLoader(loader, mix_batch, derive_seed(seed, "mixed", rank))


@dataclass
class _Place:
    """An epoch, and how many of its batches were handed out."""

    epoch: int = 0
    batch: int = 0


class MixedLoader:
    """What `mixdali.mixed` returns. Attributes it does not have itself are those of `loader`."""

    def __init__(self, loader: Any, mix_batch: BatchMix, seed: int) -> None:
        self.loader = loader
        self._mix_batch = mix_batch
        self._seed = seed
        self._place = _Place()
        self._resumed = False  # the next pass is the rest of an epoch

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        # copy and pickle look for methods of their own before there is a loader to ask
        if name == "loader" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch; after `load_state_dict`, those of the loaded epoch that are still to come."""
        if self._place.batch and not self._resumed:
            self._place = _Place(self._place.epoch + 1)
        self._resumed = False
        # a place of its own, so that an earlier pass that goes on does not move it
        self._place = _Place(self._place.epoch, self._place.batch)
        return self._batches(iter(self.loader), self._place)

    def _batches(self, batches: Iterator[Any], place: _Place) -> Iterator[Any]:
        for batch in batches:
            seed = derive_seed(self._seed, place.epoch, place.batch)
            place.batch += 1
            yield self._mix_batch(batch, seed, place.epoch)
        place.epoch, place.batch = place.epoch + 1, 0

    @property
    def epoch(self) -> int:
        """The epoch that is under way, else the next one, counted from 0."""
        return self._place.epoch

    def set_epoch(self, epoch: int) -> None:
        """The next pass is this epoch. Told to the loader too, or else to its sampler and batch sampler.

        The epoch of a state that was loaded goes on where it was.
        """
        count("epoch", epoch)
        if not (self._resumed and epoch == self._place.epoch):
            self._place, self._resumed = _Place(epoch), False
        samplers: list[Any] = [getattr(self.loader, name, None) for name in ("sampler", "batch_sampler")]
        for told in [self.loader] if hasattr(self.loader, "set_epoch") else samplers:
            if hasattr(told, "set_epoch"):
                told.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Where the mixing stands and, if the loader can tell, where the loader stands.

        RuntimeError in the middle of an epoch of a loader without `state_dict`: it could not go on from there. Between
        epochs there is nothing to go on from, and the order of the next one is the loader's own affair.
        """
        state: dict[str, Any] = {"seed": self._seed, "epoch": self._place.epoch, "batch": self._place.batch}
        if hasattr(self.loader, "state_dict"):
            state["loader"] = self.loader.state_dict()
        elif self._place.batch:
            raise RuntimeError(
                f"a {type(self.loader).__name__} cannot be resumed in the middle of an epoch: it has no state_dict; "
                "take the state after the epoch, or wrap a loader that has one (mixdali.Loader, StatefulDataLoader)"
            )
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken. ValueError if the state is another loader's."""
        if state.get("seed") != self._seed:
            raise ValueError("the state is of a loader with another seed or rank")
        if ("loader" in state) != hasattr(self.loader, "load_state_dict"):
            raise ValueError(
                f"the state is of another kind of loader: {'one' if 'loader' in state else 'none'} with a state "
                f"of its own, here a {type(self.loader).__name__}"
            )
        if "loader" in state:
            self.loader.load_state_dict(state["loader"])
        self._place = _Place(state["epoch"], state["batch"])
        self._resumed = self._place.batch > 0
