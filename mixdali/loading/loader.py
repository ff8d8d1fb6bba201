"""From a DALI pipeline to torch batches."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from mixdali.checks import count, one_of, positive_int
from mixdali.loading.clients import BatchSampler, EpochSampler, Images
from mixdali.loading.epochs import Epoch, Place, epoch_of_pipeline
from mixdali.loading.facts import check_alike, check_counts, graph_facts, is_random, python_samples, warn_unless_sharded
from mixdali.loading.handover import Fields
from mixdali.loading.runs import Runs, build
from mixdali.loading.spread import Spread, spread_of

OF_A_FUNCTION = (
    "make the loader with a function, Loader(lambda epoch, checkpoint: my_pipeline(..., checkpoint=checkpoint)), "
    "whose pipeline's seed follows from the epoch"
)


class Loader:
    """An iterable of torch batches with a length: `for images, targets in loader`, once for every epoch.

    pipeline     a DALI pipeline, or a function `(epoch, checkpoint) -> Pipeline` that makes one whose shuffling starts
                 at that epoch (derive its seed from the epoch), restored from `checkpoint` (bytes or None). Only with a
                 function can the loader go to any epoch, be resumed (`state_dict`), and leave an epoch early at no
                 cost; a bare pipeline runs the rest of a left epoch unseen.
    outputs      a name for each output of the pipeline, in order. Batches are named tuples of tensors, so named.
                 Names "plan.partner", "plan.lam", ... are gathered into one field `plan`, a `mixdali.Plan`.
    num_samples  images in an epoch of this pipeline. None asks the pipeline's reader or its `DatasetSource`; a
                 pipeline without one of them needs it.
    last_batch   "drop": every batch has the pipeline's full size, the rest of the epoch is left out (training).
                 "partial": every image once, the last batch may be smaller (validation).
    tables       for outputs that are places in a table, such as file names, which no tensor holds: the table by the
                 output's name. A batch has the list of its entries.
    batches_per_run
                 batches that lie one after the other in the outputs of a run of the pipeline, whose batch size is that
                 of all together. Small images need it: what DALI does for a batch can cost more than their pixels.
                 Such a pipeline goes on without end; it needs `num_samples` and last_batch="drop". Partners in a plan
                 count within a batch. The batches of a run share their memory: who keeps one keeps all.

    continuous   of a function. False: every epoch has a pipeline of its own. True: the one made for an epoch goes on to
                 the next as one made for the next would begin, so that it may serve all: nothing is random, or the
                 source alone is, and knows the epoch. None: False if the function makes another pipeline for the next
                 epoch, with other seeds or other arguments; if it makes the same again, that one goes on from epoch to
                 epoch.

    facts        what must be alike beside the pipeline's definition for a state to fit, by name: what a Python source
                 reads, for one. A source can also say so itself, in an attribute `facts`.

    What is handed out for an epoch is the same whether the loader came there epoch by epoch, by `set_epoch` or by a
    state. Batches can be pickled.

    Tensors lie where the pipeline's outputs do, without a copy where DALI's executor allows it.

    A reader with `pad_last_batch=True` begins every epoch with the first image of its own: what it pads at the end is
    thrown away ("drop") or cut off ("partial"). A reader without padding runs on instead, so that a batch can hold
    images of two epochs; with "partial" it is refused.

    Of a training pipeline that does not shuffle, or within a buffer alone, the classes in the first batches are
    counted; where they are far fewer than shuffled images would have, a warning says how many, once.

    The pipeline is built when it is first needed. Errors: ValueError for settings that cannot be right, for an image
    that cannot be decoded and for a label outside its classes, TypeError for images that a mix cannot take,
    RuntimeError for whatever else stops DALI.
    """

    def __new__(cls, pipeline: Any = None, *_: Any, **__: Any) -> "Loader":
        # Frameworks ask whoever has a state for it, so only a loader that can be resumed has one.
        return super().__new__(cls if hasattr(pipeline, "run") or cls is not Loader else ResumableLoader)

    def __init__(
        self,
        pipeline: Any,
        outputs: Sequence[str] = ("images", "targets"),
        *,
        num_samples: int | None = None,
        last_batch: Literal["drop", "partial"] = "drop",
        tables: Mapping[str, Sequence[Any]] | None = None,
        batches_per_run: int = 1,
        continuous: bool | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        one_of("last_batch", last_batch, ("drop", "partial"))
        positive_int("batches_per_run", batches_per_run)
        if num_samples is not None:
            positive_int("num_samples", num_samples)
        if batches_per_run > 1 and (num_samples is None or last_batch != "drop"):
            raise ValueError(
                f'batches_per_run={batches_per_run} needs num_samples and last_batch="drop", '
                f"got {num_samples} and {last_batch!r}"
            )
        if not hasattr(pipeline, "run") and not callable(pipeline):
            raise TypeError(f"pipeline must be a DALI Pipeline or a function that makes one, got {pipeline!r}")
        self.outputs = tuple(outputs)
        self.num_samples = num_samples
        self.last_batch = last_batch
        self.tables = dict(tables or {})
        self.batches_per_run = batches_per_run
        self.continuous = continuous
        self.facts = {name: str(value) for name, value in (facts or {}).items()}
        self._fields = Fields(self.outputs, self.tables)
        self._bare = pipeline if hasattr(pipeline, "run") else None
        self._make: Callable[[int, bytes | None], Any] = pipeline
        if self._bare is not None:
            self._make = lambda epoch, checkpoint: pipeline
        self._same: bool | None = None  # whether the function makes one pipeline for all epochs; None: not known yet
        self._random: bool | None = None  # whether epochs may differ
        self._warned = False
        self._spread: Spread | None = None  # while the first batches are looked at
        self._looked = last_batch == "partial"  # batches of a validation may be in any order
        self._runs: Runs | None = None
        self._process = 0  # the one that built the pipeline
        self._shape: Epoch | None = None
        self._images = 0  # in an epoch of all shards
        self._refusal = ""
        self._start = 0  # the epoch the pipeline was made for
        self._place = Place()
        self._left: int | None = None  # batches of the epoch before that were left out, until this one is entered
        self._skip = 0  # batches to throw away before the next one
        self._pass = 0  # times that iterating was begun; a number, since an iterator here would be a reference cycle

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._epoch_shape().batches

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch; after `load_state_dict`, those of the loaded epoch that are still to come."""
        batch = self._place.batch
        if self._place.begin():
            self._left = self._epoch_shape().batches - batch
        self._pass += 1
        return _EpochIterator(self, self._pass)

    def __getattr__(self, name: str) -> Any:
        if name in ("state_dict", "load_state_dict"):
            raise AttributeError(f"the loader of a bare pipeline has no {name}: {OF_A_FUNCTION}")
        raise AttributeError(f"{type(self).__name__} has no {name}")

    @property
    def epoch(self) -> int:
        """The epoch that is under way, else the next one, counted from 0; after an epoch's last batch the next one."""
        return self._place.epoch

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is this epoch, from its first batch; if it is so anyway, nothing changes.

        A state that was loaded in the middle of this epoch goes on there. RuntimeError for a pipeline that cannot begin
        at any epoch: a bare one, or the same one for every epoch, with something random in it.
        """
        count("epoch", epoch)
        if epoch == self._place.next_epoch:
            return
        if (self._bare or self._runs) and not self._is_random():  # all its epochs are alike
            batch = self._place.batch
            self._left = self._epoch_shape().batches - batch if batch else self._left
            left_early = self._place.entered
            self._place.move(epoch)
        elif self._begins_anywhere():
            left_early = self._place.entered
            self._go_to(epoch)
        else:
            which = "a pipeline" if self._bare else "a function that makes the same pipeline for all epochs"
            raise RuntimeError(
                f"{which} goes on to epoch {self._place.next_epoch} and cannot be set to {epoch}: {OF_A_FUNCTION}"
                f"{'' if self._bare else ', or say continuous=True or False'}"
            )
        self._pass += left_early

    def release(self) -> None:
        """Free the pipeline's threads and memory. For the next batch that is asked for it is built anew.

        What comes next is what would have come: between two epochs the next one. An epoch that is under way is over, as
        it is when iterating is begun anew. RuntimeError for a pipeline that cannot begin there: a bare one, the same
        one for every epoch with something random in it, or one that a state put into the middle of an epoch.
        """
        if self._runs is None:
            return
        if self._place.batch and not self._place.entered:
            raise RuntimeError(
                "a loader that a state put into the middle of an epoch cannot be released before it went on"
            )
        if self._bare is not None or not (self._begins_anywhere() or not self._is_random()):
            raise RuntimeError(f"a pipeline that cannot be made anew for one epoch cannot be released: {OF_A_FUNCTION}")
        left_early = self._place.entered
        self._go_to(self._place.next_epoch)
        self._pass += left_early

        from nvidia.dali import backend  # which the pipeline has loaded

        # What a pipeline gives back stays in DALI's pools, where nobody else can take it.
        backend.ReleaseUnusedMemory()  # type: ignore[attr-defined]

    @property
    def batch_size(self) -> int:
        """Images in a full batch."""
        return self._built().batch_size

    @property
    def dataset(self) -> Images:
        """Images of an epoch, of all shards where that is known. It has a length and no items."""
        self._epoch_shape()
        return Images(self._images)

    @property
    def sampler(self) -> EpochSampler:
        """For frameworks that tell a loader's sampler the epoch; its length is the images handed out in an epoch."""

        def number() -> int:
            shape = self._epoch_shape()
            return (shape.batches - 1) * self.batch_size + shape.last

        return EpochSampler(self.set_epoch, number)

    @property
    def batch_sampler(self) -> BatchSampler:
        """Holds the sampler; no other loader can be made of it."""
        return BatchSampler(self.sampler, len(self), self.batch_size, "iterate the mixdali.Loader")

    def _begins_anywhere(self) -> bool:
        """Whether the function makes a pipeline for any epoch."""
        if self._bare is not None:
            return False
        if self.continuous is None and self._same is None:
            here = graph_facts(self._make(self._start, None)) if self._runs is None else self._runs.facts
            self._same = here == graph_facts(self._make(self._start + 1, None))
        return not self._same

    def _is_random(self) -> bool:
        if self._random is None:
            self._random = is_random(self._pipeline())
        return self._random

    def _pipeline(self) -> Any:
        return self._make(self._start, None) if self._runs is None else self._runs.pipeline

    def _epoch_shape(self) -> Epoch:
        if self._shape is None:
            self._built()
        assert self._shape is not None
        return self._shape

    def _built(self) -> Runs:
        if self._runs is None:
            self._runs = self._new(self._start, None)
        self._check_process()
        return self._runs

    def _check_process(self) -> None:
        if self._runs is not None and self._process != os.getpid():
            raise RuntimeError(
                f"this loader's pipeline was built in process {self._process} and cannot be used in a fork of it, "
                f"{os.getpid()}: make the loader in the process that iterates it"
            )

    def _new(self, start: int, checkpoint: bytes | None) -> Runs:
        pipeline = self._make(start, checkpoint)
        self._refusal = build(pipeline) or self._refusal
        runs = Runs(pipeline, self.outputs, self.batches_per_run)
        self._shape, self._images = epoch_of_pipeline(
            pipeline.reader_meta(), python_samples(pipeline), self.num_samples, runs.batch_size, self.last_batch
        )
        self._process = os.getpid()
        check_counts(pipeline, None if self._bare else start, self._shape.batches + self._shape.discarded)
        if self.last_batch == "drop" and not self._warned:
            self._warned = warn_unless_sharded(pipeline)
        if not self._looked:
            self._spread, self._looked = spread_of(pipeline), True
        return runs

    def _go_to(self, epoch: int) -> None:
        """To the start of an epoch, with a pipeline of its own."""
        self._check_process()
        self._runs = None  # frees its threads and memory before the next one takes its own
        self._start, self._skip, self._left = epoch, 0, None
        self._place.move(epoch)

    def _enter(self) -> None:
        """Get ready for the next batch, where the epoch before it has ended."""
        if self._left is None:
            return
        left, self._left = self._left, None
        if self._begins_anywhere() and (left or not self.continuous):
            self._go_to(self._place.epoch)
        else:
            self._skip += left + self._epoch_shape().discarded

    def _next(self) -> tuple[Any, bool]:
        """A batch, and whether it is the last one of its epoch."""
        self._enter()
        runs, shape = self._built(), self._epoch_shape()
        while self._skip:
            self._take(runs)
            self._skip -= 1
        size = shape.last if self._place.batch == shape.batches - 1 else runs.batch_size
        batch = self._take(runs)
        if self._place.batch == 0 and len(batch[0]) < size:
            batch = self._take(runs)  # that was the short end of the epoch before, which is to be dropped
        if len(batch[0]) < size:
            raise RuntimeError(
                f"the pipeline gave {len(batch[0])} images for batch {self._place.batch} instead of {size}; "
                f"num_samples is {self.num_samples}"
            )
        last = self._place.count(shape.batches)
        if last:
            self._left = 0
        if self._spread is not None:
            named = dict(zip(self.outputs, batch, strict=False))
            if not self._spread.see(named.get("targets", named.get("labels"))):
                self._spread = None
        return self._fields([tensor[:size] for tensor in batch] if size < runs.batch_size else batch), last

    def _take(self, runs: Runs) -> list[Any]:
        try:
            return runs.take()
        except StopIteration:
            if self._place.batch:
                raise RuntimeError(
                    f"the pipeline's source ended after {self._place.batch} batches of an epoch of {len(self)}: "
                    f"num_samples is {self.num_samples}, the source holds less"
                ) from None
            runs.pipeline.reset()
            return runs.take()


class ResumableLoader(Loader):
    """A `Loader` of a function that makes pipelines: it has a state."""

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands, down to every random draw, for `load_state_dict`: plain values and one uint8 tensor.

        Every rank of a distributed run has a state of its own. RuntimeError for a pipeline that cannot be resumed
        exactly: one made without `enable_checkpointing=True`, or with a source that DALI cannot rewind (a generator, an
        iterable).
        """
        import torch

        self._enter()
        runs = self._built()
        if self._refusal:
            raise RuntimeError(f"this pipeline cannot be resumed: {self._refusal}")
        fresh = self._place == Place(self._start) and not self._skip
        try:
            checkpoint, since = (b"", 0) if fresh else runs.state()
        except RuntimeError as error:
            raise RuntimeError(
                "a pipeline that is to be resumed must be made with enable_checkpointing=True"
            ) from error
        return {
            **self._signature(runs.pipeline, runs.facts),
            **self._length(),
            "start": self._start,
            "epoch": self._place.epoch,
            "batch": self._place.batch,
            "skip": self._skip + since,
            "pipeline": torch.frombuffer(bytearray(checkpoint), dtype=torch.uint8)
            if checkpoint
            else torch.empty(0, dtype=torch.uint8),
        }

    def load_state_dict(self, state: dict[str, Any], *, exact: bool = True) -> None:
        """Go on where `state_dict` was taken: the next iteration gives what would have come next, to the byte.

        exact  False takes also a state of another version of DALI or of a pipeline of other operators, such as those of
               another device: only its epoch and its place there, as many batches are still to come. They, and all
               epochs after them, may come in a new order. The data, the shard and the sizes must be the same.

        ValueError if the state is another loader's (another shard's, or of other images, settings or seeds), which then
        stays as it was.
        """
        start, skip = (state["start"], state["skip"]) if exact else (state["epoch"], state["batch"])
        checkpoint = (bytes(state["pipeline"].numpy()) or None) if exact else None
        pipeline = self._make(state["start"], None)
        check_alike(state, self._signature(pipeline, graph_facts(pipeline)), exact=exact)
        before = self._shape, self._images, self._process
        try:
            runs = self._new(start, checkpoint)
            check_alike(state, self._length(), exact=exact)
        except (RuntimeError, ValueError) as error:
            self._shape, self._images, self._process = before
            if isinstance(error, ValueError):
                raise
            raise ValueError("the state is of another pipeline: DALI cannot restore this one from it") from error
        self._runs = runs
        self._start, self._skip, self._left = start, skip, None
        self._place.move(state["epoch"], state["batch"])
        if self._place.batch == self._epoch_shape().batches:  # of a version that ended an epoch with its next batch
            self._place.move(state["epoch"] + 1)
            self._left = 0
        self._pass += 1

    def _signature(self, pipeline: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
        """What must be alike for a state to fit, of a pipeline that need not be built and has these facts."""
        import nvidia.dali

        if pipeline.max_batch_size % self.batches_per_run:
            Runs(pipeline, self.outputs, self.batches_per_run)  # says so
        return {
            "outputs": list(self.outputs),
            "batch_size": pipeline.max_batch_size // self.batches_per_run,
            "facts": {**self.facts, **facts},
            "batches_per_run": self.batches_per_run,
            "seed": pipeline.seed,
            "dali": nvidia.dali.__version__,
        }

    def _length(self) -> dict[str, int]:
        """The same of one that is built."""
        shape = self._epoch_shape()
        return {"batches": shape.batches, "last": shape.last, "images": self._images}


class _EpochIterator:
    """One pass over an epoch of a loader; a new pass ends it."""

    def __init__(self, loader: Loader, number: int) -> None:
        self._loader: Loader | None = loader
        self._number = number

    def __iter__(self) -> "_EpochIterator":
        return self

    def __next__(self) -> Any:
        loader = self._loader
        if loader is None:
            raise StopIteration
        if loader._pass != self._number:
            raise RuntimeError("this iterator's epoch was left when the loader was iterated anew or its state replaced")
        batch, last = loader._next()
        if last:
            self._loader = None
        return batch
