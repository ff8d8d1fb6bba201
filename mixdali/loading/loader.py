"""From a DALI pipeline to torch batches."""

import warnings
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from mixdali.checks import one_of, positive_int
from mixdali.loading.epochs import Epoch, epoch_of, epoch_of_reader
from mixdali.loading.runs import Runs
from mixdali.plan import Plan


class Loader:
    """An iterable of torch batches with a length: `for images, targets in loader`, once for every epoch.

    pipeline     a DALI pipeline, or a function `(epoch, checkpoint) -> Pipeline` that makes one whose shuffling starts
                 at that epoch (derive its seed from the epoch), restored from `checkpoint` (bytes or None). With a
                 function an epoch that was left early costs nothing, and a state can be loaded; a bare pipeline runs
                 the rest of a left epoch unseen.
    outputs      a name for each output of the pipeline, in order. Batches are named tuples of tensors, so named.
                 Names "plan.partner", "plan.lam", ... are gathered into one field `plan`, a `mixdali.Plan`.
    num_samples  images in an epoch of this pipeline. None asks the pipeline's reader; a pipeline without one needs it.
    last_batch   "drop": every batch has the pipeline's full size, the rest of the epoch is left out (training).
                 "partial": every image once, the last batch may be smaller (validation).
    tables       for outputs that are places in a table, such as file names, which no tensor holds: the table by the
                 output's name. A batch has the list of its entries.
    batches_per_run
                 batches that lie one after the other in the outputs of a run of the pipeline, whose batch size is that
                 of all together. Small images need it: what DALI does for a batch can cost more than their pixels.
                 Such a pipeline goes on without end; it needs `num_samples` and last_batch="drop". Partners in a plan
                 count within a batch. The batches of a run share their memory: who keeps one keeps all.

    Tensors lie where the pipeline's outputs do, without a copy where DALI's executor allows it.

    A reader with `pad_last_batch=True` begins every epoch with the first image of its own: what it pads at the end is
    thrown away ("drop") or cut off ("partial"). A reader without padding runs on instead, so that a batch can hold
    images of two epochs; with "partial" it is refused.

    The pipeline is built when it is first needed. Errors: ValueError for settings that cannot be right, for an image
    that cannot be decoded and for a label outside its classes, TypeError for images that a mix cannot take,
    RuntimeError for whatever else stops DALI.
    """

    def __init__(
        self,
        pipeline: Any,
        outputs: Sequence[str] = ("images", "targets"),
        *,
        num_samples: int | None = None,
        last_batch: Literal["drop", "partial"] = "drop",
        tables: Mapping[str, Sequence[Any]] | None = None,
        batches_per_run: int = 1,
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
        self._batch_type: Any = namedtuple("Batch", dict.fromkeys(name.partition(".")[0] for name in self.outputs))  # type: ignore[misc]
        self._make: Callable[[int, bytes | None], Any] = pipeline
        self._bare = None
        if hasattr(pipeline, "run"):
            self._bare = pipeline
            self._make = lambda epoch, checkpoint: pipeline
        self._runs: Runs | None = None
        self._shape: Epoch | None = None
        self._refusal = ""
        self._start = 0  # the epoch the pipeline was made for
        self._epoch = 0
        self._batch = 0  # batches of this epoch handed out
        self._skip = 0  # batches to throw away before the next one
        self._continue = False  # the next iteration is the rest of this epoch
        self._pass = 0  # times that iterating was begun; a number, since an iterator here would be a reference cycle

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._built()[1].batches

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch; after `load_state_dict`, those of the loaded epoch that are still to come."""
        if self._batch and not self._continue:
            self._end_epoch()
        self._continue = False
        self._pass += 1
        return _EpochIterator(self, self._pass)

    @property
    def epoch(self) -> int:
        """The epoch that is under way, else the next one, counted from 0."""
        return self._epoch

    @property
    def batch_size(self) -> int:
        """Images in a full batch."""
        return self._built()[0].batch_size

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands, down to every random draw, for `load_state_dict`: plain values and one uint8 tensor.

        RuntimeError for a pipeline that cannot be resumed exactly: one made without `enable_checkpointing=True`, or
        with a source that DALI cannot rewind (a generator, an iterable).
        """
        import torch

        runs, shape = self._built()
        if self._refusal:
            raise RuntimeError(f"this pipeline cannot be resumed: {self._refusal}")
        try:
            checkpoint, since = runs.state()
        except RuntimeError as error:
            raise RuntimeError(
                "a pipeline that is to be resumed must be made with enable_checkpointing=True"
            ) from error
        return {
            **self._signature(runs, shape),
            "start": self._start,
            "epoch": self._epoch,
            "batch": self._batch,
            "skip": self._skip + since,
            "pipeline": torch.frombuffer(bytearray(checkpoint), dtype=torch.uint8),
        }

    def load_state_dict(self, state: dict[str, Any], *, exact: bool = True) -> None:
        """Go on where `state_dict` was taken: the next iteration gives what would have come next, to the byte.

        exact  False takes also a state of another version of DALI or of a pipeline of other operators, such as those of
               another device: only its epoch and its place there, as many batches are still to come. They, and all
               epochs after them, come in a new order.

        ValueError if the state is another loader's, which then stays as it was; RuntimeError if the loader was given a
        bare pipeline.
        """
        if self._bare is not None:
            raise RuntimeError(
                "a state is loaded into a new pipeline: make the loader with a function, "
                "Loader(lambda epoch, checkpoint: my_pipeline(..., checkpoint=checkpoint))"
            )
        start, skip = (state["start"], state["skip"]) if exact else (state["epoch"], state["batch"])
        try:
            runs, shape = self._new(start, bytes(state["pipeline"].numpy()) if exact else None)
        except RuntimeError as error:
            raise ValueError("the state is of another pipeline: DALI cannot restore this one from it") from error
        for name, here in self._signature(runs, shape).items():
            if state.get(name) != here and (exact or name in ("batch_size", "batches", "last", "outputs")):
                raise ValueError(f"the state is of another loader: its {name} is {state.get(name)!r}, here {here!r}")
        self._runs, self._shape = runs, shape
        self._start, self._skip, self._epoch, self._batch = start, skip, state["epoch"], state["batch"]
        self._continue = self._batch > 0
        self._pass += 1

    def _signature(self, runs: Runs, shape: Epoch) -> dict[str, Any]:
        """What must be alike for a state to fit."""
        import nvidia.dali

        return {
            "outputs": list(self.outputs),
            "batch_size": runs.batch_size,
            "batches_per_run": runs.batches_per_run,
            "batches": shape.batches,
            "last": shape.last,
            "seed": runs.pipeline.seed,
            "dali": nvidia.dali.__version__,
        }

    def _built(self) -> tuple[Runs, Epoch]:
        if self._runs is None or self._shape is None:
            self._runs, self._shape = self._new(self._start, None)
        return self._runs, self._shape

    def _new(self, start: int, checkpoint: bytes | None) -> tuple[Runs, Epoch]:
        pipeline = self._make(start, checkpoint)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            pipeline.build()
        for warning in caught:
            if "state of such 'source'" in str(warning.message):
                self._refusal = "it has an external source that cannot be rewound; use a callable with one argument"
            else:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        runs = Runs(pipeline, self.outputs, self.batches_per_run)
        return runs, self._shape_of(runs)

    def _shape_of(self, runs: Runs) -> Epoch:
        if self.num_samples is not None:
            return epoch_of(self.num_samples, runs.batch_size, self.last_batch)
        readers = runs.pipeline.reader_meta()
        if len(readers) != 1:
            raise ValueError(
                f"num_samples must be given for a pipeline with {len(readers)} readers: images in an epoch"
            )
        return epoch_of_reader(next(iter(readers.values())), runs.batch_size, self.last_batch)

    def _end_epoch(self) -> None:
        """Go to the start of the next epoch, wherever in this one we are."""
        shape = self._built()[1]
        left = shape.batches - self._batch
        self._epoch += 1
        self._batch = 0
        if left and self._bare is None:
            self._runs = None  # frees its threads and memory before the next one takes its own
            self._start, self._skip = self._epoch, 0
            self._runs, self._shape = self._new(self._start, None)
        else:
            self._skip += left + shape.discarded

    def _next(self) -> Any:
        runs, shape = self._built()
        if self._batch == shape.batches:
            self._end_epoch()
            raise StopIteration
        while self._skip:
            self._take(runs)
            self._skip -= 1
        size = shape.last if self._batch == shape.batches - 1 else runs.batch_size
        batch = self._take(runs)
        if self._batch == 0 and len(batch[0]) < size:
            batch = self._take(runs)  # that was the short end of the epoch before, which is to be dropped
        if len(batch[0]) < size:
            raise RuntimeError(
                f"the pipeline gave {len(batch[0])} images for batch {self._batch} instead of {size}; "
                f"num_samples is {self.num_samples}"
            )
        self._batch += 1
        return self._named([tensor[:size] for tensor in batch] if size < runs.batch_size else batch)

    def _take(self, runs: Runs) -> list[Any]:
        try:
            return runs.take()
        except StopIteration:
            if self._batch:
                raise RuntimeError(
                    f"the pipeline's source ended after {self._batch} batches of an epoch of {len(self)}: "
                    f"num_samples is {self.num_samples}, the source holds less"
                ) from None
            runs.pipeline.reset()
            return runs.take()

    def _named(self, batch: list[Any]) -> Any:
        fields: dict[str, Any] = {}
        for name, tensor in zip(self.outputs, batch, strict=True):
            field, _, part = name.partition(".")
            if part:
                fields.setdefault(field, {})[part] = tensor
            elif name in self.tables:
                fields[field] = [self.tables[name][place] for place in tensor.tolist()]
            else:
                fields[field] = tensor
        return self._batch_type(**{k: Plan.of_parts(v) if isinstance(v, dict) else v for k, v in fields.items()})


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
        try:
            return loader._next()
        except StopIteration:
            self._loader = None
            raise
