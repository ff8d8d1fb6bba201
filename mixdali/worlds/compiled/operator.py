"""How compiled functions become DALI operators.

DALI's numba operator compiles its functions anew in every pipeline. `KeptOperator` hands it finished ones instead, by
overriding two of its private methods; what those functions receive is the form in which DALI calls them. numba compiles
for some seconds once and keeps the result on disk.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numba import carray, cfunc, types
from numba.core import event
from numba.core.caching import FunctionCache
from nvidia.dali.plugin.numba import NumbaFunction
from nvidia.dali.types import DALIDataType

from mixdali.worlds.compiled.memory import inner, pointer

_address, _count = types.uint64, types.int32
# outputs: data, shapes, ndims, number; the same of the inputs
RUN = types.void(_address, _address, _address, _count, _address, _address, _address, _count)
# the same, of all samples of a batch, and their number
RUN_BATCH = types.void(_address, _address, _address, _count, _address, _address, _address, _count, _count)
# output shapes, ndims, number; the same of the inputs; samples
SETUP = types.void(_address, _address, _count, _address, _address, _count, _count)


Form = tuple[Any, int]
"""Type and number of axes of an operator's input or output."""

IMAGE, LABEL, FLAT, NUMBER, NUMBERS, GRID, PIXELS = (
    (DALIDataType.UINT8, 3),
    (DALIDataType.INT32, 0),
    (DALIDataType.FLOAT64, 1),
    (DALIDataType.FLOAT, 0),
    (DALIDataType.FLOAT, 1),
    (DALIDataType.FLOAT, 2),
    (DALIDataType.FLOAT, 3),
)
INSTANT = 0.5  # seconds
COMPILING = (
    "mixdali: compiling for this machine, which takes some seconds and is kept; `python -m mixdali.prepare` does it "
    "ahead"
)
_said = threading.Event()
ADDRESS = SHAPE = (DALIDataType.INT64, 1)


class KeptOperator(NumbaFunction):
    """DALI's operator around functions that are compiled already."""

    def _get_run_fn_cpu(self, run_fn: Any, *_: Any) -> int:
        return run_fn.address

    def _get_setup_fn_cpu(self, setup_fn: Any) -> int:
        return setup_fn.address


def operator(run: Any, setup: Any, inputs: Sequence[Form], *outputs: Form, batch: bool = False) -> Any:
    """A DALI operator for the CPU from two compiled functions, to be called with its inputs.

    inputs, outputs  type and number of axes of each, of up to six.
    batch            `run` is called once for a batch, with the signature RUN_BATCH.
    """
    return KeptOperator(
        run_fn=run,
        setup_fn=setup,
        in_types=[kind for kind, _ in inputs],
        ins_ndim=[ndim for _, ndim in inputs],
        out_types=[kind for kind, _ in outputs],
        outs_ndim=[ndim for _, ndim in outputs],
        batch_processing=batch,
    )


class Compiled:
    """A function that is compiled when its address is asked for, and not before: a graph uses few of them all."""

    def __init__(self, function: Any, signature: Any) -> None:
        self.function = function
        self.signature = signature

    def __call__(self, *arguments: Any) -> Any:
        """Not compiled."""
        return self.function(*arguments)

    @property
    def address(self) -> int:
        return self._compiled.address

    @property
    def folder(self) -> Path | None:
        """Where it is kept; None: nowhere."""
        try:
            return Path(FunctionCache(self.function).cache_path)
        except RuntimeError:  # no folder that can be written to
            return None

    @cached_property
    def _compiled(self) -> Any:
        folder = self.folder
        if folder is not None:
            _forget_outdated(folder)
        with _notice():
            return cfunc(self.signature, cache=folder is not None, error_model="numpy")(self.function)


def compiled(signature: Any) -> Callable[[Any], Compiled]:
    """The decorator of a function that DALI calls, with the signature RUN, RUN_BATCH or SETUP."""
    return lambda function: Compiled(function, signature)


def say_nothing() -> None:
    """Of what is compiled from here on."""
    _said.set()


@contextmanager
def _notice() -> Iterator[None]:
    """One line for each process, once something has really been compiled for longer than an instant."""
    going_on: list[Any] = []

    def say() -> None:
        if going_on and not _said.is_set():
            _said.set()
            print(COMPILING, file=sys.stderr, flush=True)

    class Listener(event.Listener):
        def on_start(self, one: Any) -> None:
            going_on.append(one)

        def on_end(self, one: Any) -> None:
            pass

    timer = threading.Timer(INSTANT, say)
    timer.daemon = True
    timer.start()
    try:
        # what is only read from disk goes through none of the compiler's passes
        with event.install_listener("numba:run_pass", Listener()):
            yield
    finally:
        timer.cancel()


@cache
def _forget_outdated(folder: Path) -> None:
    """Deletes what numba has kept in `folder` from before any file here changed: it looks at the file of a function
    alone, not at those of the functions it calls."""
    changed = max(source.stat().st_mtime for source in Path(__file__).parent.glob("*.py"))
    for index in folder.glob("*.nbi"):
        with suppress(OSError):  # gone already, or not ours to delete
            if index.stat().st_mtime < changed:
                index.unlink()


@inner
def of_batch(data: Any, number: Any, samples: Any) -> Any:
    """(number, samples) uint64: what a function of the signature RUN_BATCH or SETUP is told of so many inputs."""
    return carray(pointer(data), (number, samples), np.uint64)


@inner
def shape_of(shapes: Any, place: Any, ndim: Any) -> Any:
    """The shape of input (or output) number `place`, (ndim,) int64, in a function of the signature RUN."""
    return carray(pointer(carray(pointer(shapes), place + 1, np.uint64)[place]), ndim, np.int64)


@compiled(SETUP)
def like_the_first(out_shapes, _out_ndims, _num_outputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    """The output has one axis, as long as the first one of the first input."""
    ins, outs = of_batch(in_shapes, 1, samples)[0], of_batch(out_shapes, 1, samples)[0]
    for sample in range(samples):
        carray(pointer(outs[sample]), 1, np.int64)[0] = carray(pointer(ins[sample]), 1, np.int64)[0]


@cache
def of_shape(first: int, second: int, third: int) -> Any:
    """What tells DALI that all outputs have this shape. It sees no values, and a constant of this shape would cost as
    much as a mix; so it is compiled for a shape, once."""

    @compiled(SETUP)
    def setup(out_shapes, _out_ndims, _num_outputs, _in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
        outs = of_batch(out_shapes, 1, samples)[0]
        for sample in range(samples):
            out = carray(pointer(outs[sample]), 3, np.int64)
            out[0], out[1], out[2] = first, second, third

    return setup


@inner
def address_of(data: Any, place: Any) -> Any:
    """The pointer to the data of input (or output) number `place`."""
    return pointer(carray(pointer(data), place + 1, np.uint64)[place])


@inner
def image_of(data: Any, shapes: Any, place: Any) -> Any:
    """Input (or output) number `place` as a uint8 array (H, W, C)."""
    shape = shape_of(shapes, place, 3)
    return carray(address_of(data, place), (shape[0], shape[1], shape[2]), np.uint8)
