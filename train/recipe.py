"""What decides a training run: the recipe, and how a stored one is built again."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import tyro

import mixdali
from mixdali import Mix
from mixdali.checks import one_of, require
from mixdali.methods.erasing import Erasing
from pipelines import augment
from pipelines.augment import Policy, Progressive
from pipelines.augment.sizes import Interpolation
from pipelines.expressions import describe, fits, setting_hints
from train import attacks, objectives, optim
from train.attacks.robust import Robust
from train.data import streams
from train.data.labels import noise, pixels
from train.data.labels.noise import LabelNoise
from train.data.labels.pixels import ImageNoise
from train.data.streams import Stream, split_batch
from train.files.plain import OWN, shortened, to_plain, type_name
from train.files.recipe_file import RecipeFile
from train.machine.precision import Precision
from train.objectives import CrossEntropy, Objective
from train.objectives.parts import densities
from train.optim.averaging import Buffers
from train.optim.optimizers import SGD, Decayed, Optimizer
from train.optim.schedules import Schedule

HOMES = (mixdali, augment, attacks, objectives, optim, streams, noise, pixels, densities)
"""The modules whose public names are what recipes are made of."""

Data = Literal["cifar", "imagenet"]

ClaimedData = Literal["CIFAR-10", "CIFAR-100", "ImageNet"]

FIXED = ("paper", "claim")
"""Fields that say where a recipe comes from, and are not set."""

MACHINE = ("seed", "precision", "tf32", "compile")
"""Fields that say how a run is computed; a paper's number is of no seed and of no machine."""

PLAIN = CrossEntropy()
PLAIN_SGD = SGD()
NO_NOISE = LabelNoise()
AS_THEY_ARE = ImageNoise()


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A number of the paper, what it was reached with, and where it stands. `Recipe.claiming` puts it into a recipe.

    It belongs to one recipe on one set of data: a recipe that was changed in any field has it and does not show it.
    """

    data: ClaimedData
    """The data set; `train.data.known` tells it."""
    accuracy: float
    """Top-1 in percent, on images as they are."""
    baseline: float | None = None
    """That of the same network without the method."""
    where: str
    """Where it stands, which epoch it is of, and the accuracy under attack that goes with it."""
    stream_images: tuple[int, ...] = ()
    """How many images each stream has."""
    of: str = ""
    """`Recipe.settings_digest` of the recipe it belongs to."""

    def __post_init__(self) -> None:
        one_of("Claim: data", self.data, get_args(ClaimedData))


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the settings of a recipe's file come from: `origin` in each file of train/recipes.

    Each field of a recipe that is not at its default has its source here, so has each of a variant that the recipe has
    otherwise; docs/recipes.md has them all.
    """

    code: str = ""
    """The official code: repository, commit and file. Empty where none is public."""
    from_paper: tuple[str, ...] = ()
    """Fields that stand in the paper."""
    from_code: tuple[str, ...] = ()
    """Fields that stand in its code."""
    ours: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Fields that we chose, and why so."""
    differs: tuple[str, ...] = ()
    """What is not as in the paper or its code, and why."""
    variants: Mapping[str, Origin] = dataclasses.field(default_factory=dict)
    """The same of variants, where it is not the recipe's."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights a run ends with. Two recipes that print the same train the same."""

    paper: Annotated[str, tyro.conf.Suppress, tyro.conf.Fixed]
    """arXiv number, or "" for settings of our own."""
    data: Data
    """Which pipeline reads the images: CIFAR's pickles or a folder of image files."""
    model: str
    """preact_resnet{8,14,20,18,34,50,101}[_wWIDTH], wide_resnetDEPTH_WIDTH, pyramidnet200,
    cifar_resnet{20,32,44,56,110,18,34}[_wWIDTH], a classification model of torchvision by its name, or timm:NAME; its
    settings follow in brackets: "timm:vit_tiny_patch16_224(img_size=32, patch_size=4)". own:NAME is a function of the
    recipe file."""
    num_epochs: int
    """Passes over the training images."""
    batch_size: int
    """Images a step, over all processes together."""
    lr: float
    """Highest learning rate; the schedule multiplies it."""
    optimizer: Optimizer = PLAIN_SGD
    """The rule of a step, with settings of its own."""
    weight_decay: float
    """Decay of the weights, by the optimiser's own rule."""
    decayed: Decayed = "all"
    """What decays: every parameter, as in most papers' code; the weights and biases of layers, but nothing of a norm
    ("layers"); or only tensors with two axes and more ("matrices")."""
    clip_norm: float | None = None
    """Gradients of a step whose L2 norm, over all parameters together, is larger are scaled down to it."""
    layer_decay: float | None = None
    """The rate of each layer by that of the next one, so that the first ones move least; of networks of timm. None: one
    rate for all."""
    schedule: Schedule
    """How the learning rate moves."""
    mix: Mix | None = None
    """How batches are mixed; None trains on clean images."""
    objective: Objective = PLAIN
    """What is minimised."""
    smoothing: float = 0.0
    """Label smoothing: this share of the target is spread evenly over all classes, before mixing."""
    ema_decay: float | None = None
    """Keep an exponential average of the weights with this decay a step, and evaluate it too."""
    ema_warmup: bool = False
    """The average's decay grows to ema_decay as (1 + t) / (10 + t), where t is the step."""
    ema_buffers: Buffers = "averaged"
    """Running means and variances beside the averaged weights: averages too, or those of the network ("live")."""
    size: tuple[int, int] | None = None
    """Height and width of the training images; None is the pipeline's own (32 x 32, 224 x 224)."""
    progressive: Progressive | None = None
    """Sides of the training images by epoch, in place of `size`."""
    test_size: tuple[int, int] | None = None
    """Height and width of held-out images; None: `size`, or with `progressive` its largest side."""
    interpolation: Interpolation = "bilinear"
    """How images are resized, in training and after: "bilinear" or "bicubic"."""
    augment: bool = True
    """Random crop and flip."""
    repeats: int = 1
    """An epoch of image files shows every image so many times, each time augmented anew, and as many images fewer."""
    crop_area: tuple[float, float] | None = None
    """Least and greatest share of an image file that a random crop shows; None: 0.08 and 1."""
    crop_share: float | None = None
    """Share of the shorter side of a held-out image file that its middle crop shows; None: 7/8."""
    auto_augment: Policy | None = None
    """Random operations after crop and flip, such as those of RandAugment."""
    color_jitter: float = 0.0
    """Brightness, contrast and saturation of the training images change by up to this share each."""
    lighting: float = 0.0
    """The colours of each training image move along the principal axes of ImageNet's colours, by AlexNet's noise of
    that deviation; 0.1 is usual."""
    erasing: Erasing | None = None
    """A box of the mixed images is covered."""
    weights: str | None = None
    """File of weights to start from: a last.pt or best.pt of another run, or a state_dict of the network. What has
    another number of classes begins anew."""
    labels: str | None = None
    """File of labels to train on instead of the data's own, with its column after a colon, where it has several:
    CIFAR-10_human.pt:worse_label. A relative path counts from the data's folder. Test labels stay as they are."""
    noise: LabelNoise = NO_NOISE
    """Labels of training images that are redrawn at random."""
    image_noise: ImageNoise = AS_THEY_ARE
    """Training images in memory whose pixels are replaced, once, while they keep their labels."""
    num_images: int | None = None
    """Train on so many of the training images, drawn by the seed; None takes all."""
    streams: tuple[Stream, ...] = ()
    """Further images in every batch: generated ones, or such that belong to no class. A mix is applied to the whole
    batch. On the command line --streams.0.root and other fields of the first one, --streams.1.root of the second."""
    whole_epochs: bool = True
    """With streams: an epoch shows every training image once, however few of them are in a batch. False: it has as
    many steps as if all images of a batch were training images."""
    validation: float = 0.0
    """So many of the training images (below 1: this share of them), drawn by the seed, are held out: they, under their
    training labels, decide which epoch was best, and the test images are only reported."""
    fold: tuple[int, int] | None = None
    """(i, k): the training images are drawn into k parts by the seed, and the part i, from 0 on, is held out in place
    of `validation`. Of k runs that differ in i alone, each image is held out by one."""
    evaluate_every: int = 1
    """Epochs from one measurement of the held-out images to the next; after the last epoch there always is one."""
    robust: Robust | None = None
    """Measure accuracy under attack then as well. The best epoch is the one where it is highest on held-out images."""
    patience: int | None = None
    """End the run after so many measurements in a row that are no better than the best one; None trains to the end."""
    seed: int = 0
    """The one seed all randomness is derived from."""
    precision: Precision = "auto"
    """Number format of the forward pass; auto takes the fastest safe one the device computes natively."""
    sync_batch_norm: bool = False
    """In several processes batch norms take their statistics over all processes' batches; needs GPUs."""
    tf32: bool = False
    """Products of float32 numbers on a GPU keep 10 bits of them (TF32), which is faster. Attacks never do so."""
    nonfinite: Literal["stop", "skip"] = "stop"
    """A loss or a gradient that is no finite number: end the run at the last checkpoint, or leave out the step and
    count it. To look costs a moment of waiting for the device in every step that might be left out."""
    compile: bool = False
    """Compile the network (torch.compile, which needs a C++ compiler): half a minute at the start, then about a tenth
    less time a step of the small networks on a CPU."""
    claim: Annotated[Claim | None, tyro.conf.Suppress, tyro.conf.Fixed] = None
    """The paper's own number, shown beside the result of a run with these settings on its data, and of no other."""

    def __post_init__(self) -> None:
        for name, hint in setting_hints(Recipe).items():
            value = getattr(self, name)
            require(fits(value, hint), name, f"{value!r:.80}", f"must be {describe(hint, {})}")
        for name in ("num_epochs", "batch_size", "lr", "evaluate_every", "repeats"):
            require(getattr(self, name) > 0, name, getattr(self, name), "must be above 0")
        for name in ("weight_decay", "seed"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "must not be negative")
        for name in ("color_jitter", "lighting"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "must be in [0, 1]")
        require(0 <= self.smoothing < 1, "smoothing", self.smoothing, "must be in [0, 1)")
        if self.ema_decay is not None:
            require(0 < self.ema_decay < 1, "ema_decay", self.ema_decay, "must be in (0, 1), or None for no average")
        if self.clip_norm is not None:
            require(self.clip_norm > 0, "clip_norm", self.clip_norm, "must be above 0, or None to clip nothing")
        name, why = type(self.objective).__name__, self.objective.needs_clean
        require(self.mix is None or not why, "mix", type(self.mix).__name__, f"must be None: {name} {why}")
        if self.num_images is not None:
            require(self.num_images > 0, "num_images", self.num_images, "must be above 0, or None for all")
        if self.patience is not None:
            require(self.patience > 0, "patience", self.patience, "must be above 0, or None to train to the end")
        split = 0 <= self.validation < 1 or (self.validation > 0 and self.validation % 1 == 0)
        require(split, "validation", self.validation, "must be a share below 1 or a number of images")
        if self.fold is not None:
            part, parts = self.fold
            require(
                0 <= part < parts and parts > 1, "fold", self.fold, "must be i and k, with 0 <= i < k and k above 1"
            )
            require(not self.validation, "validation", self.validation, "must be 0 where a fold is held out")
        split_batch(self.streams, self.batch_size)
        for name in ("size", "test_size"):
            sides = getattr(self, name)
            if sides is not None:
                require(min(sides) > 0, name, sides, "must be a positive height and width")
        if self.progressive is not None:
            require(self.size is None, "size", self.size, "must be None beside progressive")
        if self.erasing is not None:
            rule = "must be None with streams, whose images are mixed later"
            require(not self.streams, "erasing", type(self.erasing).__name__, rule)
        if self.layer_decay is not None:
            require(0 < self.layer_decay <= 1, "layer_decay", self.layer_decay, "must be in (0, 1], or None")
        in_memory = self.data == "cifar" or self.image_noise.rate == 0
        require(in_memory, "image_noise.rate", self.image_noise.rate, "must be 0 for image files")
        self.schedule.check(self.num_epochs)

    def settings_digest(self) -> str:
        """What tells two recipes apart that train otherwise, whoever computes them with which seed; of the files of
        streams the names alone."""
        plain = {name: value for name, value in to_plain(self).items() if name not in (*FIXED, *MACHINE)}
        for stream in plain["streams"]:
            stream["root"] = stream["root"].rpartition("/")[2]
        return hashlib.sha256(json.dumps(_whole(plain), sort_keys=True).encode()).hexdigest()[:16]

    def claiming(self, claim: Claim) -> Recipe:
        """This recipe with the paper's number for it."""
        return dataclasses.replace(self, claim=dataclasses.replace(claim, of=self.settings_digest()))

    @property
    def own_claim(self) -> Claim | None:
        """The paper's number for this very recipe; None for one that was changed in any field since."""
        return self.claim if self.claim is not None and self.claim.of == self.settings_digest() else None

    @property
    def held_out_size(self) -> tuple[int, int] | None:
        """Height and width of held-out images; None is the pipeline's own."""
        if self.test_size is not None or self.progressive is None:
            return self.size if self.test_size is None else self.test_size
        return (self.progressive.largest, self.progressive.largest)


def _whole(plain: Any) -> Any:
    """Plain settings with whole numbers written in one way: 100.0 trains as 100."""
    if isinstance(plain, dict):
        return {name: _whole(value) for name, value in plain.items()}
    if isinstance(plain, list):
        return [_whole(value) for value in plain]
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain


def from_plain(value: Any, file: RecipeFile | None = None) -> Any:
    """The inverse of `to_plain`; lists become tuples.

    A class is only ever looked up by name: among those that recipes are made of and, as `own.NAME`, in the recipe file.

    Raises:
        ValueError: a class that is not there, or settings that it does not take.
    """
    return _rebuilt(value, {type_name(kind): kind for kind in parts(file)}, file)


def _rebuilt(value: Any, known: Mapping[str, type], file: RecipeFile | None) -> Any:
    if isinstance(value, dict):
        kind = known.get(shortened(str(value.get("type"))))
        if kind is None:
            where = "which no recipe is made of" if file is None else f"which {file.path} does not define at its top"
            raise ValueError(f"a stored recipe names the class {value.get('type')!r}, {where}")
        fields = {name: _rebuilt(item, known, file) for name, item in value.items() if name != "type"}
        if kind is Claim and not fields.get("of"):
            return None  # of a checkpoint whose claims did not say whose they are
        try:
            return kind(**fields)
        except TypeError as error:
            raise ValueError(f"cannot rebuild a part of a stored recipe, {value['type']!r}: {error}") from error
    if isinstance(value, list | tuple):
        return tuple(_rebuilt(item, known, file) for item in value)
    return value


def parts(file: RecipeFile | None = None) -> list[type]:
    """The classes that recipes are made of, with those of a recipe file.

    Raises:
        ValueError: the file gives a class of its own the name of another one.
    """
    known = [kind for home in HOMES for kind in vars(home).values() if _is_part(kind)]
    stock = {kind.__name__ for kind in known}
    if file is None:
        return [Recipe, Claim, *known]
    for name in file.parts:
        if name in stock:
            raise ValueError(f"{file.path}: {name} is also a class of mixdali or train; call yours something else")
    return [Recipe, Claim, *known, *file.parts.values()]


def vocabulary(file: RecipeFile | None = None) -> dict[str, type]:
    """The classes that a part of a recipe can be written with, by name."""
    return {kind.__name__: kind for kind in parts(file) if kind not in (Recipe, Claim) and not inspect.isabstract(kind)}


def _is_part(value: Any) -> bool:
    made = isinstance(value, type) and dataclasses.is_dataclass(value) and not inspect.isabstract(value)
    return made and value not in (mixdali.Draws, mixdali.Layer, mixdali.Plan)


def check_own(recipe: Recipe, file: RecipeFile) -> None:
    """ValueError unless a recipe can be built again from what a checkpoint holds, with this file at hand."""
    plain = to_plain(recipe)
    for kind in kinds_in(recipe):
        if type_name(kind).startswith(f"{OWN}.") and file.parts.get(kind.__name__) is not kind:
            raise ValueError(
                f"the class {kind.__name__} of the recipe is no name at the top of {file.path}, where it would "
                "be looked for to build the recipe again; define or import it there"
            )
    if to_plain(from_plain(plain, file)) != plain:
        raise ValueError(
            f"{file.path}: a class of its own changes its settings when it is made, so it cannot be stored"
        )


def kinds_in(value: Any) -> list[type]:
    """The classes that a recipe is made of."""
    if isinstance(value, tuple | list):
        return [kind for item in value for kind in kinds_in(item)]
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return []
    inside = [kind for field in dataclasses.fields(value) for kind in kinds_in(getattr(value, field.name))]
    return [type(value), *inside]
