"""How a run was started: command, versions, machine; a line of a list for each time."""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from pipelines.commits import Commit, commit_of, own_commit
from train.files.sealed import written
from train.machine.circumstances import circumstances
from train.machine.distributed import World

PLACE = "manifest.json"
BESIDE = ("numpy", "torchvision", "timm", "numba")


def add_start(folder: Path, world: World, seed: int, memory: dict[str, Any] | None = None) -> None:
    """Write this start below those before it, into `folder`/manifest.json.

    memory  that it will take by estimate, as plain values.
    """
    path = folder / PLACE
    try:
        starts = json.loads(path.read_text()) if path.is_file() else []
    except ValueError:
        # It decides nothing: what somebody's editor left of it stays, and a new one begins.
        os.replace(path, path.with_name(f"{PLACE}.damaged"))
        starts = []
    with written(path) as aside:
        aside.write_text(json.dumps([*starts, describe_start(world, seed, memory)], indent=1) + "\n")


def describe_start(world: World, seed: int, memory: dict[str, Any] | None = None) -> dict[str, Any]:
    """What this process is: plain values."""
    own, around = own_commit(), commit_of(os.getcwd())
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": [sys.executable, *sys.orig_argv[1:]],
        "folder": os.getcwd(),
        "seed": seed,
        "processes": world.size,
        "code": _plain(own),
        "own_code": None if around == own else _plain(around),
        **circumstances(world),
        "python": platform.python_version(),
        "beside": _installed(),
        "machine": _machine(world),
        "memory": memory,
    }


def _plain(commit: Commit | None) -> dict[str, Any] | None:
    return None if commit is None else {"commit": commit.number, "changed": commit.changed}


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
