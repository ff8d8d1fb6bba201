"""Objectives that want an image predicted alike, under noise or by its views: the authors' losses."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.adversarial import drawn, of_recipe
from tests.helpers.nets import assert_agrees, make_batch, preact
from train.objectives import AugMixTraining, ConsistencyTraining, StabilityTraining


@pytest.mark.parametrize("variant", ["recipe", "sigma50", "sigma100"])
def test_consistency_is_the_authors(variant: str) -> None:
    """`consistency_loss` of jh-jeong/smoothing-consistency, code/consistency.py, its default form."""
    objective, batch = of_recipe("jeong2020consistency", variant), make_batch()
    draws, labels = drawn(objective, batch), batch.labels
    assert labels is not None

    def reference(model: nn.Module) -> Tensor:
        logits = model(torch.cat([batch.images + noise for noise in draws["noise"]]))
        mean = sum((part.softmax(dim=1) for part in logits.chunk(2)), torch.zeros(())) / 2
        parts = [F.kl_div(part.log_softmax(dim=1), mean, reduction="none").sum(1) for part in logits.chunk(2)]
        entropy = -(mean * mean.log()).sum(1)
        price = objective.consistency * (parts[0] + parts[1]) / 2 + 0.5 * entropy
        return F.cross_entropy(logits, labels.repeat(2)) + price.mean()

    assert_agrees(objective, preact(), batch, draws, reference)
    assert objective.consistency == (20.0 if objective.sigma == 0.25 else 10.0)


def test_stability_is_the_authors() -> None:
    """`train` of jh-jeong/smoothing-consistency, code/train_stab.py."""
    objective, batch = of_recipe("jeong2020consistency", "stability"), make_batch()
    draws, labels = drawn(objective, batch), batch.labels
    assert labels is not None

    def reference(model: nn.Module) -> Tensor:
        clean, noisy = model(batch.images), model(batch.images + draws["noise"][0])
        moved = -(clean.softmax(dim=1) * noisy.log_softmax(dim=1)).sum(1).mean()
        return F.cross_entropy(clean, labels) + 2 * moved

    assert_agrees(objective, preact(), batch, draws, reference)


def test_augmix_is_the_authors() -> None:
    """`train` of google-research/augmix, cifar.py."""
    batch = make_batch(view1=make_batch(seed=2).images, view2=make_batch(seed=3).images)
    labels = batch.labels
    assert labels is not None
    assert batch.view1 is not None
    assert batch.view2 is not None
    images = torch.cat([batch.images, batch.view1, batch.view2])

    def reference(model: nn.Module) -> Tensor:
        logits = model(images).chunk(3)
        parts = [each.softmax(dim=1) for each in logits]
        mixture = torch.clamp((parts[0] + parts[1] + parts[2]) / 3, 1e-7, 1).log()
        divergence = sum((F.kl_div(mixture, each, reduction="batchmean") for each in parts), torch.zeros(())) / 3
        return F.cross_entropy(logits[0], labels) + 12 * divergence

    assert_agrees(AugMixTraining(), preact(), batch, {}, reference)


def test_settings_that_cannot_be_are_one_line() -> None:
    with pytest.raises(ValueError, match=r"ConsistencyTraining: num_noises must be 2 or more, .* got 1"):
        ConsistencyTraining(num_noises=1)
    with pytest.raises(ValueError, match="ConsistencyTraining: entropy must not be negative, got -1"):
        ConsistencyTraining(entropy=-1)
    with pytest.raises(ValueError, match="StabilityTraining: stability must not be negative, got -1"):
        StabilityTraining(stability=-1)
    with pytest.raises(ValueError, match="AugMixTraining: consistency must not be negative, got -1"):
        AugMixTraining(consistency=-1)
