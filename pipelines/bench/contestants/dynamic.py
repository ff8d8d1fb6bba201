"""mixdali in DALI's dynamic mode, where operators run as they are called; with a mix of `pipelines.bench.mixes`."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
from nvidia.dali import types

import mixdali

from ...sources.files import read_folder
from ..mixes import MIXES


def batches(settings: dict[str, Any]) -> Iterator[Any]:
    size, gpu = settings["size"], settings["device"] == "gpu"
    mix = MIXES[settings["mix"]] if settings["mix"] else None
    source = read_folder(settings["folder"], "train")
    decode: Any = ndd.decoders.image_random_crop  # its stub lacks rng
    ndd.set_num_threads(settings["threads"])
    reader = ndd.readers.File(
        files=list(source.items) * settings["repeat"],
        labels=np.tile(source.labels, settings["repeat"]).tolist(),
        shuffle_after_epoch=True,
    )
    crops, flips, draws = (ndd.random.RNG(seed=settings["seed"] + i) for i in range(3))
    while True:
        for encoded, labels in reader.next_epoch(batch_size=settings["batch_size"]):
            if encoded.batch_size < settings["batch_size"]:
                continue
            images = decode(
                encoded,
                device="gpu" if gpu else "cpu",
                output_type=types.RGB,
                adjust_orientation=False,
                random_area=(0.08, 1.0),
                random_aspect_ratio=(3 / 4, 4 / 3),
                rng=crops,
            )
            images = ndd.resize(images, size=(size, size), interp_type=types.INTERP_LINEAR, antialias=True)
            mirrored = ndd.random.coin_flip(batch_size=settings["batch_size"], rng=flips)
            images = ndd.flip(images, horizontal=mirrored)
            targets = mixdali.one_hot(labels, settings["num_classes"])
            if mix is None:
                images = mixdali.to_float(images)
            else:
                images, targets = mix(images, targets, rng=draws)
            yield images.torch(), targets.torch()
