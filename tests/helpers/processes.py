"""Commands in several processes."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from train.machine.distributed import World, data_parallel

ROOT = Path(__file__).parents[2]


def torchrun(*arguments: str, processes: int = 2, timeout: int = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=timeout)


def in_parallel(model: nn.Module) -> nn.Module:
    """The network as the trainer wraps it in several processes, for a process that is a group of its own."""
    return data_parallel(model, World(torch.device("cpu"), size=2))
