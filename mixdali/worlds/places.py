"""Where the samples of a batch lie in memory. These numbers can be permuted instead of the samples, to copy nothing.

They hold for whoever has the samples among its inputs too, as DALI keeps a batch until all have run that need it.
"""

import numpy as np
from numba import carray
from nvidia.dali.data_node import DataNode

from mixdali.worlds.compiled import ADDRESS, IMAGE, NUMBERS, RUN_BATCH, SETUP, compiled, of_batch, operator, pointer


def places(images: DataNode) -> DataNode:
    """images uint8 HWC, all of one size -> (1,) int64, where each one lies."""
    made = operator(_run, _one_for_each, [IMAGE], ADDRESS, batch=True)
    # DALI shows the next line with its error, which a negative size is the only way to get
    return made(images)  # a negative size here: all images of a batch that is mixed must be of one size


def places_of_targets(targets: DataNode) -> DataNode:
    """targets (num_classes,) float32 -> the same."""
    made = operator(_run, _one_for_each, [NUMBERS], ADDRESS, batch=True)
    return made(targets)  # targets of a mix must be float32 (num_classes,), as many classes for all of a batch


@compiled(RUN_BATCH)
def _run(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, _in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    images, made = of_batch(inputs, 1, samples)[0], of_batch(outputs, 1, samples)[0]
    for sample in range(samples):
        carray(pointer(made[sample]), 1, np.int64)[0] = np.int64(images[sample])


@compiled(SETUP)
def _one_for_each(out_shapes, _out_ndims, _num_outputs, in_shapes, in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    """(1,), or (-1,) where a sample is not of the shape of the first one."""
    ins, outs = of_batch(in_shapes, 1, samples)[0], of_batch(out_shapes, 1, samples)[0]
    ndim = carray(pointer(in_ndims), 1, np.int32)[0]
    first = carray(pointer(ins[0]), ndim, np.int64)
    for sample in range(samples):
        shape = carray(pointer(ins[sample]), ndim, np.int64)
        same = True
        for axis in range(ndim):
            same = same and shape[axis] == first[axis]
        carray(pointer(outs[sample]), 1, np.int64)[0] = 1 if same else -1
