"""The arguments that all loaders share: what they may be, and what they mean to DALI."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mixdali import Mix
from mixdali.checks import fraction, growing, one_of, positive, positive_int
from mixdali.methods.erasing import Erasing
from mixdali.ranks import share_of

from .augment.decoding import DecoderHints
from .augment.policies import Policy
from .augment.sizes import INTERPOLATIONS, Interpolation, Progressive

Device = Literal["auto", "cpu", "gpu"]
Size = int | tuple[int, int]
DALI_S_OWN = DecoderHints()
OnError = Literal["stop", "skip"]

MEGAPIXELS = 256.0  # the most that an image may decode to, unless it is said otherwise
KINDS = {
    "auto_augment": "one of pipelines.augment, such as RandAugment()",
    "erasing": "RandomErasing(...) or Cutout(...)",
}


@dataclass(frozen=True, kw_only=True)
class Feed:
    """How batches are made.

    batch_size   images in a batch of this shard.
    device       "gpu", "cpu", or "auto": a GPU if there is one.
    num_threads  of DALI's; None: one for each core.
    prefetch     batches that are made ahead; DALI's own number is 2. Each takes its memory.
    """

    batch_size: int
    device: Device = "auto"
    num_threads: int | None = None
    prefetch: int = 2


@dataclass(frozen=True, kw_only=True)
class ValGraph:
    """What a pipeline of images is to give.

    num_classes  labels are 0 to num_classes - 1.
    size         (height, width) of what comes out, or one number for a square.
    outputs      any of "images" (N, 3, H, W) float32 in [0, 1], "targets" (N, num_classes) float32, "labels" (N,) and
                 "index" (N,) int32 (the place in the full data set); from files also "path", a list of their names. In
                 training also "unmixed" like images, "plan" a `mixdali.Plan` with all its parts; "view1" and "view2"
                 like images: two of AugMix's views of the unmixed images, which are their first
                 (`pipelines.augment.augmix`).
    shard        (rank, number of ranks). None: this process's share, as `mixdali.mixed` finds its rank, when the loader
                 is made. That is so in training unless it is told; validation gives every process all images.
    mean         one number for each channel, or one for all, in units of images in [0, 1]: all images come as
                 (pixel - mean) / std. None: 0.
    std          likewise; None: 1.
    dtype        "float32", "float16", or "uint8" for pixels from 0 to 255; None: float32.
    output_layout
                 "HWC": all images come as (N, H, W, 3).
    interpolation
                 how images are resized: "bilinear" or "bicubic", both with antialiasing.
    decoder      of image files: hints for DALI's decoder on a GPU, `pipelines.augment.DecoderHints(...)`.
    crop_share   of image files: the middle crop's share of the shorter side, in (0, 1]. None: 7/8. In training with
                 augment=False alone.
    """

    num_classes: int
    size: Size | None = None
    outputs: Sequence[str] = ("images", "targets")
    shard: tuple[int, int] | None = (0, 1)
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None
    dtype: Any = None
    output_layout: Literal["CHW", "HWC"] = "CHW"
    interpolation: Interpolation = "bilinear"
    decoder: DecoderHints = DALI_S_OWN
    crop_share: float | None = None

    def __post_init__(self) -> None:
        one_of("interpolation", self.interpolation, INTERPOLATIONS)
        if self.crop_share is not None:
            _share_above_0("crop_share", self.crop_share)
        object.__setattr__(self, "shard", self.share)

    @property
    def share(self) -> tuple[int, int]:
        """The shard, found if it was not told."""
        return share_of(self.shard)

    @property
    def form(self) -> dict[str, Any]:
        """mean, std, dtype and output_layout, as `mixdali.to_float` and mixes take them."""
        return {name: getattr(self, name) for name in ("mean", "std", "dtype", "output_layout")}


@dataclass(frozen=True, kw_only=True)
class TrainGraph(ValGraph):
    """What is random about it, and mixed.

    mix          `mixdali.MixUp()`, ...; None: no mixing.
    smoothing    label smoothing in [0, 1].
    augment      False: no random crop and no flip.
    repeats      of image files: every image that an epoch shows comes so many times, each time augmented anew, to
                 different shards where there are several; the epoch is as long as with 1 and shows as many images
                 fewer (Hoffer et al., arXiv:1901.09335). The order is then that of an epoch of its own for each
                 pipeline: a pipeline without the loader shows the same again.
    crop_area    of image files: the random crop's share of the image's area is between these. None: (0.08, 1).
    auto_augment random operations after crop and flip (`pipelines.augment`): `RandAugment()`, ... A DALI pipeline then
                 needs `enable_conditionals=True`; the loaders see to it. None: none.
    color_jitter brightness, contrast and saturation change by up to this share each, in [0, 1], after that
                 (`pipelines.augment.color`).
    lighting     colours move along the principal axes of ImageNet's by AlexNet's noise of that deviation, in [0, 1],
                 after that (`pipelines.augment.color`); 0.1 is usual.
    erasing      `mixdali.RandomErasing()` or `mixdali.Cutout()`, of the mixed images; what is unmixed stays whole.
    """

    shard: tuple[int, int] | None = None
    mix: Mix | None = None
    smoothing: float = 0.0
    augment: bool = True
    repeats: int = 1
    crop_area: tuple[float, float] | None = None
    auto_augment: Policy | None = None
    color_jitter: float = 0.0
    lighting: float = 0.0
    erasing: Erasing | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("repeats", self.repeats)
        if self.crop_area is not None:
            growing("crop_area", self.crop_area, _share_above_0)
        for name, kind in (("auto_augment", Policy), ("erasing", Erasing)):
            if not isinstance(getattr(self, name), kind | None):
                raise TypeError(f"{name} must be {KINDS[name]} or None, got {getattr(self, name)!r:.80}")


@dataclass(frozen=True, kw_only=True)
class ValArguments(ValGraph, Feed):
    """Those of `val_loader`."""


@dataclass(frozen=True, kw_only=True)
class TrainArguments(TrainGraph, Feed):
    """Those of `train_loader`.

    size         also a `pipelines.augment.Progressive`: another size in each epoch.
    seed         the same seed gives the same bytes, whatever the number of threads.
    """

    size: Size | Progressive | None = None  # type: ignore[assignment]
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class BadFiles:
    """What becomes of files that are no use, of loaders of files.

    exclude      a list of files to leave out, one path a line, as `python -m mixdali.pipelines.check` writes it. The
                 others keep their index. None: nothing is left out.
    on_error     "stop": a file that cannot be decoded ends the run with its name. "skip": another image of the data set
                 takes its place, with its own label, index and path, for the rest of the loader's life; a validation
                 loader leaves it out. `loader.skipped` lists such files.
    max_megapixels
                 an image whose header says it has more is taken for one that cannot be decoded.
    """

    exclude: str | os.PathLike[str] | None = None
    on_error: OnError = "stop"
    max_megapixels: float = MEGAPIXELS

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[misc]
        one_of("on_error", self.on_error, ("stop", "skip"))
        if not self.max_megapixels > 0:
            raise ValueError(f"max_megapixels must be above 0, got {self.max_megapixels!r}")


@dataclass(frozen=True, kw_only=True)
class FileValArguments(BadFiles, ValArguments):
    """Those of `val_loader` for files."""


@dataclass(frozen=True, kw_only=True)
class FileTrainArguments(BadFiles, TrainArguments):
    """Those of `train_loader` for files."""


def _share_above_0(name: str, value: Any) -> None:
    fraction(name, value)
    positive(name, value)


def device_id(device: Device) -> int | None:
    """DALI's device_id: None is the CPU, else the number of torch's current GPU. "auto" takes a GPU if there is one."""
    import torch

    if device not in ("auto", "cpu", "gpu"):
        raise ValueError(f'device must be "auto", "cpu" or "gpu", got {device!r}')
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return None
    if not torch.cuda.is_available():
        raise ValueError('device is "gpu" but torch sees no CUDA GPU; use "cpu" or "auto"')
    return torch.cuda.current_device()


def thread_count(num_threads: int | None) -> int:
    """As many as asked for; None: one for each core this process may use."""
    if num_threads is None:
        return len(os.sched_getaffinity(0))
    positive_int("num_threads", num_threads)
    return num_threads


def height_width(size: Size) -> tuple[int, int]:
    """A number is a square."""
    height, width = (size, size) if isinstance(size, int) else size
    positive_int("size", height)
    positive_int("size", width)
    return height, width


def run_settings(batch_size: int, num_threads: int | None, device: Device) -> dict[str, int | None]:
    """The arguments that DALI itself takes."""
    positive_int("batch_size", batch_size)
    return {"batch_size": batch_size, "num_threads": thread_count(num_threads), "device_id": device_id(device)}
