"""Auto-PGD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mixdali.checks import fraction, positive_int
from mixdali.worlds.tensor_draws import read_draw
from train.attacks.attack import Best, Loss, Misses, Restarting, entropy, gradient, precise, steepest
from train.attacks.ball import Ball, norms, per_image
from train.attacks.images import check_images
from train.attacks.losses import targeted_dlr

# Share of a step that is new; the rest is the move before.
FRESH = 0.75
# The first checkpoint comes after this share of the steps, each interval is shorter than the one before by the second,
# and none is shorter than the third.
INTERVALS = (0.22, 0.03, 0.06)


@dataclass(frozen=True, kw_only=True)
class APGD(Restarting):
    """Gradient steps with momentum, whose size halves, image by image, where the loss has stopped to rise.

    Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks",
    ICML 2020, arXiv:2003.01690, by the loss that is passed: with cross-entropy APGD-CE, with `dlr` APGD-DLR, with
    `targeted_dlr` one target of APGD-T. The result has the greatest loss of all images on the way.

    As in the authors' code the loss of the first step counts as a rise where it is above 0. Nothing is read back from
    the device on the way.
    """

    num_steps: int = 100
    """Gradients after the first."""
    rho: float = 0.75
    """A step size halves where the loss rose in at most this share of the steps since the last checkpoint."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("APGD: num_steps", self.num_steps)
        fraction("APGD: rho", self.rho)

    def search(
        self, images: Tensor, loss: Loss, *, start: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        return self.find(images, loss, start=start, generator=generator).images

    def find(
        self, images: Tensor, loss: Loss, *, start: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Best:
        """As `search`: the images, and their losses (N,)."""
        ball, best = self._ball(images), Best()
        for begin in self._starts(ball.images, start, generator):
            climb = _Climb.begin(self, ball, loss, ball.project(ball.images + begin.to(ball.images)))
            for number in range(self.num_steps):
                climb.step(number)
            best.offer(climb.best, climb.best_losses)
        return best

    def _draw(self, images: Tensor, generator: torch.Generator) -> Tensor:
        # Stretched to the edge of the ball.
        noise = torch.zeros_like(precise(images.detach()))
        if self.norm == "Linf":
            noise.uniform_(-1, 1, generator=generator)
            return self.eps * noise / per_image(noise.abs().flatten(1).amax(dim=1), noise)
        noise.normal_(generator=generator)
        return self.eps * noise / norms(noise)


@dataclass(eq=False)
class _Climb:
    """One start of Auto-PGD on its way."""

    attack: APGD
    ball: Ball
    loss: Loss
    images: Tensor
    before: Tensor
    slopes: Tensor
    best: Tensor
    best_slopes: Tensor
    best_losses: Tensor
    sizes: Tensor
    """(N, 1, ...) the step sizes."""
    checked_losses: Tensor
    """(N,) the best losses at the last checkpoint."""
    halved: Tensor
    """(N,) whether the step size fell there."""
    interval: int
    since: int = 0
    """Steps since the last checkpoint."""
    losses: list[Tensor] = field(default_factory=list)
    """Of the last checkpoint, and of each step since."""

    @classmethod
    def begin(cls, attack: APGD, ball: Ball, loss: Loss, images: Tensor) -> _Climb:
        losses, slopes = gradient(loss, images)
        return cls(
            attack,
            ball,
            loss,
            images=images,
            before=images,
            slopes=slopes,
            best=images,
            best_slopes=slopes,
            best_losses=losses,
            sizes=per_image(torch.full_like(losses, 2 * attack.eps), images),
            checked_losses=losses,
            halved=torch.ones_like(losses, dtype=torch.bool),
            interval=max(int(INTERVALS[0] * attack.num_steps), 1),
            losses=[torch.zeros_like(losses)],
        )

    def step(self, number: int) -> None:
        fresh = FRESH if number > 0 else 1.0
        aim = self.ball.project(self.images + self.sizes * steepest(self.slopes, self.attack.norm))
        reached = self.ball.project(
            self.images + fresh * (aim - self.images) + (1 - fresh) * (self.images - self.before)
        )
        self.images, self.before = reached, self.images
        losses, self.slopes = gradient(self.loss, self.images)
        self.losses.append(losses)
        better = losses > self.best_losses
        self.best = torch.where(per_image(better, self.images), self.images, self.best)
        self.best_slopes = torch.where(per_image(better, self.images), self.slopes, self.best_slopes)
        self.best_losses = torch.where(better, losses, self.best_losses)
        self.since += 1
        if self.since == self.interval:
            self._check()

    def _check(self) -> None:
        """A checkpoint: where it does not go on, halve the step and go back to the best images."""
        history = torch.stack(self.losses)
        rises = (history[1:] > history[:-1]).sum(dim=0)
        stuck = ~self.halved & (self.checked_losses >= self.best_losses)
        halve = (rises <= self.attack.rho * self.interval) | stuck
        rows = per_image(halve, self.images)
        self.sizes = torch.where(rows, self.sizes / 2, self.sizes)
        self.images = torch.where(rows, self.best, self.images)
        self.slopes = torch.where(rows, self.best_slopes, self.slopes)
        self.halved, self.checked_losses, self.losses = halve, self.best_losses, self.losses[-1:]
        _, shorter, shortest = (int(share * self.attack.num_steps) for share in INTERVALS)
        self.interval, self.since = max(self.interval - max(shorter, 1), max(shortest, 1)), 0


def attack_classes(
    attack: APGD,
    images: Tensor,
    logits: Callable[[Tensor], Tensor],
    targets: Tensor,
    *,
    num_goals: int = 9,
    starts: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """APGD-T: the attack with `targeted_dlr` towards each of the likeliest wrong classes in turn.

    An image is attacked until it is classified wrongly anywhere on the way, and results in the last such place of that
    attack. One that never is, or that was from the beginning, stays as it is. Reads from the device once a class.

    Args:
        images: (N, ...) in [0, 1].
        logits: images -> (N, K), in evaluation mode.
        targets: (N, K) one-hot.
        num_goals: so many classes are tried, at most K - 1.
        starts: for each class tried, and each image, a start of the attack, as `draw_starts` gives them; None draws
            those that are needed.
        generator: as of the attack.
    """
    check_images(images)
    labels = targets.argmax(dim=1)
    with torch.no_grad():
        clean = precise(logits(images))
    order = clean.scatter(1, labels.unsqueeze(1), -torch.inf).argsort(dim=1, descending=True)
    found, left = precise(images.detach()).clone(), clean.argmax(dim=1) == labels
    generator = entropy(images) if generator is None else generator
    num_goals = min(num_goals, clean.shape[1] - 1)
    given = None if starts is None else _taken_starts(attack, images, starts, num_goals)
    for number in range(num_goals):
        rows = left.nonzero().squeeze(1)
        if not len(rows):
            break
        goals, wanted = order[rows, number], targets[rows]

        misses = Misses(found[rows], labels[rows])

        def loss(some: Tensor, wanted: Tensor = wanted, goals: Tensor = goals, misses: Misses = misses) -> Tensor:
            return targeted_dlr(misses.seen(some, logits(some)), wanted, goals)

        start = None if given is None else given[number].index_select(-images.ndim, rows)
        attack.search(found[rows], loss, start=start, generator=generator)
        found[rows[misses.found]], left[rows[misses.found]] = misses.images[misses.found], False
    return found


def draw_starts(attack: APGD, images: Tensor, num_goals: int, generator: torch.Generator) -> Tensor:
    """Starts for `attack_classes`: (num_goals, N, ...); of an attack with restarts (num_goals, restarts, N, ...)."""
    return torch.stack([attack.draw(images, generator) for _ in range(num_goals)])


def _taken_starts(attack: APGD, images: Tensor, starts: Any, num_goals: int) -> list[Tensor]:
    """Of each goal the start, checked."""
    tensor, shape = read_draw("starts", starts), attack.shape_of_start(images)
    if tensor.ndim != len(shape) + 1 or len(tensor) < num_goals or tensor.shape[1:] != shape:
        raise ValueError(f"starts must have the shape {(num_goals, *shape)}, got {tuple(tensor.shape)}")
    found = [attack.taken_start(images, start) for start in tensor[:num_goals]]
    for start in found:
        attack.check_start(images, start)
    return found
