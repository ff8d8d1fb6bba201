"""The light recipe for vision transformers: the authors' step with given draws, and how its attack grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.adversarial import drawn, of_recipe, slope
from tests.helpers.nets import NUM_CLASSES, assert_agrees, make_batch, preact, seeded
from train.attacks import PGD
from train.cli.main import find_recipe
from train.objectives import LightTRADES, LightTraining
from train.objectives.batch import Batch

EPS = 8 / 255
ATTACK = PGD(eps=EPS, step_size=1.5 * EPS / 2, num_steps=2)


def smoothed(batch: Batch, share: float = 0.1) -> Batch:
    return replace(batch, targets=(1 - share) * batch.targets + share / NUM_CLASSES)


def authors_attack(
    model: nn.Module,
    images: Tensor,
    start: Tensor,
    loss: Callable[[Tensor], Tensor],
    *,
    eps: float,
    step: float,
    steps: int,
) -> Tensor:
    """`pgd` of dedeswim/vits-robustness-torch, src/attacks.py, in Linf; start: the uniform draw and 1e-5."""

    def project(points: Tensor) -> Tensor:
        return (images + (points - images).clamp(-eps, eps)).clamp(0, 1)

    model.eval()
    moved = project(images + start)
    for _ in range(steps):
        moved.requires_grad_()
        moved = project(moved.detach() + step * slope(loss(F.log_softmax(model(moved), dim=-1)), moved).sign())
    model.train()
    return moved.detach()


@pytest.mark.parametrize("epoch", [0, 3, 12])
def test_training_is_that_of_the_authors(epoch: int) -> None:
    objective, batch = LightTraining(attack=ATTACK, warmup=10), replace(smoothed(make_batch()), epoch=epoch)
    draws, labels = drawn(objective, batch), batch.targets.argmax(dim=1)

    def reference(model: nn.Module) -> Tensor:
        def loss(logs: Tensor) -> Tensor:
            return F.nll_loss(logs, labels, reduction="sum")

        eps = EPS * epoch / 10 if epoch < 10 else EPS
        moved = authors_attack(model, batch.images, draws["start"], loss, eps=eps, step=ATTACK.step_size, steps=2)
        assert torch.equal(moved, batch.images) == (epoch == 0)
        model(batch.images)
        logs = F.log_softmax(model(moved), dim=-1)
        return (0.9 * -logs.gather(1, labels[:, None])[:, 0] - 0.1 * logs.mean(dim=-1)).mean()

    assert_agrees(objective, preact(), batch, draws, reference)


@pytest.mark.parametrize("epoch", [4, 20])
def test_trades_is_that_of_the_authors(epoch: int) -> None:
    objective, batch = LightTRADES(beta=6.0, attack=ATTACK, warmup=10), replace(make_batch(), epoch=epoch)
    draws = drawn(objective, batch)

    def reference(model: nn.Module) -> Tensor:
        model.eval()
        with torch.no_grad():
            target = F.softmax(model(batch.images), dim=-1)

        def loss(logs: Tensor) -> Tensor:
            return F.kl_div(logs, target, reduction="sum")

        eps = EPS * min(1.0, epoch / 10)
        moved = authors_attack(model, batch.images, draws["start"], loss, eps=eps, step=ATTACK.step_size, steps=2)
        logits, others = model(batch.images), model(moved)
        robust = F.kl_div(F.log_softmax(others, dim=1), F.softmax(logits, dim=1), reduction="sum") / len(logits)
        return F.cross_entropy(logits, batch.targets.argmax(dim=1)) + 6.0 * robust

    assert_agrees(objective, preact(), batch, draws, reference)


def test_the_radius_grows_by_epoch_and_the_step_stays() -> None:
    objective = of_recipe("debenedetti2023light")
    for epoch in range(110):
        attack = objective.attack_at(epoch)
        assert attack.eps == pytest.approx(min(1, epoch / 10) * 4 / 255)
        assert attack.step_size == 1.5 * 4 / 255
    assert of_recipe("debenedetti2023light", "eps8").attack.step_size == pytest.approx(1.5 * 8 / 255 / 2)
    constant = of_recipe("debenedetti2023light", "cifar")
    assert constant.attack_at(0) is constant.attack


def test_the_start_is_uniform_in_the_ball_of_its_epoch_and_a_little_brighter() -> None:
    objective, batch = LightTraining(attack=ATTACK, warmup=10), make_batch(count=64)
    for epoch in (0, 5, 10):
        start = objective.draw(replace(batch, epoch=epoch), seeded())["start"] - 1e-5
        eps = EPS * epoch / 10
        assert float(start.abs().max()) <= eps + 1e-7
        assert float(start.std()) == pytest.approx(eps / 3**0.5, rel=0.05, abs=1e-7)


def test_the_rate_of_the_fine_tuning_is_that_of_its_configuration() -> None:
    recipe = find_recipe("debenedetti2023light", "cifar")[1]
    found = [recipe.lr * recipe.schedule.rate(epoch, recipe.num_epochs) for epoch in (0, 5, 20, 21)]
    # 1e-6 in the first epoch; then the cosine of epoch 5 of 20; then the least.
    assert found == pytest.approx([1e-6, 5e-6 + 9.5e-5 * (1 + 2**-0.5) / 2, 5e-6, 5e-6])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LightTraining(attack=ATTACK, warmup=-1), "LightTraining: warmup"),
        (lambda: LightTRADES(attack=ATTACK, beta=-1.0), "LightTRADES: beta must not be negative"),
        (lambda: LightTraining(attack=replace(ATTACK, start="none")), "LightTraining: attack.start must be uniform"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
