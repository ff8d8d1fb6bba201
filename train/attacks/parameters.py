"""An adversary that moves the weights of an image-to-image network, for each image its own way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from mixdali.checks import count, fraction, one_of, require
from mixdali.worlds.tensor_draws import read_draw
from train.attacks.attack import GUARD, Loss, precise
from train.attacks.ball import norms, per_image
from train.attacks.ssim import ssim

# Of a move, tried from the whole to nothing where images must stay alike.
SHARES = torch.linspace(1, 0, 9, device="cpu").tolist()

Moves = dict[str, Tensor]
"""By the name of a tensor of parameters: (N, ...) what is added to it for each image."""


@dataclass(frozen=True, kw_only=True)
class ParameterAttack:
    """Steps up the gradient of a loss of c(x; phi + delta), each followed by a projection of delta.

    Every image has a delta of its own, in a ball for each tensor of parameters by itself, || delta_l || <= eps
    || phi_l ||. Calian et al., ICLR 2022, arXiv:2104.01086. Zero steps return the start; an eps of 0 gives c(x; phi).
    """

    eps: float = 0.005
    """Radius, as a share of the length of each tensor of parameters."""
    step_size: float = 0.004
    """Length of a step, as a share of that length."""
    num_steps: int = 3
    """Gradients taken."""
    start: Literal["uniform", "none"] = "uniform"
    """uniform: in a uniform direction, at a uniform distance up to the radius, for each tensor. none: phi itself."""
    least_ssim: float = 0.0
    """Where the result is less alike to its image than that, delta shrinks along its line, to 0 if need be; 0 never."""

    def __post_init__(self) -> None:
        for name in ("eps", "step_size"):
            rule = "must be from 0 to 1, a share of the parameters' length"
            require(0 <= getattr(self, name) <= 1, f"ParameterAttack: {name}", getattr(self, name), rule)
        count("ParameterAttack: num_steps", self.num_steps)
        one_of("ParameterAttack: start", self.start, ("uniform", "none"))
        fraction("ParameterAttack: least_ssim", self.least_ssim)

    def draw(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """The start: what is added to the parameters for each image, (N, P), one tensor after the other."""
        drawn = []
        for parameter in parameters_of(network, images).values():
            move = images.new_zeros(len(images), parameter.numel(), dtype=parameter.dtype)
            if self.start == "uniform":
                move.normal_(generator=generator)
                far = torch.rand(len(images), 1, generator=generator, device=move.device, dtype=move.dtype)
                move *= far * self.eps * parameter.norm() / norms(move)
            drawn.append(move)
        return torch.cat(drawn, dim=1)

    def search(self, network: nn.Module, images: Tensor, loss: Loss, start: Tensor) -> Tensor:
        """The corrupted images, (N, 3, H, W) in [0, 1], without a gradient.

        Args:
            network: images (N, 3, H, W) in [0, 1] -> the same shape; with batch norm in evaluation mode.
            images: (N, 3, H, W) in [0, 1].
            loss: what to maximise, of the corrupted images, one number for each.
            start: as `draw` gives it, or as an array or lists; brought into the ball.

        Raises:
            ValueError: the network changes the shape of its images, or the start has another one.
        """
        moves = self.find(network, images, loss, start)
        with torch.no_grad():
            if self.least_ssim > 0:
                return self._alike(network, images, moves)
            return corrupt(network, images, moves)

    def find(self, network: nn.Module, images: Tensor, loss: Loss, start: Tensor) -> Moves:
        """As `search`: what is added to the parameters."""
        parameters = parameters_of(network, images)
        moves = self._project(_split(start, parameters, len(images)), parameters)
        for _ in range(self.num_steps):
            for move in moves.values():
                move.requires_grad_()
            with torch.enable_grad():
                losses = loss(corrupt(network, images, moves))
                found = torch.autograd.grad(losses.sum(), list(moves.values()))
            reached = {}
            for (name, move), slope in zip(moves.items(), found, strict=True):
                lengths = norms(slope)
                direction = torch.where(lengths.isfinite(), slope / (lengths + GUARD), 0.0)
                reached[name] = move.detach() + self.step_size * parameters[name].norm() * direction
            moves = self._project(reached, parameters)
        return moves

    def _project(self, moves: Moves, parameters: dict[str, Tensor]) -> Moves:
        projected = {}
        for name, move in moves.items():
            radius, lengths = self.eps * parameters[name].norm(), norms(move)
            projected[name] = move.detach() * torch.where(lengths > radius, radius / lengths, 1.0)
        return projected

    def _alike(self, network: nn.Module, images: Tensor, moves: Moves) -> Tensor:
        """Corrupted by the greatest share of each move that keeps the images alike enough."""
        kept = corrupt(network, images, {name: torch.zeros_like(move) for name, move in moves.items()})
        found = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        for share in SHARES:
            tried = corrupt(network, images, {name: share * move for name, move in moves.items()})
            taken = ~found & (ssim(tried, images) >= self.least_ssim)
            kept, found = torch.where(per_image(taken, tried), tried, kept), found | taken
        return kept


def corrupt(network: nn.Module, images: Tensor, moves: Moves) -> Tensor:
    """What the network makes of each image (N, 3, H, W) with parameters moved for it alone, cut to [0, 1]."""
    parameters = parameters_of(network, images)
    work = precise(images.detach())
    buffers = {
        name: value.to(work.dtype) if value.is_floating_point() else value for name, value in network.named_buffers()
    }

    def one(image: Tensor, move: Moves) -> Tensor:
        own = {name: parameters[name] + move[name] for name in parameters}
        return functional_call(network, (own, buffers), (image.unsqueeze(0),)).squeeze(0)

    # Half precision would blur the images more than small moves do.
    with torch.autocast(work.device.type, enabled=False):
        made = vmap(one)(work, moves)
    if made.shape != images.shape:
        raise ValueError(
            f"the image-to-image network makes {tuple(made.shape[1:])} of {tuple(images.shape[1:])}; it must keep the "
            "shape of its images"
        )
    return made.clamp(0, 1)


def parameters_of(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """The network's parameters by name, fixed, as precise as the images and at least float32. ValueError if none."""
    work = torch.promote_types(images.dtype, torch.float32)
    found = {name: parameter.detach().to(work) for name, parameter in network.named_parameters()}
    if not found:
        raise ValueError("the image-to-image network has no parameters to move; take another network")
    return found


def _split(flat: Tensor, parameters: dict[str, Tensor], number: int) -> Moves:
    """(N, P) -> by name (N, ...)."""
    sizes = [parameter.numel() for parameter in parameters.values()]
    flat = read_draw("start", flat)
    if flat.shape != (number, sum(sizes)):
        raise ValueError(f"start must have the shape {(number, sum(sizes))}, got {tuple(flat.shape)}")
    parts = zip(parameters.items(), flat.split(sizes, dim=1), strict=True)
    return {name: part.to(own).reshape(number, *own.shape) for (name, own), part in parts}
