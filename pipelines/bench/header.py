"""Under which conditions the numbers came about."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..commits import own_commit

PACKAGE = __name__.rpartition(".")[0]
ROOT = Path(__file__).parents[PACKAGE.count(".") + 1]  # the folder that holds the outermost package


def header(arguments: Sequence[str], *, program: str = PACKAGE, **conditions: Any) -> dict[str, Any]:
    """Command, commit, machine, time, how busy the machine was before, and these conditions; for JSON."""
    return {
        "command": shlex.join(["python", "-m", program, *arguments]),
        "commit": str(own_commit() or "unknown"),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": _machine(),
        "load": os.getloadavg()[0],
        **conditions,
    }


def merged_versions(found: Iterable[dict[str, str]]) -> dict[str, str]:
    """Versions by project; where two environments differ, both, as in "2.14.1 and 2.13.0"."""
    merged: dict[str, list[str]] = {}
    for versions in found:
        for name, version in versions.items():
            known = merged.setdefault(name, [])
            if version not in known:
                known.append(version)
    return {name: " and ".join(known) for name, known in sorted(merged.items())}


def lines(header: dict[str, Any]) -> list[str]:
    """For people."""
    machine, versions = header["machine"], header.get("versions", {})
    shown = {key: value for key, value in header.items() if key not in ("command", "commit", "machine", "versions")}
    return [
        header["command"],
        f"commit {header['commit']}",
        ", ".join(f"{key} {value}" for key, value in machine.items() if value),
        ", ".join(f"{name} {version}" for name, version in versions.items()),
        ", ".join(f"{key} {value}" for key, value in shown.items()),
    ]


def _machine() -> dict[str, Any]:
    facts = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in facts if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "GiB": round(memory),
        "system": platform.release(),
        "gpu": _gpu(),
    }


def _gpu() -> str:
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else ""
