"""FFCV, from JPEGs of quality 90 at full size that its own writer makes of the same images, once. mixup: mix or not.

It decodes with the fast, inexact cosine transform of libjpeg-turbo and shrinks by area; neither can be changed. Images
come in the memory order of channels_last, which is the cheaper one for FFCV.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ffcv.fields import IntField, RGBImageField  # type: ignore[import-not-found]
from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder  # type: ignore[import-not-found]
from ffcv.loader import Loader, OrderOption  # type: ignore[import-not-found]
from ffcv.reader import Reader  # type: ignore[import-not-found]
from ffcv.transforms import (  # type: ignore[import-not-found]
    Convert,
    ImageMixup,
    LabelMixup,
    MixupToOneHot,
    NormalizeImage,
    RandomHorizontalFlip,
    Squeeze,
    ToDevice,
    ToTensor,
    ToTorchImage,
)
from ffcv.writer import DatasetWriter  # type: ignore[import-not-found]
from torch.nn.functional import one_hot
from torchvision.datasets import ImageFolder


def prepare(settings: dict[str, Any]) -> None:
    """Write FFCV's file of these images, if it is not there."""
    path = _path(settings)
    if not path.exists():
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        fields = {"image": RGBImageField(write_mode="jpg", jpeg_quality=90), "label": IntField()}
        DatasetWriter(str(beside), fields, num_workers=1).from_indexed_dataset(ImageFolder(settings["folder"]))
        beside.rename(path)


def _path(settings: dict[str, Any]) -> Path:
    return Path(settings["cache"]) / "ffcv-quality90.beton"


def batches(settings: dict[str, Any]) -> Iterator[Any]:
    size, gpu, mixup = settings["size"], settings["device"] == "gpu", settings["mixup"]
    path = str(_path(settings))
    image: list[Any] = [RandomResizedCropRGBImageDecoder((size, size)), RandomHorizontalFlip()]
    label: list[Any] = [IntDecoder()]
    if mixup:
        image += [ImageMixup(alpha=1.0, same_lambda=False)]
        label += [LabelMixup(alpha=1.0, same_lambda=False), ToTensor(), MixupToOneHot(settings["num_classes"])]
    else:
        label += [ToTensor(), Squeeze()]
    if gpu:
        image += [ToTensor(), ToDevice(torch.device("cuda")), ToTorchImage(), Convert(torch.float32)]
        label += [ToDevice(torch.device("cuda"))]
    else:
        image += [NormalizeImage(np.zeros(3), np.full(3, 255.0), np.float32), ToTensor(), ToTorchImage()]
    loader = Loader(
        path,
        batch_size=settings["batch_size"],
        num_workers=settings["threads"],
        order=OrderOption.RANDOM,
        os_cache=True,
        indices=np.tile(np.arange(Reader(path).num_samples, dtype=np.uint64), settings["repeat"]),
        pipelines={"image": image, "label": label},
        drop_last=True,
        seed=settings["seed"],
    )
    while True:
        for images, targets in loader:
            if not mixup:
                targets = one_hot(targets.long(), settings["num_classes"]).float()
            yield (images.div_(255) if gpu else images), targets
