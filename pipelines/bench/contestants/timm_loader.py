"""timm's loader. mix: "" for none, "collate" for FastCollateMixup in the workers, "batch" for Mixup behind the loader.

Both mix with one lambda per image (mode "elem").
"""

from collections.abc import Iterator
from typing import Any

import torch
from timm.data import FastCollateMixup, ImageDataset, Mixup, create_loader
from torch.nn.functional import one_hot


def batches(settings: dict[str, Any]) -> Iterator[Any]:
    gpu, size, num_classes = settings["device"] == "gpu", settings["size"], settings["num_classes"]
    mixup = {
        "mixup_alpha": 1.0,
        "cutmix_alpha": 0.0,
        "prob": 1.0,
        "switch_prob": 0.0,
        "mode": "elem",
        "label_smoothing": 0.0,
        "num_classes": num_classes,
    }
    data = ImageDataset(settings["folder"])
    data.reader.samples *= settings["repeat"]
    loader = create_loader(
        data,
        input_size=(3, size, size),
        batch_size=settings["batch_size"],
        is_training=True,
        scale=(0.08, 1.0),
        ratio=(3 / 4, 4 / 3),
        hflip=0.5,
        color_jitter=None,
        interpolation="bilinear",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        num_workers=settings["threads"],
        collate_fn=FastCollateMixup(**mixup) if settings["mix"] == "collate" else None,
        pin_memory=gpu,
        device=torch.device("cuda" if gpu else "cpu"),
    )
    behind = Mixup(**mixup) if settings["mix"] == "batch" else None
    while True:
        for images, targets in loader:
            if behind is not None:
                images, targets = behind(images, targets)
            elif not settings["mix"]:
                targets = one_hot(targets, num_classes).float()
            yield images, targets
