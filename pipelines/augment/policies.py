"""Random operations on training images, as settings: RandAugment, AutoAugment, TrivialAugment, 3-Augment.

The operations are DALI's (`nvidia.dali.auto_aug`). What is drawn is drawn here, each number from a seed of its own
name: DALI's own functions draw operation, magnitude and sign from one seed, so that each all but tells the others.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

from mixdali.checks import count, fraction, one_of, positive_int, require


@dataclass(frozen=True, kw_only=True)
class Policy(ABC):
    """Which operations an image passes after its crop and flip, and before colour jitter and mix."""

    fill_value: int = 128
    """The grey, 0 to 255, that fills what an operation moves into view."""

    def __post_init__(self) -> None:
        count(f"{type(self).__name__}: fill_value", self.fill_value)
        require(self.fill_value <= 255, f"{type(self).__name__}: fill_value", self.fill_value, "must be at most 255")

    @abstractmethod
    def graph(self, images: Any, *, seed: int) -> Any:
        """A DALI node of uint8 HWC -> the same. In a pipeline with `enable_conditionals=True`."""


@dataclass(frozen=True, kw_only=True)
class RandAugment(Policy):
    """Some operations one after the other, each drawn anew, all about as strong.

    Cubuk, Zoph, Shlens and Le, "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space",
    NeurIPS 2020, arXiv:1909.13719. The defaults are torchvision's. timm's `rand-m9-mstd0.5`, which has magnitudes from
    0 to 10 and applies each operation half of the time, is `RandAugment(magnitude=90, magnitude_std=5,
    num_magnitude_bins=101, prob=0.5)`.

    Differs: DALI's operations are torchvision's fourteen; timm has SolarizeAdd and Invert too, and no identity.
    """

    num_ops: int = 2
    """Operations for an image."""
    magnitude: int = 9
    """How strong they are, from 0 to num_magnitude_bins - 1."""
    magnitude_std: float = 0.0
    """Deviation of the magnitude of each, in bins: it is drawn from a normal law, rounded and kept in range."""
    num_magnitude_bins: int = 31
    """Magnitudes that there are."""
    prob: float = 1.0
    """Chance of each operation to be applied."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("RandAugment: num_ops", self.num_ops)
        positive_int("RandAugment: num_magnitude_bins", self.num_magnitude_bins)
        count("RandAugment: magnitude", self.magnitude)
        last = self.num_magnitude_bins - 1
        require(self.magnitude <= last, "RandAugment: magnitude", self.magnitude, f"must be at most {last}")
        require(self.magnitude_std >= 0, "RandAugment: magnitude_std", self.magnitude_std, "must not be negative")
        fraction("RandAugment: prob", self.prob)

    def graph(self, images: Any, *, seed: int) -> Any:
        from .operations import rand_augment

        return rand_augment(images, self, seed)


@dataclass(frozen=True, kw_only=True)
class TrivialAugment(Policy):
    """One operation of any strength.

    Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", ICCV 2021,
    arXiv:2103.10158; the wide set of operations.
    """

    num_magnitude_bins: int = 31
    """Magnitudes that there are, each as likely."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("TrivialAugment: num_magnitude_bins", self.num_magnitude_bins)

    def graph(self, images: Any, *, seed: int) -> Any:
        from .operations import trivial_augment

        return trivial_augment(images, self, seed)


Learned = Literal["imagenet", "reduced_imagenet", "cifar10", "svhn"]


@dataclass(frozen=True, kw_only=True)
class AutoAugment(Policy):
    """One of 25 pairs of operations, of learned strengths and with learned chances.

    Cubuk, Zoph, Mané, Vasudevan and Le, "AutoAugment: Learning Augmentation Policies from Data", CVPR 2019,
    arXiv:1805.09501.
    """

    learned_on: Learned = "imagenet"
    """What the policy was learned on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("AutoAugment: learned_on", self.learned_on, ("imagenet", "reduced_imagenet", "cifar10", "svhn"))

    def graph(self, images: Any, *, seed: int) -> Any:
        from .operations import auto_augment

        return auto_augment(images, self, seed)


@dataclass(frozen=True, kw_only=True)
class ThreeAugment(Policy):
    """An image becomes grey, is solarized, or is blurred, each as likely.

    Touvron, Cord and Jégou, "DeiT III: Revenge of the ViT", ECCV 2022, arXiv:2204.07118, where colours are jittered by
    0.3 afterwards (`color_jitter`). Pixels of 128 and above are inverted; the blur's sigma ~ U(0.1, 2). Nothing moves:
    fill_value changes nothing.
    """

    def graph(self, images: Any, *, seed: int) -> Any:
        from .operations import three_augment

        return three_augment(images, seed)
