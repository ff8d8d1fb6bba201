"""torchvision v2 and a torch DataLoader. decode: "pil", or "tensor" for torchvision's own decoder. mixup: mix or not.

On the CPU the workers mix, in the collate function, as torchvision's documentation shows; for a GPU they hand over
uint8, and conversion and mix are done there.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader, default_collate
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import default_loader
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2


def read_tensor(path: str) -> torch.Tensor:
    return decode_image(path, ImageReadMode.RGB)


def finish(mix: Callable[..., Any] | None, num_classes: int, images: torch.Tensor, labels: torch.Tensor) -> Any:
    """uint8 images and labels -> float images and probabilities."""
    images = v2.functional.to_dtype(images, torch.float32, scale=True)
    return (images, one_hot(labels, num_classes).float()) if mix is None else mix(images, labels)


def collate(finished: Callable[..., Any], samples: Any) -> Any:
    return finished(*default_collate(samples))


def batches(settings: dict[str, Any]) -> Iterator[Any]:
    gpu, pil = settings["device"] == "gpu", settings["decode"] == "pil"
    augment = v2.Compose(
        [
            v2.RandomResizedCrop(settings["size"], antialias=True),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor() if pil else v2.Identity(),
        ]
    )
    data = ImageFolder(settings["folder"], augment, loader=default_loader if pil else read_tensor)
    data.samples *= settings["repeat"]
    mix = v2.MixUp(alpha=1.0, num_classes=settings["num_classes"]) if settings["mixup"] else None
    finished = partial(finish, mix, settings["num_classes"])
    loader = DataLoader(
        data,
        batch_size=settings["batch_size"],
        shuffle=True,
        drop_last=True,
        num_workers=settings["threads"],
        persistent_workers=True,
        pin_memory=gpu,
        collate_fn=default_collate if gpu else partial(collate, finished),
        multiprocessing_context="fork",
        generator=torch.Generator().manual_seed(settings["seed"]),
    )
    while True:
        for images, targets in loader:
            if gpu:
                yield finished(images.cuda(non_blocking=True), targets.cuda(non_blocking=True))
            else:
                yield images, targets
