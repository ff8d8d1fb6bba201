"""Projected gradient ascent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mixdali.checks import count, one_of, require
from train.attacks.attack import Best, Loss, Restarting, gradient, measure, precise, steepest
from train.attacks.ball import Ball, norms, per_image

# Deviation of a Gaussian start, in the code of TRADES, MART and others.
GAUSSIAN_WIDTH = 0.001

# torch.renorm, by which the authors' code shrinks moves into the ball, adds this to their lengths.
RENORM_GUARD = 1e-7


@dataclass(frozen=True, kw_only=True)
class PGD(Restarting):
    """Steps up the gradient of the loss, each followed by a projection into the ball and into [0, 1].

    Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR
    2018, arXiv:1706.06083.

    Zero steps return the start. Nothing is read back from the device on the way.
    """

    step_size: float
    """Length of a step in the norm of the ball, in units of images in [0, 1]; the learning rate of step "adam"."""
    num_steps: int = 10
    """Gradients taken by each restart."""
    step: Literal["steepest", "adam"] = "steepest"
    """steepest: the sign of the gradient in Linf, the gradient over its length in L2. adam: by Adam, with one pair of
    moments for each pixel, as DeepMind's code does (arXiv:2103.01946)."""
    drops: tuple[int, ...] = ()
    """After so many steps the step size falls to a tenth."""
    start: Literal["uniform", "gaussian", "none"] = "uniform"
    """uniform: anywhere in the ball, in Linf; in L2 in a uniform direction at a uniform distance, as Rice et al. draw
    it. gaussian: next to the image, a thousandth wide, as TRADES draws it. none: the image itself."""
    project_start: bool = True
    """Bring the start, drawn or given, into the ball and into [0, 1] before the first gradient. The code of TRADES and
    of MART does not, so that only the first step brings its Gaussian start there."""
    box_first: bool = False
    """L2: cut to [0, 1] before moving into the ball, as TRADES does, and not after."""
    keep: Literal["last", "best"] = "last"
    """What a restart results in: its last images, or those on its way with the greatest loss, the start among them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_size("step_size")
        count("PGD: num_steps", self.num_steps)
        one_of("PGD: step", self.step, ("steepest", "adam"))
        one_of("PGD: start", self.start, ("uniform", "gaussian", "none"))
        one_of("PGD: keep", self.keep, ("last", "best"))
        moved = self.project_start or (self.keep == "last" and self.num_steps > 0)
        rule = "must be True where the start may be the result: with keep 'best', or without steps"
        require(moved, "PGD: project_start", self.project_start, rule)

    def search(
        self, images: Tensor, loss: Loss, *, start: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        ball, best = self._ball(images, box_first=self.box_first, guard=RENORM_GUARD), Best()
        for begin in self._starts(ball.images, start, generator):
            reached = self._climb(ball, loss, self._begin(ball, begin), best)
            if self.restarts == 1 and self.keep == "last":
                return reached
            best.offer(reached, measure(loss, reached))
        return best.images

    def _climb(self, ball: Ball, loss: Loss, images: Tensor, best: Best) -> Tensor:
        direction = self._directions()
        for number in range(self.num_steps):
            losses, slopes = gradient(loss, images)
            if self.keep == "best":
                best.offer(images, losses)
            rate = self.step_size * 0.1 ** sum(number >= drop for drop in self.drops)
            images = ball.project(torch.add(images, direction(slopes), alpha=rate))
        return images

    def _directions(self) -> Callable[[Tensor], Tensor]:
        return Adam() if self.step == "adam" else lambda slopes: steepest(slopes, self.norm)

    def _begin(self, ball: Ball, start: Tensor) -> Tensor:
        images = ball.images + start.to(ball.images)
        return ball.project(images) if self.project_start else images

    def _reach(self) -> float:
        # A Gaussian has no edge.
        any_start = self.start == "gaussian" or not self.project_start
        return torch.finfo(torch.float32).max if any_start else self.eps

    def _draw(self, images: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.zeros_like(precise(images.detach()))
        if self.start == "none":
            return noise
        if self.start == "gaussian":
            return noise.normal_(generator=generator) * GAUSSIAN_WIDTH
        if self.norm == "Linf":
            return noise.uniform_(-self.eps, self.eps, generator=generator)
        noise.normal_(generator=generator)
        distances = torch.rand(len(noise), generator=generator, device=noise.device, dtype=noise.dtype)
        return noise * (per_image(distances, noise) * self.eps / norms(noise))


class Adam:
    """The direction of Adam for gradients that come one after the other, with the constants of DeepMind's code."""

    decays = (0.9, 0.999)
    guard = 1e-9

    def __init__(self) -> None:
        self.steps = 0

    def __call__(self, slopes: Tensor) -> Tensor:
        if self.steps == 0:
            self.mean, self.square = torch.zeros_like(slopes), torch.zeros_like(slopes)
        self.steps += 1
        self.mean = torch.lerp(slopes, self.mean, self.decays[0])
        self.square = torch.lerp(slopes * slopes, self.square, self.decays[1])
        mean = self.mean / (1 - self.decays[0] ** self.steps)
        square = self.square / (1 - self.decays[1] ** self.steps)
        return mean / (square.sqrt() + self.guard)
