"""Losses for labels that may be wrong: the papers' formulas, their gradients, and what the settings mean."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.nets import NUM_CLASSES, assert_agrees, make_batch, preact, seeded
from train.objectives import EarlyLearning, GeneralizedCrossEntropy
from train.objectives.batch import Batch
from train.objectives.generalized_cross_entropy import generalized_cross_entropy


def labels_of(batch: Batch) -> Tensor:
    assert batch.labels is not None
    return batch.labels


@pytest.mark.parametrize("q", [0.3, 0.7, 1.0])
def test_generalised_cross_entropy_is_the_papers(q: float) -> None:
    batch = make_batch()

    def reference(model: nn.Module) -> Tensor:
        found = model(batch.images).softmax(dim=1).gather(1, labels_of(batch).unsqueeze(1))
        return ((1 - found**q) / q).mean()

    assert_agrees(GeneralizedCrossEntropy(q=q), preact(), batch, {}, reference)


def test_it_lies_between_cross_entropy_and_half_of_the_absolute_error() -> None:
    logits = torch.randn(6, NUM_CLASSES, generator=seeded(), dtype=torch.float64)
    targets = make_batch().targets
    cross = F.cross_entropy(logits, targets, reduction="none")
    absolute = (logits.softmax(dim=1) - targets).abs().sum(dim=1)
    torch.testing.assert_close(generalized_cross_entropy(logits, targets, 1.0), absolute / 2)
    torch.testing.assert_close(generalized_cross_entropy(logits, targets, 1e-7), cross, atol=1e-5, rtol=0)
    mixed = 0.3 * targets + 0.7 * targets.flip(0)
    whole = [generalized_cross_entropy(logits, these, 0.7) for these in (targets, targets.flip(0))]
    torch.testing.assert_close(generalized_cross_entropy(logits, mixed, 0.7), 0.3 * whole[0] + 0.7 * whole[1])


def test_a_label_that_is_out_of_the_question_leaves_a_finite_gradient() -> None:
    logits = torch.tensor([[400.0, -400.0]], requires_grad=True)
    loss = generalized_cross_entropy(logits, torch.tensor([[0.0, 1.0]]), 0.7)
    loss.sum().backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    assert float(loss.detach()) == pytest.approx(1 / 0.7)


def test_early_learning_is_the_authors_over_several_visits() -> None:
    """`elr_loss` of shengliu66/ELR, ELR/model/loss.py, an image's row at a time."""
    objective, model = EarlyLearning(momentum=0.7, strength=3.0), preact().eval()
    state = objective.setup(model, 20, NUM_CLASSES)
    rows = {index: torch.zeros(NUM_CLASSES, dtype=torch.float64) for index in range(20)}
    for seed, places in enumerate(([0, 1, 2, 3, 4, 5], [5, 3, 1, 7, 9, 11], [0, 5, 1, 2, 9, 3])):
        batch = replace(make_batch(seed=seed), index=torch.tensor(places))
        found = model(batch.images).softmax(dim=1).clamp(1e-4, 1 - 1e-4)
        terms = []
        for place, own in zip(places, found, strict=True):
            rows[place] = 0.7 * rows[place] + 0.3 * (own / own.sum()).detach()
            terms.append((1 - rows[place] @ own).log())
        expected = F.cross_entropy(model(batch.images), labels_of(batch)) + 3 * torch.stack(terms).mean()
        gradients = torch.autograd.grad(expected, list(model.parameters()))
        loss, _ = objective(model, batch, state)
        torch.testing.assert_close(loss, expected)
        for ours, theirs in zip(torch.autograd.grad(loss, list(model.parameters())), gradients, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_settings_that_cannot_be_are_one_line() -> None:
    with pytest.raises(ValueError, match="GeneralizedCrossEntropy: q must be above 0 and at most 1, got 0"):
        GeneralizedCrossEntropy(q=0)
    with pytest.raises(ValueError, match="EarlyLearning: strength must not be negative, got -1"):
        EarlyLearning(strength=-1)
    with pytest.raises(ValueError, match="EarlyLearning: momentum"):
        EarlyLearning(momentum=1.5)
