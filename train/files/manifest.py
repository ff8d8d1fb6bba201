"""How a run was started: command, versions, machine; a line of a list for each time."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from train.files.sealed import written
from train.machine.circumstances import circumstances
from train.machine.distributed import World

PLACE = "manifest.json"
ROOT = Path(__file__).parents[2]
BESIDE = ("numpy", "torchvision", "timm", "numba")


def add_start(folder: Path, world: World, seed: int) -> None:
    """Write this start below those before it, into `folder`/manifest.json."""
    path = folder / PLACE
    try:
        starts = json.loads(path.read_text()) if path.is_file() else []
    except ValueError:
        # It decides nothing: what somebody's editor left of it stays, and a new one begins.
        os.replace(path, path.with_name(f"{PLACE}.damaged"))
        starts = []
    with written(path) as aside:
        aside.write_text(json.dumps([*starts, describe_start(world, seed)], indent=1) + "\n")


def describe_start(world: World, seed: int) -> dict[str, Any]:
    """What this process is: plain values."""
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": [sys.executable, *sys.orig_argv[1:]],
        "folder": os.getcwd(),
        "seed": seed,
        "processes": world.size,
        "code": git_state(ROOT),
        "own_code": git_state(Path.cwd()) if Path.cwd() != ROOT else None,
        **circumstances(world),
        "python": platform.python_version(),
        "beside": _installed(),
        "machine": _machine(world),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit that a folder is at and whether its files differ from it; None where git knows of none."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()


def _installed() -> dict[str, str]:
    found = {}
    for name in BESIDE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _machine(world: World) -> dict[str, Any]:
    gpus = torch.cuda.device_count() if world.kind == "gpu" else 0
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": [torch.cuda.get_device_name(number) for number in range(gpus)],
    }
