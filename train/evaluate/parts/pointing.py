"""Whether a network sees a class where its image is: four test images in one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mixdali import derive_seed
from train.data.images import HeldOutBatch, HeldOutImages, labels_of
from train.evaluate.parts.class_maps import class_maps
from train.evaluate.parts.shifts import Network, Networks, Remember, forget

MOST = 500
"""Images that are looked for."""
CELLS = 4


def measure_pointing(
    networks: Networks, images: HeldOutImages, *, seed: int, remember: Remember = forget
) -> dict[str, Any]:
    """Localisation without boxes: the grid pointing game.

    Four test images of different classes are laid together, two by two, and the network is shown the large image; of
    the positive part of a class's activation map (`class_maps`) as much as possible should lie in the cell of its own
    image. Boehle, Fritz and Schiele, "Convolutional Dynamic Alignment Networks for Interpretable Classifications", CVPR
    2021, arXiv:2104.00032; there of images that are classified surely, here of all.

    Args:
        images: the first 500 of them, evenly spread, are looked for.
        seed: of the three images beside each, and of the cells; from it and the image's index.
        remember: by network and batch.

    Returns:
        For each network: `share`, the mean share of the map in the own cell, 0 to 1 and a quarter by chance; `found`,
        the share of images in whose cell the map's greatest value lies; `images`, how many; `method`, "CAM" or
        "Grad-CAM".

    Raises:
        ValueError: fewer than four classes.
    """
    grids, cells = draw_grids(images.spread(MOST), images, seed)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in networks}
    start = 0
    for number, batch in enumerate(grids):
        own = cells[start : start + len(batch.images) // CELLS]
        start += len(own)
        for name, network in networks.items():
            rows[name].append(remember(f"{name} {number}", partial(_of_batch, network, batch, own)))
    found = {}
    for name, parts in rows.items():
        shares, hits = ([one for row in parts for one in row[key]] for key in ("shares", "found"))
        means = {"share": float(np.mean(shares)), "found": float(np.mean(hits))}
        found[name] = {**means, "images": len(hits), "method": parts[0]["method"]}
    return found


def draw_grids(chosen: HeldOutImages, images: HeldOutImages, seed: int) -> tuple[HeldOutImages, np.ndarray]:
    """For each chosen image itself and three of other classes, one after the other, and (N, 4) their cells: 0 and 1
    above, 2 and 3 below."""
    labels = labels_of(images).numpy()
    if len(np.unique(labels)) < CELLS:
        raise ValueError(f"pointing needs images of {CELLS} classes at least, got {len(np.unique(labels))}")
    place_of = {index: place for place, index in enumerate(images.source.index.tolist())}
    places, cells = list[int](), []
    for index in chosen.source.index.tolist():
        rng = np.random.default_rng(derive_seed(seed, "pointing", index))
        taken = [place_of[index]]
        while len(taken) < CELLS:
            others = np.flatnonzero(~np.isin(labels, labels[taken]))
            taken.append(int(others[int(rng.random() * len(others))]))
        places += taken
        cells.append(np.argsort(rng.random(CELLS)))
    size = max(1, images.batch_size // CELLS) * CELLS
    return replace(images.select(places), batch_size=size), np.stack(cells)


def lay(images: Tensor, cells: np.ndarray) -> Tensor:
    """(4 M, 3, H, W), four to a grid, and their cells (M, 4) -> (M, 3, 2 H, 2 W)."""
    order = torch.from_numpy(np.argsort(cells, axis=1)).to(images.device)
    grouped = images.reshape(len(cells), CELLS, *images.shape[1:])
    placed = grouped[torch.arange(len(cells), device=images.device).unsqueeze(1), order]
    upper, lower = (torch.cat([placed[:, row], placed[:, row + 1]], dim=3) for row in (0, 2))
    return torch.cat([upper, lower], dim=2)


def _of_batch(network: Network, batch: HeldOutBatch, cells: np.ndarray) -> dict[str, Any]:
    large = lay(batch.images, cells)
    maps, kind = class_maps(network, large, batch.labels[::CELLS])
    size = (large.shape[2], large.shape[3])
    seen = F.interpolate(maps.unsqueeze(1), size=size, mode="bilinear", align_corners=False).squeeze(1).cpu().double()
    shares, hits = [], []
    for one, cell in zip(seen, cells[:, 0].tolist(), strict=True):
        mass, highest = _by_cell(one)
        # where nothing speaks for the class nothing is found
        shares.append(float(mass[cell] / mass.sum()) if mass.sum() > 0 else 0.0)
        hits.append(int(highest.argmax()) == cell and bool(mass.sum() > 0))
    return {"shares": shares, "found": hits, "method": kind}


def _by_cell(one: Tensor) -> tuple[Tensor, Tensor]:
    """Of a map (2 H, 2 W) the sum of what is positive, and the greatest value, in each cell (4,)."""
    cells = [cell for half in one.chunk(2, dim=0) for cell in half.chunk(2, dim=1)]
    return torch.stack([cell.clamp_min(0).sum() for cell in cells]), torch.stack([cell.max() for cell in cells])


def why_not_larger(network: Network, images: HeldOutImages) -> str | None:
    """Why a network cannot be shown images of twice the size; None if it can."""
    height, width = images.size
    try:
        with torch.no_grad():
            network(torch.full((1, 3, 2 * height, 2 * width), 0.5, device=images.world.device))
    except (RuntimeError, AssertionError, ValueError) as error:
        return f"pointing shows a network images of {2 * height} x {2 * width} pixels, which it refuses ({error!s:.80})"
    return None
