"""One contestant in a process of its own: hands out batches when it is told to, and says what they cost.

    python child.py '{"file": ".../contestants/ours.py", "name": "pipelines.bench.contestants.ours", "settings": {...},
                      "cores": [0, 1], "ahead": 4}'

It needs the standard library and Linux only, so that it runs in any environment. It speaks in lines of JSON: one when
its first batch is there, and one for each number of batches that it is told. What libraries print goes to the standard
error.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

PATIENCE = 300.0  # seconds until a process that goes on working between two rounds is given up
PROJECTS = ("torch", "torchvision", "timm", "ffcv", "nvidia.dali", "numba", "numpy", "PIL", "cv2", "mixdali")


def family(root: int) -> list[int]:
    """A process and all that come from it, by their numbers."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                facts = Path("/proc", name, "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):  # it has just ended
                continue
            # the name in brackets may hold anything; the parent is the second word behind it
            children.setdefault(int(facts.rpartition(")")[2].split()[1]), []).append(int(name))
    found = [root]
    for process in found:
        found.extend(children.get(process, ()))
    return found


def cpu_seconds(processes: Sequence[int]) -> float:
    """CPU time of these processes, all their threads, and of the children of this one that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for process in processes:
        try:
            # Linux's clock of another process, in nanoseconds: clock_getcpuclockid(3)
            total += time.clock_gettime(~process << 3 | 2)
        except OSError:  # it has ended
            continue
    return total


def forget_peaks(processes: Sequence[int]) -> None:
    """Begin anew to note the highest memory of these processes."""
    for process in processes:
        try:
            Path(f"/proc/{process}/clear_refs").write_text("5")
        except OSError:  # it has ended, or the system does not let us: then the peak is that of its whole life
            continue


def peak_memory(processes: Sequence[int]) -> float:
    """MiB of memory: what they hold, shared pages shared out, and what each held at most beyond that."""
    total = 0
    for process in processes:
        try:
            now = _kibibytes(f"/proc/{process}/smaps_rollup")
            peak = _kibibytes(f"/proc/{process}/status")
        except OSError:  # it has ended
            continue
        total += now["Pss"] + peak["VmHWM"] - peak["VmRSS"]
    return total / 1024


def _kibibytes(path: str) -> dict[str, int]:
    lines = (line.split() for line in Path(path).read_text().splitlines() if line.endswith(" kB"))
    return {words[0].rstrip(":"): int(words[1]) for words in lines}


def rest(processes: Sequence[int]) -> None:
    """Wait until they have stopped working: everything that is made ahead is made."""
    deadline = time.monotonic() + PATIENCE
    quiet, before = 0, cpu_seconds(processes)
    while quiet < 5:  # on a busy machine a process with work to do can be kept waiting for some hundredths of a second
        if time.monotonic() > deadline:
            raise RuntimeError(f"still working {PATIENCE:.0f} s after its last batch")
        time.sleep(0.02)
        now = cpu_seconds(processes)
        quiet = quiet + 1 if now - before < 0.001 else 0
        before = now


def measure(batches: Iterator[Any], number: int, ahead: int, wait: Callable[[], None]) -> dict[str, float]:
    """What `ahead + number` batches cost, in a dictionary of plain numbers.

    CPU time goes from rest to rest, with every queue full before and after, so that it is that of as many batches as
    were handed out. Wall time is that of the last `number` batches: those before were made while nobody looked.
    wait: returns when the accelerator has done what it was given.
    """
    processes = family(os.getpid())
    forget_peaks(processes)
    images, before = 0, cpu_seconds(processes)
    batch: Any = None
    for _ in range(ahead):
        batch = next(batches)
        images += len(batch[0])
    wait()
    start, early = time.perf_counter(), images
    for _ in range(number):
        batch = next(batches)
        images += len(batch[0])
    wait()
    seconds = time.perf_counter() - start
    del batch
    rest(processes)
    cpu = cpu_seconds(processes) - before
    return {
        "batches": ahead + number,
        "images": images,
        "cpu_seconds": cpu,
        "timed_images": images - early,
        "seconds": seconds,
        "memory": peak_memory(processes),
    }


def check(batch: Any, settings: dict[str, Any]) -> None:
    """Raises ValueError if the batch is not what everybody has to hand out."""
    images, targets = batch
    number, size = settings["batch_size"], settings["size"]
    if settings.get("output") == "uint8":
        _check_kind("images", images, (number, size, size, 3), "torch.uint8")
        return
    form = settings.get("handed_out", {})
    shape = (number, size, size, 3) if form.get("output_layout") == "HWC" else (number, 3, size, size)
    _check_kind("images", images, shape, f"torch.{form.get('dtype', 'float32')}")
    _check_kind("targets", targets, (number, settings["num_classes"]), "torch.float32")
    if "mean" in form:
        return
    low, high = float(images.min()), float(images.max())
    if not (low > -1e-6 and 0.1 < high < 1 + 1e-6):
        raise ValueError(f"images must fill [0, 1], are from {low} to {high}")


def _check_kind(name: str, tensor: Any, shape: tuple[int, ...], dtype: str) -> None:
    if tuple(tensor.shape) != shape or str(tensor.dtype) != dtype:
        raise ValueError(f"{name} must be {dtype} {shape}, are {tensor.dtype} {tuple(tensor.shape)}")


def versions() -> dict[str, str]:
    """Of what is loaded here."""
    found = {"python": sys.version.split()[0]}
    for name in PROJECTS:
        if name in sys.modules:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:  # its package goes by another name
                found[name] = str(getattr(sys.modules[name], "__version__", "?"))
    return found


def _load(path: str, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # for what is sent to worker processes
    spec.loader.exec_module(module)
    return module


def _run(spec: dict[str, Any], orders: TextIO, answer: Callable[[dict[str, Any]], None]) -> None:
    settings = spec["settings"]
    start = time.perf_counter()
    try:
        module = _load(spec["file"], spec["name"])
        importlib.import_module("torch")  # everybody's batches are its tensors, also of those who load it late
    except ModuleNotFoundError as error:
        answer({"missing": error.name})
        return
    loaded = time.perf_counter()
    if hasattr(module, "prepare"):
        module.prepare(settings)
    cuda = sys.modules["torch"].cuda if settings["device"] == "gpu" else None
    wait = cuda.synchronize if cuda else _nothing
    free = cuda.mem_get_info()[0] if cuda else 0
    prepared = time.perf_counter()
    batches = iter(module.batches(settings))
    first = next(batches)
    wait()
    ready = time.perf_counter()
    check(first, settings)
    del first
    rest(family(os.getpid()))
    answer(
        {
            "import_seconds": loaded - start,
            "first_batch_seconds": ready - prepared,
            # the others rest now, so that what has gone is this one's
            "gpu_memory": (free - cuda.mem_get_info()[0]) / 2**20 if cuda else None,
            "versions": versions(),
        }
    )
    for line in orders:
        answer(measure(batches, int(line), spec["ahead"], wait))


def _nothing() -> None:
    pass


def main() -> None:
    spec = json.loads(sys.argv[1])
    os.sched_setaffinity(0, spec["cores"])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers)

    def fail(error: BaseException | None) -> None:
        answer({"error": f"{type(error).__name__}: {' '.join(str(error).split())}"})

    def fail_in_thread(failure: threading.ExceptHookArgs) -> None:
        # whoever waits for that thread's batches would wait for ever
        fail(failure.exc_value)
        threading.__excepthook__(failure)
        os._exit(1)

    threading.excepthook = fail_in_thread
    try:
        _run(spec, sys.stdin, answer)
    except Exception as error:
        fail(error)
        raise
    answers.close()
    # Loaders that are taken down by the interpreter's exit print about it, or hang: there is nothing left to do here.
    os._exit(0)


if __name__ == "__main__":
    del sys.path[0]  # this folder, whose names are no modules of anybody else
    main()
