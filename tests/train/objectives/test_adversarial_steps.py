"""Whole steps of adversarial training: the weights, momenta and running averages that the authors' code leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.adversarial import (
    EPS,
    STEP,
    drawn,
    nll,
    of_recipe,
    rice_attack,
    trades_attack,
    trades_loss,
    weight_moves,
)
from tests.helpers.nets import NUM_CLASSES, make_batch, plain, preact
from train.attacks import FGSM
from train.objectives import FastAdversarialTraining, Objective
from train.objectives.batch import Batch

Step = Callable[[nn.Module, Batch, Tensor, torch.optim.Optimizer], None]


def compare_steps(objective: Objective, their_step: Step, batches: list[Batch], lr: float = 0.05) -> None:
    """Weights, momenta and averages after a few steps of SGD with momentum and weight decay."""
    ours, theirs = preact(), preact()
    state = objective.setup(ours, 100, NUM_CLASSES)
    optimizers = [
        torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4) for model in (ours, theirs)
    ]
    for number, batch in enumerate(batches):
        draws = drawn(objective, batch, seed=number)
        optimizers[0].zero_grad()
        loss, _ = objective(ours, batch, state, draws)
        loss.backward()
        optimizers[0].step()
        objective.after_step(ours, batch, state)
        optimizers[1].zero_grad()
        their_step(theirs, batch, draws["start"], optimizers[1])
    assert ours.training
    for (name, found), expected in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9, msg=lambda t, n=name: f"{n}: {t}")
    momenta = [optimizer.state_dict()["state"] for optimizer in optimizers]
    for key, value in momenta[1].items():
        torch.testing.assert_close(momenta[0][key]["momentum_buffer"], value["momentum_buffer"], rtol=0, atol=1e-8)


def batches(count: int = 2, **more: Any) -> list[Batch]:
    return [replace(make_batch(seed=seed + 1), step=seed, **more) for seed in range(count)]


def with_labels(batch: Batch) -> Tensor:
    assert batch.labels is not None
    return batch.labels


def test_a_step_of_rice_et_al_ends_with_the_clean_images() -> None:
    def step(model: nn.Module, batch: Batch, start: Tensor, optimizer: torch.optim.Optimizer) -> None:
        labels = with_labels(batch)
        move = rice_attack(model, batch.images, labels, [start], eps=EPS, step=STEP, steps=10)
        nll(model, (batch.images + move).clamp(0, 1), labels).backward()
        optimizer.step()
        nll(model, batch.images, labels)

    compare_steps(of_recipe("rice2020overfitting"), step, batches())


@pytest.mark.parametrize("variant", ["recipe", "l2"])
def test_weight_perturbation_of_adversarial_training_is_the_authors(variant: str) -> None:
    objective = of_recipe("wu2020adversarial", variant)
    attack = objective.objective.attack

    def step(model: nn.Module, batch: Batch, start: Tensor, optimizer: torch.optim.Optimizer) -> None:
        labels = with_labels(batch)
        move = rice_attack(
            model,
            batch.images,
            labels,
            [start],
            eps=attack.eps,
            step=attack.step_size,
            steps=10,
            norm=attack.norm,
        )
        moved = (batch.images + move).clamp(0, 1)
        moves = weight_moves(model, preact(), lambda net: nll(net, moved, labels), rate=0.01)
        add_moves(model, moves, 0.01)
        nll(model, moved, labels).backward()
        optimizer.step()
        add_moves(model, moves, -0.01)
        nll(model, batch.images, labels)

    compare_steps(objective, step, batches())


@torch.no_grad()
def add_moves(model: nn.Module, moves: dict[str, Tensor], share: float) -> None:
    for name, parameter in model.named_parameters():
        if name in moves:
            parameter.add_(share * moves[name])


def test_weight_perturbation_of_trades_is_the_authors() -> None:
    objective = of_recipe("wu2020adversarial", "trades")

    def step(model: nn.Module, batch: Batch, start: Tensor, optimizer: torch.optim.Optimizer) -> None:
        labels, images = with_labels(batch), batch.images
        moved = trades_attack(model, images, start, eps=EPS, step=STEP, steps=10)

        def proxy_loss(net: nn.Module) -> Tensor:
            natural = nll(net, images, labels)
            log_moved, clean = F.log_softmax(net(moved), dim=1), F.softmax(net(images), dim=1)
            return natural + 6 * F.kl_div(log_moved, clean, reduction="batchmean")

        epoch = batch.epoch + 1  # counted from 1 there
        moves = weight_moves(model, preact(), proxy_loss, rate=0.1) if epoch >= 10 else {}
        add_moves(model, moves, 0.005)
        log_moved = F.log_softmax(model(moved), dim=1)
        robust = F.kl_div(log_moved, F.softmax(model(images), dim=1), reduction="batchmean")
        (nll(model, images, labels) + 6 * robust).backward()
        optimizer.step()
        add_moves(model, moves, -0.005)

    compare_steps(objective, step, batches(epoch=9))
    compare_steps(objective, step, batches(epoch=8))


def test_a_step_of_trades_moves_the_averages_three_times() -> None:
    def step(model: nn.Module, batch: Batch, start: Tensor, optimizer: torch.optim.Optimizer) -> None:
        moved = trades_attack(model, batch.images, start, eps=0.031, step=0.007, steps=10)
        trades_loss(model, batch.images, with_labels(batch), moved, 6.0).backward()
        optimizer.step()

    compare_steps(of_recipe("zhang2019theoretically"), step, batches())


# The monitor of fast training.


def sure(model: nn.Module, batch: Batch) -> Batch:
    """The batch with the labels that the model gives it."""
    with torch.no_grad():
        labels = model(batch.images).argmax(1)
    return replace(batch, labels=labels, targets=F.one_hot(labels, NUM_CLASSES).double())


def test_a_collapse_ends_the_training_with_one_line() -> None:
    model = plain()
    batch = sure(model, replace(make_batch(count=16), step=100, epoch=2))
    # A step of no length: whatever the network has learned, it holds against it.
    blind = FastAdversarialTraining(attack=FGSM(eps=0.3, step_size=0.0, noise=0.0))
    with pytest.raises(ValueError, match=r"catastrophic overfitting in epoch 3: accuracy 100% under .* 0% under PGD;"):
        blind(model, batch, blind.setup(model, 10, NUM_CLASSES))
    state = blind.setup(model, 10, NUM_CLASSES)
    replace(blind, max_gap=1.0)(model, batch, state)
    blind(model, replace(batch, step=101), state)
    seeing = FastAdversarialTraining(attack=FGSM(eps=0.3, step_size=0.3, noise=0.0))
    assert float(seeing(model, batch, seeing.setup(model, 10, NUM_CLASSES))[1]["pgd_accuracy"]) == 0


def test_the_monitor_looks_now_and_then_and_remembers_what_it_saw() -> None:
    model = plain()
    batch = sure(model, make_batch(count=16))
    objective = FastAdversarialTraining(attack=FGSM(eps=0.002, step_size=0.002), every=3)
    state = objective.setup(model, 10, NUM_CLASSES)
    assert list(state.state_dict()) == ["pgd_accuracy"]
    seen, kept = [], []
    for step in range(6):
        metrics = objective(model, replace(batch, step=step), state)[1]
        kept.append(metrics["pgd_accuracy"])
        seen.append(float(metrics["pgd_accuracy"]))
        with torch.no_grad():
            model.head.weight.mul_(0.5)
            model.first.weight.mul_(-1)
    assert seen[0] == seen[1] == seen[2]
    assert seen[3] == seen[4] == seen[5]
    assert seen[0] != seen[3]
    assert [float(value) for value in kept] == seen
