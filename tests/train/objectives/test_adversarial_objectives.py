"""Adversarial objectives: the authors' loss, gradients and running averages with given draws, and what each means."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali import MixUp, Plan
from tests.helpers.adversarial import (
    EPS,
    STEP,
    Pair,
    cross_entropy_attack,
    drawn,
    mixed_cross_entropy,
    nll,
    of_recipe,
    rice_attack,
    trades_attack,
    trades_loss,
)
from tests.helpers.nets import NUM_CLASSES, assert_agrees, make_batch, preact
from train.attacks import FGSM, PGD
from train.objectives import (
    MART,
    TRADES,
    AdversarialTraining,
    FastAdversarialTraining,
    InterpolatedAdversarialTraining,
    LoggedAdversarialTraining,
    WeightPerturbation,
)
from train.objectives.batch import Batch
from train.objectives.cross_entropy import cross_entropy
from train.objectives.trades import divergence


def mixed_batch(lam: float = 0.3) -> tuple[Batch, Pair]:
    """As mixup leaves a batch, and as the authors' code knows it."""
    batch, partner = make_batch(), torch.tensor([3, 1, 0, 5, 2, 4])
    assert batch.labels is not None
    images, targets = MixUp().apply(
        batch.images, batch.targets, Plan(partner=partner, lam=torch.full((6,), lam, dtype=torch.float64))
    )
    return replace(batch, images=images, targets=targets), (batch.labels, batch.labels[partner], lam)


# One call: the loss, its gradients and the averages.


@pytest.mark.parametrize("variant", ["recipe", "l2", "mixup"])
def test_adversarial_training_is_that_of_rice_et_al(variant: str) -> None:
    objective = of_recipe("rice2020overfitting", variant)
    attack = objective.attack
    batch, pair = mixed_batch() if variant == "mixup" else (make_batch(), None)
    assert batch.labels is not None
    labels: Tensor | Pair = batch.labels if pair is None else pair
    draws = drawn(objective, batch)

    def reference(model: nn.Module) -> Tensor:
        move = rice_attack(
            model,
            batch.images,
            labels,
            [draws["start"]],
            eps=attack.eps,
            step=attack.step_size,
            steps=attack.num_steps,
            norm=attack.norm,
        )
        return mixed_cross_entropy(model((batch.images + move).clamp(0, 1)), labels)

    assert_agrees(objective, preact(), batch, draws, reference)
    assert attack.num_steps == 10


@pytest.mark.parametrize("variant", ["recipe", "l2"])
def test_trades_is_the_authors(variant: str) -> None:
    objective = of_recipe("zhang2019theoretically", variant)
    batch, attack = make_batch(), objective.attack
    assert batch.labels is not None
    labels, draws = batch.labels, drawn(objective, batch)

    def reference(model: nn.Module) -> Tensor:
        moved = trades_attack(
            model, batch.images, draws["start"], eps=attack.eps, step=attack.step_size, steps=10, norm=attack.norm
        )
        return trades_loss(model, batch.images, labels, moved, 6.0)

    assert_agrees(objective, preact(), batch, draws, reference)


def mart_loss(model: nn.Module, images: Tensor, labels: Tensor, moved: Tensor, beta: float) -> Tensor:
    """The second half of `mart_loss` of YisenWang/MART, mart.py."""
    logits, moved_logits = model(images), model(moved)
    moved_probabilities = F.softmax(moved_logits, dim=1)
    two = torch.argsort(moved_probabilities, dim=1)[:, -2:]
    other = torch.where(two[:, -1] == labels, two[:, -2], two[:, -1])
    boosted = F.cross_entropy(moved_logits, labels) + F.nll_loss(torch.log(1.0001 - moved_probabilities + 1e-12), other)
    probabilities = F.softmax(logits, dim=1)
    true = probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
    rows = F.kl_div(torch.log(moved_probabilities + 1e-12), probabilities, reduction="none").sum(dim=1)
    return boosted + beta * (rows * (1.0000001 - true)).sum() / len(images)


def test_mart_is_the_authors() -> None:
    objective = of_recipe("wang2020improving")
    batch = make_batch(count=8)
    assert batch.labels is not None
    labels, draws = batch.labels, drawn(objective, batch)

    def reference(model: nn.Module) -> Tensor:
        model.eval()
        moved = cross_entropy_attack(model, batch.images, labels, draws["start"], eps=0.031, step=0.007, steps=10)
        model.train()
        return mart_loss(model, batch.images, labels, moved, 5.0)

    assert_agrees(objective, preact(), batch, draws, reference)


def test_interpolated_adversarial_training_attacks_first_and_mixes_each_half_by_itself() -> None:
    objective = InterpolatedAdversarialTraining(
        attack=PGD(eps=0.0314, step_size=0.00784, num_steps=7), batch_norm="train"
    )
    batch = make_batch()
    # Images without black and white, so that the start is not cut.
    batch = replace(batch, images=0.1 + 0.8 * batch.images)
    assert batch.labels is not None
    labels = batch.labels
    partners = torch.tensor([3, 1, 0, 5, 2, 4]), torch.tensor([1, 0, 5, 4, 3, 2])
    lams = 0.3, 0.8
    draws = {"start": drawn(objective, batch)["start"]}
    for half, partner, lam in zip(("clean", "adversarial"), partners, lams, strict=True):
        draws |= {f"{half}.partner": partner, f"{half}.lam": torch.full((6,), lam, dtype=torch.float64)}

    def mixed_loss(model: nn.Module, images: Tensor, half: int) -> Tensor:
        lam, partner = lams[half], partners[half]
        logits = model(lam * images + (1 - lam) * images[partner])
        return mixed_cross_entropy(logits, (labels, labels[partner], lam))

    def reference(model: nn.Module) -> Tensor:
        clean = mixed_loss(model, batch.images, 0)
        moved = cross_entropy_attack(model, batch.images, labels, draws["start"], eps=0.0314, step=0.00784, steps=7)
        return (clean + mixed_loss(model, moved, 1)) / 2

    assert_agrees(objective, preact(), batch, draws, reference)


@pytest.mark.parametrize("every", [1, 1000])
def test_fast_training_is_the_authors_whether_the_monitor_looks_or_not(every: int) -> None:
    objective = replace(of_recipe("wong2020fast"), every=every, max_gap=1.0)
    batch = replace(make_batch(), step=1)
    assert batch.labels is not None
    labels, draws = batch.labels, drawn(objective, batch)

    def reference(model: nn.Module) -> Tensor:
        move = torch.max(torch.min(draws["start"], 1 - batch.images), -batch.images).requires_grad_()
        (slopes,) = torch.autograd.grad(nll(model, batch.images + move, labels), move)
        move = (move.detach() + 10 / 255 * slopes.sign()).clamp(-EPS, EPS)
        return nll(model, (batch.images + move).clamp(0, 1), labels)

    assert_agrees(objective, preact(), batch, draws, reference)


@pytest.mark.parametrize("mode", ["eval", "frozen", "train"])
def test_madrys_loss_is_that_of_the_attacked_images(mode: Any) -> None:
    objective = AdversarialTraining(attack=PGD(eps=EPS, step_size=STEP, num_steps=4), batch_norm=mode)
    batch, draws = make_batch(), drawn(AdversarialTraining(attack=PGD(eps=EPS, step_size=STEP)), make_batch())
    assert batch.labels is not None
    labels = batch.labels

    def reference(model: nn.Module) -> Tensor:
        attacked = copy.deepcopy(model) if mode == "frozen" else model.train(mode != "eval")
        start = torch.max(torch.min(draws["start"], 1 - batch.images), -batch.images)
        moved = cross_entropy_attack(attacked, batch.images, labels, start, eps=EPS, step=STEP, steps=4)
        return nll(model.train(), moved, labels)

    assert_agrees(objective, preact(), batch, draws, reference)


# What each of them means.


def test_trades_without_its_price_is_the_clean_loss() -> None:
    batch, model = make_batch(), preact().eval()
    objective = TRADES(beta=0.0, attack=PGD(eps=EPS, step_size=STEP, num_steps=2))
    loss, metrics = objective(model, batch, nn.Module())
    torch.testing.assert_close(loss, cross_entropy(model(batch.images), batch.targets).mean())
    assert float(metrics["divergence"]) > 0


def test_without_a_radius_adversarial_training_is_the_plain_one() -> None:
    batch, model = make_batch(), preact().eval()
    expected = cross_entropy(model(batch.images), batch.targets).mean()
    attack = PGD(eps=0.0, step_size=STEP, num_steps=2)
    for objective in (
        AdversarialTraining(attack=attack),
        AdversarialTraining(attack=FGSM(eps=0.0, step_size=STEP)),
        TRADES(attack=attack),
    ):
        torch.testing.assert_close(objective(model, batch, nn.Module())[0], expected)


def test_divergence_is_finite_with_a_gradient_where_networks_are_sure() -> None:
    logits = torch.tensor([[400.0, 0.0, -400.0], [0.0, 0.0, 0.0]], requires_grad=True)
    others = torch.tensor([[-400.0, 0.0, 400.0], [0.0, 0.0, 0.0]], requires_grad=True)
    found = divergence(logits, others)
    torch.testing.assert_close(found, torch.tensor([800.0, 0.0]))
    found.sum().backward()
    for tensor in (logits, others):
        assert tensor.grad is not None
        assert bool(tensor.grad.isfinite().all())


def test_mixed_targets_of_mart_are_means_over_the_classes() -> None:
    batch, model, lam = make_batch(), preact().eval(), 0.3
    assert batch.labels is not None
    objective = MART(beta=0.0, attack=PGD(eps=EPS, step_size=STEP, num_steps=2))
    moved = (batch.images + 0.01).clamp(0, 1)
    other = batch.labels.roll(1)
    mixed = replace(batch, targets=lam * batch.targets + (1 - lam) * batch.targets.roll(1, 0))
    expected = sum(
        weight * mart_loss(model, batch.images, labels, moved, 0.0)
        for weight, labels in ((lam, batch.labels), (1 - lam, other))
    )
    torch.testing.assert_close(objective.loss(model, mixed, moved)[0], expected)


def test_the_two_halves_of_interpolated_training_draw_apart() -> None:
    objective, batch = InterpolatedAdversarialTraining(attack=PGD(eps=EPS, step_size=STEP)), make_batch(count=64)
    draws = drawn(objective, batch)
    assert draws.keys() == {
        "start",
        "clean.partner",
        "clean.lam",
        "adversarial.partner",
        "adversarial.lam",
    }
    assert not torch.equal(draws["clean.partner"], draws["adversarial.partner"])
    assert not torch.equal(draws["clean.lam"], draws["adversarial.lam"])
    assert len(draws["clean.lam"].unique()) == 1


def test_images_that_are_mixed_already_are_refused_by_interpolated_training() -> None:
    objective = InterpolatedAdversarialTraining(attack=PGD(eps=EPS, step_size=STEP, num_steps=1))
    mixed, _ = mixed_batch()
    with pytest.raises(ValueError, match="mix must be None: InterpolatedAdversarialTraining mixes by itself"):
        objective(preact(), mixed, nn.Module())
    smooth = make_batch()
    objective(preact(), replace(smooth, targets=0.9 * smooth.targets + 0.1 / NUM_CLASSES), nn.Module())


@pytest.mark.parametrize(
    "objective",
    [
        AdversarialTraining(attack=PGD(eps=EPS, step_size=STEP, num_steps=1)),
        TRADES(attack=PGD(eps=EPS, step_size=STEP, num_steps=1)),
        MART(attack=PGD(eps=EPS, step_size=STEP, num_steps=1)),
        InterpolatedAdversarialTraining(attack=PGD(eps=EPS, step_size=STEP, num_steps=1)),
        FastAdversarialTraining(attack=FGSM(eps=EPS, step_size=STEP)),
        WeightPerturbation(objective=AdversarialTraining(attack=PGD(eps=EPS, step_size=STEP, num_steps=1))),
    ],
    ids=lambda objective: type(objective).__name__,
)
class TestEvery:
    def test_draws_are_made_by_the_generator_and_else_those_of_the_step(self, objective: Any) -> None:
        batch = make_batch()
        first, again = drawn(objective, batch), drawn(objective, batch)
        assert first.keys() == again.keys()
        assert all(torch.equal(first[name], again[name]) for name in first)
        before = torch.get_rng_state()
        losses = set()
        for _ in range(2):
            model = preact()
            losses.add(float(objective(model, batch, objective.setup(model, 10, NUM_CLASSES))[1]["loss"]))
        assert len(losses) == 1
        assert torch.equal(torch.get_rng_state(), before)

    def test_a_normalised_stream_is_refused(self, objective: Any) -> None:
        batch, model = make_batch(), preact()
        batch = replace(batch, images=(batch.images - 0.5) / 0.25)
        with pytest.raises(ValueError, match=r"an attack needs images in \[0, 1\], got values from -2 to 2; let the"):
            objective(model, batch, objective.setup(model, 10, NUM_CLASSES))

    def test_the_mode_stays_and_only_the_loss_gives_gradients(self, objective: Any) -> None:
        batch, model = make_batch(), preact().train()
        model[1].norm.eval()
        modes = [module.training for module in model.modules()]
        loss, metrics = objective(model, batch, objective.setup(model, 10, NUM_CLASSES))
        assert [module.training for module in model.modules()] == modes
        assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
        loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        assert all(value.shape == () and not value.requires_grad for value in metrics.values())
        assert {"loss", "accuracy", "robust_accuracy"} <= metrics.keys()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TRADES(attack=PGD(eps=0.1, step_size=0.1), beta=-1), "TRADES: beta must not be negative, got -1"),
        (lambda: MART(attack=PGD(eps=0.1, step_size=0.1), beta=-1), "MART: beta must not be negative, got -1"),
        (
            lambda: AdversarialTraining(attack=PGD(eps=0.1, step_size=0.1), batch_norm="test"),
            "AdversarialTraining: batch_norm must be one of 'eval', 'train', 'frozen', got 'test'",
        ),
        (lambda: LoggedAdversarialTraining(attack=PGD(eps=0.1, step_size=0.1), attack_passes=0), "attack_passes must"),
        (lambda: FastAdversarialTraining(attack=PGD(eps=0.1, step_size=0.1)), "attack must be an FGSM, got PGD"),
        (lambda: FastAdversarialTraining(attack=FGSM(eps=0.1, step_size=0.1), every=0), "every must be a whole number"),
        (lambda: FastAdversarialTraining(attack=FGSM(eps=0.1, step_size=0.1), max_gap=2), "max_gap must be a number"),
        (
            lambda: WeightPerturbation(objective=of_recipe("madry2018towards"), gamma=-1),
            "WeightPerturbation: gamma must not be negative, got -1",
        ),
        (
            lambda: WeightPerturbation(objective=of_recipe("madry2018towards"), start=-1),
            "WeightPerturbation: start must be a whole number from 0 up, got -1",
        ),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
