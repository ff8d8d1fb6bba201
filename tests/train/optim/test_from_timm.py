"""Rules of timm's, rates by layer, and steps that are left out."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.training import ALONE, TINY, assert_same, new_training, run_steps
from train.attacks.network import attacked
from train.loop.epochs import Training, make_batch, train_step
from train.loop.finite import SKIPPED, steps_taken
from train.machine.precision import tf32
from train.models import build_model
from train.objectives import BinaryCrossEntropy, SelfAdaptiveTraining
from train.objectives.binary_cross_entropy import binary_cross_entropy
from train.optim import LAMB, Lion, Muon
from train.optim.layers import decayed_by_layer
from train.optim.optimizers import Optimizer, decay_groups
from train.recipe import Recipe

RULES = [LAMB(), Lion(), Muon()]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_a_rule_of_timm_goes_on_exactly(rule: Optimizer) -> None:
    recipe = replace(TINY, optimizer=rule, lr=1e-3, weight_decay=0.02, decayed="matrices")
    whole, resumed = run_steps(recipe, 5), run_steps(recipe, 5, stop=3)
    assert_same(resumed.state.model.state_dict(), whole.state.model.state_dict())


def stepped(rule: Optimizer, weight: Tensor, slope: Tensor, lr: float, decay: float) -> Tensor:
    parameter = nn.Parameter(weight.clone())
    optimizer = rule.build([{"params": [parameter], "weight_decay": decay}], lr)
    parameter.grad = slope.clone()
    optimizer.step()
    return parameter.detach()


def test_the_first_steps_are_those_of_the_papers() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, slope = torch.randn(2, 6, 4, generator=generator).unbind()
    lr, decay = 0.01, 0.1
    torch.testing.assert_close(stepped(Lion(), weight, slope, lr, decay), weight * (1 - lr * decay) - lr * slope.sign())
    # after one step the averages are the gradient and its square
    moved = slope / (slope.abs() + 1e-6) + decay * weight
    expected = weight - lr * weight.norm() / moved.norm() * moved
    torch.testing.assert_close(stepped(LAMB(max_grad_norm=None), weight, slope, lr, decay), expected, rtol=1e-4, atol=0)
    # the step is orthogonal but for its rough iteration
    step = (weight - stepped(Muon(), weight, slope, lr, 0.0)) / lr
    values = torch.linalg.svdvals(step)
    assert float(values.max() / values.min()) < 1.7 < float(torch.linalg.cond(slope))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_without_timm_a_rule_says_what_to_install(rule: Optimizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm.optim", None)
    with pytest.raises(ValueError, match=r"is timm's: pip install 'timm>=1\.0\.21'"):
        rule.build([{"params": [nn.Parameter(torch.zeros(2, 2))], "weight_decay": 0.0}], 0.1)


VIT = "timm:vit_tiny_patch16_224(img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=2)"


def test_rates_fall_by_layers_and_every_weight_has_one() -> None:
    model = build_model(VIT, num_classes=3, mean=(0.5,) * 3, std=(0.2,) * 3, seed=0)
    others = [nn.Parameter(torch.zeros(2))]
    groups = decayed_by_layer(decay_groups(model, others, 0.1, "matrices"), model, 0.5, 0.8)
    rates = {id(one): group["lr"] for group in groups for one in group["params"]}  # type: ignore[attr-defined]
    assert set(rates) == {id(one) for one in [*model.parameters(), *others]}
    named = {name: rates[id(parameter)] for name, parameter in model.named_parameters()}
    assert named["1.head.weight"] == rates[id(others[0])] == 0.8
    blocks = [named[f"1.blocks.{i}.attn.qkv.weight"] for i in range(3)]
    assert blocks == pytest.approx([0.8 / 8, 0.8 / 4, 0.8 / 2])
    assert named["1.patch_embed.proj.weight"] == named["1.cls_token"] == pytest.approx(0.8 / 16)


def test_the_schedule_moves_the_rates_of_all_layers_alike() -> None:
    training = new_training(replace(TINY, model=VIT.replace("img_size=32", "img_size=16"), layer_decay=0.5, lr=0.1))
    before = [group["lr"] for group in training.state.optimizer.param_groups]
    assert len(set(before)) > 3
    for _ in range(3):
        training.state.optimizer.step()
        training.state.schedule.step()
    after = [group["lr"] for group in training.state.optimizer.param_groups]
    ratios = {round(new / old, 9) for new, old in zip(after, before, strict=True)}
    assert len(ratios) == 1
    assert ratios != {1.0}


def test_a_network_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="layer_decay needs a network of timm"):
        new_training(replace(TINY, layer_decay=0.9))


def test_binary_cross_entropy_is_its_formula_and_a_threshold_takes_both_classes() -> None:
    logits, targets = torch.tensor([[2.0, -1.0, 0.5]]), torch.tensor([[0.7, 0.3, 0.0]])
    chances = torch.sigmoid(logits)
    formula = -(targets * chances.log() + (1 - targets) * (1 - chances).log())
    torch.testing.assert_close(binary_cross_entropy(logits, targets), formula)
    both = binary_cross_entropy(logits, targets, 0.2)
    torch.testing.assert_close(both, -torch.stack([chances[:, 0], chances[:, 1], 1 - chances[:, 2]], 1).log())


@pytest.mark.parametrize(("over", "times"), [("mean", 1), ("sum", 4)])
def test_a_step_of_binary_cross_entropy_is_timm_s(over: Any, times: int) -> None:
    from timm.loss import BinaryCrossEntropy as Theirs

    recipe = replace(TINY, objective=BinaryCrossEntropy(threshold=0.2, over=over))
    training = new_training(recipe)
    raw = next(iter(training.train))
    batch = make_batch(raw, 0, 0, ALONE.device)
    loss, metrics = recipe.objective(training.state.model, batch, training.state.objective)
    theirs = Theirs(smoothing=0.0, target_threshold=0.2, sum_classes=over == "sum")
    torch.testing.assert_close(loss, theirs(training.state.model(batch.images), batch.targets))
    assert 0 <= float(metrics["accuracy"]) <= 1


class Spoiled(nn.Module):
    """Gives a nan at one step, with running means that have seen it."""

    def __init__(self, model: nn.Module, at: int) -> None:
        super().__init__()
        self.model, self.at, self.calls = model, at, 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.model(images * (float("nan") if self.calls == self.at else 1.0))


def spoiled(recipe: Recipe, at: int, steps: int = 4) -> Training:
    training = new_training(recipe)
    training.state.parallel = Spoiled(training.state.model, at)
    for raw, _ in zip(training.train, range(steps), strict=False):
        train_step(recipe, training.state, make_batch(raw, 0, training.state.step, ALONE.device), ALONE)
    return training


def test_a_step_that_is_no_number_is_left_out_and_counted() -> None:
    recipe = replace(TINY, nonfinite="skip", mix=None)
    state = spoiled(recipe, at=2).state
    assert float(state.sums[SKIPPED]) == 1
    assert steps_taken(state, 4) == 3
    tensors = [*state.model.state_dict().values(), *state.ema.module.state_dict().values()]  # type: ignore[union-attr]
    assert all(bool(tensor.isfinite().all()) for tensor in tensors)
    assert torch.isfinite(state.sums["loss"])
    assert state.step == state.epoch_step == 4


def test_steps_that_are_numbers_are_as_without_the_guard() -> None:
    plain, guarded = run_steps(TINY, 4), run_steps(replace(TINY, nonfinite="skip"), 4)
    assert_same(guarded.state.model.state_dict(), plain.state.model.state_dict())


# Of torch's schedule: it was moved on before the optimiser has ever stepped, which is so here.
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
def test_an_epoch_of_left_out_steps_ends_the_run() -> None:
    training = spoiled(replace(TINY, nonfinite="skip"), at=1, steps=1)
    with pytest.raises(ValueError, match="the loss was a number in none of the 1 steps of epoch 1"):
        steps_taken(training.state, 1)


def test_what_an_objective_remembers_cannot_be_taken_back() -> None:
    with pytest.raises(ValueError, match="nonfinite must be stop with SelfAdaptiveTraining"):
        new_training(replace(TINY, nonfinite="skip", objective=SelfAdaptiveTraining(), mix=None))


def test_attacks_see_whole_numbers_whatever_the_recipe_says_and_torch_is_left_as_it_was() -> None:
    def allowed() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = allowed()
    with tf32(True):
        assert allowed() == (True, True)
        with attacked(nn.Linear(2, 2), "eval"):
            assert allowed() == (False, False)
        assert allowed() == (True, True)
    assert allowed() == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LAMB(max_grad_norm=0.0), r"optimizer\.max_grad_norm must be above 0, or None"),
        (lambda: LAMB(eps=0.0), r"optimizer\.eps must be above 0"),
        (lambda: Lion(betas=(0.9, 1.0)), r"optimizer\.betas must be in \[0, 1\)"),
        (lambda: Muon(num_steps=0), r"optimizer\.num_steps must be a whole number above 0"),
        (lambda: BinaryCrossEntropy(threshold=1.0), r"objective\.threshold must be in \[0, 1\), or None"),
        (lambda: replace(TINY, layer_decay=0.0), r"layer_decay must be in \(0, 1\], or None"),
        (lambda: replace(TINY, nonfinite="go"), r"nonfinite must be 'stop' or 'skip'"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
