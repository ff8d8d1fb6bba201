"""What a computation depends on beside its settings and its data."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import torch

import mixdali
from train.machine.distributed import World


def circumstances(world: World) -> dict[str, Any]:
    """What can make the last bits of a result differ, and nothing else: the device, threads and versions."""
    on_cpu = world.kind == "cpu"
    return {
        "device": world.kind,
        # The kernels are chosen by it.
        "hardware": torch.backends.cpu.get_cpu_capability() if on_cpu else torch.cuda.get_device_name(world.device),
        # Sums on a CPU depend on how they are split.
        **({"threads": torch.get_num_threads()} if on_cpu else {}),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    found = {"torch": torch.__version__.partition("+")[0], "mixdali": mixdali.__version__}
    for package in ("nvidia-dali-cuda130", "nvidia-dali-cuda120"):
        try:
            found["dali"] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
