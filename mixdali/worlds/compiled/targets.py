"""Labels and targets.

A batch of few classes is worked off in one thread: to hand its samples to several would cost more than the work.
"""

from typing import Any

import numpy as np
from numba import carray
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from mixdali.worlds.compiled.memory import copy_bytes, inner, pointer
from mixdali.worlds.compiled.operator import (
    ADDRESS,
    LABEL,
    NUMBER,
    NUMBERS,
    RUN,
    RUN_BATCH,
    SETUP,
    address_of,
    compiled,
    like_the_first,
    of_batch,
    operator,
    shape_of,
)
from mixdali.worlds.numbers import TOLD

FEW = 1 << 12  # classes


def blend_targets(targets: DataNode, others: DataNode, numbers: DataNode) -> DataNode:
    """Each target's mean with others of the batch, worked off by several threads.

    targets  (num_classes,) float32.
    others   (layers,) int64, where they lie (`worlds/compiled/others.py`).
    numbers  (at least TOLD * layers,): each layer's last one is its weight, but that of the first layer the own
             target's; the first of the others gets what is left.
    """
    return operator(_run_blend, like_the_first, [NUMBERS, ADDRESS, NUMBERS], NUMBERS)(targets, others, numbers)


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


@inner
def weigh_targets(own: Any, others: Any, numbers: Any, out: Any) -> None:
    """One target's mean with those that lie at `others`, into `out`."""
    lam = numbers[TOLD - 1]
    rest = np.float32(1) - lam
    for layer in range(1, len(others)):
        rest -= numbers[TOLD * (layer + 1) - 1]
    _weigh(own, lam, _target(others[0], len(own)), rest, out)
    for layer in range(1, len(others)):
        _weigh(out, np.float32(1), _target(others[layer], len(own)), numbers[TOLD * (layer + 1) - 1], out)


@inner
def _target(place: Any, number: Any) -> Any:
    return carray(pointer(np.uint64(place)), number, np.float32)


@inner
def _weigh(own: Any, lam: Any, other: Any, share: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = lam * own[i] + share * other[i]


@inner
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


@compiled(RUN)
def _run_blend(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    number, layers = shape_of(in_shapes, 0, 1)[0], shape_of(in_shapes, 1, 1)[0]
    own, out = carray(address_of(inputs, 0), number, np.float32), carray(address_of(outputs, 0), number, np.float32)
    others = carray(address_of(inputs, 1), layers, np.int64)
    weigh_targets(own, others, carray(address_of(inputs, 2), TOLD * layers, np.float32), out)
