"""What is evaluated, how, and where it is written."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mixdali.checks import count, positive_int, require
from mixdali.names import nearest
from train.attacks.attack import LARGEST
from train.evaluate.parts.attacks import Iterate
from train.evaluate.parts.auto import Name, Norm, Version
from train.evaluate.presets import PRESETS
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
    "deformations",
    "corruptions",
    "variants",
    "real",
    "detection",
    "selective",
    "embedding",
    "spectrum",
    "localisation",
    "pointing",
    "landscape",
    "fgsm",
    "transfer",
    "pgd",
    "pgd20",
    "pgd50",
    "autoattack",
    "saved",
    "landscape_attacked",
    "calibration_attacked",
    "doubts",
    "all",
]

# The radii of RobustBench; in L1 that of Croce and Hein, "Mind the box", ICML 2021, arXiv:2103.01208.
RADII: dict[Norm, dict[Data, float]] = {
    "Linf": {"cifar": 8 / 255, "imagenet": 4 / 255},
    "L2": {"cifar": 0.5, "imagenet": 0.5},
    "L1": {"cifar": 12.0},
}
LARGEST_L1 = 256.0
"""A radius above this is one of pixels in 0..255."""
RESTARTS = 2
"""Starts of pgd, pgd20 and pgd50."""
ATTACKS = ("pgd", "pgd20", "pgd50", "autoattack")
"""Parts with images in one ball, which can be saved."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All that the command line can set."""

    checkpoint: Annotated[Path | None, tyro.conf.Positional] = None
    """A last.pt or best.pt of a classifier, or the folder of its run."""
    model: str | None = None
    """Instead of a checkpoint, MODULE:FUNCTION: a function without arguments that returns a torch module, which takes
    images (N, 3, H, W) in [0, 1] and returns logits."""
    state_dict: Path | None = None
    """Instead of a checkpoint, a file with the weights of one of RobustBench's networks; --network says which."""
    network: str | None = None
    """Of --state_dict, by our name: wide_resnetDEPTH_WIDTH (WideResNet, as of TRADES), preact_resnet18 or 34
    (PreActResNet with PreActBlockV2 and a norm before the last layer, as of Rice et al.)."""
    mean: tuple[float, float, float] | None = None
    """Of --state_dict: what its images are normalised with, where the file does not say it itself."""
    std: tuple[float, float, float] | None = None
    """Likewise."""
    root: str | None = None
    """Folder of the data; its test images are taken. None: the embedded digits."""
    recipe_file: NamedFile = None
    parts: tuple[Part, ...] = ("clean", "calibration", "pgd20")
    """What to measure. Parts that the folder already holds are kept. all: all that can be, which takes long."""
    norm: Norm | None = None
    """Norm of the attacks pgd, pgd20, pgd50, autoattack and doubts; L1 is for autoattack alone. None: Linf, or the
    preset's."""
    eps: float | str | None = None
    """Their radius in units of images in [0, 1], such as 8/255 or 0.5. None: 8/255 in Linf (4/255 for folders of
    images), 0.5 in L2, 12 in L1; of pgd the preset's."""
    restarts: int | None = None
    """Starts of pgd, pgd20 and pgd50. An image counts as robust if it withstands all. None: 2, or as many as the preset
    has."""
    preset: str | None = None
    """pgd: the settings by which the authors of a paper measured, such as zhang2019theoretically."""
    num_steps: int | None = None
    """pgd: steps. None: 20, or the preset's."""
    step_size: float | str | None = None
    """pgd: their length in units of images in [0, 1], such as 2/255. None: a quarter of eps, or the preset's."""
    iterate: Iterate | None = None
    """pgd, pgd20, pgd50, calibration_attacked: which images of a start must be classified rightly: the last ones, those
    with the greatest loss (best), or all on the way (any). None: any, or the preset's."""
    version: Version = "standard"
    """autoattack: which attacks. rand is for networks that answer otherwise each time; custom takes those of --attacks,
    at the package's own settings."""
    attacks: tuple[Name, ...] = ()
    """autoattack: the attacks of --version custom, in their order."""
    eot: int | None = None
    """Of these and autoattack: passes that gradients are averaged over, for networks that answer otherwise each time.
    None: 1, and 20 of AutoAttack's rand."""
    save_adversarial: Path | None = None
    """Write the adversarial images of pgd, pgd20, pgd50 and autoattack to this .npz."""
    adversarial: Path | None = None
    """saved: a file of --save_adversarial, whose images are checked and shown to the network."""
    weights: Literal["both", "kept", "averaged", "raw"] = "both"
    """Which weights of a run that kept an average; kept: the averaged ones, and those of a run without an average."""
    num_images: int | None = None
    """So many test images, evenly spread; None takes all."""
    first: int | None = None
    """The first so many test images, as RobustBench takes them of CIFAR-10."""
    subset: Path | None = None
    """Those test images that a file lists, in its order: indices or ends of paths, a line each, as RobustBench's list
    for ImageNet, or an .npy of indices."""
    source: Path | None = None
    """transfer: the checkpoint of the network that adversarial images are made on."""
    corruptions: Path | None = None
    """corruptions: the folder of CIFAR-10-C or ImageNet-C. None: the corruptions are made here."""
    variants: tuple[Path, ...] = ()
    """variants: folders with other images of the same classes, such as ImageNet-A, ImageNet-R and ImageNet-V2."""
    real: Path | None = None
    """real: ReaL's real.json, further labels for ImageNet's validation images."""
    boxes: Path | None = None
    """localisation: a text with a line for each image, NAME LEFT TOP RIGHT BOTTOM: the end of its path, or its index,
    and where its object is, in pixels of the file. The boxes of the embedded digits are known."""
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
        given = [value for value in (self.checkpoint, self.model, self.state_dict) if value is not None]
        require(
            len(given) == 1,
            "CHECKPOINT, --model and --state_dict",
            "none" if not given else " and ".join(map(str, given)),
            "are three ways to name the network, give one",
        )
        for name in ("network", "mean", "std"):
            value = getattr(self, name)
            require(value is None or self.state_dict is not None, name, value, "is of a --state_dict")
        require(self.state_dict is None or self.network is not None, "state_dict", self.state_dict, "needs --network")
        require(
            self.recipe_file is None or self.checkpoint is not None,
            "recipe_file",
            self.recipe_file,
            "needs a CHECKPOINT",
        )
        require(bool(self.parts), "parts", "none", "must name what to measure")
        if self.preset is not None and self.preset not in PRESETS:
            raise ValueError(f"preset {self.preset!r} is unknown; {nearest(self.preset, list(PRESETS))}")
        radius(self.eps, self.norm_or_usual, "cifar")
        read_number("step_size", self.step_size)
        positive_int("batch_size", self.batch_size)
        for name in ("restarts", "num_images", "first", "num_steps", "eot"):
            if getattr(self, name) is not None:
                positive_int(name, getattr(self, name))
        self._check_use()
        count("seed", self.seed)
        check_folder_name(self.name)

    @property
    def norm_or_usual(self) -> Norm:
        """That of the attacks."""
        if self.norm is not None:
            return self.norm
        return "Linf" if self.preset is None else PRESETS[self.preset].ascent.norm

    def _check_use(self) -> None:
        """ValueError for a setting of parts that are not asked for."""
        pgd = ("pgd", "pgd20", "pgd50", "calibration_attacked")
        users = {
            **dict.fromkeys(("preset", "num_steps", "step_size"), ("pgd",)),
            "iterate": pgd,
            "eot": (*pgd, "autoattack"),
            "save_adversarial": ATTACKS,
            "attacks": ("autoattack",),
            "adversarial": ("saved",),
            "variants": ("variants",),
            "real": ("real",),
            "boxes": ("localisation",),
        }
        for name, parts in users.items():
            value = getattr(self, name)
            if value not in (None, ()) and not {*parts, "all"} & set(self.parts):
                raise ValueError(f"{name} is a setting of the parts {', '.join(parts)}; add one of them to --parts")
        if self.version != "standard" and not {"autoattack", "all"} & set(self.parts):
            raise ValueError("version is a setting of the part autoattack; add it to --parts")


def radius(eps: float | str | None, norm: Norm, kind: Data) -> float:
    """The radius asked for, or the usual one of such images.

    Raises:
        ValueError: it is no number or fraction, or cannot be a radius for images in [0, 1], or none is usual.
    """
    value = read_number("eps", eps)
    if value is None:
        if kind not in RADII[norm]:
            raise ValueError(f"eps must be given in {norm}: no radius is usual for folders of images")
        return RADII[norm][kind]
    # In Linf half the range turns any image into a grey one.
    largest = {"Linf": 0.5, "L2": LARGEST["L2"], "L1": LARGEST_L1}[norm]
    usual = {"Linf": "8/255, not 8", "L2": "0.5, not 128", "L1": "12, not 2000"}[norm]
    rule = f"must be above 0 and below {largest:g} in {norm}, in units of images in [0, 1] ({usual})"
    require(0 < value < largest, "eps", eps, rule)
    return value


def read_number(name: str, value: float | str | None) -> float | None:
    """A number, or a fraction as text. ValueError if it is neither."""
    if value is None:
        return None
    try:
        return float(Fraction(value)) if isinstance(value, str) else float(value)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"{name} must be a number such as 8/255 or 0.031, got {value!r}") from None
