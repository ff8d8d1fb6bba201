"""A torch Dataset as the source of a DALI pipeline."""

import sys
from typing import Any

from mixdali.checks import positive_int
from mixdali.loading.sampling import InOrder, Shuffled
from mixdali.ranks import share_of
from mixdali.seeds import derive_seed


class DatasetSource:
    """Any map-style Dataset as a source for `fn.external_source`, shuffled, sharded, and resumed exactly by DALI.

        source = mixdali.DatasetSource(dataset, batch_size=64)
        images, labels, index = fn.external_source(source=source, num_outputs=3, batch=True)

    dataset      has `len()`, and `dataset[i]` is (image, label). image: a PIL image, an (H, W, C) uint8 array, or the
                 bytes of an encoded file (bytes, or a 1-D uint8 array or tensor) for `fn.decoders.image`, which is
                 by far the fastest where there are files. label: an integer, or a float vector (soft, multi-hot).
    batch_size   that of the pipeline.
    shuffle      True: every epoch is a new order, and its last partial batch is left out. False: every item once and in
                 order, the last batch may be smaller (`Loader(..., last_batch="partial")`).
    seed         the order depends on it and on the epoch alone. Give all ranks the same.
    shard        (rank, number of ranks). None: shuffled, this process's share, as `mixdali.mixed` finds its rank, when
                 the source is made; in order, everything.

    num_samples  items of this shard in an epoch, which `mixdali.Loader` finds by itself. num_items: of all shards.
    facts        what must be alike for a state of the loader to fit.

    Outputs: images, uint8 HWC (PIL images in RGB) or encoded (length,); labels, int32 scalars or float32 vectors;
    index, the item's number in the dataset, int32, whatever the order and the shard. The stream does not end: an epoch
    follows upon the other.

    Batches are a pure function of their number, as long as `dataset[i]` always gives the same: random transforms belong
    into the pipeline, not the dataset. The items are read in Python, one after the other; `parallel=True` in the
    external source moves that into processes (`py_num_workers` of the pipeline) and is resumed as exactly.

    Errors: TypeError and ValueError, naming the item, for items of another kind, and for settings that cannot be.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        shard: tuple[int, int] | None = None,
    ) -> None:
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise TypeError(f"dataset must have len() and dataset[i], got {type(dataset).__name__}, which has not both")
        positive_int("batch_size", batch_size)
        self.dataset = dataset
        number, seed = len(dataset), derive_seed(seed, "dataset")
        shard = share_of(shard) if shuffle else shard or (0, 1)
        self._rows = Shuffled(number, batch_size, shard, seed) if shuffle else InOrder(number, batch_size, shard)
        self.num_samples, self.num_items, self.facts = self._rows.num_samples, number, self._rows.facts

    # DALI counts the arguments: with one, it hands over the batch's number and can go back to any
    def __call__(self, i: int) -> tuple[list[Any], Any, Any]:
        """Batch i: a list of images, labels (N,) or (N, num_classes), index (N,)."""
        import numpy as np

        rows = self._rows(i)
        images, labels = zip(*(self._item(row) for row in rows.tolist()), strict=True)
        if len({label.shape for label in labels}) > 1:
            raise ValueError(f"labels must be of one shape, got {', '.join(sorted({str(x.shape) for x in labels}))}")
        return list(images), np.stack(labels), rows.astype(np.int32)

    def _item(self, row: int) -> tuple[Any, Any]:
        try:
            item = self.dataset[row]
        except Exception as error:
            raise ValueError(f"item {row} of the dataset cannot be read: {type(error).__name__}: {error}") from error
        try:
            if not isinstance(item, (tuple, list)) or len(item) != 2:
                raise TypeError(f"must be (image, label), got {_kind(item)}")
            return _image(item[0]), _label(item[1])
        except TypeError as error:
            raise TypeError(f"item {row} of the dataset: {error}") from None


def _image(image: Any) -> Any:
    import numpy as np

    pil = sys.modules.get("PIL.Image")
    if pil is not None and isinstance(image, pil.Image):
        return np.asarray(image.convert("RGB"))
    tensor = not isinstance(image, np.ndarray) and hasattr(image, "numpy")
    array = np.frombuffer(image, np.uint8) if isinstance(image, bytes) else image.numpy() if tensor else image
    if (
        isinstance(array, np.ndarray)
        and array.dtype == np.uint8
        and (array.ndim == 1 or (array.ndim == 3 and not tensor))
    ):
        return np.ascontiguousarray(array)
    advice = "; a transform to tensors has to go, the pipeline makes them" if tensor else ""
    raise TypeError(f"image must be a PIL image, (H, W, C) uint8 or encoded bytes, got {_kind(image)}{advice}")


def _label(label: Any) -> Any:
    import numpy as np

    array = np.asarray(label)
    if array.dtype.kind in "iu" and array.ndim == 0:
        return array.astype(np.int32)
    if array.dtype.kind == "f" and array.ndim == 1:
        return array.astype(np.float32)
    raise TypeError(f"label must be an integer or a float vector, got {_kind(label)}")


def _kind(value: Any) -> str:
    if hasattr(value, "shape"):
        return f"{type(value).__name__} {value.dtype} {tuple(value.shape)}"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, (tuple, list, dict)) else type(value).__name__
