"""Accuracy under projected gradient ascent on the network itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from mixdali import derive_seed, one_hot
from mixdali.checks import one_of, positive_int, require
from train.attacks import PGD, Loss, Misses, margin
from train.attacks.attack import gradient
from train.attacks.ball import Norm, per_image
from train.attacks.starts import starts
from train.data.images import HeldOutBatch, HeldOutImages
from train.evaluate.parts.adversarial import Keep, check_adversarial
from train.evaluate.parts.shifts import Network, Networks, Remember, forget
from train.models import finite
from train.objectives.cross_entropy import cross_entropy

STEP = 0.25
"""Length of a step over the radius: 2/255 at 8/255, as in the papers on adversarial training."""

LossName = Literal["cross_entropy", "margin"]
Iterate = Literal["last", "best", "any"]


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """How PGD looks for an error."""

    eps: float
    """Radius, in units of images in [0, 1]."""
    norm: Norm = "Linf"
    num_steps: int = 20
    step_size: float | None = None
    """In units of images in [0, 1]; None is a quarter of eps."""
    restarts: int = 1
    """An image must withstand all."""
    losses: tuple[LossName, ...] = ("cross_entropy", "margin")
    """What the first restart maximises, the second, ...; then from the first again. margin: of the classes' logits."""
    start: Literal["uniform", "gaussian", "none"] = "uniform"
    """As of `train.attacks.PGD`."""
    project_start: bool = True
    """Likewise."""
    iterate: Iterate = "any"
    """Which images of a restart must be classified rightly: its last ones, those with the greatest loss, or all on its
    way."""
    passes: int = 1
    """Passes of a network that answers otherwise each time, over which losses, gradients and probabilities are averaged
    on the way (expectation over transformation: Athalye, Engstrom, Ilyas and Kwok, "Synthesizing Robust Adversarial
    Examples", ICML 2018, arXiv:1707.07397). What counts in the end is one more pass."""

    def __post_init__(self) -> None:
        for name in ("restarts", "num_steps", "passes"):
            positive_int(name, getattr(self, name))
        require(bool(self.losses), "losses", "none", "must name at least one")
        for loss in self.losses:
            one_of("loss", loss, ("cross_entropy", "margin"))
        one_of("iterate", self.iterate, ("last", "best", "any"))
        self.attack()

    @property
    def step(self) -> float:
        return STEP * self.eps if self.step_size is None else self.step_size

    def attack(self) -> PGD:
        """One restart."""
        return PGD(
            eps=self.eps,
            norm=self.norm,
            step_size=self.step,
            num_steps=self.num_steps,
            start=self.start,
            project_start=self.project_start,
            keep="last" if self.iterate == "last" else "best",
        )

    def plain(self) -> dict[str, Any]:
        """For a report."""
        return {**asdict(self), "step_size": self.step, "losses": list(self.losses)}


def measure_pgd(
    networks: Networks,
    images: HeldOutImages,
    ascent: Ascent,
    *,
    seed: int,
    remember: Remember = forget,
    keep: Keep | None = None,
) -> dict[str, Any]:
    """Accuracy where each image is shown at its worst.

    The network is in evaluation mode, batch norms use their averages. An image that is missed after one restart, or
    from the beginning, is not attacked again.

    Args:
        ascent: how.
        seed: of the starts; an image's start follows from it and the image's index. What a random network draws follows
            from it and the batch.
        remember: by network and batch.
        keep: is given what the images ended as: the one that is missed, or, of one that withstood, the last restart's.

    Returns:
        For each network, `accuracy`, 0 to 1; `after`: accuracies on the images as they are, after the first restart,
        and so on; `robust`: for each image 1 if it withstood all, else 0; and the settings.

    Raises:
        ValueError: the attack left the ball or [0, 1], or made something that is not finite.
    """
    lasted: dict[str, list[int]] = {name: [] for name in networks}
    ended: dict[str, list[Tensor]] = {name: [] for name in networks}
    for number, batch in enumerate(images):
        for name, network in networks.items():
            attack = partial(_attacked, network, batch, ascent, derive_seed(seed, number), seed, keep is not None)
            row = remember(f"{name} {number}" + (" kept" if keep else ""), attack)
            lasted[name] += row["withstood"]
            ended[name].append(row.get("images", torch.empty(0)))
    if keep is not None:
        for name, parts in ended.items():
            keep(name, torch.cat(parts))
    restarts = ascent.restarts
    return {
        name: {
            "accuracy": sum(times > restarts for times in row) / len(row),
            "after": [sum(times > number for times in row) / len(row) for number in range(restarts + 1)],
            "robust": [int(times > restarts) for times in row],
            **ascent.plain(),
        }
        for name, row in lasted.items()
    }


def _attacked(
    network: Network, batch: HeldOutBatch, ascent: Ascent, own_seed: int, seed: int, kept: bool
) -> dict[str, Any]:
    with network_seeded(own_seed, batch.images.device):
        lasted, reached = reach(network, batch, ascent, seed)
    return {"withstood": lasted.tolist(), **({"images": reached.float().cpu()} if kept else {})}


def withstands(network: Network, batch: HeldOutBatch, ascent: Ascent, seed: int) -> Tensor:
    """(N,) int64: 0 for an image that is missed as it is, 1 for one that the first restart finds an error for, and so
    on; restarts + 1 for one that withstands all."""
    return reach(network, batch, ascent, seed)[0]


def reach(network: Network, batch: HeldOutBatch, ascent: Ascent, seed: int) -> tuple[Tensor, Tensor]:
    """As `withstands`, and (N, 3, H, W) what each image ended as."""
    lasted = (predict(network, batch.images) == batch.labels).long()
    ended = batch.images.clone()
    attack = ascent.attack()
    for number in range(ascent.restarts):
        rows = (lasted == number + 1).nonzero().squeeze(1)
        if not len(rows):
            break
        chosen, labels = batch.images[rows], batch.labels[rows]
        start = starts(attack, chosen, batch.index[rows], derive_seed(seed, "pgd", number))
        misses = Misses(chosen, labels)
        loss = ascent_loss(network, labels, ascent, number, misses if ascent.iterate == "any" else None)
        reached = attack(chosen, loss, start=start)
        # Where an image was missed on the way it is that one, else what the attack reached.
        reached = torch.where(per_image(misses.found, reached), misses.images.to(reached), reached)
        check_adversarial(reached, chosen, ascent.eps, ascent.norm, f"PGD-{ascent.num_steps}")
        ended[rows] = reached.to(ended)
        lasted[rows] += (predict(network, reached) == labels).long()
    return lasted, ended


def ascent_loss(network: Network, labels: Tensor, ascent: Ascent, number: int, misses: Misses | None) -> Loss:
    """What the restart of this number maximises; `misses` takes note of all images on the way."""
    name = ascent.losses[number % len(ascent.losses)]

    def once(images: Tensor) -> tuple[Tensor, Tensor]:
        logits = network(images)
        return named_loss(name, logits, labels), logits.detach()

    return averaged(once, ascent.passes, misses)


def averaged(once: Callable[[Tensor], tuple[Tensor, Tensor]], passes: int, misses: Misses | None = None) -> Loss:
    """The mean loss of several passes, in the memory of one.

    Args:
        once: images -> losses (N,), logits (N, K) without a gradient.
        passes: how many.
        misses: is shown the images and the mean probabilities (N, K).
    """

    def loss(images: Tensor) -> Tensor:
        probabilities: list[Tensor] = []

        def one(some: Tensor) -> Tensor:
            losses, logits = once(some)
            probabilities.append(logits.softmax(dim=1) if passes > 1 else logits)
            return losses

        if passes == 1 or not torch.is_grad_enabled():
            losses = torch.stack([one(images) for _ in range(passes)]).mean(dim=0)
        else:
            # Each pass by itself; what comes out has the mean of their gradients.
            values, slopes = zip(*(gradient(one, images) for _ in range(passes)), strict=True)
            moves = images - images.detach()
            losses = torch.stack(values).mean(dim=0)
            losses = losses + (torch.stack(slopes).mean(dim=0) * moves).flatten(1).sum(dim=1)
        if misses is not None:
            misses.seen(images, torch.stack(probabilities).mean(dim=0))
        return losses

    return loss


def attack_loss(network: Network, labels: Tensor, number: int) -> Loss:
    """What the restart of this number maximises: the cross-entropy, the margin, the cross-entropy again."""
    return lambda images: named_loss("margin" if number % 2 else "cross_entropy", network(images), labels)


def named_loss(name: LossName, logits: Tensor, labels: Tensor) -> Tensor:
    """(N,)"""
    targets = one_hot(labels, logits.shape[1]).to(logits.device)
    return margin(logits, targets) if name == "margin" else cross_entropy(logits, targets)


@torch.no_grad()
def predict(network: Network, images: Tensor) -> Tensor:
    """(N,) int64, the class of the greatest logit. ValueError for logits that are not finite."""
    return finite(network(images)).argmax(dim=1)


@contextmanager
def network_seeded(seed: int, device: torch.device) -> Iterator[None]:
    """What a network draws from torch's global generator inside the block follows from the seed; that is put back."""
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed % 2**63)
        yield
