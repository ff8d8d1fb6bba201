"""Starts of an attack that do not depend on how images are put into batches."""

from __future__ import annotations

import torch
from torch import Tensor

from mixdali import derive_seed
from train.attacks.attack import Attack


def starts(attack: Attack, images: Tensor, index: Tensor, seed: int) -> Tensor:
    """A start of the attack, as its `draw`, each image's by the seed and its index, whatever batch it is in."""
    drawn = [
        attack.draw(image.unsqueeze(0).cpu(), torch.Generator().manual_seed(derive_seed(seed, "start", number)))
        for image, number in zip(images.detach(), index.tolist(), strict=True)
    ]
    return torch.cat(drawn, dim=drawn[0].ndim - images.ndim).to(images.device)
