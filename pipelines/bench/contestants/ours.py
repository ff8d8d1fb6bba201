"""mixdali: its own pipelines. mix: its name in `pipelines.bench.mixes`, or None.

handed_out: what images are handed out in, if not float32 CHW in [0, 1].
files: how many of the repeated files are in the list; all of them by default.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ... import cifar, imagenet
from ...sources.files import read_cifar, read_folder
from ...sources.source import Source
from ..mixes import MIXES


def batches(settings: dict[str, Any]) -> Iterator[Any]:
    shared: dict[str, Any] = {
        "batch_size": settings["batch_size"],
        "num_classes": settings["num_classes"],
        "mix": MIXES[settings["mix"]] if settings["mix"] else None,
        "size": settings["size"],
        "seed": settings["seed"],
        "device": settings["device"],
        "num_threads": settings["threads"],
        **settings.get("handed_out", {}),
    }
    if settings["kind"] == "files":
        source = read_folder(settings["folder"], "train")
        repeat, number = settings["repeat"], settings.get("files")
        longer = Source((list(source.items) * repeat)[:number], np.tile(source.labels, repeat)[:number])
        loader = imagenet.train_loader(longer, **shared)
    else:
        loader = cifar.train_loader(read_cifar(settings["folder"], "train"), **shared)
    while True:
        yield from loader
