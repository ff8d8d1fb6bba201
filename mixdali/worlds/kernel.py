"""One pass over the pixels: uint8 HWC in, mixed float32 CHW in [0, 1] out. For DALI on the CPU, compiled by numba.

The results are those of DALI's own operators in `worlds/operators.py`, to the bit. The loops, and the ten numbers that
they are told about each layer of a mix, are in `worlds/layers.py`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import carray, njit
from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

from mixdali.worlds.compiled import (
    ADDRESS,
    GRID,
    IMAGE,
    LABEL,
    NUMBER,
    NUMBERS,
    PIXELS,
    RUN,
    RUN_BATCH,
    SETUP,
    address_of,
    compiled,
    image_of,
    like_the_first,
    operator,
    pointer,
    shape_of,
)
from mixdali.worlds.layers import (
    BAND,
    LAYER,
    ROWS,
    SCALE,
    box_of,
    convert_pixels,
    copy_bytes,
    cover_rows,
    first_layer,
    is_patchwork,
    mixed,
    next_layer,
    scale_down,
)

INPUTS = 6  # as many as DALI's operator takes
FEW = 1 << 12  # classes: so many numbers are written in less time than it takes to ask a second thread


def fits(layers: int, masked: bool) -> bool:
    """Whether the operator has an input for each of so many other images."""
    return layers + 2 + masked <= INPUTS


def places(images: DataNode) -> DataNode:
    """images uint8 HWC, all of one size -> (1,) int64, where each one lies in memory.

    These numbers can be permuted instead of the images, which would copy them. They hold for whoever has `images` among
    its inputs too, as DALI keeps a batch until all have run that need it.
    """
    made = operator(_run_places, _one_for_each, [IMAGE], ADDRESS, batch=True)
    # DALI shows the next line with its error, which a negative size is the only way to get
    return made(images)  # a negative size here: all images of a batch that is mixed must be of one size


def places_of_targets(targets: DataNode) -> DataNode:
    """The same for targets (num_classes,)."""
    made = operator(_run_places, _one_for_each, [NUMBERS], ADDRESS, batch=True)
    return made(targets)  # targets of a mix must be float32 (num_classes,), as many classes for all of a batch


def blend(images: DataNode, others: Sequence[DataNode], numbers: DataNode, mask: DataNode | None) -> DataNode:
    """Images mixed with others of their batch.

    images   uint8 HWC of one size.
    others   their `places`, permuted.
    numbers  (10 * len(others),)
    mask     (H, W) float32.

    -> float32 CHW
    """
    run = _run_blend if mask is None else _run_blend_masked
    masks = [] if mask is None else [mask]
    inputs = [IMAGE, *[ADDRESS] * len(others), NUMBERS, *[GRID] * len(masks)]
    return operator(run, _shape_of_output, inputs, PIXELS)(images, *others, numbers, *masks)


def erase(images: DataNode, numbers: DataNode, fill: DataNode) -> DataNode:
    """images uint8 HWC, numbers (10,), fill (C or 1, H or 1, W or 1) in [0, 1] shown in the box -> float32 CHW."""
    return operator(_run_erase, _shape_of_output, [IMAGE, NUMBERS, PIXELS], PIXELS)(images, numbers, fill)


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


def to_float(images: DataNode) -> DataNode:
    """uint8 HWC -> float32 CHW in [0, 1]."""
    return operator(_run_to_float, _shape_of_output, [IMAGE], PIXELS)(images)


@njit
def _other(inputs: Any, place: Any, shape: Any) -> Any:
    """The image that input number `place` tells the place of, as a uint8 array of this shape (H, W, C)."""
    address = carray(address_of(inputs, place), 1, np.int64)[0]
    return carray(pointer(np.uint64(address)), (shape[0], shape[1], shape[2]), np.uint8)


@njit
def _output(outputs: Any, shape: Any) -> Any:
    """The output (C, H * W) for an image of shape (H, W, C)."""
    return carray(address_of(outputs, 0), (shape[2], shape[0] * shape[1]), np.float32)


@njit
def _blend(outputs: Any, inputs: Any, shapes: Any, layers: Any, mask: Any) -> None:
    own = image_of(inputs, shapes, 0)
    out = _output(outputs, own.shape)
    numbers = carray(address_of(inputs, layers + 1), LAYER * layers, np.float32)
    height, width = own.shape[0], own.shape[1]
    if layers == 1:
        first_layer(own, _other(inputs, 1, own.shape), out, numbers, mask, SCALE, 0, height)
        return
    if len(mask) == 0 and is_patchwork(numbers, layers):
        _patch(own, inputs, out, numbers, layers)
        return
    at_a_time = max(1, BAND // width)
    for top in range(0, height, at_a_time):
        bottom = min(top + at_a_time, height)
        first_layer(own, _other(inputs, 1, own.shape), out, numbers, mask, np.float32(1), top, bottom)
        for layer in range(1, layers):
            of_layer = numbers[LAYER * layer : LAYER * (layer + 1)]
            next_layer(_other(inputs, 1 + layer, own.shape), out, of_layer, top, bottom)
        scale_down(out, top * width, bottom * width)


@njit
def _patch(own: Any, inputs: Any, out: Any, numbers: Any, layers: Any) -> None:
    """Layers of which every pixel shows one alone: put together as bytes, some rows at a time, and converted."""
    height, width = own.shape[0], own.shape[1]
    line = width * own.shape[2]
    at_a_time = max(1, ROWS // line)
    rows = np.empty(at_a_time * line, np.uint8)
    for top in range(0, height, at_a_time):
        bottom = min(top + at_a_time, height)
        shown = rows[: (bottom - top) * line]
        copy_bytes(own.ctypes.data + top * line, shown.ctypes.data, len(shown))
        for layer in range(layers):
            of_layer = numbers[LAYER * layer : LAYER * (layer + 1)]
            cover_rows(_other(inputs, 1 + layer, own.shape), shown, of_layer, top, bottom)
        convert_pixels(shown, out, top * width, SCALE)


@compiled(RUN_BATCH)
def _run_places(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, _in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    images, made = carray(pointer(inputs), samples, np.uint64), carray(pointer(outputs), samples, np.uint64)
    for sample in range(samples):
        carray(pointer(made[sample]), 1, np.int64)[0] = np.int64(images[sample])


@compiled(SETUP)
def _one_for_each(out_shapes, _out_ndims, _num_outputs, in_shapes, in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    """(1,), or (-1,) where a sample is not of the shape of the first one."""
    ins, outs = carray(pointer(in_shapes), samples, np.uint64), carray(pointer(out_shapes), samples, np.uint64)
    ndim = carray(pointer(in_ndims), 1, np.int32)[0]
    first = carray(pointer(ins[0]), ndim, np.int64)
    for sample in range(samples):
        shape = carray(pointer(ins[sample]), ndim, np.int64)
        same = True
        for axis in range(ndim):
            same = same and shape[axis] == first[axis]
        carray(pointer(outs[sample]), 1, np.int64)[0] = 1 if same else -1


@compiled(RUN)
def _run_blend(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, num_inputs):  # type: ignore[no-untyped-def]
    _blend(outputs, inputs, in_shapes, num_inputs - 2, np.empty(0, np.float32))


@compiled(RUN)
def _run_blend_masked(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, num_inputs):  # type: ignore[no-untyped-def]
    shape = shape_of(in_shapes, num_inputs - 1, 2)
    mask = carray(address_of(inputs, num_inputs - 1), shape[0] * shape[1], np.float32)
    _blend(outputs, inputs, in_shapes, num_inputs - 3, mask)


@compiled(RUN)
def _run_erase(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    own = image_of(inputs, in_shapes, 0)
    height, width, channels = own.shape
    out = _output(outputs, own.shape)
    convert_pixels(own.reshape(-1), out, 0, SCALE)
    numbers = carray(address_of(inputs, 1), LAYER, np.float32)
    shape = shape_of(in_shapes, 2, 3)
    fill = carray(address_of(inputs, 2), (shape[0], shape[1], shape[2]), np.float32)
    y0, x0, y1, x1 = box_of(numbers, height, width)
    shown = np.float32(1) - numbers[4]
    for channel in range(channels):
        of_channel = fill[min(channel, shape[0] - 1)]
        for y in range(y0, y1):
            row = out[channel, y * width + x0 : y * width + x1]
            if shape[2] == 1:
                value = of_channel[0, 0]
                for x in range(x1 - x0):
                    row[x] = mixed(row[x], value, shown)
            else:
                of_row = of_channel[y, x0:x1]
                for x in range(x1 - x0):
                    row[x] = mixed(row[x], of_row[x], shown)


@compiled(RUN)
def _run_to_float(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, in_shapes, _in_ndims, _num_inputs):  # type: ignore[no-untyped-def]
    own = image_of(inputs, in_shapes, 0)
    convert_pixels(own.reshape(-1), _output(outputs, own.shape), 0, SCALE)


@compiled(SETUP)
def _shape_of_output(out_shapes, _out_ndims, _num_outputs, in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    """(H, W, C) -> (C, H, W), from the first input."""
    ins, outs = carray(pointer(in_shapes), samples, np.uint64), carray(pointer(out_shapes), samples, np.uint64)
    for sample in range(samples):
        image, out = carray(pointer(ins[sample]), 3, np.int64), carray(pointer(outs[sample]), 3, np.int64)
        out[0], out[1], out[2] = image[2], image[0], image[1]


@njit
def _blend_targets(outputs: Any, out_shapes: Any, inputs: Any, in_shapes: Any, num_inputs: Any, samples: Any) -> None:
    outs, ins = carray(pointer(outputs), samples, np.uint64), carray(pointer(inputs), (num_inputs, samples), np.uint64)
    sizes = carray(pointer(in_shapes), (num_inputs, samples), np.uint64)
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
    outs, ins = carray(pointer(outputs), samples, np.uint64), carray(pointer(inputs), (3, samples), np.uint64)
    number = carray(pointer(carray(pointer(in_shapes), samples, np.uint64)[0]), 1, np.int64)[0]
    for sample in range(samples):
        copy_bytes(ins[0, sample], outs[sample], 4 * number)
        label = carray(pointer(ins[1, sample]), 1, np.int32)[0]
        carray(pointer(outs[sample]), number, np.float32)[label] = carray(pointer(ins[2, sample]), 1, np.float32)[0]


@compiled(RUN_BATCH)
def _run_check(outputs, _out_shapes, _out_ndims, _num_outputs, inputs, _in_shapes, _in_ndims, _num_inputs, samples):  # type: ignore[no-untyped-def]
    outs, ins = carray(pointer(outputs), samples, np.uint64), carray(pointer(inputs), (2, samples), np.uint64)
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
