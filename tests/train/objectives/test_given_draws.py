"""Draws that are given to objectives and attacks: by name, shape and range, in one line, whatever the objective."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.nets import NUM_CLASSES, make_batch, preact, seeded
from train.attacks import APGD, FGSM, PGD, ParameterAttack, attack_classes, draw_starts
from train.attacks.attack import Attack
from train.objectives import (
    TRADES,
    AdversarialAugment,
    AugMixTraining,
    AugRmixAT,
    ConsistencyTraining,
    CrossEntropy,
    EarlyLearning,
    FastAdversarialTraining,
    GamblersLoss,
    GaussianTraining,
    GeneralizedCrossEntropy,
    GenLabel,
    InterpolatedAdversarialTraining,
    L1Penalty,
    LightTRADES,
    ManifoldMixup,
    MixupE,
    MultiMix,
    NoisyFeatureMixup,
    NoisyMix,
    Objective,
    SelectiveTraining,
    SelfAdaptiveTRADES,
    SelfAdaptiveTraining,
    SmoothAdv,
    SmoothMixTraining,
    StabilityTraining,
    WeightPerturbation,
)
from train.objectives.batch import Batch
from train.objectives.objective import step_draws
from train.objectives.parts.hidden import classifier, recorded_map

EPS = 8 / 255
ATTACK = PGD(eps=EPS, step_size=EPS, num_steps=1)
OBJECTIVES: dict[str, Objective] = {
    "cross_entropy": CrossEntropy(),
    "self_adaptive": SelfAdaptiveTraining(),
    "selective": SelectiveTraining(),
    "gamblers": GamblersLoss(),
    "generalized": GeneralizedCrossEntropy(),
    "early_learning": EarlyLearning(),
    "augmix": AugMixTraining(),
    "trades": TRADES(attack=ATTACK),
    "restarts": TRADES(attack=replace(ATTACK, restarts=2)),
    "fast": FastAdversarialTraining(attack=FGSM(eps=EPS, step_size=EPS)),
    "light": LightTRADES(attack=ATTACK),
    "self_adaptive_trades": SelfAdaptiveTRADES(attack=ATTACK),
    "awp": WeightPerturbation(objective=TRADES(attack=ATTACK)),
    "interpolated": InterpolatedAdversarialTraining(attack=ATTACK),
    "augrmixat": AugRmixAT(attack=ATTACK),
    "ada": AdversarialAugment(attack=ParameterAttack(num_steps=1)),
    "gaussian": GaussianTraining(num_noises=2),
    "consistency": ConsistencyTraining(),
    "stability": StabilityTraining(),
    "l1": L1Penalty(objective=TRADES(attack=ATTACK)),
    "smoothadv": SmoothAdv(attack=replace(ATTACK, norm="L2")),
    "smoothmix": SmoothMixTraining(num_noises=2, num_steps=1),
    "manifold": ManifoldMixup(),
    "genlabel": GenLabel(),
    "mixupe": MixupE(),
    "multimix": MultiMix(num_tuples=8, input_prob=0.0),
    "multimix-input": MultiMix(input_prob=1.0),
    "multimix-dense": MultiMix(num_tuples=8, input_prob=0.0, dense=True),
    "noisy_feature_mixup": NoisyFeatureMixup(),
    "noisymix": NoisyMix(),
}
DRAWING = [name for name, objective in OBJECTIVES.items() if objective.draw(make_batch(), seeded())]


def batch_of(number: int = 4) -> Batch:
    views = {name: make_batch(number, seed=seed).images for name, seed in (("view1", 2), ("view2", 3))}
    return make_batch(number, index=torch.arange(number), **views)


def call(objective: Objective, draws: Any, batch: Batch | None = None) -> Tensor:
    batch = batch_of() if batch is None else batch
    torch.manual_seed(0)
    outputs = objective.num_outputs(NUM_CLASSES)
    model = preact() if outputs == NUM_CLASSES else nn.Sequential(nn.Flatten(), nn.LazyLinear(outputs)).double()
    state = objective.setup(model, 100, NUM_CLASSES)
    return objective(model, batch, state, draws)[0]


def drawn(objective: Objective) -> dict[str, Tensor]:
    return dict(objective.draw(batch_of(), seeded()))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_name_that_is_not_drawn_is_refused(name: str) -> None:
    objective, draws = OBJECTIVES[name], drawn(OBJECTIVES[name])
    with pytest.raises(TypeError, match=r"^\w+ has no draw gamma; ") as caught:
        call(objective, draws | {"gamma": torch.zeros(())})
    assert "\n" not in str(caught.value)
    for own in list(draws)[:1]:
        message = rf"has no draw {re.escape(own)}x; nearest: .*{re.escape(own)}"
        with pytest.raises(TypeError, match=message):
            call(objective, {f"{own}x": draws[own]})


@pytest.mark.parametrize("name", DRAWING)
def test_a_missing_draw_is_named(name: str) -> None:
    objective, draws = OBJECTIVES[name], drawn(OBJECTIVES[name])
    for left_out in draws:
        rest = {own: value for own, value in draws.items() if own != left_out}
        with pytest.raises(ValueError, match=rf"needs the draws .*; .*{re.escape(left_out)}.* was not given"):
            call(objective, rest)


@pytest.mark.parametrize("name", DRAWING)
def test_a_draw_that_is_not_finite_or_of_another_shape_is_named(name: str) -> None:
    objective, draws = OBJECTIVES[name], drawn(OBJECTIVES[name])
    for own, value in draws.items():
        wrong = value.double() if value.dtype == torch.int64 else value.clone()
        with pytest.raises(ValueError, match=rf"{re.escape(own)} must be") as caught:
            call(objective, draws | {own: wrong * torch.nan})
        assert "\n" not in str(caught.value)
        with pytest.raises(ValueError, match=rf"draw {re.escape(own)} must (have the shape|be \(num_tuples, 4\))"):
            call(objective, draws | {own: value.unsqueeze(0).repeat(3, *[1] * value.ndim)})
        with pytest.raises(TypeError, match=rf"draw {re.escape(own)} must be numbers"):
            call(objective, draws | {own: "half"})


@pytest.mark.parametrize("name", DRAWING)
def test_lists_and_arrays_are_taken_for_tensors(name: str) -> None:
    objective, draws = OBJECTIVES[name], drawn(OBJECTIVES[name])
    expected = call(objective, draws)
    torch.testing.assert_close(call(objective, {own: value.numpy() for own, value in draws.items()}), expected)
    torch.testing.assert_close(call(objective, {own: value.tolist() for own, value in draws.items()}), expected)
    torch.testing.assert_close(call(objective, step_draws(objective, batch_of(), seeded())), expected)


def test_what_is_out_of_range_is_refused() -> None:
    for name, own, value in (
        ("mixupe", "lam", 1.7),
        ("mixupe", "partner", [1, 2, 3, 4]),
        ("mixupe", "partner", [1, 2, 3, -1]),
        ("manifold", "layer", 3),
        ("manifold", "layer", 0.5),
        ("smoothmix", "lam", 0.7),
        ("interpolated", "clean.lam", -0.1),
        ("augrmixat", "clean.lam", 1.7),
        ("noisymix", "add_scale", [0.5, 0.5, 2.0]),
        ("multimix", "weights", np.full((8, 4), 1.5)),
        ("ada", "start_seed", -1),
    ):
        with pytest.raises(ValueError, match=rf"draw {re.escape(own)} must be"):
            call(OBJECTIVES[name], drawn(OBJECTIVES[name]) | {own: value})


@pytest.mark.parametrize("name", ["trades", "restarts", "fast", "light", "smoothadv", "awp"])
def test_a_start_outside_the_ball_is_refused(name: str) -> None:
    objective, draws = OBJECTIVES[name], drawn(OBJECTIVES[name])
    with pytest.raises(ValueError, match=r"start must be (at most 0\.0\d* from 0 in L|in \[-0\.03\d*, 0\.03)"):
        call(objective, {**draws, "start": draws["start"] + 0.5})


ATTACKS: dict[str, Attack] = {
    "pgd": ATTACK,
    "pgd-restarts": replace(ATTACK, restarts=2),
    "fgsm": FGSM(eps=EPS, step_size=EPS),
    "apgd": APGD(eps=EPS, num_steps=2),
    "apgd-L2": APGD(eps=0.5, norm="L2", num_steps=2),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_starts_of_attacks_are_checked_and_taken_in_any_form(name: str) -> None:
    attack, images = ATTACKS[name], batch_of().images.float()
    start = attack.draw(images, seeded())

    def loss(some: Tensor) -> Tensor:
        return some.flatten(1).square().sum(1)

    expected = attack(images, loss, start=start)
    torch.testing.assert_close(attack(images, loss, start=start.numpy()), expected)
    torch.testing.assert_close(attack(images, loss, start=start.tolist()), expected)
    torch.testing.assert_close(attack(images, loss, generator=seeded()), expected)
    for wrong, message in (
        (start[..., :-1], "start must have the shape"),
        (start * torch.nan, "start must be finite"),
        (start * 4, "start must be at most"),
        ("start", "draw start must be numbers"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            attack(images, loss, start=wrong)


@pytest.mark.parametrize("restarts", [1, 2])
def test_starts_of_the_targeted_attack_can_be_given(restarts: int) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, NUM_CLASSES))
    attack, batch = APGD(eps=0.02, num_steps=2, restarts=restarts), batch_of(6)
    images, targets = batch.images.float(), batch.targets.float()
    starts = draw_starts(attack, images, 4, seeded())
    assert starts.shape == (4, *((restarts,) if restarts > 1 else ()), *images.shape)
    given = [attack_classes(attack, images, network, targets, starts=form) for form in (starts, starts.numpy())]
    torch.testing.assert_close(given[0], given[1])
    other = attack_classes(attack, images, network, targets, starts=draw_starts(attack, images, 4, seeded(9)))
    assert not torch.equal(given[0], other)
    # One image at a time sees the same starts, whoever else is attacked beside it.
    axis = 2 if restarts > 1 else 1
    for n in range(len(images)):
        one = starts.narrow(axis, n, 1)
        alone = attack_classes(attack, images[n : n + 1], network, targets[n : n + 1], starts=one)
        torch.testing.assert_close(alone, given[0][n : n + 1])
    for wrong in (starts[:2], starts[..., :-1], starts * 9):
        with pytest.raises(ValueError, match=r"starts? must"):
            attack_classes(attack, images, network, targets, starts=wrong)


@pytest.mark.parametrize("attention", ["gap", "cam"])
def test_the_attention_that_was_computed_gives_the_same_loss(attention: str) -> None:
    objective = replace(OBJECTIVES["multimix-dense"], attention=attention)
    batch, draws = batch_of(), drawn(objective)
    torch.manual_seed(0)
    model = preact()
    with recorded_map(model) as maps:
        model(batch.images)
    computed = objective.attention_of(maps[0], classifier(model), batch.targets)
    # where nothing is positive nobody attends
    torch.testing.assert_close(computed.sum(1), computed.any(1).double())
    expected = call(objective, draws)
    torch.testing.assert_close(call(objective, draws | {"attention": computed}), expected)
    even = torch.full_like(computed, 1 / computed.shape[1])
    assert not torch.isclose(call(objective, draws | {"attention": even}), expected)
    with pytest.raises(ValueError, match=r"draw attention must be \(4, \d+\), a weight for each image and position"):
        call(objective, draws | {"attention": even[:, :-1]})
