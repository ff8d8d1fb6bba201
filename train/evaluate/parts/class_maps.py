"""Where in an image a network sees a class: class activation maps."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.attacks.attack import precise
from train.evaluate.parts.inside import has_classifier, opened
from train.evaluate.parts.shifts import Network
from train.objectives.parts.hidden import classifier, pooling_place, recorded, recorded_map

Kind = Literal["CAM", "Grad-CAM"]
SLACK = 1e-3
"""How far, as a share, what is classified may be from the mean of the map, for half precision's sake."""


def why_no_maps(network: Network) -> str | None:
    """Why a network has no class activation maps; None if it has."""
    try:
        pooling_place(opened(network))
    except ValueError as error:
        return str(error)
    return None


def class_maps(network: Network, images: Tensor, labels: Tensor) -> tuple[Tensor, Kind]:
    """For each image (N, 3, H, W) the map (N, h, w) float32 of a class, labels (N,), as coarse as the network's last.

    Where the network classifies the mean of its last map by one linear layer, the map is weighed by that layer's
    weights of the class, without its bias: CAM of Zhou, Khosla, Lapedriza, Oliva and Torralba, "Learning Deep Features
    for Discriminative Localization", CVPR 2016, arXiv:1512.04150. Else by the mean gradient of the class's logit, and
    cut at 0: Grad-CAM of Selvaraju et al., ICCV 2017, arXiv:1610.02391.

    Raises:
        ValueError: the network has no pooling layer, or what enters it is no map (N, C, h, w).
    """
    hidden, weight = _linear(network, images)
    if weight is not None:
        return torch.einsum("nc,nchw->nhw", weight[labels], hidden), "CAM"
    module, inputs = pooling_place(opened(network))
    with torch.enable_grad(), recorded(module, inputs=inputs) as seen:
        logits = network(images.detach().requires_grad_())
        (slope,) = torch.autograd.grad(logits.gather(1, labels.unsqueeze(1)).sum(), seen[-1:])
    hidden, slope = precise(seen[-1].detach()), precise(slope)
    return torch.einsum("nc,nchw->nhw", slope.mean(dim=(2, 3)), hidden).clamp_min(0), "Grad-CAM"


@torch.no_grad()
def _linear(network: Network, images: Tensor) -> tuple[Tensor, Tensor | None]:
    """The last map (N, C, h, w), and the weights (K, C) by which its mean is classified; None if it is not so."""
    module = opened(network)
    head: nn.Linear | None = classifier(module) if has_classifier(network) else None
    with ExitStack() as hooks:
        maps = hooks.enter_context(recorded_map(module))
        entered = [] if head is None else hooks.enter_context(recorded(head, inputs=True))
        network(images)
    if not maps or maps[-1].ndim != 4:
        shape = tuple(maps[-1].shape) if maps else "nothing"
        raise ValueError(f"class activation maps need a last map (N, C, h, w) that is pooled, got {shape}")
    hidden = precise(maps[-1])
    mean = hidden.mean(dim=(2, 3))
    if head is None or len(entered) != 1 or entered[0].shape != mean.shape:
        return hidden, None
    apart = (precise(entered[0]) - mean).norm() > SLACK * mean.norm()
    return hidden, None if bool(apart) else precise(head.weight.detach())


def enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (N, h, w) at the size of the images (N, H, W), bilinear, each from 0, its least value, to 1, its greatest; 0
    where all are alike."""
    large = F.interpolate(maps.unsqueeze(1), size=size, mode="bilinear", align_corners=False).squeeze(1)
    low, high = large.amin(dim=(1, 2), keepdim=True), large.amax(dim=(1, 2), keepdim=True)
    return torch.where(high > low, (large - low) / (high - low), 0.0)
