"""AugRmixAT: three views, each mixed with draws of its own, and their losses summed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mixdali import Choose, CutMix, FMix, MixUp, Plan, ResizeMix
from tests.helpers.adversarial import EPS, STEP, drawn, rice_attack
from tests.helpers.nets import assert_agrees, make_batch, preact, seeded
from tests.helpers.training import assert_same, run_steps, weights
from train.attacks import PGD
from train.cli.main import find_recipe
from train.objectives import AugRmixAT
from train.objectives.augrmixat import VIEWS
from train.objectives.batch import Batch
from train.recipe import Recipe

NAME = "liu2022augrmixat"
ATTACK = PGD(eps=EPS, step_size=STEP, num_steps=3)


def views(count: int = 6) -> Batch:
    batch = make_batch(count=count)
    view = (batch.images + 0.1 * torch.rand(batch.images.shape, generator=seeded(7), dtype=torch.float64)).clamp(0, 1)
    return replace(batch, view1=view)


def soft_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * torch.log_softmax(logits, dim=1)).sum() / len(logits)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.5, 2.0, 0.0)])
def test_the_loss_is_the_weighted_sum_over_the_three_mixed_views(weights: tuple[float, float, float]) -> None:
    objective = AugRmixAT(attack=ATTACK, mix=MixUp(), weights=weights)
    batch = views()
    assert batch.labels is not None
    assert batch.view1 is not None
    labels, view, draws = batch.labels, batch.view1, drawn(objective, batch)

    def reference(model: nn.Module) -> Tensor:
        model.eval()
        move = rice_attack(model, batch.images, labels, [draws["start"]], eps=EPS, step=STEP, steps=3)
        model.train()
        mixed, targets = [], []
        for name, images in zip(VIEWS, (batch.images, view, batch.images + move), strict=True):
            lam, partner = draws[f"{name}.lam"].double(), draws[f"{name}.partner"]
            own = lam.view(-1, 1, 1, 1)
            mixed.append(own * images + (1 - own) * images[partner])
            targets.append(lam.view(-1, 1) * batch.targets + (1 - lam.view(-1, 1)) * batch.targets[partner])
        logits = model(torch.cat(mixed)).split(len(labels))
        return sum(
            (weight * soft_loss(own, wanted) for weight, own, wanted in zip(weights, logits, targets, strict=True)),
            torch.zeros(()),
        )

    assert_agrees(objective, preact(), batch, draws, reference)


def test_each_view_is_mixed_by_one_of_the_four_methods_with_draws_of_its_own() -> None:
    objective, batch = AugRmixAT(attack=ATTACK), views(count=64)
    assert isinstance(objective.mix, Choose)
    assert [type(mix) for mix in objective.mix.mixes] == [MixUp, CutMix, FMix, ResizeMix]
    draws = drawn(objective, batch)
    for part in ("lam", "partner", "method"):
        first, second, third = (draws[f"{view}.{part}"] for view in VIEWS)
        assert not torch.equal(first, second)
        assert not torch.equal(first, third)
        assert not torch.equal(second, third)
    assert all(set(draws[f"{view}.method"].tolist()) == {0, 1, 2, 3} for view in VIEWS)


def test_the_draws_of_a_choice_are_its_whole_plan() -> None:
    objective, batch = AugRmixAT(attack=ATTACK), views()
    draws = drawn(objective, batch)
    parts = {name.removeprefix("clean."): value for name, value in draws.items() if name.startswith("clean.")}
    images, targets = objective.mix.apply(batch.images, batch.targets, Plan.of_parts(parts))
    assert not torch.equal(images, batch.images)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(6, dtype=torch.float64))
    losses = {float(objective(preact(), batch, nn.Module(), dict(draws))[1]["loss"]) for _ in range(2)}
    assert len(losses) == 1


def test_without_mixing_the_adversarial_view_is_the_hardest() -> None:
    objective, batch = AugRmixAT(attack=replace(ATTACK, eps=0.1, step_size=0.05), mix=MixUp(prob=0.0)), views(count=16)
    model = preact().eval()
    each = []
    for number in range(3):
        only: Any = tuple(float(number == place) for place in range(3))
        each.append(float(replace(objective, weights=only)(model, batch, nn.Module())[1]["loss"]))
    assert each[2] > max(each[:2])


def test_draws_come_from_the_generator_and_else_are_those_of_the_step() -> None:
    objective, batch = find_recipe(NAME, "small")[1].objective, views()
    assert_same(drawn(objective, batch), drawn(objective, batch))
    before = torch.get_rng_state()
    losses = {float(objective(preact(), batch, nn.Module())[1]["loss"]) for _ in range(2)}
    assert len(losses) == 1
    assert torch.equal(torch.get_rng_state(), before)


def tiny(recipe: Recipe, **more: Any) -> Recipe:
    settings = {"model": "preact_resnet8_w4", "batch_size": 16, "precision": "float32", "ema_decay": 0.8}
    return replace(recipe, **(settings | more))


def test_a_run_that_was_stopped_ends_with_the_same_weights() -> None:
    recipe = tiny(find_recipe(NAME, "small")[1])
    assert_same(weights(run_steps(recipe, 3, stop=2).state), weights(run_steps(recipe, 3).state))


def test_mixed_and_normalised_streams_are_refused() -> None:
    with pytest.raises(ValueError, match="mix must be None: AugRmixAT mixes by itself"):
        replace(find_recipe(NAME)[1], mix=MixUp())
    batch = views()
    with pytest.raises(ValueError, match=r"images in \[0, 1\]"):
        AugRmixAT(attack=ATTACK)(preact(), replace(batch, images=4 * batch.images - 2), nn.Module())


@pytest.mark.parametrize("weights", [(1.0, 1.0), (-1.0, 1.0, 1.0), (0.0, 0.0, 0.0)])
def test_weights_that_cannot_be_right_are_refused(weights: Any) -> None:
    with pytest.raises(ValueError, match="AugRmixAT: weights must be three numbers from 0 up, not all 0"):
        AugRmixAT(attack=ATTACK, weights=weights)
