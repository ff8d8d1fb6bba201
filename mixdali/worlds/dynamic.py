"""Batches of DALI's dynamic mode, where operators run at once. The only file that imports it."""

from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd

from mixdali.worlds.operators import OperatorRandomness, OperatorWorld


class DynamicWorld(OperatorWorld):
    ops, math, float32, int32 = ndd, ndd.math, ndd.float32, ndd.int32

    def randomness(self, rng: ndd.random.RNG | None) -> "DynamicRandomness":
        rng = ndd.random.RNG() if rng is None else rng
        if not isinstance(rng, ndd.random.RNG):
            raise TypeError(f"rng must be an RNG of nvidia.dali.experimental.dynamic.random, got {rng!r}")
        return DynamicRandomness(self.data.batch_size, rng)

    def shape(self) -> ndd.Batch:
        return ndd.as_batch(np.array(self.data.shape, dtype=np.float32))

    def cut(self, data: ndd.Batch, *places: slice) -> ndd.Batch:
        return data.slice[places]

    def at(self, data: ndd.Batch, place: int) -> ndd.Batch:
        return data.slice[place]

    def is_on_gpu(self, data: ndd.Batch) -> bool:
        return data.device.device_type == "gpu"

    def check_uint8(self, images: ndd.Batch) -> float:
        if images.dtype != ndd.uint8:
            raise TypeError(
                f"a mix of DALI batches takes uint8 HWC images, got {images.dtype}: leave the conversion to the mix, "
                'or pass layout="CHW" for float CHW images'
            )
        return 0.0

    def check_labels(self, labels: ndd.Batch, num_classes: int) -> ndd.Batch:
        labels = ndd.reshape(labels, shape=[])
        values = np.array([np.asarray(label.cpu()) for label in labels.tensors])
        wrong = values[(values < 0) | (values >= num_classes)]
        if len(wrong):
            raise ValueError(f"labels must be from 0 to num_classes - 1 = {num_classes - 1}, got {wrong[0]}")
        return labels


class DynamicRandomness(OperatorRandomness):
    """Every draw takes the next numbers of one generator."""

    ops = ndd

    def __init__(self, number: int, rng: ndd.random.RNG) -> None:
        self.number = number
        self.rng = rng

    def settings(self, name: str) -> dict[str, Any]:
        return {"rng": self.rng, "batch_size": self.number}

    def indices(self, values: list[int]) -> ndd.Batch:
        return ndd.as_batch(np.array(values, dtype=np.int32))

    def places(self, partner: np.ndarray) -> ndd.Batch:
        return ndd.as_batch(partner)

    def given(self, value: Any) -> ndd.Batch:
        if isinstance(value, ndd.Batch):
            return value
        return ndd.as_batch(np.broadcast_to(np.asarray(value), self.number).copy())
