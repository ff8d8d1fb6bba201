"""Which number format the forward pass uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def resolve_precision(precision: Precision, device: torch.device) -> Literal["float32", "bfloat16", "float16"]:
    """`auto` becomes what the device computes natively: bfloat16 where it can, else float16 on a GPU, else float32.

    Raises:
        ValueError: float16 on a CPU.
    """
    if precision == "auto":
        if device.type == "cuda":
            return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
        return "bfloat16" if _cpu_has_bfloat16() else "float32"
    if precision == "float16" and device.type == "cpu":
        raise ValueError("precision float16 needs a GPU; pass --precision bfloat16 or float32")
    return precision


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether float32 products on a GPU keep only 10 bits of their factors inside the block, of layers and of
    matrices alike; torch itself does it for convolutions and not for matrices."""
    places: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [place.allow_tf32 for place in places]
    try:
        for place in places:
            place.allow_tf32 = allowed
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.allow_tf32 = value


def _cpu_has_bfloat16() -> bool:
    info = Path("/proc/cpuinfo")
    flags = info.read_text(errors="replace") if info.is_file() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context of a forward pass in `precision`; with float32 it does nothing."""
    enabled = precision != "float32"
    return torch.autocast(device.type, dtype=getattr(torch, precision) if enabled else None, enabled=enabled)
