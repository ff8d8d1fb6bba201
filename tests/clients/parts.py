"""What the loops of this folder share: images, loaders, and a record of what was trained on.

A loop is a script with the arguments KIND FOLDER FIRST LAST: it trains the epochs up to LAST, going on from FIRST in
its framework's own way, and writes what every rank saw into FOLDER.
"""

import hashlib
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler

import mixdali

NUMBER, BATCH, MIXED_EPOCHS = 24, 4, 3
CLASSES = NUMBER  # one an image, so that whatever is mixed has a soft target
MIX = mixdali.MixUp(alpha=1.0, stop_epoch=MIXED_EPOCHS)


class Images(Dataset):
    """Image n is grey in a level of its own. Items are (image, label, n)."""

    def __len__(self) -> int:
        return NUMBER

    def __getitem__(self, n: int) -> tuple[Tensor, int, int]:
        return torch.full((3, 8, 8), n / NUMBER), n, n


@dataclass
class Record:
    """What was trained on and validated on, by epoch."""

    train: dict[int, list[list[Any]]] = field(default_factory=dict)
    val: dict[int, list[list[Any]]] = field(default_factory=dict)

    def add(self, part: str, epoch: int, images: Tensor, targets: Tensor, index: Tensor) -> None:
        digest = hashlib.md5(images.cpu().numpy().tobytes() + targets.cpu().numpy().tobytes()).hexdigest()
        hard = targets.ndim == 1 or bool((targets.max(1).values == 1).all())
        getattr(self, part).setdefault(epoch, []).append([digest, not hard, index.tolist()])

    def write(self, folder: Path) -> None:
        rank = int(os.environ.get("RANK", "0"))
        (folder / f"{rank}.json").write_text(json.dumps({"train": self.train, "val": self.val}))


def arguments() -> tuple[str, Path, int, int]:
    kind, folder, first, last = sys.argv[1:]
    return kind, Path(folder), int(first), int(last)


def start() -> tuple[int, int]:
    """(rank, number of ranks), which can talk to each other."""
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def own_loader() -> mixdali.Loader:
    """A `mixdali.Loader` of the same images, in this process's shard."""
    from nvidia.dali import fn, pipeline_def

    class Pixels(Images):
        def __getitem__(self, n: int) -> Any:
            image, label, _ = super().__getitem__(n)
            return (image * 255).byte().permute(1, 2, 0).numpy(), label

    @pipeline_def(batch_size=BATCH, num_threads=1, device_id=None, enable_checkpointing=True)
    def pipeline(source: Any, first: int) -> Any:
        images, labels, index = fn.external_source(source=source, num_outputs=3, batch=True)
        epoch = mixdali.epoch_counter(batches=source.num_samples // BATCH, first=first)
        return *MIX(images, mixdali.one_hot(labels, CLASSES), epoch=epoch), index

    def make(epoch: int, checkpoint: bytes | None) -> Any:
        seed = mixdali.derive_seed(0, epoch)
        source = mixdali.DatasetSource(Pixels(), batch_size=BATCH, seed=seed)
        return pipeline(source, epoch, seed=seed, checkpoint=checkpoint)

    return mixdali.Loader(make, ("images", "targets", "index"))


def sharded_loader(rank: int, ranks: int, shuffle: bool = True) -> DataLoader:
    sampler = DistributedSampler(Images(), num_replicas=ranks, rank=rank, shuffle=shuffle)
    return DataLoader(Images(), batch_size=BATCH, sampler=sampler)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, CLASSES))
