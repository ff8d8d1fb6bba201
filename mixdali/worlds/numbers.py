"""The numbers of a plan in a DALI graph, one an image or one for each row or column of its pixels, as expressions.

A graph pays for every operator, however small its data. So the arithmetic of a plan is only written down here. It
becomes either one compiled operator (`worlds/compiled/program.py`) or, without numba, DALI's own ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

TOLD = 12
"""Numbers that compiled operators are told of a layer of a mix: the ten of `worlds/compiled/layers.py`, which image of
the batch is laid (-1: the own one), and the weight of its target (of the first layer: of the own target)."""


class Arithmetic:
    """Python's operators, which make larger expressions."""

    __slots__ = ()

    def __add__(self, other: Any) -> Any:
        return combine("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return combine("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return combine("sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return combine("sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return combine("mul", self, other)

    def __rmul__(self, other: Any) -> Any:
        return combine("mul", other, self)

    def __truediv__(self, other: Any) -> Any:
        return combine("div", self, other)


class Draw(NamedTuple):
    """A draw of `worlds/uniforms.py`.

    keys  node (2,) float32, the same for all draws of a plan.
    name  a whole number from 0 to 2 ** 48 - 1.
    per   as in `mixdali.Mix`.
    """

    keys: Any
    name: int
    per: str = "image"


class Number(Arithmetic):
    """A number an image, or along an axis: drawn, constant, or computed from others.

    kind   "node", "uniform", "cycle" and "permutation" (partners), "constant", "size", "row" (0, 1, 2, ... for the
           pixels along an axis) or an operation.
    value  of kind "node" a DALI node () float32, of a drawn one a `Draw`, of "constant" a float, of "size" and "row" 0
           for height and 1 for width.
    axis   0 for a number for each row of pixels, 1 for each column, None for one an image.
    """

    def __init__(self, kind: str, *inputs: Number, value: Any = None) -> None:
        self.kind = kind
        self.inputs = inputs
        self.value = value
        axes = {one.axis for one in inputs} - {None}
        if len(axes) > 1:
            raise ValueError(f"{kind}: numbers along the height cannot meet numbers along the width")
        self.axis: int | None = value if kind == "row" else None if kind == "mean" or not axes else axes.pop()

    def __lt__(self, other: Any) -> Any:
        return combine("lt", self, other)

    def __ge__(self, other: Any) -> Any:
        return combine("ge", self, other)


class Numbers(Arithmetic, tuple[Number, ...]):
    """Several numbers an image, such as a pair or a box. Operators work on them one by one."""

    __slots__ = ()


def constant(value: float) -> Number:
    return Number("constant", value=float(value))


def as_number(value: Any) -> Number:
    return value if isinstance(value, Number) else constant(value)


def combine(kind: str, *inputs: Any) -> Any:
    """An operation on numbers, on several numbers one by one, and on Python's floats."""
    several = next((value for value in inputs if isinstance(value, Numbers)), None)
    if several is not None:
        rows = [value if isinstance(value, Numbers) else [value] * len(several) for value in inputs]
        return Numbers(combine(kind, *column) for column in zip(*rows, strict=True))
    if any(not isinstance(value, Number | int | float) for value in inputs):
        return NotImplemented
    numbers = [as_number(one) for one in inputs]
    nothing = kind == "mul" and any(one.kind == "constant" and one.value == 0 for one in numbers)
    if nothing and all(one.axis is None for one in numbers):
        return constant(0.0)  # whatever the other is, it is finite
    return Number(kind, *numbers)


def in_order(numbers: list[Number], known: list[Number] | None = None) -> list[Number]:
    """Everything that these numbers are computed from, each once and after its inputs; what is behind `known` ones is
    left out."""
    found: dict[int, Number] = {}
    ends = {id(number) for number in known or []}

    def visit(number: Number) -> None:
        if id(number) not in found:
            if id(number) not in ends:
                for one in number.inputs:
                    visit(one)
            found[id(number)] = number

    for number in numbers:
        visit(number)
    return list(found.values())


def by_operators(
    numbers: list[Number],
    leaf: Callable[[Number], Any],
    operations: dict[str, Callable[..., Any]],
    scalar: Callable[[float], Any],
) -> list[Any]:
    """The numbers as DALI nodes, computed by DALI's operators.

    leaf    the node, or the float, of a number without inputs.
    scalar  makes a node of a float.
    """
    made: dict[int, Any] = {}
    for number in in_order(numbers):
        if not number.inputs:
            made[id(number)] = leaf(number)
        else:
            first, *others = (made[id(one)] for one in number.inputs)
            if all(isinstance(value, float) for value in (first, *others)):
                first = scalar(first)
            made[id(number)] = operations[number.kind](first, *others)
    return [scalar(found) if isinstance(found := made[id(number)], float) else found for number in numbers]
