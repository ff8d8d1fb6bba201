"""Small images and networks whose accuracy under attack is known, for the tests of `train.evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipelines.sources.source import Source
from train.data.images import HeldOutImages
from train.evaluate.models import Classifier, still
from train.machine.distributed import World
from train.machine.stop import Stop

ALONE = World(torch.device("cpu"))
SIDE = 8


class Linear(nn.Module):
    """Logits (N, K) that are linear in the pixels; so is what an attack can do, as long as no pixel leaves [0, 1]."""

    weight: Tensor
    bias: Tensor

    def __init__(self, num_classes: int = 4, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("weight", torch.randn(num_classes, 3 * SIDE * SIDE, generator=generator))
        self.register_buffer("bias", -0.5 * self.weight.sum(dim=1))

    def forward(self, images: Tensor) -> Tensor:
        return images.reshape(len(images), -1) @ self.weight.T + self.bias

    def distances(self, images: Tensor, labels: Tensor, norm: str) -> Tensor:
        """(N,) how far each image may move before a class is as likely as its own; below 0 where one is likelier."""
        logits = self(images.reshape(len(images), -1))
        gaps = logits.gather(1, labels.unsqueeze(1)) - logits
        apart = self.weight[labels].unsqueeze(1) - self.weight
        lengths = apart.abs().sum(dim=2) if norm == "Linf" else apart.norm(dim=2)
        others = torch.ones_like(gaps).scatter(1, labels.unsqueeze(1), 0) > 0
        return torch.where(others, gaps / lengths.clamp_min(1e-9), torch.inf).amin(dim=1)


def grey_images(count: int = 40, num_classes: int = 4, seed: int = 0) -> Source:
    """Images near the middle of the range, labelled by `Linear` but for every tenth."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(110, 146, (count, SIDE, SIDE, 3)).astype(np.uint8)
    labels = Linear(num_classes)(tensor_of(pixels)).argmax(dim=1).numpy().copy()
    labels[::10] = (labels[::10] + 1) % num_classes
    return Source(pixels, labels)


def tensor_of(pixels: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float in [0, 1], contiguous."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255).contiguous()


def held_out(source: Source, num_classes: int = 4, batch_size: int = 16) -> HeldOutImages:
    assert isinstance(source.items, np.ndarray)
    size = source.items.shape[1:3]
    return HeldOutImages(source, "cifar", num_classes, size, batch_size, ALONE, Stop())


def classifier(module: nn.Module) -> Classifier:
    return Classifier(still(module, ALONE.device), None, "float32", Stop())


def package_network() -> nn.Module:
    """The network that pyautoattack ships, for CIFAR-10, in evaluation mode; skips without the package."""
    package = pytest.importorskip("pyautoattack", reason="needs pyautoattack")
    from pyautoattack.examples.resnet import ResNet18

    module = ResNet18()
    weights = Path(package.__file__).parent / "examples" / "model_test.pt"
    module.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return module.eval()


def weaken(attack: Any, num_steps: int = 5, num_queries: int = 20, num_targets: int = 3) -> Any:
    """AutoAttack in a few steps."""
    attack.apgd.n_iter = attack.apgd_targeted.n_iter = num_steps
    attack.fab.n_iter, attack.square.n_queries = num_steps - 1, num_queries
    attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = num_targets
    return attack
