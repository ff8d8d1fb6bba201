"""Where labelled synthetic images come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from train.data.streams.samples import generated_source, in_order, read_samples

if TYPE_CHECKING:
    from pipelines.sources.source import Source


def read_synthetic(path: Path, classes: Sequence[str], num_images: int, seed: int) -> Source:
    """Labelled synthetic images, their labels counted through `classes`.

    Args:
        path: a generator's checkpoint (.pt), an .npz with `image` and `label`, or a folder with a folder of images for
            each class.
        classes: the networks' classes, in order. Names in the file or folder are matched with them.
        num_images, seed: how many images a generator draws, and which.

    Raises:
        FileNotFoundError, ValueError: nothing of that kind is there, or it has other classes.
    """
    if path.is_dir():
        from pipelines.sources.files import read_folder

        source = read_folder(path, "val", whole=True)
    elif path.suffix == ".pt":
        source = generated_source(path, num_images, seed)
    elif path.suffix == ".npz":
        source = read_samples(path)
    else:
        raise FileNotFoundError(
            f"{path} is neither a folder of class folders, nor an .npz of images, nor a generator's .pt; make one with "
            "python -m train.generator"
        )
    source = in_order(source, classes, path)
    source.check(len(classes))
    return source
