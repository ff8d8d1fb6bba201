"""Mixing for any iterable of torch batches."""

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from mixdali.checks import count
from mixdali.loading.clients import BatchSampler, EpochSampler, has_state
from mixdali.loading.epochs import Place
from mixdali.loading.spread import spread_of_loader
from mixdali.mix import Mix
from mixdali.ranks import check_rank, find_ranks, rank_of
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
    rank: int | None = None,
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
                 the workers and threads of the loader do not matter. Every rank of a distributed run has its own draws:
                 rank=None is that of torch.distributed, else that in RANK or SLURM_PROCID, else 0; it is looked up when
                 a pass hands out its first batch, so that the loader may be made before the processes find each other.
                 A DataLoader that is not sharded while several processes run is warned of, once.
    images,      which entries of a batch they are: a place, or a key or field name. Nothing is guessed: dicts and
    targets      dataclasses need both names.

    Images are (N, C, H, W): uint8, which becomes float in [0, 1], or floats, which keep their dtype. Mixing commutes
    with normalising, so normalised images are right too; only for methods that fill with a colour or add noise is it
    another thing. Labels are class indices (N,), or floats (N, num_classes), soft or multi-hot, which are taken as
    they are.

    Further entries stay where they are. They belong to the image that keeps its place: the one that lam is the weight
    of. What belongs to the partner is `entry[plan.partner]`.

    What is returned has the loader's `len()` and its other attributes, and `set_epoch`, also on its `sampler`. Epochs
    are counted from 0, one for each pass, unless `set_epoch` says which one is next, here or on the loader's own
    DistributedSampler. It has `state_dict` and `load_state_dict` where the loader has them. Its
    `batch_sampler` cannot be iterated: of that frameworks make a loader anew, which would not mix.

    Where the loader is not known to shuffle, a warning says if the first batches hold far fewer classes than shuffled
    ones would, once.

    Errors: TypeError and ValueError for arguments and batches that cannot be right, naming the entry.
    """
    if isinstance(loader, Iterator) or not isinstance(loader, Iterable):
        raise TypeError(f"loader must be an iterable that can be gone through again, got {type(loader).__name__}")
    check_rank(rank)
    derive_seed(seed)
    mix_batch = BatchMix(mix, num_classes, smoothing, with_plan, images, targets)
    made = ResumableMixedLoader if has_state(loader) else MixedLoader
    return made(loader, mix_batch, seed, rank)


class MixedLoader:
    """What `mixdali.mixed` returns. Attributes it does not have itself are those of `loader`."""

    _own = frozenset(("loader", "_mix_batch", "_seed", "_rank", "_place", "_heard", "_warned", "_leave_out", "_spread"))

    def __init__(self, loader: Any, mix_batch: BatchMix, seed: int, rank: int | None) -> None:
        self.loader = loader
        self._mix_batch = mix_batch
        self._seed, self._rank = seed, rank
        self._place = Place()
        self._heard = 0  # the epoch that the loader's own sampler was told
        self._warned = False
        self._leave_out = 0  # batches of the next pass
        self._spread = spread_of_loader(loader)  # while the first batches are looked at

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        # copy and pickle look for methods of their own before there is a loader to ask
        if name in self._own or name.startswith("__"):
            raise AttributeError(name)
        if name == "collate_fn":
            raise AttributeError("what mixdali.mixed returns has no collate_fn: it mixes what the loader has collated")
        if name in ("state_dict", "load_state_dict"):
            raise AttributeError(
                f"a mixed {type(self.loader).__name__} has no {name}, since the loader has none that can be taken; "
                "resume with set_epoch, or wrap one that has (mixdali.Loader, torchdata's StatefulDataLoader)"
            )
        return getattr(self.loader, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # what is read from the loader is written to it
        through = name not in self._own and hasattr(self.loader, name)
        setattr(self.loader, name, value) if through else super().__setattr__(name, value)

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch; after `load_state_dict`, those of the loaded epoch that are still to come."""
        self._place.begin()
        # a place of its own, so that an earlier pass that goes on does not move it
        self._place = Place(self._place.epoch, self._place.batch)
        return self._batches(self._place)

    def _batches(self, place: Place) -> Iterator[Any]:
        # All this when the first batch is asked for: some frameworks iterate first and tell the epoch then.
        self._listen(place)
        self._warn_of_shards()
        seed = derive_seed(self._seed, "mixed", rank_of(self._rank))
        length, epoch, number = self._length(), place.epoch, place.batch
        left_out, self._leave_out = self._leave_out, 0
        for batch in iter(self.loader):
            if left_out:
                left_out, number = left_out - 1, number + 1
                continue
            drawn = derive_seed(seed, epoch, number)
            number += 1
            place.epoch, place.batch = epoch, number - 1
            place.count(length)
            mixed_batch = self._mix_batch(batch, drawn, epoch)
            if self._spread is not None and not self._spread.see(*self._mix_batch.labels(batch)):
                self._spread = None
            yield mixed_batch
        if place.entered:
            place.move(epoch + 1)

    def _length(self) -> int | None:
        try:
            return len(self.loader)
        except (TypeError, NotImplementedError):  # an iterable dataset without one
            return None

    @property
    def epoch(self) -> int:
        """The epoch that is under way, else the next one, counted from 0; after an epoch's last batch the next one."""
        return self._place.epoch

    @property
    def sampler(self) -> EpochSampler:
        """The loader's sampler, if it has one; who tells it the epoch tells the mixing too."""
        sampler = self.loader.sampler
        return EpochSampler(self.set_epoch, lambda: len(sampler), sampler)

    @property
    def batch_sampler(self) -> BatchSampler:
        """Holds the sampler; no other loader can be made of it, since that one would not mix."""
        self.loader.batch_sampler  # noqa: B018
        return BatchSampler(
            self.sampler,
            len(self),
            getattr(self.loader, "batch_size", None),
            "it would not mix. To go on in the middle of an epoch call skip_first_batches(n) of what mixdali.mixed "
            "returns; to shard, shard the loader and mix it then",
        )

    def set_epoch(self, epoch: int) -> None:
        """The next pass is this epoch. Told to the loader too, or else to its sampler, batch sampler and dataset.

        The epoch of a state that was loaded goes on where it was.
        """
        count("epoch", epoch)
        for told in [self.loader] if hasattr(self.loader, "set_epoch") else _parts(self.loader):
            if hasattr(told, "set_epoch"):
                told.set_epoch(epoch)
        self._heard = self._sampler_epoch()
        if epoch != self._place.next_epoch:
            if self._place.entered:
                self._place = Place()  # of the next pass; one under way keeps its own
            self._place.move(epoch)

    def skip_first_batches(self, number: int) -> None:
        """The next pass leaves out so many batches, which the loader still makes; the others are as they would be."""
        count("number", number)
        self._leave_out = number

    def _listen(self, place: Place) -> None:
        """Some loops tell the epoch to the loader's own sampler only."""
        epoch = self._sampler_epoch()
        if epoch != self._heard and epoch != place.epoch:
            place.move(epoch)
        self._heard = epoch

    def _sampler_epoch(self) -> int:
        for part in _parts(self.loader):
            epoch = getattr(part, "epoch", None)
            if hasattr(part, "set_epoch") and isinstance(epoch, int) and not isinstance(epoch, bool):
                return epoch
        return self._heard

    def _warn_of_shards(self) -> None:
        ranks = find_ranks()[1]
        if ranks == 1 or self._warned or _is_sharded(self.loader):
            return
        self._warned = True
        warnings.warn(
            f"{ranks} processes run, and the loader that is mixed is not sharded: each of them sees all images, in an "
            "order of its own. Shard it first and mix it then: give it a DistributedSampler, or write "
            "mixdali.mixed(accelerator.prepare(loader), ...)",
            stacklevel=3,
        )


class ResumableMixedLoader(MixedLoader):
    """A `MixedLoader` of a loader that has a state."""

    def state_dict(self) -> dict[str, Any]:
        """Where the mixing stands and where the loader stands; a state of its own on every rank."""
        place = {"epoch": self._place.epoch, "batch": self._place.batch}
        return {**self._signature(), **place, "loader": self.loader.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken. ValueError if the state is another loader's, or of another mix."""
        here = self._signature()
        for name, value in here.items():
            # states from before there were the others tell the seed alone, made of seed and rank
            if name in state and state[name] != value:
                if name == "seed":
                    raise ValueError("the state is of a loader with another seed or rank")
                raise ValueError(f"the state is of a loader whose {name} is {state[name]!r}, here {value!r}")
        if "loader" not in state or "seed" not in state:
            raise ValueError(
                "the state is of another kind of loader: none with a state of its own, "
                f"here a {type(self.loader).__name__}"
            )
        self.loader.load_state_dict(state["loader"])
        self._place = Place(state["epoch"], state["batch"])
        if self._place.batch and self._place.batch == self._length():  # from before an epoch ended with its last batch
            self._place.move(state["epoch"] + 1)
        self._heard = self._sampler_epoch()

    def _signature(self) -> dict[str, Any]:
        """What must be alike for a state to fit."""
        mixing = self._mix_batch
        return {
            "seed": derive_seed(self._seed, "mixed", rank_of(self._rank)),
            "mix": repr(mixing.mix),
            "num_classes": mixing.num_classes,
            "smoothing": mixing.smoothing,
        }


def _parts(loader: Any) -> list[Any]:
    """What of a loader may be told the epoch, the first that has one first."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    parts = [getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None)]
    found = [*parts, getattr(loader, "dataset", None)]
    return [part for place, part in enumerate(found) if part is not None and part not in found[:place]]


def _is_sharded(loader: Any) -> bool:
    """False only where it is known: for torch's own samplers, which know of no ranks."""
    import torch.utils.data as data

    plain = (data.RandomSampler, data.SequentialSampler, data.SubsetRandomSampler, data.WeightedRandomSampler)
    batches = getattr(loader, "batch_sampler", None)
    return type(getattr(loader, "sampler", None)) not in plain or type(batches) not in (data.BatchSampler, type(None))
