"""Steps whose loss or gradients are no finite numbers: found, and taken back as if they had not been."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.loop.state import SKIPPED, State
from train.machine.distributed import World


def kept_buffers(model: nn.Module) -> list[Tensor]:
    """Copies of the running means and variances, which a forward pass moves."""
    return [buffer.clone() for buffer in model.buffers()]


@torch.no_grad()
def put_back(model: nn.Module, kept: list[Tensor]) -> None:
    """The buffers as they were."""
    for buffer, old in zip(model.buffers(), kept, strict=True):
        buffer.copy_(old)


@torch.no_grad()
def is_finite_step(loss: Tensor, state: State, world: World) -> bool:
    """Whether the loss of all processes, and the gradients, are finite. Waits for the device.

    With a scaler the gradients are its own affair: it tries larger and larger factors, and leaves out the step of one
    that was too large.
    """
    finite = bool(torch.isfinite(loss))
    if finite and not state.scaler.is_enabled():
        parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
        finite = are_finite([parameter.grad for parameter in parameters if parameter.grad is not None])
    return not world.any(not finite)


@torch.no_grad()
def are_finite(tensors: list[Tensor]) -> bool:
    """Whether all their numbers are finite. Waits for the device."""
    # A norm is nan or inf as soon as one number is.
    return bool(torch.isfinite(torch.stack(torch._foreach_norm(tensors))).all())


def steps_taken(state: State, steps: int) -> int:
    """Of so many steps of an epoch those that were not left out. ValueError if none was taken."""
    taken = steps - int(float(state.sums.get(SKIPPED, torch.zeros(()))))
    if not taken:
        raise ValueError(
            f"the loss was a number in none of the {steps} steps of epoch {state.epoch + 1}; the last checkpoint is "
            "kept. Try a smaller --lr"
        )
    return taken
