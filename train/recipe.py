"""What decides a training run: the recipe, and how a stored one is built again."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

import mixdali
from mixdali import Mix
from mixdali.checks import require
from train import attacks, objectives, optim
from train.attacks.robust import Robust
from train.data import streams
from train.data.labels import noise
from train.data.labels.noise import LabelNoise
from train.data.streams import Stream, split_batch
from train.files.plain import shortened, type_name
from train.machine.precision import Precision
from train.objectives import CrossEntropy, Objective
from train.objectives.parts import densities
from train.optim.averaging import Buffers
from train.optim.optimizers import SGD, AdamW, Decayed
from train.optim.schedules import Cosine, EpochCosine, OneCycle, Steps

Data = Literal["cifar", "imagenet"]

PLAIN = CrossEntropy()
PLAIN_SGD = SGD()
NO_NOISE = LabelNoise()


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A number of the paper, the data it was reached on, and where it stands.

    `accuracy` and `baseline` (the same network without the method) are top-1 in percent. `num_images` training images
    in `num_classes` classes tell whether a run saw the data of the claim.
    """

    data: str
    num_images: int
    num_classes: int
    accuracy: float
    baseline: float | None = None
    where: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights a run ends with. Two recipes that print the same train the same."""

    paper: Annotated[str, tyro.conf.Suppress, tyro.conf.Fixed]
    """arXiv number, or "" for settings of our own."""
    data: Data
    """Which pipeline reads the images: CIFAR's pickles or a folder of image files."""
    model: str
    """preact_resnet{8,14,20,18,34}[_wWIDTH], wide_resnetDEPTH_WIDTH, a classification model of torchvision by its name,
    or timm:NAME; its settings follow in brackets: "timm:vit_tiny_patch16_224(img_size=32, patch_size=4)"."""
    num_epochs: int
    """Passes over the training images."""
    batch_size: int
    """Images a step, over all processes together."""
    lr: float
    """Highest learning rate; the schedule multiplies it."""
    optimizer: SGD | AdamW = PLAIN_SGD
    """The rule of a step, with settings of its own."""
    weight_decay: float
    """Decay of the weights, by the optimiser's own rule."""
    decayed: Decayed = "all"
    """What decays: every parameter, as in most papers' code; the weights and biases of layers, but nothing of a norm
    ("layers"); or only tensors with two axes and more ("matrices")."""
    schedule: Steps | Cosine | EpochCosine | OneCycle
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
    augment: bool = True
    """Random crop and flip."""
    color_jitter: float = 0.0
    """Brightness, contrast and saturation of the training images change by up to this share each."""
    weights: str | None = None
    """File of weights to start from: a last.pt or best.pt of another run, or a state_dict of the network. What has
    another number of classes begins anew."""
    labels: str | None = None
    """File of labels to train on instead of the data's own, with its column after a colon, where it has several:
    CIFAR-10_human.pt:worse_label. A relative path counts from the data's folder. Test labels stay as they are."""
    noise: LabelNoise = NO_NOISE
    """Labels of training images that are redrawn at random."""
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
    compile: bool = False
    """Compile the network (torch.compile, which needs a C++ compiler): half a minute at the start, then about a tenth
    less time a step of the small networks on a CPU."""
    claim: Annotated[Claim | None, tyro.conf.Suppress, tyro.conf.Fixed] = None
    """The paper's own number, shown beside the result of a run with the paper's settings."""

    def __post_init__(self) -> None:
        for name in ("num_epochs", "batch_size", "lr", "evaluate_every"):
            require(getattr(self, name) > 0, name, getattr(self, name), "must be above 0")
        for name in ("weight_decay", "seed"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "must not be negative")
        require(0 <= self.color_jitter <= 1, "color_jitter", self.color_jitter, "must be in [0, 1]")
        require(0 <= self.smoothing < 1, "smoothing", self.smoothing, "must be in [0, 1)")
        if self.ema_decay is not None:
            require(0 < self.ema_decay < 1, "ema_decay", self.ema_decay, "must be in (0, 1), or None for no average")
        name, why = type(self.objective).__name__, self.objective.needs_clean
        require(self.mix is None or not why, "mix", self.mix, f"must be None: {name} {why}")
        if self.num_images is not None:
            require(self.num_images > 0, "num_images", self.num_images, "must be above 0, or None for all")
        if self.patience is not None:
            require(self.patience > 0, "patience", self.patience, "must be above 0, or None to train to the end")
        split = 0 <= self.validation < 1 or (self.validation > 0 and self.validation % 1 == 0)
        require(split, "validation", self.validation, "must be a share below 1 or a number of images")
        split_batch(self.streams, self.batch_size)
        if self.size is not None:
            require(min(self.size) > 0, "size", self.size, "must be a positive height and width")
        self.schedule.check(self.num_epochs)


def from_plain(value: Any) -> Any:
    """The inverse of `to_plain`; lists become tuples. ValueError for a class that no recipe is made of."""
    if isinstance(value, dict):
        fields = {name: from_plain(item) for name, item in value.items() if name != "type"}
        try:
            return _find_type(value["type"])(**fields)
        except (KeyError, TypeError) as error:
            raise ValueError(f"cannot rebuild a part of a stored recipe, {value.get('type')!r}: {error}") from error
    if isinstance(value, list | tuple):
        return tuple(from_plain(item) for item in value)
    return value


def _find_type(name: str) -> type:
    known = {type_name(kind): kind for kind in parts()}
    if shortened(name) not in known:
        raise ValueError(f"a stored recipe names the class {name!r}, which no recipe is made of")
    return known[shortened(name)]


def parts() -> list[type]:
    """The classes that recipes are made of."""
    homes = (mixdali, attacks, objectives, optim, streams, noise, densities)
    public = [value for home in homes for value in vars(home).values()]
    return [Recipe, Claim, *(kind for kind in public if isinstance(kind, type) and dataclasses.is_dataclass(kind))]
