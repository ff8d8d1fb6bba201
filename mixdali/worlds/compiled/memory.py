"""Bytes by their address, for compiled functions: what DALI hands over are addresses."""

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

_NOT_FOR_PYTHON: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inner: Any = njit(**_NOT_FOR_PYTHON)
"""The decorator of what compiled functions are made of, which Python cannot call: half of the time to compile a small
function goes into its being called from Python."""


@intrinsic
def _to_pointer(_context: Any, address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


@intrinsic
def _copy_bytes(_context: Any, _source: Any, _target: Any, _number: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        source, target = (builder.inttoptr(address, cgutils.voidptr_t) for address in arguments[:2])
        cgutils.raw_memcpy(builder, target, source, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp, types.intp), generate


@intrinsic
def _fetch(_context: Any, _address: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        number, to = ir.IntType(32), cgutils.voidptr_t
        kind = ir.FunctionType(ir.VoidType(), [to, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [to], kind)
        to_read, near, data = number(0), number(3), number(1)
        builder.call(function, [builder.inttoptr(arguments[0], to), to_read, near, data])
        return context.get_dummy_value()

    return types.void(types.uintp), generate


# To a type checker an intrinsic still has its context argument.
pointer: Any = _to_pointer
"""pointer(address) -> what `numba.carray` takes."""

copy_bytes: Any = _copy_bytes
"""copy_bytes(source, target, number): from one address to another. A row of a box is so short that what slices and a
look for overlaps cost would be seen beside it."""

fetch: Any = _fetch
"""fetch(address): that it will be read soon; nothing happens where it cannot be read."""


@inner
def copy_rows(source: Any, source_line: Any, target: Any, target_line: Any, number: Any, rows: Any) -> None:
    """`number` bytes of each of so many rows, which begin a line after each other, here and there."""
    for row in range(rows):
        copy_bytes(source + row * source_line, target + row * target_line, number)
