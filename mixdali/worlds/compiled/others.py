"""Where in memory the samples lie that a mix lays on each one of a batch, so that none has to be copied for it.

The places hold for whoever has the samples among its inputs too, as DALI keeps a batch until all have run that need it.
Whole batches are worked off in one thread; to ask DALI once for images and targets costs half of what two times cost.
"""

from typing import Any

import numpy as np
from numba import carray
from nvidia.dali.data_node import DataNode

from mixdali.worlds.compiled.memory import inner, pointer
from mixdali.worlds.compiled.operator import (
    ADDRESS,
    IMAGE,
    NUMBERS,
    RUN_BATCH,
    SETUP,
    compiled,
    of_batch,
    operator,
)
from mixdali.worlds.compiled.targets import weigh_targets
from mixdali.worlds.numbers import TOLD
from mixdali.worlds.told import ONE_SIZE, TARGETS, told


def others_of_images(images: DataNode, numbers: DataNode) -> DataNode:
    """images uint8 HWC, all of one size -> (layers,) int64, the places of the images that are laid on each.

    numbers  (at least TOLD * layers, but not TOLD more,) float32, with the place of each layer's image in the batch.
    """
    made = operator(_run, _one_for_each, [IMAGE, NUMBERS], ADDRESS, batch=True)
    # a negative size is the only way to an error
    found: DataNode = told(ONE_SIZE, lambda: made(images, numbers))
    return found


def others_of_targets(targets: DataNode, numbers: DataNode) -> DataNode:
    """The same of targets (num_classes,) float32."""
    made = operator(_run, _one_for_each, [NUMBERS, NUMBERS], ADDRESS, batch=True)
    found: DataNode = told(TARGETS, lambda: made(targets, numbers))
    return found


def others_and_targets(images: DataNode, targets: DataNode, numbers: DataNode) -> tuple[DataNode, DataNode]:
    """`others_of_images`, and the targets (num_classes,) float32, mixed: for few classes."""
    made = operator(_run_both, _places_and_targets, [IMAGE, NUMBERS, NUMBERS], ADDRESS, NUMBERS, batch=True)
    found: tuple[DataNode, DataNode] = told(f"{ONE_SIZE}; {TARGETS}", lambda: made(images, numbers, targets))
    return found


@inner
def _find(data: Any, numbers: Any, sample: Any, out: Any) -> None:
    """Into `out` (layers,) the places of what is laid on number `sample` of a batch, all of which lie at `data`."""
    for layer in range(len(out)):
        place = int(numbers[TOLD * layer + 10])
        out[layer] = np.int64(data[sample if place < 0 else place])


@inner
def _layers(in_shapes: Any, samples: Any) -> Any:
    return carray(pointer(of_batch(in_shapes, 2, samples)[1, 0]), 1, np.int64)[0] // TOLD


@compiled(RUN_BATCH)
def _run(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    ins, outs = of_batch(inputs, 2, samples), of_batch(outputs, 1, samples)[0]
    layers = _layers(in_shapes, samples)
    for sample in range(samples):
        numbers = carray(pointer(ins[1, sample]), TOLD * layers, np.float32)
        _find(ins[0], numbers, sample, carray(pointer(outs[sample]), layers, np.int64))


@compiled(RUN_BATCH)
def _run_both(outputs, out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    ins, outs = of_batch(inputs, 3, samples), of_batch(outputs, 2, samples)
    layers = _layers(in_shapes, samples)
    number = carray(pointer(of_batch(out_shapes, 2, samples)[1, 0]), 1, np.int64)[0]
    others = np.empty(layers, np.int64)
    for sample in range(samples):
        numbers = carray(pointer(ins[1, sample]), TOLD * layers, np.float32)
        _find(ins[0], numbers, sample, carray(pointer(outs[0, sample]), layers, np.int64))
        _find(ins[2], numbers, sample, others)
        own = carray(pointer(ins[2, sample]), number, np.float32)
        weigh_targets(own, others, numbers, carray(pointer(outs[1, sample]), number, np.float32))


@inner
def _like_the_first(shapes: Any, sample: Any, ndim: Any) -> Any:
    """Whether a sample has the shape of the first of its batch; shapes: where those of all lie."""
    first, own = carray(pointer(shapes[0]), ndim, np.int64), carray(pointer(shapes[sample]), ndim, np.int64)
    same = True
    for axis in range(ndim):
        same = same and own[axis] == first[axis]
    return same


@compiled(SETUP)
def _one_for_each(out_shapes, _out_ndims, _num_outputs, in_shapes, in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    """(layers,), or (-1,) where a sample is not of the shape of the first one."""
    ins, outs = of_batch(in_shapes, 2, samples)[0], of_batch(out_shapes, 1, samples)[0]
    layers = _layers(in_shapes, samples)
    ndim = carray(pointer(in_ndims), 1, np.int32)[0]
    for sample in range(samples):
        carray(pointer(outs[sample]), 1, np.int64)[0] = layers if _like_the_first(ins, sample, ndim) else -1


@compiled(SETUP)
def _places_and_targets(out_shapes, _out_ndims, _num_outputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    """(layers,) and (num_classes,), or -1 as before."""
    ins, outs = of_batch(in_shapes, 3, samples), of_batch(out_shapes, 2, samples)
    layers = _layers(in_shapes, samples)
    for sample in range(samples):
        number = carray(pointer(ins[2, sample]), 1, np.int64)[0]
        carray(pointer(outs[0, sample]), 1, np.int64)[0] = layers if _like_the_first(ins[0], sample, 3) else -1
        carray(pointer(outs[1, sample]), 1, np.int64)[0] = number if _like_the_first(ins[2], sample, 1) else -1
