"""How much memory this machine has left, and how much this process holds."""

from __future__ import annotations

import os
from pathlib import Path

import torch

NO_LIMIT = 2**63  # bytes


def held() -> int:
    """Bytes of memory that this process holds on the host."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def free_on_host(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that can still be had: of the machine, or of the control group (version 2) that a container or a batch
    system puts the process in, whichever are fewer. Files that the system keeps in memory count as free."""
    lines = (proc / "meminfo").read_text().splitlines()
    kibibytes = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return min([*(1024 * number for number in kibibytes), *_left_in_groups(proc, groups)])


def _left_in_groups(proc: Path, groups: Path) -> list[int]:
    """What is left of each limit that this process is under."""
    try:
        own = next(line[3:] for line in (proc / "self" / "cgroup").read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return [NO_LIMIT]
    found, folder = [NO_LIMIT], groups / own.strip("/")
    for place in (folder, *folder.parents):
        if not place.is_relative_to(groups):
            break
        try:
            limit = (place / "memory.max").read_text().strip()
            facts = dict(line.split() for line in (place / "memory.stat").read_text().splitlines())
            if limit != "max":
                found.append(max(0, int(limit) - int(facts["anon"])))
        except (OSError, ValueError, KeyError):
            continue
    return found


def free_on_gpu(device: torch.device) -> int:
    """Bytes that can still be had of a GPU's memory."""
    free, _ = torch.cuda.mem_get_info(device)
    return free
