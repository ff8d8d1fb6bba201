"""The plain objective: cross-entropy with soft targets, and accuracy weighted by them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mixdali import MixUp, Plan, one_hot
from train.objectives import CrossEntropy
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


LABELS = torch.tensor([0, 1, 2, 3, 0, 1])
OTHERS = torch.tensor([3, 3, 2, 0, 1, 2])


def test_with_hard_targets_it_is_the_usual_cross_entropy(logits: torch.Tensor) -> None:
    targets = F.one_hot(LABELS, 4).double()
    torch.testing.assert_close(cross_entropy(logits, targets), F.cross_entropy(logits, LABELS, reduction="none"))


def test_a_mixed_target_weighs_the_two_losses_by_lam(logits: torch.Tensor) -> None:
    lam = 0.3
    targets = lam * F.one_hot(LABELS, 4).double() + (1 - lam) * F.one_hot(OTHERS, 4)
    own, other = (F.cross_entropy(logits, labels, reduction="none") for labels in (LABELS, OTHERS))
    torch.testing.assert_close(cross_entropy(logits, targets), lam * own + (1 - lam) * other)


def test_a_mixed_hit_counts_as_much_as_its_class() -> None:
    logits = torch.eye(3)[[0, 1, 2]]
    targets = torch.tensor([[0.7, 0.3, 0.0], [0.7, 0.3, 0.0], [0.7, 0.3, 0.0]])
    torch.testing.assert_close(accuracy(logits, targets), torch.tensor([0.7, 0.3, 0.0]))


def test_half_precision_logits_get_a_single_precision_loss() -> None:
    logits = torch.tensor([[20.0, 0.0]], dtype=torch.bfloat16)
    loss = cross_entropy(logits, torch.tensor([[0.0, 1.0]]))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, torch.tensor([20.0]))


def test_the_loss_of_a_mixed_batch_has_the_gradient_of_its_formula() -> None:
    images = torch.rand(6, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    plan = Plan(partner=torch.tensor([1, 2, 3, 4, 5, 0]), lam=torch.full((6,), 0.4))
    mixed, targets = MixUp().apply(images, one_hot(LABELS, 4), plan)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    loss, metrics = CrossEntropy()(model, Batch(epoch=0, step=0, images=mixed, targets=targets), nn.Module())
    loss.backward()
    logits = model(mixed)
    expected = (logits.softmax(1) - targets).mean(0)
    torch.testing.assert_close(model[1].bias.grad, expected)
    assert set(metrics) == {"loss", "accuracy"}
    assert not metrics["loss"].requires_grad
