"""Neighbor Consistency Regularization: the authors' loss and gradients, and never nan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali import MixUp
from tests.helpers.training import TINY, assert_same, run_steps, weights
from train.models import PreActResNet
from train.objectives import NeighborConsistency
from train.objectives.batch import Batch
from train.optim.optimizers import SGD

NUM_CLASSES = 5


def plain_net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, NUM_CLASSES))


def deep_head_net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 24), nn.BatchNorm1d(24), nn.Tanh(), nn.Linear(24, NUM_CLASSES))


def residual_net() -> nn.Module:
    return PreActResNet((1, 1), 4, NUM_CLASSES)


def make_net(kind: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(3)
    return kind().double()


def make_batch_of(count: int, epoch: int = 20) -> Batch:
    generator = torch.Generator().manual_seed(5)
    images = torch.rand(count, 3, 8, 8, generator=generator, dtype=torch.float64)
    labels = torch.randint(NUM_CLASSES, (count,), generator=generator)
    return Batch(epoch=epoch, step=0, images=images, targets=F.one_hot(labels, NUM_CLASSES).double())


def features_of(model: nn.Module, images: Tensor) -> Tensor:
    if isinstance(model, PreActResNet):
        return model.norm(model.blocks(model.stem(images))).relu().mean(dim=(2, 3))
    assert isinstance(model, nn.Sequential)
    return model[:-1](images)


def head_of(model: nn.Module) -> nn.Module:
    return model.head if isinstance(model, PreActResNet) else model[-1]  # type: ignore[index]


def authors_loss(model: nn.Module, batch: Batch, objective: NeighborConsistency) -> Tensor:
    """One image at a time, as the authors' code has it: nearest k + 1, without the first."""
    features = features_of(model, batch.images)
    logits = head_of(model)(features)
    kept = min(objective.num_neighbors + 1, len(features))
    total: Any = 0.0
    for n in range(len(features)):
        cosines = torch.stack([(features[n] @ row) / (features[n].norm() * row.norm()) for row in features])
        order = sorted(range(len(features)), key=lambda j: -float(cosines[j].detach()))[:kept][1:]
        strengths = [cosines[j].clamp_min(0) ** objective.gamma for j in order]
        target: Any = 0.0
        for j, strength in zip(order, strengths, strict=True):
            target = target + strength / sum(strengths) * ((logits[j] / objective.temperature).softmax(0) + 1e-16)
        own = (logits[n] / objective.temperature).log_softmax(0)
        total = total + objective.temperature**2 * (target * (target.log() - own)).sum()
    cross_entropy = F.cross_entropy(logits, batch.targets)
    return (1 - objective.weight) * cross_entropy + objective.weight * total / len(features)


@pytest.mark.parametrize("net", [plain_net, deep_head_net, residual_net])
@pytest.mark.parametrize(
    "objective",
    [
        NeighborConsistency(num_neighbors=3),
        NeighborConsistency(num_neighbors=100),
        NeighborConsistency(num_neighbors=4, gamma=2.5, temperature=1.0, weight=0.7),
        NeighborConsistency(num_neighbors=1, gamma=0.5),
    ],
    ids=["few", "more than there are", "sharp", "nearest"],
)
def test_loss_and_gradients_are_the_authors(net: Callable[[], nn.Module], objective: NeighborConsistency) -> None:
    model, batch = make_net(net), make_batch_of(11)
    theirs = authors_loss(model, batch, objective)
    loss, metrics = objective(model, batch, objective.setup(model, 11, NUM_CLASSES))
    torch.testing.assert_close(loss, theirs, rtol=0, atol=1e-9)
    parameters = list(model.parameters())
    for found, wanted in zip(
        torch.autograd.grad(loss, parameters), torch.autograd.grad(theirs, parameters), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-9)
    assert set(metrics) == {"loss", "accuracy", "consistency"}
    assert not any(value.requires_grad for value in metrics.values())


def test_before_its_first_epoch_it_is_cross_entropy() -> None:
    model, batch = make_net(residual_net), make_batch_of(8, epoch=9)
    loss, metrics = NeighborConsistency(start=10)(model, batch, nn.Module())
    torch.testing.assert_close(loss, F.cross_entropy(model(batch.images), batch.targets))
    assert float(metrics["consistency"]) == 0


def test_gradients_reach_the_neighbours_and_the_similarities() -> None:
    logits = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    features = torch.rand(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    objective = NeighborConsistency(num_neighbors=2)
    to_logits, to_features = torch.autograd.grad(objective._consistency(logits, features), [logits, features])
    assert bool((to_logits != 0).all())
    assert bool((to_features != 0).any(dim=1).all())
    assert torch.autograd.gradcheck(objective._consistency, (logits, features))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(
    "features",
    [
        torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]),
        torch.zeros(3, 2),
        torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]),
        torch.ones(1, 2),
        torch.ones(3, 2),
    ],
    ids=["opposite and zero", "all zero", "at right angles", "one image", "all alike"],
)
def test_images_without_neighbours_add_nothing_and_never_nan(features: Tensor, gamma: float) -> None:
    features = features.double().requires_grad_()
    logits = torch.tensor([[2.0, 0.0], [0.0, 40.0], [1.0, 800.0]])[: len(features)].double().requires_grad_()
    loss = NeighborConsistency(gamma=gamma)._consistency(logits, features)
    found = torch.autograd.grad(loss, [logits, features])
    assert bool(loss.isfinite())
    assert all(bool(gradient.isfinite().all()) for gradient in found)
    if not bool((features == 1).all()) or len(features) == 1:
        assert float(loss.detach()) == 0


def test_half_precision_gives_a_single_precision_loss() -> None:
    model = residual_net()
    batch = make_batch_of(16)
    batch = replace(batch, images=batch.images.float(), targets=batch.targets.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = NeighborConsistency()(model, batch, nn.Module())
    assert loss.dtype == torch.float32
    assert bool(loss.isfinite())


def test_the_model_is_left_as_it_was() -> None:
    model, other, batch = make_net(residual_net), make_net(residual_net), make_batch_of(8)
    NeighborConsistency()(model, batch, nn.Module())
    other(batch.images)
    assert model.training
    assert_same(dict(model.named_buffers()), dict(other.named_buffers()))
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


RECIPE = replace(TINY, mix=None, objective=NeighborConsistency(start=1, num_neighbors=5))


@pytest.mark.parametrize("mix", [None, MixUp(alpha=0.5, partner="flip")], ids=["clean", "mixup"])
def test_a_run_stopped_in_an_epoch_goes_on_exactly(mix: MixUp | None) -> None:
    recipe = replace(RECIPE, mix=mix)
    assert_same(weights(run_steps(recipe, 12, stop=6).state), weights(run_steps(recipe, 12).state))


def test_it_overfits_sixty_four_images() -> None:
    recipe = replace(RECIPE, augment=False, num_epochs=25, ema_decay=None, lr=0.1, optimizer=SGD(nesterov=True))
    training = run_steps(recipe, 100)
    hits = [
        (training.state.model(raw.images).argmax(dim=1) == raw.targets.argmax(dim=1)).float().mean()
        for raw in training.train
    ]
    assert float(torch.stack(hits).mean()) > 0.95


def test_a_wrong_setting_is_one_line() -> None:
    with pytest.raises(ValueError, match="num_neighbors must be a whole number above 0, got 0"):
        NeighborConsistency(num_neighbors=0)
    with pytest.raises(ValueError, match="weight must be a number from 0 to 1"):
        NeighborConsistency(weight=1.5)
    with pytest.raises(ValueError, match="temperature must be a number above 0"):
        NeighborConsistency(temperature=0)
    with pytest.raises(ValueError, match="no linear layer"):
        NeighborConsistency().setup(nn.Conv2d(3, 4, 1), 8, 4)
