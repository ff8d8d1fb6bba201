"""One step of a generator and its discriminator, and all that a checkpoint needs of them.

All randomness of a step follows from the seed and the step's number, so a checkpoint needs no state of any generator of
random numbers, nor a place in the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mixdali import derive_seed
from train.generator.augment import augment
from train.generator.settings import Settings
from train.machine.precision import autocast
from train.models.generator import STAGES, Discriminator, Generator
from train.objectives.parts.draws import draw_beta

BETAS = (0.0, 0.99)
STEPS_BETWEEN_PENALTIES = 8


@dataclass
class State:
    """Both networks and their training, `step` steps old."""

    network: dict[str, int]
    """The arguments of `Generator`."""
    generator: Generator
    average: AveragedModel
    discriminator: Discriminator
    optimizers: tuple[torch.optim.Adam, torch.optim.Adam]
    """The generator's and the discriminator's."""
    step: int = 0

    def averaged(self) -> Generator:
        """The generator with averaged weights, ready to draw."""
        generator = self.average.module.eval()
        assert isinstance(generator, Generator)
        return generator

    def to_checkpoint(self) -> dict[str, Any]:
        """The whole state as tensors, numbers and strings."""
        return {
            "generator_network": self.network,
            "generator": self.generator.state_dict(),
            "average": self.average.module.state_dict(),
            "average_count": int(self.average.n_averaged),
            "discriminator": self.discriminator.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
        }

    def load_checkpoint(self, content: dict[str, Any]) -> None:
        """Go back to the moment of `to_checkpoint`."""
        self.generator.load_state_dict(content["generator"])
        self.average.module.load_state_dict(content["average"])
        self.average.n_averaged.fill_(content["average_count"])
        self.discriminator.load_state_dict(content["discriminator"])
        for optimizer, stored in zip(self.optimizers, content["optimizers"], strict=True):
            optimizer.load_state_dict(stored)
        self.step = content["step"]


@dataclass(frozen=True)
class Images:
    """The real images, all of them in the memory of the device."""

    pixels: Tensor
    """(N, 3, H, W) uint8"""
    labels: Tensor
    """(N,) int64"""

    def batch(self, settings: Settings, step: int) -> tuple[Tensor, Tensor]:
        """What a step sees: images (batch_size, 3, H, W) in [-1, 1] and labels. Each epoch has another order and leaves
        the last partial batch out."""
        epoch, place = divmod(step, len(self.labels) // settings.batch_size)
        order = torch.randperm(len(self.labels), generator=_generator(settings, "epoch", epoch))
        chosen = order[place * settings.batch_size :][: settings.batch_size].to(self.labels.device)
        images = self.pixels[chosen].float() / 127.5 - 1
        if settings.flip:
            mirrored = torch.rand(settings.batch_size, generator=_generator(settings, "flip", step)) < 0.5
            images = torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(3), images)
        return images.contiguous(memory_format=torch.channels_last), self.labels[chosen]


def new_state(settings: Settings, size: int, num_classes: int, device: torch.device) -> State:
    """The state before the first step. ValueError if no generator can be built for the size."""
    if size % 2**STAGES:
        raise ValueError(f"the generator draws images whose side is a multiple of {2**STAGES}, the data have {size}")
    network = {
        "size": size,
        "num_classes": num_classes,
        "width": settings.width,
        "latent_size": settings.latent_size,
    }
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(settings.seed, "generator"))
        generator = Generator(**network)
        discriminator = Discriminator(num_classes=num_classes, width=settings.width)
    generator = generator.to(device).to(memory_format=torch.channels_last)
    discriminator = discriminator.to(device).to(memory_format=torch.channels_last)
    average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay), use_buffers=True)
    optimizers = tuple(torch.optim.Adam(net.parameters(), settings.lr, BETAS) for net in (generator, discriminator))
    return State(network, generator, average, discriminator, optimizers)  # type: ignore[arg-type]


def train_step(settings: Settings, state: State, images: Images) -> dict[str, Tensor]:
    """One step of the discriminator, then one of the generator. -> the loss () of each, in nats, without the penalty.

    The discriminator's loss is the cross-entropy of telling real images (1) from generated ones (0) of the same class;
    the generator's that of its images being taken for real. With `mixup` the discriminator sees only mixtures of the
    two, a lam for each pair, and has to tell lam; the mixup paper does not say how the generator sees them, here it
    sees its own images unmixed.

    Every few steps the discriminator takes one more, down the slope of its squared gradient at real images: Mescheder,
    Geiger and Nowozin, ICML 2018, arXiv:1801.04406 ("R1"), as seldom as Karras et al., CVPR 2020, arXiv:1912.04958.
    """
    device = images.labels.device
    real, labels = images.batch(settings, state.step)
    random = _generator(settings, "step", state.step, device=device)
    told = _discriminate(settings, state, real, labels, random)
    _step(state.optimizers[1], told)
    if settings.r1 > 0 and state.step % STEPS_BETWEEN_PENALTIES == 0:
        steepness = _steepness(state.discriminator, _shown(settings, real, random), labels)
        _step(state.optimizers[1], 0.5 * settings.r1 * STEPS_BETWEEN_PENALTIES * steepness)

    state.discriminator.requires_grad_(False)
    labels = torch.randint(state.network["num_classes"], (len(real),), generator=random, device=device)
    with autocast(settings.precision, device):
        drawn = _shown(settings, state.generator(_noise(settings, random, device), labels), random)
        logits = state.discriminator(drawn, labels)
    fooled = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
    _step(state.optimizers[0], fooled)
    state.discriminator.requires_grad_(True)

    state.average.update_parameters(state.generator)
    state.step += 1
    return {"discriminator": told.detach(), "generator": fooled.detach()}


def _discriminate(settings: Settings, state: State, real: Tensor, labels: Tensor, random: torch.Generator) -> Tensor:
    """-> () the discriminator's loss."""
    with autocast(settings.precision, real.device):
        with torch.no_grad():
            drawn = state.generator(_noise(settings, random, real.device), labels)
        seen, goal = told_apart(settings.mixup, real, drawn, random)
        of_class = labels if settings.mixup > 0 else labels.repeat(2)
        logits = state.discriminator(_shown(settings, seen, random), of_class)
    return F.binary_cross_entropy_with_logits(logits, goal)


def told_apart(mixup: float, real: Tensor, drawn: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """What a discriminator sees, and what it has to say of each: 1 is real, 0 is drawn.

    real, drawn (N, ...) -> both, (2 N, ...), and goals (2 N,); with `mixup` above 0 their mixtures lam real +
    (1 - lam) drawn, (N, ...), and lam (N,), each of Beta(mixup, mixup). Zhang et al., "mixup: Beyond Empirical Risk
    Minimization", ICLR 2018, arXiv:1710.09412.
    """
    if mixup > 0:
        goal = draw_beta(mixup, mixup, random, (len(real),)).to(real)
        return torch.lerp(drawn, real, goal.reshape(-1, *[1] * (real.ndim - 1))), goal
    ones = torch.ones(len(real), device=real.device, dtype=real.dtype)
    return torch.cat([real, drawn]), torch.cat([ones, torch.zeros_like(ones)])


def _steepness(discriminator: Discriminator, images: Tensor, labels: Tensor) -> Tensor:
    """-> () the mean squared norm of the logits' gradient, which can itself be differentiated."""
    images = images.detach().requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(images, labels).sum(), images, create_graph=True)
    return slope.square().sum(dim=(1, 2, 3)).mean()


def _shown(settings: Settings, images: Tensor, random: torch.Generator) -> Tensor:
    return augment(images, random) if settings.augment else images


def _noise(settings: Settings, random: torch.Generator, device: torch.device) -> Tensor:
    return torch.randn(settings.batch_size, settings.latent_size, generator=random, device=device)


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def _generator(settings: Settings, *names: str | int, device: torch.device | None = None) -> torch.Generator:
    return torch.Generator(device or "cpu").manual_seed(derive_seed(settings.seed, *names))
