"""What is certified, how, and where it is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mixdali.checks import count, positive, positive_int
from train.certify.smoothing import check_alpha
from train.files.recipe_file import NamedFile
from train.machine.precision import Precision
from train.machine.run import check_folder_name


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All that the command line can set."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A last.pt or best.pt of a classifier, or the folder of its run."""
    root: str | None = None
    """Folder of the data the network was trained on. None: the embedded digits."""
    recipe_file: NamedFile = None
    sigma: float | None = None
    """Deviation of the noise, in units of images in [0, 1]. None: that of the training."""
    n0: int = 100
    """Noisy copies of an image that choose its class."""
    n: int = 100_000
    """Other noisy copies, that say how likely it is."""
    alpha: float = 0.001
    """The chance that a certificate is wrong."""
    skip: int = 1
    """Certify every so many-th test image; Cohen et al. take 20."""
    num_images: int | None = None
    """Of these, so many at most, evenly spread; None takes all."""
    seed: int = 0
    """Which noise. An image's noise follows from the seed and the image's index alone."""
    average: bool = True
    """Take the averaged weights where the run kept them."""
    batch_size: int = 200
    """Noisy copies that pass the network at once."""
    precision: Precision = "float32"
    """Number format of the forward pass."""
    name: str | None = None
    """Folder of the result inside `folder`; None is `certify-RUN`, with -2, -3, ... where that is taken."""
    folder: str = "runs"
    """Where the results lie."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto takes a GPU if there is one."""
    exact: bool = False
    """Refuse to go on with what was stopped if it would no longer end with the same bytes: on another device, with
    another number of torch's threads, or after an upgrade."""

    def __post_init__(self) -> None:
        if self.sigma is not None:
            positive("sigma", self.sigma)
        for name in ("n0", "n", "skip", "batch_size"):
            positive_int(name, getattr(self, name))
        if self.num_images is not None:
            positive_int("num_images", self.num_images)
        check_alpha(self.alpha)
        count("seed", self.seed)
        check_folder_name(self.name)
