"""How a network votes on noisy copies of an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mixdali import derive_seed
from train.machine.precision import autocast
from train.machine.stop import Stop
from train.models.answers import NO_CLASS, not_finite, predicted

# Copies whose noise is drawn at once. Always whole blocks are drawn, so that what an image sees depends neither on how
# many copies are asked for nor on how many pass the network together.
BLOCK = 100


@dataclass(frozen=True)
class Voters:
    """A network in evaluation mode, and the noise under which it is asked."""

    network: nn.Module
    num_classes: int
    sigma: float
    seed: int
    batch_size: int
    precision: str

    @torch.no_grad()
    def count(self, image: Tensor, index: int, purpose: str, num_copies: int, stop: Stop) -> np.ndarray:
        """image (3, H, W) on the network's device -> (num_classes,) int64, the votes of so many noisy copies.

        Args:
            index: of the image in its data set; it and the purpose decide the noise.
            purpose: votes of another purpose are independent.

        Raises:
            ValueError: logits that are not finite.
            Stopped: somebody asked to stop.
        """
        # One place more, for votes that name no class.
        votes = torch.zeros(self.num_classes + 1, dtype=torch.int64, device=image.device)
        for noise in self._noise(image, index, purpose, num_copies):
            stop.check()
            noisy = (image + noise).contiguous(memory_format=torch.channels_last)
            with autocast(self.precision, image.device):
                chosen = predicted(self.network(noisy))
            votes += torch.bincount(chosen - NO_CLASS, minlength=self.num_classes + 1)
        none, *counts = votes.tolist()
        if none:
            raise ValueError(f"{not_finite('the network')} (image {index} under noise of {self.sigma:g})")
        return np.array(counts, dtype=np.int64)

    def _noise(self, image: Tensor, index: int, purpose: str, num_copies: int) -> Iterator[Tensor]:
        """The noise of all copies, (M, 3, H, W) at a time."""
        together = max(1, self.batch_size // BLOCK)
        num_blocks = -(-num_copies // BLOCK)
        for first in range(0, num_blocks, together):
            blocks = range(first, min(first + together, num_blocks))
            noise = torch.cat([self._block(image, index, purpose, block) for block in blocks])
            yield from noise[: num_copies - first * BLOCK].split(self.batch_size)

    def _block(self, image: Tensor, index: int, purpose: str, block: int) -> Tensor:
        seed = derive_seed(self.seed, "certify", purpose, index, block)
        generator = torch.Generator(image.device).manual_seed(seed)
        return image.new_empty(BLOCK, *image.shape).normal_(std=self.sigma, generator=generator)
