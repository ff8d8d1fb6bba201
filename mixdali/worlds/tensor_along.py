"""Masks and bounding boxes by the plan of their images."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mixdali.plan import Layer, Plan
from mixdali.worlds.tensor import TensorWorld


def mixed_masks(plan: Plan, masks: Any, heavier: bool, erased: float | None) -> Tensor:
    """See `mixdali.mix_masks`."""
    if not isinstance(masks, Tensor) or masks.ndim not in (3, 4) or masks.is_complex():
        got = f"{masks.dtype} {tuple(masks.shape)}" if isinstance(masks, Tensor) else repr(type(masks))
        raise TypeError(f"masks must be a tensor (N, H, W) or (N, C, H, W), got {got}")
    check_filled(plan, len(masks))
    maps = masks if masks.ndim == 4 else masks.unsqueeze(1)
    if plan.partner is None:
        return _erased(plan, maps, erased).reshape(masks.shape)
    plan = replace(plan, scale=None, noise=None)
    if masks.is_floating_point():
        return TensorWorld(maps).apply(maps, None, plan)[0].reshape(masks.shape)
    shares = weights(plan, (maps.shape[2], maps.shape[3]), maps.device)
    if not heavier and bool(((shares > 0) & (shares < 1)).any()):
        raise ValueError(
            f"label maps ({masks.dtype}) cannot be blended, and this plan blends images; give masks as floats, one "
            'channel a class, or take the labels of the heavier image, blended="heavier"'
        )
    world = TensorWorld(torch.zeros((), device=maps.device, dtype=torch.float32).expand(maps.shape))
    world.check_plan(plan)
    found, most = maps, shares[0]
    for layer, share in zip(plan.layers(), shares[1:], strict=True):
        found = torch.where((share > most).unsqueeze(1), world.shown(maps, layer), found)
        most = torch.maximum(most, share)
    return found.reshape(masks.shape)


def _erased(plan: Plan, maps: Tensor, erased: float | None) -> Tensor:
    """Masks of images of which a box was covered."""
    if erased is None:
        return maps
    _, covered = weights(plan, (maps.shape[2], maps.shape[3]), maps.device)
    return torch.where((covered > 0).unsqueeze(1), torch.full_like(maps, erased), maps)


def weights(plan: Plan, size: tuple[int, int], device: Any) -> Tensor:
    """(parents, N, H, W): how much each pixel shows of the own image, of the first other, and of those of `plan.more`.
    What covers a pixel in place of a partner counts as the first other."""
    blank = torch.zeros((), device=device, dtype=torch.float32).expand(len(plan.weight), 1, *size)
    world = TensorWorld(blank)
    shares: list[Tensor] = []
    for layer in plan.layers():
        kept = world.kept(blank, layer).squeeze(1).expand(len(blank), *size)
        shares = [share * kept for share in shares] or [kept]
        shares.append(1 - kept)
    return torch.stack(shares)


def mixed_boxes(
    plan: Plan, boxes: Sequence[Any], labels: Sequence[Any], size: tuple[int, int], min_weight: float
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """See `mixdali.mix_boxes`."""
    number = len(boxes)
    check_filled(plan, number)
    if len(labels) != number:
        raise ValueError(f"labels must be given for each of the {number} images, got {len(labels)}")
    plan = Plan.of_parts({name: torch.as_tensor(value, device="cpu") for name, value in plan.parts().items()})
    found = [_checked_boxes(n, *pair) for n, pair in enumerate(zip(boxes, labels, strict=True))]
    TensorWorld(torch.zeros(number, 1, 1, 1, device="cpu", dtype=torch.float32)).check_plan(plan)
    shares = weights(plan, size, "cpu")
    layers = [] if plan.partner is None else plan.layers()
    results: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
    for n in range(number):
        parts = [(*found[n], shares[0, n])]
        for layer, share in zip(layers, shares[1:], strict=False):
            own, tags = found[n if layer.partner is None else int(layer.partner[n])]
            parts.append((_moved(own, layer, n), tags, share[n]))
        kept = [_kept(*part, min_weight) for part in parts]
        for result, pieces in zip(results, zip(*kept, strict=True), strict=True):
            result.append(torch.cat(pieces))
    return results


def _checked_boxes(n: int, boxes: Any, labels: Any) -> tuple[Tensor, Tensor]:
    boxes, labels = torch.as_tensor(boxes, device="cpu"), torch.as_tensor(labels, device="cpu")
    boxes = boxes.reshape(0, 4) if boxes.numel() == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes of image {n} must be (M, 4), x0, y0, x1, y1, got {tuple(boxes.shape)}")
    if labels.ndim < 1 or len(labels) != len(boxes):
        raise ValueError(
            f"labels of image {n} must be one for each of its {len(boxes)} boxes, got {tuple(labels.shape)}"
        )
    if bool((boxes[:, 2:] < boxes[:, :2]).any()):
        raise ValueError(f"boxes of image {n} must be x0, y0, x1, y1 with x0 <= x1 and y0 <= y1")
    return boxes.float(), labels


def _moved(boxes: Tensor, layer: Plan | Layer, n: int) -> Tensor:
    """Boxes (M, 4) of another image to where they are shown of it in image n, cut to that."""
    outside = getattr(layer, "outside", None)
    if layer.box is None or (outside is not None and float(outside[n]) < 1):
        return boxes
    box = layer.box[n].float()[[1, 0, 3, 2]]
    if layer.region is not None:
        region = layer.region[n].float()[[1, 0, 3, 2]]
        scale = (box[2:] - box[:2]) / (region[2:] - region[:2]).clamp_min(1)
        boxes = (boxes - region[:2].repeat(2)) * scale.repeat(2) + box[:2].repeat(2)
    return torch.cat([torch.maximum(boxes[:, :2], box[:2]), torch.minimum(boxes[:, 2:], box[2:])], dim=1)


def _kept(boxes: Tensor, labels: Tensor, share: Tensor, min_weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """Those that are seen, and their weights: the means of `share` (H, W) over their pixels."""
    height, width = share.shape
    sums = torch.nn.functional.pad(share.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    x0, y0 = boxes[:, 0].floor().clamp(0, width).long(), boxes[:, 1].floor().clamp(0, height).long()
    x1, y1 = boxes[:, 2].ceil().clamp(0, width).long(), boxes[:, 3].ceil().clamp(0, height).long()
    total = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
    means = (total / ((x1 - x0) * (y1 - y0)).clamp_min(1)).clamp(0, 1).float()
    seen = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]) & (means > min_weight + 1e-6)
    return boxes[seen], labels[seen], means[seen]


def check_filled(plan: Plan, number: int) -> None:
    """ValueError for a plan that leaves out what its method says, and for one of another batch."""
    if plan.weight is None:
        raise ValueError("plan.weight must be given, as mix.draw gives it; mix.fill(plan) completes a plan of your own")
    if not isinstance(plan.weight, Tensor):
        raise TypeError(f"plan must be of torch tensors, got {type(plan.weight).__name__}")
    if len(plan.weight) != number:
        raise ValueError(f"the plan is of {len(plan.weight)} images, got {number}")
