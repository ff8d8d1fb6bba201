"""What small networks beside the classifiers are trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from train.data.sources import fingerprint
from train.files.plain import to_plain
from train.machine.circumstances import circumstances
from train.machine.distributed import World

if TYPE_CHECKING:
    from pipelines.sources.source import Source


def read_pixels(root: str | None, batch_size: int) -> tuple[Source, Tensor]:
    """The training images in a folder, or the embedded digits, and their pixels (N, 3, H, W) uint8 on the CPU.

    Raises:
        FileNotFoundError, ValueError: there are no CIFAR pickles, or too few images for a batch.
    """
    from pipelines.sources import digits, files
    from pipelines.sources.datasets import known

    own = None if root is None else known.find(root)
    if own is not None and own.form.kind == "cifar":
        source = own.read("train")
    else:
        source = files.read_cifar(digits.cifar_folder() if root is None else root, "train")
    if len(source) < batch_size:
        raise ValueError(f"{len(source)} images do not fill a batch; pass a smaller --batch_size")
    return source, torch.from_numpy(source.items).permute(0, 3, 1, 2).contiguous()


def identify(settings: Any, source: Source, world: World, *, auto: bool = False) -> dict[str, Any]:
    """All that must be the same for a training to go on exactly.

    auto  the machine chose the precision in the settings.
    """
    return {
        "settings": to_plain(settings),
        "images": {"num_images": len(source), "fingerprint": fingerprint(source)[:12]},
        "processes": world.size,
        "auto": ["settings.precision"] if auto else [],
        **circumstances(world),
    }
