"""Training with images of no class: the authors' losses, and that what is said of the two streams holds."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.adversarial import EPS, STEP, drawn, of_recipe, slope, trades_attack
from tests.helpers.nets import NUM_CLASSES, assert_agrees, make_batch, plain, preact, seeded
from tests.helpers.training import ALONE, coloured_sources
from train.attacks import PGD
from train.cli.main import find_recipe
from train.data.loaders import train_loader
from train.data.sources import prepare_sources
from train.machine.run import Run
from train.objectives import OutOfDistributionCrossEntropy, OutOfDistributionTRADES, OutOfDistributionTraining
from train.objectives.batch import Batch

OTHERS = 3  # of the six images of a batch


def two_streams(weight: float = 1.0) -> Batch:
    """Three images with labels, and three of no class."""
    batch = make_batch()
    targets = batch.targets.clone()
    targets[-OTHERS:] = 1 / NUM_CLASSES
    mask = (torch.arange(6) >= 6 - OTHERS).long()
    return replace(batch, targets=targets, mask=mask, weights=1 + (weight - 1) * mask.double())


def soft(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * logits.log_softmax(dim=1)).sum(dim=1)


def local_attack(model: nn.Module, batch: Batch, start: Tensor) -> Tensor:
    """Saehyung-Lee/OAT, AT/pgd_attack.py: up the sum of weighted losses, in a training graph whose averages stay."""
    still = copy.deepcopy(model).requires_grad_(False)
    moved = (batch.images + start).clamp(0, 1)
    for _ in range(10):
        moved.requires_grad_()
        found = slope((batch.weights * soft(still(moved), batch.targets)).sum(), moved)
        moved = moved.detach() + STEP * found.sign()
        moved = torch.min(torch.max(moved, batch.images - EPS), batch.images + EPS).clamp(0, 1)
    return moved


@pytest.mark.parametrize("weight", [1.0, 0.3, 0.0])
@pytest.mark.parametrize("net", [preact, lambda: plain(norm=True)], ids=["preact", "plain"])
def test_adversarial_training_is_the_authors(net: Any, weight: float) -> None:
    objective = of_recipe("lee2021removing")
    batch = two_streams(weight)
    draws = drawn(objective, batch)

    def reference(model: nn.Module) -> Tensor:
        moved = local_attack(model, batch, draws["start"])
        scale = torch.tensor([1.0] * 3 + [weight] * OTHERS, dtype=torch.float64)
        return (scale * soft(model(moved), batch.targets)).sum() / 6

    assert_agrees(objective, net(), batch, draws, reference)


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_standard_training_is_that_without_an_attack(weight: float) -> None:
    batch = two_streams(weight)

    def reference(model: nn.Module) -> Tensor:
        losses = soft(model(batch.images), batch.targets)
        return (losses[:-OTHERS].sum() + weight * losses[-OTHERS:].sum()) / 6

    assert_agrees(OutOfDistributionCrossEntropy(), preact(), batch, {}, reference)


@pytest.mark.parametrize("net", [preact, lambda: plain(norm=True)], ids=["preact", "plain"])
def test_trades_is_the_authors(net: Any) -> None:
    objective = of_recipe("lee2021removing", "trades")
    batch = two_streams()
    draws = drawn(objective, batch)

    def reference(model: nn.Module) -> Tensor:
        moved = trades_attack(model, batch.images, draws["start"], eps=0.031, step=0.007, steps=10)
        natural = soft(model(batch.images), batch.targets).sum() / 6
        robust = F.kl_div(model(moved).log_softmax(dim=1), model(batch.images).softmax(dim=1), reduction="sum")
        return natural + 6 * robust / 6

    assert_agrees(objective, net(), batch, draws, reference)


def test_a_weight_of_trades_counts_for_both_of_its_terms() -> None:
    objective = OutOfDistributionTRADES(attack=PGD(eps=EPS, step_size=STEP, num_steps=2))
    model, batch = plain(), two_streams(weight=0.0)
    draws = drawn(objective, batch)
    own = replace(
        batch, images=batch.images[:3], targets=batch.targets[:3], mask=torch.zeros(3), weights=torch.ones(3).double()
    )
    loss, _ = objective(model, batch, nn.Module(), draws)
    alone, _ = objective(model, own, nn.Module(), {"start": draws["start"][:3]})
    torch.testing.assert_close(loss, alone / 2)


@pytest.mark.parametrize("kind", [OutOfDistributionTraining, OutOfDistributionTRADES])
def test_accuracies_are_those_of_the_training_images(kind: Any) -> None:
    objective = kind(attack=PGD(eps=EPS, step_size=STEP, num_steps=1), batch_norm="eval")
    model, batch = plain(), two_streams()
    draws = {"start": torch.zeros_like(batch.images)}
    _, metrics = objective(model, batch, nn.Module(), draws)
    adversarial = objective.perturb(model, batch, nn.Module(), draws)
    hits = (model(adversarial).argmax(dim=1) == batch.labels)[:3].double().mean()
    torch.testing.assert_close(metrics["robust_accuracy"], hits)
    seen = adversarial if kind is OutOfDistributionTraining else batch.images
    torch.testing.assert_close(metrics["stream_loss"], soft(model(seen), batch.targets)[3:].mean().detach())


def test_the_attack_makes_the_network_sure_of_images_of_no_class() -> None:
    objective = OutOfDistributionTraining(attack=PGD(eps=0.1, step_size=0.02, num_steps=10), batch_norm="eval")
    model, batch = plain(), two_streams()
    moved = objective.perturb(model, batch, nn.Module(), objective.draw(batch, seeded()))
    before, after = (soft(model(images), batch.targets)[3:] for images in (batch.images, moved))
    assert (after > before).all()


def test_a_batch_of_one_stream_is_refused() -> None:
    objective = of_recipe("lee2021removing")
    with pytest.raises(ValueError, match="images of several streams need a mask and weights"):
        objective(plain(norm=True), make_batch(), nn.Module())


@pytest.mark.parametrize("kind", [OutOfDistributionTraining, OutOfDistributionTRADES])
def test_in_half_precision_the_loss_is_nearly_the_same(kind: Any) -> None:
    objective = kind(attack=PGD(eps=EPS, step_size=STEP, num_steps=2))
    batch = two_streams()
    single = replace(batch, **{name: getattr(batch, name).float() for name in ("images", "targets", "weights")})
    losses = []
    for half in (False, True):
        model = preact().float()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            loss, _ = objective(model, single, nn.Module(), objective.draw(single, seeded()))
        loss.backward()
        losses.append(loss.detach())
    assert losses[1].dtype == torch.float32
    torch.testing.assert_close(losses[1], losses[0], rtol=0.05, atol=0)


def test_the_settings_are_those_of_the_authors() -> None:
    recipe, trades = find_recipe("lee2021removing")[1], find_recipe("lee2021removing", "trades")[1]
    for stored, own in ((recipe, 64), (trades, 32)):
        (stream,) = stored.streams
        assert stored.batch_size - stream.count(stored.batch_size) == own
        assert stream.is_unlabelled
        assert stream.weight == 1
    rates = {epoch: trades.lr * trades.schedule.rate(epoch, trades.num_epochs) for epoch in (0, 35, 36, 43, 44)}
    assert rates == pytest.approx({0: 0.1, 35: 0.1, 36: 0.01, 43: 0.01, 44: 0.001})
    assert recipe.num_epochs * (50_000 // 64) == pytest.approx(80_000, rel=0.01)
    assert trades.num_epochs * (50_000 // 32) == pytest.approx(100 * 50_000 / 64, rel=0.01)


def test_images_of_another_data_set_are_of_no_class(shared_data: Any) -> None:
    """CIFAR-100's, beside images of another size."""
    folder: Path = shared_data("cifar100-mini/cifar-100-python-mini.tar.xz")
    stored = find_recipe("lee2021removing", "small")[1]
    recipe = replace(
        stored,
        batch_size=16,
        streams=(replace(stored.streams[0], root=str(folder), num_images=100),),
    )
    sources = prepare_sources(recipe, coloured_sources(), None)
    assert isinstance(sources.streams[0].items, np.ndarray)
    assert sources.streams[0].items.shape[1:3] == (32, 32)
    for batch in train_loader(recipe, Run(num_threads=1), sources, ALONE, recipe.objective.outputs):
        assert batch.images.shape == (16, 3, 16, 16)
        assert (batch.targets[8:] == 0.25).all()
