"""A trace of some steps by torch's profiler, for chrome://tracing or https://ui.perfetto.dev."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

LEFT_OUT = 5
"""Steps before the trace: the first ones build and compile."""
WARMUP = 2


class Trace:
    """Looks at `steps` steps of a run and writes what they did into a file; it changes no byte of them."""

    def __init__(self, path: Path, steps: int) -> None:
        self.path, self.written = path, False
        activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])
        plan = schedule(skip_first=LEFT_OUT, wait=0, warmup=WARMUP, active=steps, repeat=1)
        self.profile = profile(activities=activities, schedule=plan, on_trace_ready=self._write)
        self.profile.start()

    def step(self) -> None:
        """After every step, with the wait for its batch."""
        self.profile.step()

    def close(self) -> str:
        """-> a line for people."""
        self.profile.stop()
        if self.written:
            return f"{self.path}: a trace of some steps, for https://ui.perfetto.dev"
        return f"no trace: the first {LEFT_OUT + WARMUP} steps are left out, and the run ended before the others"

    def _write(self, found: profile) -> None:
        if not self.written:
            found.export_chrome_trace(str(self.path))
            self.written = True
