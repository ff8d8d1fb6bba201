"""What the trainings of small networks beside the classifiers share: where they are trained, and on what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from train.checks import check_folder_name
from train.data import fingerprint
from train.distributed import Device, machine
from train.recipe import to_plain

if TYPE_CHECKING:
    from pipelines.source import Source


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a network is trained, and on what."""

    root: str | None = None
    """Folder with CIFAR's pickles; None: the embedded digits."""
    name: str | None = None
    """Folder of the training inside `folder`; None is the command's own name, with -2, -3, ... where that is taken."""
    folder: str = "runs"
    """Where the trainings lie."""
    device: Device = "auto"
    """auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        check_folder_name(self.name)


def read_pixels(root: str | None, batch_size: int) -> tuple[Source, Tensor]:
    """The training images in a folder, or the embedded digits, and their pixels (N, 3, H, W) uint8 on the CPU.

    Raises:
        FileNotFoundError, ValueError: there are no CIFAR pickles, or too few images for a batch.
    """
    from pipelines import digits, files

    source = files.read_cifar(digits.cifar_folder() if root is None else root, "train")
    if len(source) < batch_size:
        raise ValueError(f"{len(source)} images do not fill a batch; pass a smaller --batch_size")
    return source, torch.from_numpy(source.items).permute(0, 3, 1, 2).contiguous()


def identify(settings: Any, source: Source, device: torch.device) -> dict[str, Any]:
    """All that must be the same for a training to go on exactly."""
    return {
        "settings": to_plain(settings),
        "images": {"num_images": len(source), "fingerprint": fingerprint(source)[:12]},
        **machine(device),
    }
