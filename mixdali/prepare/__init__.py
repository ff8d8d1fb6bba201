"""`python -m mixdali.prepare`: compile for this machine what the first batch would else wait for.

What is compiled lies beside the installed package, or in the user's cache where that cannot be written to, or where
NUMBA_CACHE_DIR says. A module's name after the command, such as `pipelines.augment.resampling`, is compiled too.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from typing import Any

COMPILED = "mixdali.worlds.compiled"
# What belongs together shares what it is made of, so that one process compiles it.
PARTS = (
    (f"{COMPILED}.program", f"{COMPILED}.operator"),
    (f"{COMPILED}.images:usual", f"{COMPILED}.others", f"{COMPILED}.targets", f"{COMPILED}.resident:usual"),
    (f"{COMPILED}.images:forms", f"{COMPILED}.resident:forms"),
)


def prepare(names: Sequence[str]) -> set[str]:
    """Compiles what these modules hold, and says where it is kept. After a colon: "usual" for the usual form of images
    alone, "forms" for all others."""
    from mixdali.worlds.compiled.operator import Compiled, say_nothing

    say_nothing()
    folders = set()
    for name in names:
        module, _, which = name.partition(":")
        for value in _functions(import_module(module), which):
            if isinstance(value, Compiled):
                _ = value.address
                folders.add(str(value.folder))
    return folders


def _functions(module: Any, which: str) -> Iterator[Any]:
    if which != "forms":
        yield from vars(module).values()
    if which != "usual" and hasattr(module, "in_all_forms"):
        yield from module.in_all_forms()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m mixdali.prepare", description=__doc__)
    parser.add_argument("modules", nargs="*", help="more modules with compiled functions")
    parts = [*PARTS, *((name,) for name in parser.parse_args(arguments).modules)]
    if find_spec("numba") is None:
        sys.exit("mixdali.prepare: there is nothing to compile without numba: pip install 'mixdali[fast]'")
    start = time.perf_counter()
    # fresh processes: a process that has DALI loaded is not to be forked
    context = multiprocessing.get_context("spawn")
    workers = min(len(parts), len(os.sched_getaffinity(0)))
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        folders = set().union(*pool.map(prepare, parts))
    print(f"compiled in {time.perf_counter() - start:.0f} s, kept in {', '.join(sorted(folders))}")
