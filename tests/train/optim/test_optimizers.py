"""What a step of the optimiser does: its rule, what decays, the average of the weights, and how the rate moves."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.training import TINY, new_training, run_steps
from train.models import build_model
from train.optim.averaging import Average
from train.optim.optimizers import SGD, AdamW, Decayed, decay_groups
from train.optim.schedules import Cosine, EpochCosine, Schedule, Steps
from train.recipe import Recipe


def small_net() -> nn.Module:
    return build_model("preact_resnet8_w4", num_classes=3, mean=(0.5,) * 3, std=(0.2,) * 3, seed=0).double()


def decayed_names(model: nn.Module, decayed: Decayed) -> set[str]:
    groups = decay_groups(model, [], 0.1, decayed)
    chosen = {id(item) for group in groups if group["weight_decay"] for item in group["params"]}  # type: ignore[attr-defined]
    return {name for name, parameter in model.named_parameters() if id(parameter) in chosen}


def test_what_decays_is_what_is_asked_for() -> None:
    model = small_net()
    every = {name for name, _ in model.named_parameters()}
    norms = {name for name in every if "norm" in name}
    assert norms
    assert decayed_names(model, "all") == every
    assert decayed_names(model, "layers") == every - norms
    assert decayed_names(model, "matrices") == every - norms - {"1.head.bias"}


def test_every_parameter_is_in_one_group_and_others_go_by_their_axes() -> None:
    model, others = small_net(), [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3, 3))]
    groups = decay_groups(model, others, 0.1, "matrices")
    items = [id(item) for group in groups for item in group["params"]]  # type: ignore[attr-defined]
    assert sorted(items) == sorted(id(item) for item in [*model.parameters(), *others])
    assert any(item is others[1] for item in groups[0]["params"])  # type: ignore[attr-defined]
    assert any(item is others[0] for item in groups[1]["params"])  # type: ignore[attr-defined]


def test_what_a_network_names_as_undecayed_does_not_decay_with_matrices() -> None:
    class Token(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.layer = nn.Parameter(torch.zeros(1, 1, 4)), nn.Linear(4, 2)

        def no_weight_decay(self) -> set[str]:
            return {"token"}

    assert decayed_names(nn.Sequential(Token()), "matrices") == {"0.layer.weight"}
    assert "0.token" in decayed_names(nn.Sequential(Token()), "layers")


def slow_adamw(weights: list[Tensor], slopes: list[list[Tensor]], lr: float, decay: float) -> list[Tensor]:
    means = [torch.zeros_like(weight) for weight in weights]
    squares = [torch.zeros_like(weight) for weight in weights]
    for number, step in enumerate(slopes, start=1):
        for place, slope in enumerate(step):
            means[place] = 0.9 * means[place] + 0.1 * slope
            squares[place] = 0.95 * squares[place] + 0.05 * slope**2
            moved = (means[place] / (1 - 0.9**number)) / ((squares[place] / (1 - 0.95**number)).sqrt() + 1e-8)
            weights[place] = weights[place] * (1 - lr * decay) - lr * moved
    return weights


def test_adamw_shrinks_weights_beside_its_own_step() -> None:
    model = nn.Linear(3, 2).double()
    generator = torch.Generator().manual_seed(0)
    slopes = [[torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in model.parameters()] for _ in range(5)]
    expected = slow_adamw([p.detach().clone() for p in model.parameters()], slopes, 0.1, 0.5)
    optimizer = AdamW(betas=(0.9, 0.95)).build(decay_groups(model, [], 0.5, "all"), 0.1)
    for step in slopes:
        for parameter, slope in zip(model.parameters(), step, strict=True):
            parameter.grad = slope.clone()
        optimizer.step()
    for parameter, value in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), value, rtol=0, atol=1e-10)


@pytest.mark.parametrize("buffers", ["averaged", "live"])
@pytest.mark.parametrize("warmup", [False, True])
def test_the_average_is_the_formula_s_after_many_updates(warmup: bool, buffers: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    average = Average(model, 0.8, warmup=warmup, buffers=buffers)  # type: ignore[arg-type]
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.Generator().manual_seed(1)
    for number in range(40):
        for parameter in model.parameters():
            parameter.data += torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        model(torch.randn(5, 3, generator=generator, dtype=torch.float64))
        average.update(model)
        decay = min(0.8, (1 + number) / (10 + number)) if warmup else (0.8 if number else 0.0)
        for name, value in model.state_dict().items():
            live = not value.is_floating_point() or (buffers == "live" and "running" in name)
            expected[name] = value.clone() if live else decay * expected[name] + (1 - decay) * value
    for name, value in average.module.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-12)


def test_deepmind_s_average_first_has_its_full_decay_at_step_1790() -> None:
    def decay(step: int) -> float:
        model = nn.Linear(1, 1, bias=False).double()
        nn.init.zeros_(model.weight)
        average = Average(model, 0.995, warmup=True)
        average.count = step
        nn.init.ones_(model.weight)
        average.update(model)
        return 1 - float(next(average.module.parameters()).detach())

    assert decay(1789) < 0.995 == pytest.approx(decay(1790))


EVERYTHING = replace(
    TINY, optimizer=AdamW(), lr=0.01, weight_decay=0.1, decayed="matrices", ema_warmup=True, ema_buffers="live"
)


@pytest.mark.parametrize("recipe", [EVERYTHING, replace(EVERYTHING, optimizer=SGD(momentum=0.5, nesterov=True))])
def test_optimiser_and_average_go_on_exactly(recipe: Recipe) -> None:
    whole, resumed = run_steps(recipe, 6), run_steps(recipe, 6, stop=3)
    for first, second in ((whole.state.model, resumed.state.model), (whole.state.ema, resumed.state.ema)):
        found, expected = getattr(second, "module", second), getattr(first, "module", first)
        for name, value in expected.state_dict().items():  # type: ignore[union-attr]
            assert torch.equal(found.state_dict()[name], value), name  # type: ignore[union-attr]


def test_the_average_begins_as_the_initial_weights_and_leaves_the_network_alone() -> None:
    state = new_training(EVERYTHING).state
    assert state.ema is not None
    before = copy.deepcopy(state.model.state_dict())
    for name, value in state.ema.module.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.requires_grad for parameter in state.model.parameters())


def test_the_rate_of_the_light_recipe_is_that_of_its_formula() -> None:
    schedule = EpochCosine(warmup=10, start=1e-6 / 5e-4, floor=1e-5 / 5e-4, cooldown=10)
    schedule.check(110)
    for epoch in range(110):
        if epoch < 10:
            expected = 1e-6 + epoch * (5e-4 - 1e-6) / 10
        elif epoch < 100:
            expected = 1e-5 + 0.5 * (5e-4 - 1e-5) * (1 + math.cos(math.pi * epoch / 100))
        else:
            expected = 1e-5
        for share in (0.0, 0.99):
            assert 5e-4 * schedule.rate(epoch + share, 110) == pytest.approx(expected, rel=1e-12)


def deepmind_s_steps(step: int, highest: float, total: int, warmup: int) -> float:
    """As their code joins a linear rise and a piecewise constant, which counts from the end of the rise."""
    if step < warmup:
        return highest * step / warmup
    return highest * (0.1 if step - warmup >= total * 2 // 3 else 1.0)


@pytest.mark.parametrize(("total", "warmup"), [(1200, 30), (600, 0), (19531, 488)])
def test_deepmind_s_step_schedule_with_its_warm_up_is_a_setting_of_steps(total: int, warmup: int) -> None:
    # A step is an epoch here: the factor is a function of time, whatever a step is.
    schedule = Steps(at=(warmup + total * 2 // 3,), warmup=warmup)
    for step in range(0, total, 7):
        assert 0.4 * schedule.rate(step, total) == pytest.approx(deepmind_s_steps(step, 0.4, total, warmup))


@pytest.mark.parametrize("schedule", [Steps(at=(6.5, 8), warmup=4, start=0.25), Cosine(warmup=4, start=0.25)])
def test_a_warm_up_rises_in_a_straight_line_with_every_step_to_the_full_rate(schedule: Schedule) -> None:
    found = [schedule.rate(epoch / 4, 10) for epoch in range(17)]
    assert found == pytest.approx([0.25 + 0.75 * number / 16 for number in range(17)])


def test_a_step_may_fall_inside_an_epoch() -> None:
    schedule = Steps(at=(6.5, 8))
    assert [schedule.rate(epoch, 10) for epoch in (6.4, 6.5, 7.9, 8)] == pytest.approx([1, 0.1, 0.1, 0.01])


def test_a_cosine_ends_at_its_floor() -> None:
    schedule = Cosine(warmup=2, floor=0.1)
    assert [schedule.rate(epoch, 10) for epoch in (2, 6, 10)] == pytest.approx([1, 0.55, 0.1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Steps(at=(5,), warmup=6).check(10), r"schedule\.at \(5,\) begins within the warm-up of 6 epochs"),
        (lambda: Steps(at=(), warmup=10).check(10), "warmup 10 takes all of num_epochs=10"),
        (lambda: Steps(at=(0,)), r"schedule\.at must be rising numbers of epochs above 0"),
        (lambda: Steps(at=(5,), start=2.0), r"schedule\.start must be in \[0, 1\]"),
        (lambda: Cosine(floor=-0.1), r"schedule\.floor must be in \[0, 1\]"),
        (lambda: SGD(momentum=0.0, nesterov=True), r"optimizer\.momentum must be above 0 with nesterov, got 0"),
        (lambda: SGD(momentum=1.0), r"optimizer\.momentum must be in \[0, 1\)"),
        (lambda: AdamW(betas=(0.9, 1.0)), r"optimizer\.betas must be in \[0, 1\)"),
        (lambda: AdamW(eps=0.0), r"optimizer\.eps must be above 0"),
        (lambda: EpochCosine(warmup=-1), r"schedule\.warmup must not be negative"),
        (lambda: EpochCosine(warmup=5, cooldown=5).check(10), "take all of num_epochs=10"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
