"""What is evaluated, how, and where it is written."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mixdali.checks import count, positive_int, require
from train.attacks.attack import LARGEST
from train.attacks.ball import Norm
from train.files.recipe_file import NamedFile
from train.machine.distributed import Device
from train.machine.precision import Precision
from train.machine.run import check_folder_name
from train.recipe import Data

Part = Literal[
    "clean",
    "calibration",
    "noise",
    "occlusion",
    "corruptions",
    "detection",
    "fgsm",
    "transfer",
    "pgd20",
    "pgd50",
    "autoattack",
    "doubts",
    "all",
]

# The radii of RobustBench.
RADII: dict[Norm, dict[Data, float]] = {
    "Linf": {"cifar": 8 / 255, "imagenet": 4 / 255},
    "L2": {"cifar": 0.5, "imagenet": 0.5},
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All that the command line can set."""

    checkpoint: Annotated[Path | None, tyro.conf.Positional] = None
    """A last.pt or best.pt of a classifier, or the folder of its run."""
    model: str | None = None
    """Instead of a checkpoint, MODULE:FUNCTION: a function without arguments that returns a torch module, which takes
    images (N, 3, H, W) in [0, 1] and returns logits."""
    root: str | None = None
    """Folder of the data; its test images are taken. None: the embedded digits."""
    recipe_file: NamedFile = None
    parts: tuple[Part, ...] = ("clean", "calibration", "pgd20")
    """What to measure. Parts that the folder already holds are kept. all: all that can be, which takes long."""
    norm: Norm = "Linf"
    """Norm of the attacks pgd20, pgd50, autoattack and doubts."""
    eps: float | str | None = None
    """Their radius in units of images in [0, 1], such as 8/255 or 0.5. None: 8/255 in Linf (4/255 for folders of
    images), 0.5 in L2."""
    restarts: int = 2
    """Starts of pgd20 and pgd50. An image counts as robust if it withstands all."""
    weights: Literal["both", "averaged", "raw"] = "both"
    """Which weights of a run that kept an average."""
    num_images: int | None = None
    """So many test images, evenly spread; None takes all."""
    source: Path | None = None
    """transfer: the checkpoint of the network that adversarial images are made on."""
    corruptions: Path | None = None
    """corruptions: the folder of CIFAR-10-C or ImageNet-C. None: the corruptions are made here."""
    ood: tuple[Path, ...] = ()
    """detection: folders with images of other classes. Images of noise are always tried."""
    seed: int = 0
    """Of all that is drawn. An image's noise follows from the seed and the image's index; AutoAttack's also from its
    place in the batch."""
    batch_size: int = 250
    """Images that pass the network at once. AutoAttack's numbers depend on it a little."""
    precision: Precision = "float32"
    """Number format of the forward pass."""
    name: str | None = None
    """Folder of the result inside `folder`; None is `evaluate-last`, `evaluate-best`, ... after the checkpoint, with
    -2, -3, ... where that holds an evaluation with other settings."""
    folder: str | None = None
    """Where the result lies. None: beside the checkpoint, or in `runs` for a --model."""
    device: Device = "auto"
    """auto takes a GPU if there is one."""
    exact: bool = False
    """Refuse to go on with what was stopped if it would no longer end with the same bytes: on another device, with
    another number of torch's threads, or after an upgrade."""

    def __post_init__(self) -> None:
        require(
            (self.checkpoint is None) != (self.model is None),
            "CHECKPOINT and --model",
            "neither" if self.model is None else "both",
            "are two ways to name the network, give one",
        )
        require(
            self.recipe_file is None or self.checkpoint is not None,
            "recipe_file",
            self.recipe_file,
            "needs a CHECKPOINT",
        )
        require(bool(self.parts), "parts", "none", "must name what to measure")
        radius(self.eps, self.norm, "cifar")
        for name in ("restarts", "batch_size"):
            positive_int(name, getattr(self, name))
        if self.num_images is not None:
            positive_int("num_images", self.num_images)
        count("seed", self.seed)
        check_folder_name(self.name)


def radius(eps: float | str | None, norm: Norm, kind: Data) -> float:
    """The radius asked for, or the usual one of such images.

    Raises:
        ValueError: it is no number or fraction, or cannot be a radius for images in [0, 1].
    """
    if eps is None:
        return RADII[norm][kind]
    try:
        value = float(Fraction(eps)) if isinstance(eps, str) else float(eps)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"eps must be a number such as 8/255 or 0.031, got {eps!r}") from None
    # In Linf half the range turns any image into a grey one.
    largest = 0.5 if norm == "Linf" else LARGEST[norm]
    usual = "8/255, not 8" if norm == "Linf" else "0.5, not 128"
    rule = f"must be above 0 and below {largest:g} in {norm}, in units of images in [0, 1] ({usual})"
    require(0 < value < largest, "eps", eps, rule)
    return value
