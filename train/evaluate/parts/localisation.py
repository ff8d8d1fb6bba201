"""Where a network that only learned classes finds its object: boxes from class activation maps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from mixdali.checks import require
from train.data.images import HeldOutBatch, HeldOutImages
from train.evaluate.parts.class_maps import class_maps, enlarged
from train.evaluate.parts.shifts import Network, Networks, Remember, forget

THRESHOLD = 0.2
"""Of the map, from 0 to 1, above which the object is: that of Zhou et al."""
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
OVERLAP = 0.5
"""Intersection over union from which a box counts."""


def measure_localisation(
    networks: Networks, images: HeldOutImages, boxes: np.ndarray, *, remember: Remember = forget
) -> dict[str, Any]:
    """Weakly supervised localisation.

    A class's activation map (`class_maps`) is enlarged and brought to [0, 1]; where it is above a threshold, the box
    around the largest connected area is the network's. It counts where intersection over union with the true box is 0.5
    or more. As Zhou et al. (arXiv:1512.04150), whose threshold is 0.2, and CutMix (arXiv:1905.04899) measure it. Which
    threshold suits a network differs, so that networks should be compared at each one's best: Choe et al., "Evaluating
    Weakly Supervised Object Localization Methods Right", CVPR 2020, arXiv:2001.07437.

    Args:
        boxes: (N, 4) pixels of the images: left, top, and the first column to the right and row below.
        remember: by network and batch.

    Returns:
        For each network:
        localised: share of the images whose object is found at threshold 0.2 by the map of the true class.
        top1: the same by the map of the class that is predicted, where that is the true one.
        iou: mean intersection over union of the boxes of `localised`.
        by_threshold: `localised` at other thresholds ("0.1", ...).
        best, best_threshold: the greatest of these, and where.
        whole: the share that would count with the whole image as the box: who sees nothing reaches it.
        method: "CAM" or "Grad-CAM". map: height and width of the last map; coarse maps give coarse boxes.
    """
    require(boxes.shape == (len(images), 4), "boxes", boxes.shape, f"must be (N, 4) for {len(images)} images")
    height, width = images.size
    whole = [intersection_over_union(box, (0, 0, width, height)) for box in boxes]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in networks}
    start = 0
    for number, batch in enumerate(images):
        own = boxes[start : start + len(batch.images)]
        start += len(own)
        for name, network in networks.items():
            rows[name].append(remember(f"{name} {number}", partial(_of_batch, network, batch, own)))
    return {name: {**_summary(own), "whole": float(np.mean(np.array(whole) >= OVERLAP))} for name, own in rows.items()}


def _of_batch(network: Network, batch: HeldOutBatch, boxes: np.ndarray) -> dict[str, Any]:
    with torch.no_grad():
        right = network(batch.images).argmax(dim=1) == batch.labels
    maps, kind = class_maps(network, batch.images, batch.labels)
    large = enlarged(maps, (batch.images.shape[2], batch.images.shape[3])).cpu().numpy()
    overlaps = [
        [intersection_over_union(box_above(one, threshold), box) for threshold in THRESHOLDS]
        for one, box in zip(large, boxes, strict=True)
    ]
    return {"overlaps": overlaps, "right": right.tolist(), "method": kind, "map": list(maps.shape[1:])}


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    overlaps = np.concatenate([np.array(row["overlaps"]) for row in rows])
    right = np.concatenate([np.array(row["right"]) for row in rows])
    found = overlaps >= OVERLAP
    own, shares = THRESHOLDS.index(THRESHOLD), found.mean(axis=0)
    return {
        "localised": float(shares[own]),
        "top1": float((found[:, own] & right).mean()),
        "iou": float(overlaps[:, own].mean()),
        "by_threshold": {f"{level:g}": float(share) for level, share in zip(THRESHOLDS, shares, strict=True)},
        "best": float(shares.max()),
        "best_threshold": THRESHOLDS[int(shares.argmax())],
        "method": rows[0]["method"],
        "map": rows[0]["map"],
    }


def box_above(values: np.ndarray, threshold: float) -> tuple[int, int, int, int] | None:
    """The box around the largest connected area of a map (H, W) in [0, 1] that is above a threshold; None without one.

    Pixels that touch at a corner are not connected. Left, top, and the first column to the right and row below.
    """
    areas, number = ndimage.label(values > threshold)
    if not number:
        return None
    largest = int(np.bincount(areas.ravel())[1:].argmax()) + 1
    rows, columns = ndimage.find_objects(areas)[largest - 1]
    return int(columns.start), int(rows.start), int(columns.stop), int(rows.stop)


def intersection_over_union(one: Sequence[float] | None, other: Sequence[float]) -> float:
    """Of two boxes: left, top, right and bottom. 0 where there is no first one."""
    if one is None:
        return 0.0
    width, height = (max(0.0, min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis])) for axis in (0, 1))
    areas = [float(box[2] - box[0]) * float(box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)
