"""Batched torch operations on arrays that stay in memory, the way of airbench: pad, crop, flip, mixup.

form: "gather" takes every crop out of a view of all windows, from images that lie there as float and once more
mirrored; "gather-uint8" does it with uint8 images and converts the crops; "masks" copies the crops of each offset
together, as airbench does for paddings of more than two pixels. mixup: mix or not.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixdali import derive_seed

from ...sources.files import read_cifar

PADDING = 4


def padded(pixels: np.ndarray, as_float: bool, mirrored: bool) -> Tensor:
    """uint8 (N, H, W, 3) -> (N or 2 N, 3, H + 8, W + 8), float in [0, 1] or uint8, the mirrored images at the end."""
    number, height, width, _ = pixels.shape
    shape = ((2 if mirrored else 1) * number, 3, height + 2 * PADDING, width + 2 * PADDING)
    images = torch.zeros(shape, dtype=torch.float32 if as_float else torch.uint8)
    inner = images[:, :, PADDING:-PADDING, PADDING:-PADDING]
    inner[:number] = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    if as_float:
        images[:number] /= 255
    if mirrored:
        images[number:] = images[:number].flip(-1)
    return images


def windows(images: Tensor) -> Tensor:
    """A view of all crops: (N, 3, 9, 9, H, W)."""
    height, width = images.shape[2] - 2 * PADDING, images.shape[3] - 2 * PADDING
    return images.unfold(2, height, 1).unfold(3, width, 1)


def crops_by_gather(views: Tensor, rows: Tensor, y: Tensor, x: Tensor, flip: Tensor) -> Tensor:
    """(B, 3, H, W) of images of which the mirrored ones lie behind the others; x counts from their own left edge."""
    return views[rows + len(views) // 2 * flip, :, y, x]


def crops_by_masks(images: Tensor, rows: Tensor, y: Tensor, x: Tensor, flip: Tensor) -> Tensor:
    """(B, 3, H, W), first cropped in height and then in width."""
    taken = images[rows]
    height, width = images.shape[2] - 2 * PADDING, images.shape[3] - 2 * PADDING
    rows_cut = taken.new_empty((len(rows), 3, height, images.shape[3]))
    crops = taken.new_empty((len(rows), 3, height, width))
    for offset in range(2 * PADDING + 1):
        here = y == offset
        rows_cut[here] = taken[here, :, offset : offset + height]
    for offset in range(2 * PADDING + 1):
        here = x == offset
        crops[here] = rows_cut[here, :, :, offset : offset + width]
    return torch.where(flip.view(-1, 1, 1, 1), crops.flip(-1), crops)


def batches(settings: dict[str, Any]) -> Iterator[Any]:
    torch.set_num_threads(settings["threads"])
    device = torch.device("cuda" if settings["device"] == "gpu" else "cpu")
    source = read_cifar(settings["folder"], "train")
    form, number, size = settings["form"], len(source), settings["batch_size"]
    images = padded(np.asarray(source.items), form != "gather-uint8", form != "masks").to(device)
    views = windows(images)
    eye, labels = torch.eye(settings["num_classes"], device=device), torch.tensor(source.labels).to(device).long()
    rng = torch.Generator(device).manual_seed(derive_seed(settings["seed"], "tensors"))

    def places() -> Tensor:
        return torch.randint(2 * PADDING + 1, (size,), generator=rng, device=device)

    while True:
        order = torch.randperm(number, generator=rng, device=device)
        for rows in order[: number // size * size].split(size):
            flip = torch.rand(size, generator=rng, device=device) < 0.5
            if form == "masks":
                batch = crops_by_masks(images, rows, places(), places(), flip)
            else:
                batch = crops_by_gather(views, rows, places(), places(), flip)
            if form == "gather-uint8":
                batch = batch.float().div_(255)
            targets = eye[labels[rows]]
            if settings["mixup"]:
                lam = torch.rand(size, generator=rng, device=device)  # Beta(1, 1)
                partner = torch.randperm(size, generator=rng, device=device)
                batch = torch.lerp(batch[partner], batch, lam.view(-1, 1, 1, 1))
                targets = torch.lerp(targets[partner], targets, lam.view(-1, 1))
            yield batch, targets
