"""Partners by their class."""

from typing import Any


def partners_by_class(targets: Any, mate: Any, rule: str) -> Any:
    """For each image one other image of the batch, of the same class or of another, each such image as likely.

    targets  numpy (N, num_classes) float, an image's class is where its target is largest; or (N,) the classes.
    mate     numpy (N,) in [0, 1): which of them.
    rule     "same_class" or "other_class".

    -> (N,) int32; an image without such a partner is its own, which leaves it unmixed.
    """
    import numpy as np

    labels = np.asarray(targets)
    labels = labels.argmax(1) if labels.ndim == 2 else labels
    others = ~np.eye(len(labels), dtype=bool)
    fits = others & ((labels[:, None] == labels) == (rule == "same_class"))
    counts = fits.sum(1)
    wanted = np.minimum((np.asarray(mate, np.float64) * counts).astype(np.int64), np.maximum(counts - 1, 0))
    # the place of the wanted one among those that fit
    found = (fits & (fits.cumsum(1) == wanted[:, None] + 1)).argmax(1)
    return np.where(counts > 0, found, np.arange(len(labels))).astype(np.int32)
