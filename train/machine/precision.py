"""Which number format the forward pass uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

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


def _cpu_has_bfloat16() -> bool:
    info = Path("/proc/cpuinfo")
    flags = info.read_text(errors="replace") if info.is_file() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context of a forward pass in `precision`; with float32 it does nothing."""
    enabled = precision != "float32"
    return torch.autocast(device.type, dtype=getattr(torch, precision) if enabled else None, enabled=enabled)


@contextmanager
def whole_float32() -> Iterator[None]:
    """float32 is float32 inside the block: no TF32, whose products keep 10 of its 23 bits, on a GPU.

    torch lets convolutions use TF32 unless it is told otherwise, and accuracies, attacks and certificates then hang on
    the card.
    """
    before = torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn
    settings = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "benchmark_limit", "deterministic")}
    torch.set_float32_matmul_precision("highest")
    try:
        with cudnn.flags(**settings, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
