"""One step of an autoencoder, and all that a checkpoint needs of it.

All randomness of a step follows from the seed and the step's number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixdali import derive_seed
from mixdali.checks import require
from train.models.autoencoder import Autoencoder


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides the weights a training ends with."""

    num_steps: int = 4_000
    """Steps of Adam."""
    batch_size: int = 64
    """Images a step."""
    width: int = 8
    """Channels at full resolution."""
    lr: float = 2e-3
    """Learning rate at the beginning; it falls along half a cosine to 0."""
    seed: int = 0
    """The one seed all randomness is derived from."""

    def __post_init__(self) -> None:
        for name in ("num_steps", "batch_size", "width", "lr"):
            require(getattr(self, name) > 0, name, getattr(self, name), "must be above 0")
        require(self.seed >= 0, "seed", self.seed, "must not be negative")


@dataclass
class State:
    """The network and its training, `step` steps old."""

    settings: Settings
    network: Autoencoder
    optimizer: torch.optim.Adam
    step: int = 0

    def to_checkpoint(self) -> dict[str, Any]:
        """The whole state as tensors, numbers and strings."""
        return {
            "autoencoder_network": {"width": self.settings.width},
            "autoencoder": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }

    def load_checkpoint(self, content: dict[str, Any]) -> None:
        """Go back to the moment of `to_checkpoint`."""
        self.network.load_state_dict(content["autoencoder"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.step = content["step"]


def new_state(settings: Settings, device: torch.device) -> State:
    """The state before the first step."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(settings.seed, "autoencoder"))
        network = Autoencoder(width=settings.width)
    network = network.to(device)
    return State(settings, network, torch.optim.Adam(network.parameters(), settings.lr))


def train_step(state: State, pixels: Tensor) -> Tensor:
    """One step on images that the step's number chooses from pixels (N, 3, H, W) uint8. -> () mean squared error."""
    settings, step = state.settings, state.step
    images = choose(settings, pixels, step).float() / 255
    for group in state.optimizer.param_groups:
        group["lr"] = settings.lr * 0.5 * (1 + math.cos(math.pi * step / settings.num_steps))
    error = (state.network(images) - images).square().mean()
    state.optimizer.zero_grad(set_to_none=True)
    error.backward()
    state.optimizer.step()
    state.step += 1
    return error.detach()


def choose(settings: Settings, pixels: Tensor, step: int) -> Tensor:
    """The images of a step; each epoch has another order and leaves the last partial batch out."""
    epoch, place = divmod(step, len(pixels) // settings.batch_size)
    generator = torch.Generator().manual_seed(derive_seed(settings.seed, "epoch", epoch))
    order = torch.randperm(len(pixels), generator=generator)
    return pixels[order[place * settings.batch_size :][: settings.batch_size].to(pixels.device)]
