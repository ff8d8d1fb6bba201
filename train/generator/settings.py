"""What decides a generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mixdali.checks import require


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides the weights a training ends with."""

    num_steps: int = 6_000
    """Steps of both networks."""
    batch_size: int = 64
    """Real images a step, and as many generated ones."""
    width: int = 32
    """Channels of both networks at full resolution."""
    latent_size: int = 64
    """Numbers that decide an image of a class."""
    lr: float = 1e-3
    """Learning rate of Adam, for both networks."""
    r1: float = 0.1
    """Weight of the penalty on the discriminator's gradient at real images; 0 is none."""
    mixup: float = 0.0
    """Above 0 the discriminator sees mixtures lam real + (1 - lam) generated, with lam ~ Beta(mixup, mixup) to tell
    (the mixup paper's GAN experiment has 0.2); 0 shows it real images and generated ones."""
    augment: bool = True
    """Shift, tint and cut a hole into whatever the discriminator sees."""
    flip: bool = False
    """Mirror half of the real images; not for digits."""
    ema_decay: float = 0.999
    """Decay a step of the average of the generator's weights, which draws the samples."""
    seed: int = 0
    """The one seed all randomness is derived from."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the networks; auto is bfloat16 where the device computes it natively."""

    def __post_init__(self) -> None:
        for name in ("num_steps", "batch_size", "width", "latent_size", "lr"):
            require(getattr(self, name) > 0, name, getattr(self, name), "must be above 0")
        require(self.batch_size > 1, "batch_size", self.batch_size, "must be 2 or more, for the batch norms")
        for name in ("mixup", "r1", "seed"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "must not be negative")
        require(0 < self.ema_decay < 1, "ema_decay", self.ema_decay, "must be in (0, 1)")
