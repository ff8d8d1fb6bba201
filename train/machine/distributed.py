"""One process or several: who am I, on which device, and what do all of us together have."""

from __future__ import annotations

import inspect
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.distributed as dist

# torch itself loads this with the first network of a group, and then its functions' defaults keep that group for good:
# its threads run on while the process ends, which now and then aborts it.
import torch.distributed.nn
from torch import Tensor, nn

from train.machine.launch import Launch, find_launch

SECONDS_TO_DROP = 0.2

Device = Literal["auto", "cpu", "gpu"]


@dataclass(frozen=True)
class World:
    """The processes of a run. Every method is called by all of them, in the same order."""

    device: torch.device
    """Where this process computes."""
    rank: int = 0
    """This process, 0 to size - 1; rank 0 alone writes and prints."""
    size: int = 1
    """Number of processes."""
    local_size: int = 1
    """Number of them on this machine."""
    peers: tuple[tuple[str, int], ...] = ()
    """The machine and the process's number there of every rank, where there are several."""

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    @property
    def kind(self) -> Literal["cpu", "gpu"]:
        """The device in the words of the pipelines."""
        return "gpu" if self.device.type == "cuda" else "cpu"

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values` over all processes."""
        total = values.clone()
        if self.size > 1:
            dist.all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:
        """Whether any process says yes."""
        return flag if self.size == 1 else bool(self.sum(torch.tensor(int(flag))))

    def any_of(self, *flags: bool) -> list[bool]:
        """For each of the questions whether any process says yes."""
        return list(flags) if self.size == 1 else [bool(count) for count in self.sum(torch.tensor(flags).int())]

    def gather(self, value: Any) -> list[Any]:
        """The value of every process, by rank."""
        values = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def from_main(self, value: Any) -> Any:
        """What rank 0 passes in; the others' values are ignored."""
        values = [value]
        if self.size > 1:
            dist.broadcast_object_list(values)
        return values[0]

    @torch.no_grad()
    def copy_buffers(self, *modules: nn.Module) -> None:
        """Give all processes rank 0's buffers (running means and variances), one transfer for each dtype."""
        if self.size == 1:
            return
        groups: dict[torch.dtype, list[Tensor]] = {}
        for module in modules:
            for buffer in module.buffers():
                groups.setdefault(buffer.dtype, []).append(buffer)
        for buffers in groups.values():
            flat = torch.cat([buffer.flatten() for buffer in buffers])
            dist.broadcast(flat, src=0)
            pieces = flat.split([buffer.numel() for buffer in buffers])
            for buffer, piece in zip(buffers, pieces, strict=True):
                buffer.copy_(piece.view_as(buffer))


def data_parallel(model: nn.Module, world: World) -> nn.Module:
    """The network as a training step calls it: in several processes wrapped so that their gradients are averaged.

    The buffers are left alone: who trains copies them once a step, so that an objective may call the network often.
    """
    if world.size == 1:
        return model
    kind = nn.parallel.DistributedDataParallel
    # From torch 2.14 on the first of these names is deprecated; older versions have no other.
    names = inspect.signature(kind).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
    ids = [world.device.index] if world.device.type == "cuda" else None
    settings: dict[str, Any] = {"device_ids": ids, buffers: False}
    return kind(model, **settings)


@contextmanager
def open_world(device: Device) -> Iterator[World]:
    """This process among those that torchrun or srun started, or alone.

    Args:
        device: "gpu" takes the GPU of the local rank, "auto" a GPU if there is one.

    Raises:
        ValueError: "gpu" without enough GPUs, or several processes that cannot meet.
    """
    launch = find_launch(os.environ)
    count = 0 if device == "cpu" else torch.cuda.device_count()
    if count and count < launch.local_size and not launch.own_gpu:
        raise ValueError(
            f"{launch.local_size} processes need {launch.local_size} GPUs, found {count}; start fewer or pass "
            "--device cpu"
        )
    if device == "gpu" and not count:
        raise ValueError("device gpu: torch finds no GPU; pass --device cpu")
    chosen = torch.device("cuda", 0 if launch.own_gpu else launch.local_rank) if count else torch.device("cpu")
    if count:
        torch.cuda.set_device(chosen)
    if launch.size == 1:
        yield World(chosen)
        return
    _join(launch, on_gpu=count > 0)
    try:
        world = World(chosen, launch.rank, launch.size, launch.local_size)
        yield replace(world, peers=tuple(world.gather((socket.gethostname(), os.getpid()))))
    finally:
        _leave()


def _leave() -> None:
    # A thread of gloo's that drops the last operation's tensors needs the interpreter's lock, and torch 2.6 keeps that
    # lock while it waits for the thread: the process would never end. Asleep, this one leaves the lock to it.
    time.sleep(SECONDS_TO_DROP)
    dist.destroy_process_group()


def _join(launch: Launch, *, on_gpu: bool) -> None:
    """Become one of the group. Both backends, so that objects and flags travel without touching the GPU."""
    # torchrun keeps the place where processes meet, so only its own way there is used.
    place = "env://" if "RANK" in os.environ else f"tcp://{launch.address}:{launch.port}"
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo", init_method=place, rank=launch.rank, world_size=launch.size
        )
    except RuntimeError as error:
        raise ValueError(
            f"rank {launch.rank} of {launch.size} could not meet the others at {launch.address}:{launch.port} "
            f"({str(error).splitlines()[0][:120]}); is that the machine of rank 0, and the port free there?"
        ) from error
