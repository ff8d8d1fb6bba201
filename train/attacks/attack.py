"""What all attacks share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixdali.checks import one_of, positive_int, require
from mixdali.worlds.tensor_draws import read_draw
from train.attacks.ball import Ball, Norm, norms, per_image
from train.attacks.images import check_images
from train.models.answers import predicted

Loss = Callable[[Tensor], Tensor]
"""images (N, ...) -> losses (N,), each of its own image alone."""

# Radii and steps above these are numbers of 0..255 or cannot be meant: a pixel is at most 1, and no published radius
# in L2 comes near.
LARGEST = {"Linf": 1.0, "L2": 64.0}

# Added to the length of a gradient before dividing by it, as in the code of Auto-PGD.
GUARD = 1e-12


@dataclass(frozen=True, kw_only=True)
class Attack(ABC):
    """Looks for images at most eps away, and in [0, 1], on which a loss is large."""

    eps: float
    """Radius, in units of images in [0, 1]: 8 / 255, not 8."""
    norm: Norm = "Linf"
    """Linf: no pixel moves further than eps. L2: the length of the whole move is at most eps."""

    def __post_init__(self) -> None:
        one_of(f"{type(self).__name__}: norm", self.norm, ("Linf", "L2"))
        self._check_size("eps")

    def __call__(
        self, images: Tensor, loss: Loss, *, start: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Adversarial images, of the shape of `images`, in at least float32, without a gradient.

        Args:
            images: (N, ...) float in [0, 1].
            loss: what to maximise. The losses of different images must not depend on each other, or do so only through
                batch statistics.
            start: what is added to the images before the first step, instead of a draw; as `draw` gives it, a tensor,
                an array or lists.
            generator: randomness of the start, on the device of the images; None takes fresh entropy.

        Raises:
            TypeError, ValueError: images that are not float or not in [0, 1], an eps that covers all images, a loss
                that is not one number for each image, or a start of another shape or outside the ball.
        """
        check_images(images)
        if start is not None:
            start = self.taken_start(images, start)
            self.check_start(images, start)
        return self.search(images, loss, start=start, generator=generator)

    @abstractmethod
    def draw(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The start: what is added to `images` before the first step, in at least float32."""

    @abstractmethod
    def search(
        self, images: Tensor, loss: Loss, *, start: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """As a call, for images that are known to be in [0, 1]: nothing is read back from their device."""

    def shape_of_start(self, images: Tensor) -> tuple[int, ...]:
        """The shape of what `draw` gives."""
        return tuple(images.shape)

    def taken_start(self, images: Tensor, start: Any) -> Tensor:
        """A start that somebody gives, as a tensor on the device of the images; reads nothing back from it."""
        tensor, shape = read_draw("start", start), self.shape_of_start(images)
        if tensor.shape != shape:
            raise ValueError(f"{type(self).__name__}: start must have the shape {shape}, got {tuple(tensor.shape)}")
        return tensor.to(images.device, torch.promote_types(images.dtype, torch.float32))

    def check_start(self, images: Tensor, start: Tensor) -> None:
        """ValueError for a start that `draw` could not give: not finite, or too far. Waits for its device."""
        rows = start.flatten(start.ndim - images.ndim + 1)
        far = float(torch.linalg.vector_norm(rows, ord=torch.inf if self.norm == "Linf" else 2, dim=-1).amax())
        reach = self._reach()
        if not far <= reach * (1 + 1e-5) + 1e-7:
            rule = f"at most {reach:.4g} from 0 in {self.norm}" if far < torch.inf else "finite"
            raise ValueError(f"{type(self).__name__}: start must be {rule}, got {far:.4g}")

    def _reach(self) -> float:
        """How far a start can be."""
        return self.eps

    def _ball(self, images: Tensor, *, box_first: bool = False, guard: float = 0.0) -> Ball:
        if self.norm == "L2":
            all_images = math.sqrt(math.prod(images.shape[1:]))
            rule = f"must be at most {all_images:.4g}, the distance from a black image of this size to a white one"
            require(self.eps <= all_images * (1 + 1e-6), f"{type(self).__name__}: eps", self.eps, rule)
        return Ball(precise(images.detach()), self.eps, self.norm, box_first, guard)

    def _check_size(self, name: str) -> None:
        value, largest = getattr(self, name), LARGEST[self.norm]
        label, rule = f"{type(self).__name__}: {name}", f"must be from 0 to {largest:g}"
        require(0 <= value <= largest, label, value, f"{rule}, in units of images in [0, 1] (8 / 255, not 8)")


@dataclass(frozen=True, kw_only=True)
class Restarting(Attack):
    """An attack with several starts, each drawn anew."""

    restarts: int = 1
    """Starts; each image gets the result with the greatest loss, of equals the later."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int(f"{type(self).__name__}: restarts", self.restarts)

    def draw(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Of the shape of `images`; with several restarts (restarts, N, ...)."""
        draws = [self._draw(images, generator) for _ in range(self.restarts)]
        return draws[0] if self.restarts == 1 else torch.stack(draws)

    def shape_of_start(self, images: Tensor) -> tuple[int, ...]:
        return (self.restarts, *images.shape) if self.restarts > 1 else tuple(images.shape)

    @abstractmethod
    def _draw(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """One start of the shape of `images`."""

    def _starts(self, images: Tensor, start: Tensor | None, generator: torch.Generator | None) -> Iterator[Tensor]:
        """Those given as by `draw`, or else drawn one by one."""
        if start is None:
            generator = entropy(images) if generator is None else generator
            yield from (self._draw(images, generator) for _ in range(self.restarts))
            return
        start = self.taken_start(images, start)
        yield from start if self.restarts > 1 else [start]


class Best:
    """The images with the greatest loss so far; of equals the later."""

    images: Tensor
    losses: Tensor

    def __init__(self) -> None:
        self.empty = True

    def offer(self, images: Tensor, losses: Tensor) -> None:
        if self.empty:
            self.images, self.losses, self.empty = images, losses, False
            return
        better = (losses >= self.losses) | self.losses.isnan()
        self.images = torch.where(per_image(better, images), images, self.images)
        self.losses = torch.where(better, losses, self.losses)


class Misses:
    """Which images have been classified wrongly on the way of an attack, and where.

    An attack follows its loss, and the images with the greatest loss need not be those that are missed:

        misses = Misses(images, labels)
        attack(images, lambda some: cross_entropy(misses.seen(some, model(some)), targets))

    Logits that are not finite name no class, so such an image is missed.
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = precise(images.detach()).clone()
        """(N, ...) of each image the last one that was missed; where none was, the image that was given."""
        self.found = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        """(N,) whether one was."""
        self.labels = labels

    def seen(self, images: Tensor, logits: Tensor) -> Tensor:
        """Take note of logits (N, K) for images (N, ...), which belong to those given row by row. -> the logits."""
        missed = predicted(logits.detach()) != self.labels
        self.images = torch.where(per_image(missed, images), images.detach().to(self.images), self.images)
        self.found = self.found | missed
        return logits


def gradient(loss: Loss, images: Tensor) -> tuple[Tensor, Tensor]:
    """The losses (N,) and each one's gradient, of the shape of `images`. Parameters get no gradient.

    The losses are summed, not averaged: the gradients are as large in a large batch, which half precision needs.
    """
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        losses = _checked(loss(images), images)
        if not losses.requires_grad:
            raise ValueError("the loss of an attack must depend on the images it is called with, got a constant")
        (slopes,) = torch.autograd.grad(losses.sum(), images)
    return losses.detach(), slopes


@torch.no_grad()
def measure(loss: Loss, images: Tensor) -> Tensor:
    """The losses (N,)."""
    return _checked(loss(images), images)


def steepest(slopes: Tensor, norm: Norm) -> Tensor:
    """The direction of length 1 in which a loss with these slopes rises most; 0 where they are 0 or not finite."""
    if norm == "Linf":
        return slopes.sign()
    lengths = norms(slopes)
    return torch.where(lengths.isfinite(), slopes / (lengths + GUARD), 0.0)


def entropy(images: Tensor) -> torch.Generator:
    """A generator on the device of the images that nobody has seeded."""
    generator = torch.Generator(images.device)
    generator.seed()
    return generator


def precise(tensor: Tensor) -> Tensor:
    """In at least float32."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _checked(losses: Tensor, images: Tensor) -> Tensor:
    if losses.shape != images.shape[:1]:
        count, shape = len(images), tuple(losses.shape)
        raise ValueError(f"the loss of an attack must give one number for each of the {count} images, got {shape}")
    return losses
