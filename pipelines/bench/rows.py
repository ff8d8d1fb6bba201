"""Who runs against whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .data import Data, quality90
from .mixes import FORMS, MIXES, QUICK

EPOCH = 50_000  # images at least, as a small folder is read again and again


@dataclass(frozen=True)
class Contestant:
    """name      in the table.
    file      in `contestants` or anywhere, without the ending.
    settings  of its own, over those of the race.
    peer      it is somebody else's: it runs in the environment of the peers, if there is one.
    fresh     its kernels are compiled anew, as at the first run on a machine.
    """

    name: str
    file: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    peer: bool = False
    fresh: bool = False


@dataclass(frozen=True)
class Race:
    """title      of the table.
    reference  the contestant that the others are compared with.
    settings   what everybody is told (`contestants`).
    images     of a round, at least.
    """

    title: str
    reference: str
    contestants: tuple[Contestant, ...]
    settings: Mapping[str, Any]
    images: int


@dataclass(frozen=True)
class Conditions:
    """batch_size: None is 64 for files and 256 for arrays. quick: fewer rows, shorter rounds."""

    threads: int = 2
    device: str = "cpu"
    batch_size: int | None = None
    quick: bool = False
    seed: int = 0


def mix_race(data: Data, conditions: Conditions) -> Race:
    """Every mix against no mix, in the same pipeline, on the same images in the same order with the same crops."""
    names = QUICK if conditions.quick else tuple(MIXES)
    rows = [ours("no mix", None), *(ours(name, name) for name in names)]
    if not conditions.quick:
        rows += [ours(name, mix, handed_out=form) for name, (mix, form) in FORMS.items()]
        rows.append(Contestant("MixUp, kernels not compiled yet", "ours", {"mix": "MixUp"}, fresh=True))
        if data.kind == "files":
            rows += [Contestant(f"dynamic mode, {mix or 'no mix'}", "dynamic", {"mix": mix}) for mix in (None, "MixUp")]
    return new_race(data, conditions, "mixes", "no mix", rows)


def peer_race(data: Data, conditions: Conditions) -> Race:
    """mixdali against the loaders of others, and against what cannot be had for less."""
    rows = _file_peers(data, conditions) if data.kind == "files" else _array_peers(conditions)
    return new_race(data, conditions, "peers", "mixdali, MixUp", rows)


def ours(name: str, mix: str | None, **settings: Any) -> Contestant:
    return Contestant(name, "ours", {"mix": mix, **settings})


def floor(name: str, *, fast: bool = False, plain: bool = False) -> Contestant:
    return Contestant(name, "floor", {"fast": fast, "plain": plain, "output": "uint8"})


def new_race(data: Data, conditions: Conditions, title: str, reference: str, rows: list[Contestant]) -> Race:
    files = data.kind == "files"
    images = 1024 if files else 163_840
    return Race(
        f"{title}, {data.title}, {data.size} px",
        reference,
        tuple(rows),
        settings={
            "folder": str(data.folder),
            "kind": data.kind,
            "num_classes": data.num_classes,
            "size": data.size,
            "batch_size": conditions.batch_size or (64 if files else 256),
            "threads": conditions.threads,
            "device": conditions.device,
            "seed": conditions.seed,
            "repeat": -(-EPOCH // data.num_images) if files else 1,
            "cache": str(data.cache),
        },
        images=images // 4 if conditions.quick else images,
    )


def _file_peers(data: Data, conditions: Conditions) -> list[Contestant]:
    rows = [
        ours("mixdali, MixUp", "MixUp"),
        Contestant("torchvision v2, tensor, MixUp", "vision", {"decode": "tensor", "mixup": True}, peer=True),
        Contestant("timm, FastCollateMixup", "timm_loader", {"mix": "collate"}, peer=True),
    ]
    if conditions.quick:
        return rows
    return [
        *rows,
        Contestant("torchvision v2, PIL, MixUp", "vision", {"decode": "pil", "mixup": True}, peer=True),
        # it compiles for a quarter of a minute at every start
        Contestant("FFCV, ImageMixup", "ffcv_loader", {"mixup": True}, peer=True),
        ours("mixdali, no mix", None),
        floor("floor: decode, crop, resize"),
        floor("floor, DALI's own resize", plain=True),
        floor("floor, fast IDCT", fast=True),
        ours("mixdali, MixUp, quality 90", "MixUp", folder=str(quality90(data))),
        Contestant("torchvision v2, PIL, no mix", "vision", {"decode": "pil", "mixup": False}, peer=True),
        Contestant("torchvision v2, tensor, no mix", "vision", {"decode": "tensor", "mixup": False}, peer=True),
        Contestant("timm, no mix", "timm_loader", {"mix": ""}, peer=True),
        Contestant("timm, Mixup", "timm_loader", {"mix": "batch"}, peer=True),
        Contestant("FFCV, no mix", "ffcv_loader", {"mixup": False}, peer=True),
    ]


def _array_peers(conditions: Conditions) -> list[Contestant]:
    def tensors(name: str, form: str, mixup: bool, threads: int) -> Contestant:
        return Contestant(name, "tensors", {"form": form, "mixup": mixup, "threads": threads})

    rows = [
        ours("mixdali, MixUp", "MixUp"),
        tensors("torch, one gather, MixUp, 1 thread", "gather", True, 1),
    ]
    if conditions.quick:
        return rows
    return [
        *rows,
        ours("mixdali, no mix", None),
        tensors("torch, one gather, no mix, 1 thread", "gather", False, 1),
        tensors("torch, gather of uint8, MixUp, 1 thread", "gather-uint8", True, 1),
        tensors("torch, a mask per offset, MixUp, 1 thread", "masks", True, 1),
        tensors(f"torch, one gather, MixUp, {conditions.threads} threads", "gather", True, conditions.threads),
    ]
