"""The runs of a DALI pipeline, cut into batches."""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from mixdali.loading.explain import explained
from mixdali.loading.facts import graph_facts
from mixdali.loading.handover import to_torch

BATCHES_BETWEEN_CHECKPOINTS = 128  # a checkpoint costs as much as some batches; those since are made again


class Runs:
    """The batches of a pipeline that is built.

    outputs          a name for each of its outputs.
    batches_per_run  batches that lie one after the other in the outputs of a run.
    """

    def __init__(self, pipeline: Any, outputs: Sequence[str], batches_per_run: int) -> None:
        if pipeline.max_batch_size % batches_per_run:
            raise ValueError(
                f"the pipeline's batch size must be that of batches_per_run={batches_per_run} equal batches, "
                f"got {pipeline.max_batch_size}"
            )
        self.pipeline = pipeline
        self.outputs = tuple(outputs)
        self.batches_per_run = batches_per_run
        self.batch_size = pipeline.max_batch_size // batches_per_run
        self._tensors: list[Any] = []  # of the run that is being handed out; none between two runs
        self._taken = 0  # batches of it that were handed out
        self._checkpoint: bytes | None = None  # of the pipeline, as it was some runs ago
        self._since = 0  # batches that were handed out since

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Those of the pipeline's graph, which take a second for a million files."""
        return graph_facts(self.pipeline)

    def take(self) -> list[Any]:
        """The next batch: a tensor for each output, with fewer than `batch_size` rows if the pipeline gave fewer.

        StopIteration: the pipeline's source has ended.
        """
        if not self._tensors:
            self._remember()
            self._tensors = self._run()
        start = self._taken * self.batch_size
        batch = [tensor[start : start + self.batch_size] for tensor in self._tensors]
        self._taken, self._since = self._taken + 1, self._since + 1
        if self._taken == self.batches_per_run:
            self._tensors, self._taken = [], 0
        return batch

    def state(self) -> tuple[bytes, int]:
        """A checkpoint of the pipeline, and how many batches were handed out since. RuntimeError if it has none."""
        if self._tensors and self._checkpoint is not None:
            return self._checkpoint, self._since
        return self.pipeline.checkpoint(), 0

    def _remember(self) -> None:
        """Take the pipeline's checkpoint every few runs: in the middle of a run none can be had of its start."""
        if self.batches_per_run > 1 and (self._checkpoint is None or self._since >= BATCHES_BETWEEN_CHECKPOINTS):
            with suppress(RuntimeError):  # a pipeline that has none says so when it is asked for its state
                self._checkpoint, self._since = self.pipeline.checkpoint(), 0

    def _run(self) -> list[Any]:
        try:
            outputs = self.pipeline.run()
        except RuntimeError as error:
            clearer = explained(error)
            if clearer is None:
                raise
            raise clearer from error
        if len(outputs) != len(self.outputs):
            raise ValueError(f"the pipeline has {len(outputs)} outputs, the loader names {', '.join(self.outputs)}")
        copy = not self.pipeline.exec_dynamic
        return [to_torch(name, output, copy) for name, output in zip(self.outputs, outputs, strict=True)]


def build(pipeline: Any) -> str:
    """Builds it. -> why it cannot be resumed, if DALI says so; nothing if it can."""
    refusal = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline.build()
    for warning in caught:
        if "state of such 'source'" in str(warning.message):
            refusal = "it has an external source that cannot be rewound; use a callable with one argument"
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return refusal
