"""Several loaders as one: every batch holds images of each."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mixdali.checks import boolean, count, positive_int
from mixdali.loading.clients import EpochSampler, has_state
from mixdali.loading.epochs import Place
from mixdali.loading.facts import check_alike
from mixdali.loading.handover import batch_type
from mixdali.mix import Mix
from mixdali.plan import Plan
from mixdali.ranks import check_rank, rank_of
from mixdali.seeds import derive_seed

MADE = ("mask", "weights", "unmixed", "plan")


class Joined:
    """The batches of two or more loaders, joined: `for batch in joined`, once for every epoch of the first loader.

        joined = mixdali.Joined([own, generated], mix=mixdali.CutMix())

    loaders       two or more that give batches with named fields (named tuples or dicts of tensors), have a length and
                  can be iterated again: `mixdali.Loader`, and others. Their batches always have as many images, so the
                  count of each is exact; a loader that hands out a smaller last batch is refused when it does.
    weights       a number for each loader, the weight of its images in the loss. None: none are handed out.
    mix           applied after joining: images of all loaders are each other's partners. None: nothing is mixed here.
                  The loaders themselves should then not mix.
    with_unmixed  the batch as it was before `mix` is handed out too,
    with_plan     and so is the plan, whose partners count through the joined batch.
    num_batches   batches of an epoch. None: those of the first loader, which begins anew with every epoch. A number:
                  the first loader too runs on from one of its epochs to the next.
    seed, rank    the draws of the mix follow from these, the epoch and the number of the batch. Every rank of a
                  distributed run has its own: rank=None is found as in `mixdali.mixed`.

    Batches are named tuples. Fields that all loaders have are concatenated in the order of the loaders, on the device
    where they are. Then come `mask` (N,) int64, the number of the loader that an image comes from, and, where asked
    for, `weights` (N,) float32, `unmixed` and `plan`. Of a mixed image they say where the image that keeps its place
    comes from. `images` (N, C, H, W) and `targets` (N, num_classes) are what is mixed.

    All loaders but the first run without end, through as many of their own epochs as it takes, and where the first one
    ends its epoch, or an epoch is left early, they go on where they are.

    Errors: TypeError and ValueError for arguments that cannot be right, for fields that do not fit together and for a
    loader without a full batch.
    """

    def __new__(cls, loaders: Sequence[Any] = (), *_: Any, **__: Any) -> "Joined":
        # Frameworks ask whoever has a state for it, so only what can be resumed has one.
        return super().__new__(ResumableJoined if cls is Joined and all(map(has_state, loaders)) else cls)

    def __init__(
        self,
        loaders: Sequence[Any],
        *,
        weights: Sequence[float] | None = None,
        mix: Mix | None = None,
        with_unmixed: bool = False,
        with_plan: bool = False,
        num_batches: int | None = None,
        seed: int = 0,
        rank: int | None = None,
    ) -> None:
        self.loaders = tuple(loaders)
        _check_loaders(self.loaders)
        if mix is not None and not isinstance(mix, Mix):
            raise TypeError(f"mix must be a method such as mixdali.CutMix(), got {mix!r}")
        for name, asked in (("with_unmixed", with_unmixed), ("with_plan", with_plan)):
            boolean(name, asked)
            if asked and mix is None:
                raise ValueError(f"{name} needs a mix, got mix=None")
        if num_batches is not None:
            positive_int("num_batches", num_batches)
        check_rank(rank)
        derive_seed(seed)
        self.weights = None if weights is None else _weights(weights, len(self.loaders))
        self.mix, self.with_unmixed, self.with_plan, self.num_batches = mix, with_unmixed, with_plan, num_batches
        self._from, self._rank = seed, rank
        self._place = Place()
        self._pass = 0  # times that iterating was begun
        self._running: list[Any] = [None] * len(self.loaders)  # where each loader is
        self._ahead = [0] * len(self.loaders)  # batches of each to leave out before its next one
        self._counts: list[int] | None = None  # images of each loader in a batch, once one was seen
        self._mask: Any = None
        self._image_weights: Any = None

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.loaders[0]) if self.num_batches is None else self.num_batches

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch; after `load_state_dict`, those of the loaded epoch that are still to come."""
        self._place.begin()
        self._pass += 1
        if self.num_batches is None:
            self._running[0] = None
        return self._batches(self._pass)

    def __getattr__(self, name: str) -> Any:
        if name in ("state_dict", "load_state_dict"):
            raise AttributeError(f"joined loaders have no {name} where one of them has none; resume with set_epoch")
        raise AttributeError(f"{type(self).__name__} has no {name}")

    @property
    def epoch(self) -> int:
        """The epoch that is under way, else the next one, counted from 0; after an epoch's last batch the next one."""
        return self._place.epoch

    def set_epoch(self, epoch: int) -> None:
        """The next pass is this epoch, from its first batch; if it is so anyway, nothing changes.

        Each loader is told where it is then, as if all epochs before had been whole ones: those that run without end
        go to their own epoch and leave out as many of its batches as were handed out. ValueError if one of them has no
        `set_epoch`.
        """
        count("epoch", epoch)
        if epoch == self._place.next_epoch:
            return
        for number, loader in enumerate(self.loaders):
            if not hasattr(loader, "set_epoch"):
                raise ValueError(
                    f"loader {number}, a {type(loader).__name__}, cannot go to epoch {epoch}: no set_epoch"
                )
        for number, loader in enumerate(self.loaders):
            first = number == 0 and self.num_batches is None
            own, self._ahead[number] = (epoch, 0) if first else divmod(epoch * len(self), len(loader))
            loader.set_epoch(own + 1)  # so that one in the middle of its own epoch goes back to its start
            loader.set_epoch(own)
        if self._place.entered:
            self._pass += 1
        self._place.move(epoch)
        self._running = [None] * len(self.loaders)

    @property
    def sampler(self) -> EpochSampler:
        """For frameworks that tell a loader's sampler the epoch."""
        return EpochSampler(self.set_epoch, lambda: len(self) * self.batch_size)

    @property
    def batch_size(self) -> int:
        """Images in a batch."""
        return sum(loader.batch_size for loader in self.loaders)

    def _batches(self, number: int) -> Iterator[Any]:
        while True:
            if number != self._pass:
                raise RuntimeError(
                    "this iterator's epoch was left when the loaders were iterated anew or their state replaced"
                )
            parts = self._parts()
            if parts is None:
                if self._place.entered:
                    self._place.move(self._place.epoch + 1)
                return
            joined = self._joined(parts, self._place.epoch, self._place.batch)
            last = self._place.count(len(self))
            yield joined
            if last:
                return

    def _parts(self) -> list[Any] | None:
        """A batch of each loader; None if the first one gives less than it says."""
        if self.num_batches is not None:
            return list(map(self._next, range(len(self.loaders))))
        if self._running[0] is None:
            self._running[0] = iter(self.loaders[0])
        own = next(self._running[0], None)
        return None if own is None else [own, *map(self._next, range(1, len(self.loaders)))]

    def _next(self, number: int) -> Any:
        """The next batch of a loader without end."""
        # One whose epoch has just ended gives nothing at first; and so does one that goes on from there.
        for _ in range(2):
            if self._running[number] is None:
                self._running[number] = iter(self.loaders[number])
            for _ in range(self._ahead[number]):
                next(self._running[number])
            self._ahead[number] = 0
            batch = next(self._running[number], None)
            if batch is not None:
                return batch
            self._running[number] = None
        raise ValueError(f"loader {number} gives no batches; its images do not fill one")

    @property
    def _seed(self) -> int:
        return derive_seed(self._from, "joined", rank_of(self._rank))

    def _joined(self, parts: Sequence[Any], epoch: int, batch: int) -> Any:
        import torch

        named = [_fields(number, part) for number, part in enumerate(parts)]
        names = [name for name in named[0] if all(name in other for other in named)]
        self._check_names(names)
        fields = {name: _concatenated(name, [part[name] for part in named]) for name in names}
        counts = [len(part["images"]) for part in named]
        self._check_counts(counts)
        if self._mask is None:
            mask = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
            self._mask = mask.to(fields["images"].device)
        # Copies, which a user may write to.
        fields["mask"] = self._mask.clone()
        if self.weights is not None:
            if self._image_weights is None:
                self._image_weights = torch.tensor(self.weights, device=self._mask.device)[self._mask]
            fields["weights"] = self._image_weights.clone()
        if self.mix is not None:
            rng = torch.Generator().manual_seed(derive_seed(self._seed, epoch, batch))
            fields |= self._mixed(self.mix, fields, rng, epoch)
        return batch_type(tuple(fields))(**fields)

    def _mixed(self, mix: Mix, fields: Mapping[str, Any], rng: Any, epoch: int) -> dict[str, Any]:
        images, targets = fields["images"], fields.get("targets")
        given = targets if targets is not None else fields.get("labels")
        plan: Plan = mix.draw(images, targets=given, rng=rng, epoch=epoch)
        mixed, mixed_targets = mix.apply(images, targets, plan)
        found = {"images": mixed} | ({} if targets is None else {"targets": mixed_targets})
        if self.with_unmixed:
            found["unmixed"] = images
        return found | ({"plan": plan} if self.with_plan else {})

    def _check_names(self, names: Sequence[str]) -> None:
        if "images" not in names:
            raise ValueError(f"all loaders must give images, they have in common {', '.join(names) or 'nothing'}")
        made = {"mask": True, "weights": self.weights is not None, "unmixed": self.with_unmixed, "plan": True}
        for name in MADE:
            if name in names and made[name]:
                raise ValueError(f"the loaders must not give {name!r} themselves: it is made where they are joined")

    def _check_counts(self, counts: list[int]) -> None:
        if self._counts is None:
            self._counts = counts
        for number, (found, usual) in enumerate(zip(counts, self._counts, strict=True)):
            if found != usual:
                raise ValueError(
                    f"loader {number} gave a batch of {found} images where others have {usual}; "
                    "let it drop its last partial batch"
                )


class ResumableJoined(Joined):
    """`Joined` of loaders that all have a state."""

    def state_dict(self) -> dict[str, Any]:
        """Where the mixing stands and where each loader does, for `load_state_dict`; every rank has its own."""
        return {
            **self._signature(),
            "counts": self._counts,
            "epoch": self._place.epoch,
            "batch": self._place.batch,
            "ahead": list(self._ahead),
            "loaders": [loader.state_dict() for loader in self.loaders],
        }

    def load_state_dict(self, state: dict[str, Any], *, exact: bool = True) -> None:
        """Go on where `state_dict` was taken: the next iteration gives what would have come next, to the byte.

        exact  False: each loader is asked for no more than that, as in `mixdali.Loader.load_state_dict`.

        ValueError if the state is one of other loaders; this object is then not to be used any more.
        """
        kept = state.get("loaders")
        if not isinstance(kept, list) or len(kept) != len(self.loaders):
            raise ValueError(
                f"the state is of {len(kept) if isinstance(kept, list) else 'no'} joined loaders, "
                f"here are {len(self.loaders)}"
            )
        here = self._signature()
        if any(state[name] != here[name] for name in ("seed", "num_batches")):
            raise ValueError("the state is of joined loaders with another seed, rank or num_batches")
        check_alike(state, {name: value for name, value in here.items() if name in state})
        for number, (loader, own) in enumerate(zip(self.loaders, kept, strict=True)):
            try:
                loader.load_state_dict(own, **({} if exact else {"exact": False}))
            except ValueError as error:
                raise ValueError(f"loader {number}: {error}") from error
        self._place.move(state["epoch"], state["batch"])
        self._counts, self._ahead = state["counts"], state.get("ahead", [0] * len(self.loaders))
        self._running = [None] * len(self.loaders)
        if state["batch"] == len(self):  # of a version that ended an epoch with its next batch
            self._place.move(state["epoch"] + 1)
        self._pass += 1

    def _signature(self) -> dict[str, Any]:
        """What must be alike for a state to fit; states from before there were `mix` and `weights` lack them."""
        return {
            "seed": self._seed,
            "num_batches": self.num_batches,
            "mix": repr(self.mix),
            "weights": None if self.weights is None else list(self.weights),
        }


def _check_loaders(loaders: Sequence[Any]) -> None:
    if len(loaders) < 2:
        raise ValueError(f"loaders must be two or more, got {len(loaders)}")
    if len(set(map(id, loaders))) < len(loaders):
        raise ValueError("loaders must be different ones, got one of them twice; make two")
    for number, loader in enumerate(loaders):
        if isinstance(loader, Iterator) or not hasattr(loader, "__iter__") or not hasattr(loader, "__len__"):
            raise TypeError(f"loader {number} must have a length and be iterable again, got {type(loader).__name__}")


def _weights(weights: Sequence[float], number: int) -> tuple[float, ...]:
    values = tuple(float(weight) for weight in weights)
    if len(values) != number:
        raise ValueError(f"weights must be one for each of the {number} loaders, got {len(values)}")
    if not all(math.isfinite(value) and value >= 0 for value in values) or not any(values):
        raise ValueError(f"weights must be numbers from 0 up, not all of them 0, got {values}")
    return values


def _fields(number: int, batch: Any) -> Mapping[str, Any]:
    if isinstance(batch, Mapping):
        return batch
    if hasattr(batch, "_asdict"):
        return batch._asdict()
    raise TypeError(f"loader {number} must give named tuples or dicts, got a batch that is a {type(batch).__name__}")


def _concatenated(name: str, parts: Sequence[Any]) -> Any:
    import torch

    if all(isinstance(part, list) for part in parts):
        return [entry for part in parts for entry in part]
    if not all(isinstance(part, torch.Tensor) for part in parts):
        raise TypeError(f"{name!r} must be a tensor in the batches of all loaders, got {type(parts[0]).__name__}")
    kinds = [(tuple(part.shape[1:]), part.dtype, part.device) for part in parts]
    for number, kind in enumerate(kinds):
        if kind != kinds[0]:
            raise ValueError(f"{name!r} does not fit together: {_told(0, kinds[0])}, {_told(number, kind)}")
    return torch.cat(list(parts))


def _told(number: int, kind: tuple[tuple[int, ...], Any, Any]) -> str:
    shape, dtype, device = kind
    sizes = ", ".join(map(str, ("N", *shape)))
    return f"loader {number} gives ({sizes}) {str(dtype).removeprefix('torch.')} on {device}"
