"""Small networks in double precision for the tests of objectives, and the comparison with a reference."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali import one_hot
from train.models import build_model
from train.objectives import Objective
from train.objectives.batch import Batch

Part = Callable[[Tensor], Tensor]
NUM_CLASSES = 5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def preact(name: str = "preact_resnet8_w4") -> nn.Module:
    """A network of the trainer: three stages, or four."""
    return build_model(name, num_classes=NUM_CLASSES, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), seed=0).double()


def plain(*, norm: bool = False) -> Any:
    """Convolutions one after the other, for 12 x 12 images. Its stages are `first` and `third`."""
    layers: dict[str, nn.Module] = {
        "first": nn.Conv2d(3, 4, 3),
        "second": nn.Conv2d(4, 6, 3, stride=2),
        "third": nn.BatchNorm2d(6) if norm else nn.Conv2d(6, 6, 3, padding=1),
        "flat": nn.Flatten(),
        "head": nn.Linear(6 * 4 * 4, NUM_CLASSES),
    }
    net = nn.Sequential()
    generator = seeded(3)
    for name, layer in layers.items():
        net.add_module(name, layer)
        for parameter in layer.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)
    return net.double()


def parts(model: Any) -> list[Part]:
    """The steps of a network: up to the input, from there to each stage, and on to the logits."""
    if isinstance(model[0], nn.Conv2d):
        return [
            lambda x: x,
            model.first,
            nn.Sequential(model.second, model.third),
            nn.Sequential(model.flat, model.head),
        ]
    normalise, net = model
    depth = len(net.blocks) // 4 if len(net.blocks) > 3 else 1
    groups = [net.blocks[start : start + depth] for start in range(0, len(net.blocks), depth)]

    def end(x: Tensor) -> Tensor:
        return net.head(F.relu(net.norm(x)).mean(dim=(2, 3)))

    return [normalise, nn.Sequential(net.stem, groups[0]), *groups[1:], end]


def make_batch(count: int = 6, size: int = 12, seed: int = 1, **more: Any) -> Batch:
    """Random images and labels."""
    generator = seeded(seed)
    labels = torch.randint(NUM_CLASSES, (count,), generator=generator)
    images = torch.rand(count, 3, size, size, generator=generator, dtype=torch.float64)
    return Batch(epoch=0, step=0, images=images, targets=one_hot(labels, NUM_CLASSES).double(), labels=labels, **more)


def count_hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def assert_agrees(
    objective: Objective,
    model: nn.Module,
    batch: Batch,
    draws: dict[str, Tensor],
    reference: Callable[[Any], Tensor],
) -> None:
    """The same loss, gradients, running averages and mode as `reference(model)`, and no hook left behind."""
    other = copy.deepcopy(model)
    expected = reference(other)
    expected.backward()
    state = objective.setup(model, 100, NUM_CLASSES)
    loss, metrics = objective(model, batch, state, draws)
    loss.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-12)
    for (name, found), wanted in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-7, atol=1e-10, msg=lambda t, n=name: f"{n}: {t}")
    for (name, found), wanted in zip(model.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(found, wanted, msg=lambda t, n=name: f"{n}: {t}")
    assert model.training == other.training
    assert count_hooks(model) == 0
    assert {"loss", "accuracy"} <= set(metrics)
    assert all(value.shape == () and not value.requires_grad for value in metrics.values())
    torch.testing.assert_close(metrics["loss"], expected.detach())


def nearly_the_same() -> nn.Module:
    """An image-to-image network: a filter that lets images pass nearly as they are."""
    filters = nn.Conv2d(3, 3, 3, padding=1)
    with torch.no_grad():
        nn.init.dirac_(filters.weight).add_(torch.empty_like(filters.weight).normal_(std=0.02, generator=seeded(5)))
        nn.init.zeros_(filters.bias)
    return filters
