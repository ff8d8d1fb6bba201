"""Labels and targets. For DALI on the CPU, compiled by numba.

A batch of few classes is worked off in one thread: to hand its samples to several would cost more than the work.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import carray, njit
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from mixdali.worlds.compiled import (
    ADDRESS,
    INPUTS,
    LABEL,
    NUMBER,
    NUMBERS,
    RUN,
    RUN_BATCH,
    SETUP,
    compiled,
    like_the_first,
    of_batch,
    operator,
    pointer,
)
from mixdali.worlds.layers import LAYER, copy_bytes

FEW = 1 << 12  # classes


def fits(layers: int) -> bool:
    """Whether the operator has an input for each of so many other targets."""
    return layers + 2 <= INPUTS


def blend_targets(targets: DataNode, others: Sequence[DataNode], shares: DataNode, few: bool) -> DataNode:
    """Each target's mean with the others.

    targets  (num_classes,) float32.
    others   their places, permuted.
    shares   (len(others),) float32: lam, and the weight of each but the first of the others, which gets what is left.
             Or more numbers, those of a plan, with the shares behind the ten of each layer.
    few      as in `one_hot`.
    """
    inputs = [NUMBERS, *[ADDRESS] * len(others), NUMBERS]
    run = _run_blend_few if few else _run_blend_targets
    return operator(run, like_the_first, inputs, NUMBERS, batch=few)(targets, *others, shares)


def one_hot(labels: DataNode, num_classes: int, on: float, off: float, few: bool) -> DataNode:
    """labels () int32 -> (num_classes,) float32: `on` for the label's class, `off` for all others.

    few  whether the classes are so few (`FEW`) that several threads would cost more than they spare.
    """
    checked = _check_labels(labels, num_classes)
    others = types.Constant(np.full(num_classes, off, np.float32))
    run = _run_hot_few if few else _run_hot
    made = operator(run, like_the_first, [NUMBERS, LABEL, NUMBER], NUMBERS, batch=few)
    return made(others, checked, types.Constant(np.array(on, np.float32)))


def _check_labels(labels: DataNode, num_classes: int) -> DataNode:
    """The labels, or an error where the graph runs: a label out of range takes its label from no image."""
    number = types.Constant(np.array(num_classes, np.int32))
    found = operator(_run_check, _scalars, [LABEL, LABEL], LABEL, batch=True)(labels, number)
    # DALI shows the next line with its error
    return fn.permute_batch(labels, indices=found)  # index -1 here: labels must be from 0 to num_classes - 1


@njit
def _blend_targets(outputs: Any, out_shapes: Any, inputs: Any, in_shapes: Any, num_inputs: Any, samples: Any) -> None:
    outs, ins = of_batch(outputs, 1, samples)[0], of_batch(inputs, num_inputs, samples)
    sizes = of_batch(in_shapes, num_inputs, samples)
    others = num_inputs - 2
    told = carray(pointer(sizes[num_inputs - 1, 0]), 1, np.int64)[0]
    start = 0 if told == others else LAYER * others
    for sample in range(samples):
        number = carray(pointer(sizes[0, sample]), 1, np.int64)[0]
        shares = carray(pointer(ins[num_inputs - 1, sample]), told, np.float32)[start:]
        rest = np.float32(1) - shares[0]
        for place in range(1, others):
            rest -= shares[place]
        own = carray(pointer(ins[0, sample]), number, np.float32)
        out = carray(pointer(outs[sample]), number, np.float32)
        _weigh(own, shares[0], _target(ins[1, sample], number), rest, out)
        for place in range(1, others):
            _weigh(out, np.float32(1), _target(ins[1 + place, sample], number), shares[place], out)


@njit
def _target(place: Any, number: Any) -> Any:
    return carray(pointer(np.uint64(carray(pointer(place), 1, np.int64)[0])), number, np.float32)


@njit
def _weigh(own: Any, lam: Any, other: Any, share: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = lam * own[i] + share * other[i]


@njit
def _one_hot(outputs: Any, inputs: Any, in_shapes: Any, samples: Any) -> None:
    outs, ins = of_batch(outputs, 1, samples)[0], of_batch(inputs, 3, samples)
    number = carray(pointer(of_batch(in_shapes, 1, samples)[0][0]), 1, np.int64)[0]
    for sample in range(samples):
        copy_bytes(ins[0, sample], outs[sample], 4 * number)
        label = carray(pointer(ins[1, sample]), 1, np.int32)[0]
        carray(pointer(outs[sample]), number, np.float32)[label] = carray(pointer(ins[2, sample]), 1, np.float32)[0]


@compiled(RUN_BATCH)
def _run_check(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, _in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    outs, ins = of_batch(outputs, 1, samples)[0], of_batch(inputs, 2, samples)
    for sample in range(samples):
        label, number = carray(pointer(ins[0, sample]), 1, np.int32)[0], carray(pointer(ins[1, sample]), 1, np.int32)[0]
        carray(pointer(outs[sample]), 1, np.int32)[0] = sample if 0 <= label < number else -1


@compiled(SETUP)
def _scalars(_out_shapes, _out_ndims, _num_outputs, _in_shapes, _in_ndims, _num_inputs, _samples):  # type: ignore[no-untyped-def]
    """A scalar has no shape to be told."""


@compiled(RUN_BATCH)
def _run_hot_few(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    _one_hot(outputs, inputs, in_shapes, samples)


@compiled(RUN)
def _run_hot(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    _one_hot(outputs, inputs, in_shapes, 1)


@compiled(RUN_BATCH)
def _run_blend_few(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, num_inputs, samples):  # type: ignore[no-untyped-def]
    _blend_targets(outputs, out_shapes, inputs, in_shapes, num_inputs, samples)


@compiled(RUN)
def _run_blend_targets(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, num_inputs):  # type: ignore[no-untyped-def]
    _blend_targets(outputs, out_shapes, inputs, in_shapes, num_inputs, 1)
