"""The arguments that all loaders share: what they may be, and what they mean to DALI."""

import os
from typing import Literal

from mixdali.checks import positive_int

Device = Literal["auto", "cpu", "gpu"]
Size = int | tuple[int, int]


def device_id(device: Device) -> int | None:
    """DALI's device_id: None is the CPU, else the number of torch's current GPU. "auto" takes a GPU if there is one."""
    import torch

    if device not in ("auto", "cpu", "gpu"):
        raise ValueError(f'device must be "auto", "cpu" or "gpu", got {device!r}')
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return None
    if not torch.cuda.is_available():
        raise ValueError('device is "gpu" but torch sees no CUDA GPU; use "cpu" or "auto"')
    return torch.cuda.current_device()


def thread_count(num_threads: int | None) -> int:
    """As many as asked for; None: one for each core this process may use."""
    if num_threads is None:
        return len(os.sched_getaffinity(0))
    positive_int("num_threads", num_threads)
    return num_threads


def height_width(size: Size) -> tuple[int, int]:
    """A number is a square."""
    height, width = (size, size) if isinstance(size, int) else size
    positive_int("size", height)
    positive_int("size", width)
    return height, width


def run_settings(batch_size: int, num_threads: int | None, device: Device) -> dict[str, int | None]:
    """The arguments that DALI itself takes."""
    positive_int("batch_size", batch_size)
    return {"batch_size": batch_size, "num_threads": thread_count(num_threads), "device_id": device_id(device)}
