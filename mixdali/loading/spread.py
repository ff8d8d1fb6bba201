"""Whether the first batches hold the classes as shuffled images would.

Where a reader does not shuffle, or within a buffer alone, files that are sorted by class fill batches with a few of
them, and a mix finds no partners of other classes.
"""

import warnings
from typing import Any

from mixdali.loading.operators import operators_of
from mixdali.ranks import find_ranks

BATCHES = 8  # that are looked at
FEWEST = 64  # images of which something can be said
BUFFER = 1024  # DALI's own initial_fill
LOPSIDED = 0.5  # share of the classes to be expected
CURE = (
    "Shuffle all images, as shuffle_after_epoch=True of fn.readers.file, mixdali.DatasetSource and the loaders of "
    "mixdali.pipelines do; or write the files in a random order"
)


class Spread:
    """The classes in the first batches of a loader, and a warning where they are far fewer than shuffled images have.

    how  what is known of the order, for people.
    """

    def __init__(self, how: str) -> None:
        self._how = how
        self._seen: set[int] = set()
        self._images = self._batches = 0

    def see(self, labels: Any, num_classes: int | None = None) -> bool:
        """Count a batch. -> whether more are wanted; a warning comes with the last one, on rank 0 alone.

        labels       (N,) class indices, or (N, num_classes) probabilities, of which the likeliest class counts. None:
                     nothing can be said.
        num_classes  of class indices, where it is known.
        """
        if labels is not None and len(labels.shape) == 2:
            num_classes = int(labels.shape[1])
            labels = labels.argmax(1)
        if labels is None or len(labels.shape) != 1:
            return False
        self._seen |= set(labels.tolist())
        self._images, self._batches = self._images + len(labels), self._batches + 1
        if self._batches < BATCHES:
            return True
        self._judge(num_classes)
        return False

    def _judge(self, num_classes: int | None) -> None:
        found, number = len(self._seen), self._images
        known = max(num_classes or 2, 2)
        expected = known * (1 - (1 - 1 / known) ** number)
        if number < FEWEST or found > LOPSIDED * expected or find_ranks()[0]:
            return
        of = f"{found} of {num_classes:,} classes" if num_classes else f"{found} class"
        warnings.warn(
            f"the first {self._batches} batches, {number:,} images, are of {of}, where as many shuffled ones would be "
            f"of about {expected:,.0f}: {self._how}. {CURE}",
            stacklevel=4,
        )


def spread_of(pipeline: Any) -> Spread | None:
    """What looks at the batches of a pipeline that is trained on; None if it shuffles all of its images."""
    how = _order_of(pipeline)
    return None if how is None else Spread(how)


def spread_of_loader(loader: Any) -> Spread | None:
    """The same of a loader of another library; None if its sampler shuffles, or if it is one that looks by itself."""
    import torch.utils.data as data

    if hasattr(loader, "loaders") or type(loader).__module__.startswith("mixdali."):
        return None
    if not isinstance(loader, data.DataLoader):
        return Spread("the loader that is mixed gives them in this order")
    if isinstance(loader.dataset, data.IterableDataset):
        return Spread("the data set of the DataLoader gives them in this order, and its buffer may be small")
    in_order = isinstance(loader.sampler, data.SequentialSampler) and type(loader.batch_sampler) is data.BatchSampler
    return Spread("the DataLoader does not shuffle") if in_order else None


def _order_of(pipeline: Any) -> str | None:
    found = None
    for operator in operators_of(pipeline):
        told = operator.arguments
        if "ExternalSource" in operator.kind:
            if "seed" in operator.told:
                return None
            if not hasattr(operator.python, "counts"):  # else it counts epochs
                found = found or "the pipeline's source gives them in this order"
        elif operator.kind.startswith("readers"):
            if told.get("shuffle_after_epoch") == "True":
                return None
            if told.get("random_shuffle") == "True":
                fill = int(told.get("initial_fill", BUFFER))
                found = f"the pipeline's reader shuffles within a buffer of {fill:,} images (initial_fill)"
            else:
                found = found or "the pipeline's reader does not shuffle"
    return found
