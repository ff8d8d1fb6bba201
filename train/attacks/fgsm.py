"""One step by the sign of the gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mixdali.checks import one_of, require
from train.attacks.attack import Attack, Loss, entropy, gradient, precise


@dataclass(frozen=True, kw_only=True)
class FGSM(Attack):
    """Uniform noise, then one step by the sign of the gradient.

    `FGSM(eps=e, step_size=e, noise=0)`: Goodfellow, Shlens and Szegedy, ICLR 2015, arXiv:1412.6572.
    `FGSM(eps=e, step_size=1.25 * e)`: Wong, Rice and Kolter, "Fast is better than free", ICLR 2020, arXiv:2001.03994.
    `FGSM(eps=e, step_size=e, noise=2, project=False)`: de Jorge et al., "Make Some Noise" (N-FGSM), NeurIPS 2022,
    arXiv:2202.01181.
    """

    step_size: float
    """How far the step moves each pixel, in units of images in [0, 1]."""
    noise: float = 1.0
    """The noise of a pixel is uniform in [-noise eps, noise eps]; then the image is cut to [0, 1]."""
    project: bool = True
    """Bring the result into the ball. Without it a pixel may move by noise eps + step_size."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("FGSM: norm", self.norm, ("Linf",))
        self._check_size("step_size")
        require(self.noise >= 0, "FGSM: noise", self.noise, "must not be negative")

    def draw(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Of the shape of `images`."""
        width = self.noise * self.eps
        return torch.zeros_like(precise(images.detach())).uniform_(-width, width, generator=generator)

    def _reach(self) -> float:
        return self.noise * self.eps

    def search(
        self, images: Tensor, loss: Loss, *, start: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        ball = self._ball(images)
        if start is None:
            start = self.draw(ball.images, entropy(images) if generator is None else generator)
        begin = (ball.images + self.taken_start(ball.images, start)).clamp(0, 1)
        _, slopes = gradient(loss, begin)
        reached = torch.add(begin, slopes.sign(), alpha=self.step_size)
        return ball.project(reached) if self.project else reached.clamp(0, 1)
