"""Which accuracy under attack a run measures on its way."""

from __future__ import annotations

from dataclasses import dataclass

from mixdali.checks import positive_int
from train.attacks.pgd import PGD

WITHIN_8 = PGD(eps=8 / 255, step_size=2 / 255, num_steps=10)


@dataclass(frozen=True, kw_only=True)
class Robust:
    """Accuracy under an attack, measured whenever that of the held-out images is.

    It is measured on so many held-out images and on as many training images, both without augmentation. The images, and
    where the attack on each of them starts, are drawn once by the recipe's seed, so that epochs differ by their weights
    alone. The network is in evaluation mode.
    """

    attack: PGD = WITHIN_8
    """What the images are attacked with, away from their classes."""
    num_images: int = 256
    """Of each kind; all where there are fewer. A measurement costs as much as training on so many images twice by the
    same attack, and twice that where an average of the weights is kept."""

    def __post_init__(self) -> None:
        positive_int("Robust: num_images", self.num_images)


SELECTING = Robust(num_images=1000)
"""What tells the best epoch of adversarial training in the size of a paper, where nothing else is said."""
