"""Self-Adaptive Training: the authors' losses and gradients, and a table that is never another image's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali import MixUp
from tests.helpers.training import ALONE, TINY, StopAt, assert_same, new_training, run_steps, weights
from train.attacks import PGD
from train.loop.epochs import fit
from train.models import PreActResNet
from train.objectives import (
    Objective,
    SelectiveTraining,
    SelfAdaptiveTRADES,
    SelfAdaptiveTraining,
    SelfSupervisedTraining,
)
from train.objectives.batch import Batch
from train.optim.optimizers import SGD

NUM_SAMPLES, NUM_CLASSES = 40, 5


def plain_net(num_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, num_outputs))


def residual_net(num_outputs: int) -> nn.Module:
    return PreActResNet((1, 1), 4, num_outputs)


NETS = [plain_net, residual_net]


def make_net(kind: Callable[[int], nn.Module], num_outputs: int = NUM_CLASSES) -> nn.Module:
    torch.manual_seed(3)
    return kind(num_outputs).double()


def make_labels() -> Tensor:
    return torch.randint(NUM_CLASSES, (NUM_SAMPLES,), generator=torch.Generator().manual_seed(1))


def batches(num_epochs: int, first_epoch: int = 0) -> list[Batch]:
    """Each image twice an epoch in another shape of a batch, all in float64."""
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(NUM_SAMPLES, 3, 8, 8, generator=generator, dtype=torch.float64)
    found = []
    for epoch in range(first_epoch, first_epoch + num_epochs):
        order = torch.randperm(NUM_SAMPLES, generator=generator)
        for index in order.split(16)[:2]:
            targets = F.one_hot(make_labels()[index], NUM_CLASSES).double()
            found.append(Batch(epoch=epoch, step=len(found), images=images[index], targets=targets, index=index.int()))
    return found


class AuthorsTable:
    """The authors' way, a row at a time: all rows begin as the labels, each visit moves one, then the loss is taken."""

    def __init__(self, momentum: float, start: int) -> None:
        self.rows = F.one_hot(make_labels(), NUM_CLASSES).double()
        self.momentum, self.start = momentum, start

    def visit(self, logits: Tensor, index: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        soft, confidence = [], []
        for row, place in zip(logits.detach().softmax(dim=1), index.tolist(), strict=True):
            self.rows[place] = self.momentum * self.rows[place] + (1 - self.momentum) * row
            soft.append(self.rows[place].clone())
            confidence.append(self.rows[place].max())
        total = sum(confidence)
        return soft, [len(index) * value / total for value in confidence]

    def loss(self, logits: Tensor, batch: Batch, reverse: float) -> Tensor:
        labels = make_labels()[batch.index.long()]
        if batch.epoch < self.start:
            return F.cross_entropy(logits, labels)
        total: Any = 0.0
        soft, importance = self.visit(logits, batch.index)
        for row, target, weight in zip(logits, soft, importance, strict=True):
            chances = row.softmax(dim=0)
            own = -(target * chances.log()).sum() - reverse * (chances * target.log()).sum()
            total = total + weight * own
        return total / len(logits)

    def selective_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        labels = make_labels()[batch.index.long()]
        if batch.epoch < self.start:
            return F.cross_entropy(logits[:, :-1], labels)
        total: Any = 0.0
        soft, _ = self.visit(logits[:, :-1], batch.index)
        for row, target, label in zip(logits, soft, labels.tolist(), strict=True):
            log_chances = row.log_softmax(dim=0)
            total = total - target[label] * log_chances[label] - (1 - target[label]) * log_chances[-1]
        return total / len(logits)


def gradients(model: nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def assert_equal_all_along(
    objective: Objective, model: nn.Module, expected: Callable[[Tensor, Batch], Tensor], num_classes: int = NUM_CLASSES
) -> None:
    """Same loss and gradients in every step of some epochs, the weights moving in between."""
    state = objective.setup(model, NUM_SAMPLES, num_classes)
    for batch in batches(4):
        theirs = expected(model(batch.images), batch)
        wanted = gradients(model, theirs)
        loss, metrics = objective(model, batch, state)
        torch.testing.assert_close(loss, theirs, rtol=0, atol=1e-9)
        found = gradients(model, loss)
        for mine, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-7, atol=1e-9)
        assert not any(value.requires_grad for value in metrics.values())
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), found, strict=True):
                parameter -= 0.1 * gradient


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("reverse", [0.0, 0.3], ids=["cross-entropy", "symmetric"])
def test_loss_and_gradients_are_the_authors(net: Callable[[int], nn.Module], reverse: float) -> None:
    table = AuthorsTable(momentum=0.9, start=1)
    objective = SelfAdaptiveTraining(start=1, momentum=0.9, reverse=reverse)
    assert_equal_all_along(objective, make_net(net), lambda logits, batch: table.loss(logits, batch, reverse))


@pytest.mark.parametrize("net", NETS)
def test_the_selective_form_is_the_authors(net: Callable[[int], nn.Module]) -> None:
    table = AuthorsTable(momentum=0.9, start=1)
    objective = SelectiveTraining(start=1, momentum=0.9)
    model = make_net(net, objective.num_outputs(NUM_CLASSES))
    assert_equal_all_along(objective, model, table.selective_loss)


def authors_trades(model: nn.Module, batch: Batch, table: AuthorsTable, noise: Tensor, beta: float) -> Tensor:
    """Ten sign steps from the given noise in evaluation mode, then a clean and an adversarial pass in training mode."""
    divergence, eps = nn.KLDivLoss(reduction="sum"), 0.031
    model.eval()
    moved = batch.images + noise
    for _ in range(10):
        moved = moved.detach().requires_grad_()
        loss = divergence(F.log_softmax(model(moved), dim=1), F.softmax(model(batch.images), dim=1))
        (slope,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + 0.007 * slope.sign()
        moved = torch.minimum(torch.maximum(moved, batch.images - eps), batch.images + eps).clamp(0, 1)
    model.train()
    logits = model(batch.images)
    clean = table.loss(logits, batch, 0.0)
    robust = divergence(F.log_softmax(model(moved), dim=1), F.softmax(logits, dim=1)) / len(batch.images)
    return clean + beta * robust


@pytest.mark.parametrize("net", NETS)
def test_the_form_against_attacks_is_the_authors(net: Callable[[int], nn.Module]) -> None:
    table, objective = AuthorsTable(momentum=0.9, start=1), SelfAdaptiveTRADES(start=1)
    model, copy = make_net(net), make_net(net)
    state = objective.setup(model, NUM_SAMPLES, NUM_CLASSES)
    for batch in batches(3):
        draws = objective.draw(batch, torch.Generator().manual_seed(batch.step))
        copy.load_state_dict(model.state_dict())
        theirs = authors_trades(copy, batch, table, draws["start"], beta=6.0)
        loss, _ = objective(model, batch, state, draws)
        torch.testing.assert_close(loss, theirs, rtol=0, atol=1e-9)
        found, wanted = gradients(model, loss), gradients(copy, theirs)
        for mine, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-7, atol=1e-9)
        assert_same(dict(model.named_buffers()), dict(copy.named_buffers()))
        assert model.training
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), found, strict=True):
                parameter -= 0.05 * gradient


def test_the_table_is_the_running_average_of_what_was_said_of_each_image() -> None:
    objective, model = SelfAdaptiveTraining(start=1, momentum=0.7), make_net(plain_net)
    state, table = objective.setup(model, NUM_SAMPLES, NUM_CLASSES), AuthorsTable(0.7, 1)
    for batch in batches(3):
        objective(model, batch, state)
        table.loss(model(batch.images), batch, 0.0)
    seen = torch.cat([batch.index for batch in batches(3)[2:]]).long().unique()
    assert state.targets.dtype == torch.float64
    torch.testing.assert_close(state.targets[seen], table.rows[seen])
    assert state.moved.nonzero().squeeze(1).tolist() == seen.tolist()


def test_an_image_in_doubt_weighs_less() -> None:
    objective, model = (
        SelfAdaptiveTraining(start=0, momentum=0.5),
        nn.Sequential(nn.Flatten(), nn.Linear(3, 2)).double(),
    )
    state = objective.setup(model, 2, 2)
    state.targets.copy_(torch.tensor([[0.6, 0.4], [1.0, 0.0]]))
    state.moved.fill_(True)
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)
    images = torch.eye(3, dtype=torch.float64)[:2].reshape(2, 3, 1, 1)
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    batch = Batch(epoch=0, step=0, images=images, targets=targets, index=torch.tensor([0, 1]))
    loss, _ = objective(model, batch, state)
    (gradient,) = torch.autograd.grad(loss, model[1].weight)
    # The targets become (0.55, 0.45) and (0.75, 0.25), so the weights are 0.55 / 0.65 and 0.75 / 0.65.
    torch.testing.assert_close(gradient[0, 0], torch.tensor(-0.05 / 2 * 0.55 / 0.65, dtype=torch.float64))
    torch.testing.assert_close(gradient[0, 1], torch.tensor(-0.25 / 2 * 0.75 / 0.65, dtype=torch.float64))


def test_a_probability_of_zero_does_not_break_the_symmetric_form() -> None:
    objective, model = SelfAdaptiveTraining(start=0, reverse=0.3), nn.Sequential(nn.Flatten(), nn.Linear(3, 3))
    with torch.no_grad():
        model[1].weight.copy_(1000 * torch.eye(3))
    images = torch.eye(3).reshape(3, 3, 1, 1)
    batch = Batch(epoch=0, step=0, images=images, targets=torch.eye(3), index=torch.arange(3))
    loss, _ = objective(model, batch, objective.setup(model, 3, 3))
    loss.backward()
    assert bool(loss.isfinite())
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters())


def test_half_precision_logits_move_a_single_precision_table() -> None:
    model = plain_net(NUM_CLASSES)
    objective = SelfAdaptiveTraining(start=0)
    state = objective.setup(model, NUM_SAMPLES, NUM_CLASSES)
    batch = replace(batches(1)[0], images=torch.rand(16, 3, 8, 8), targets=batches(1)[0].targets.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = objective(model, batch, state)
    assert loss.dtype == state.targets.dtype == torch.float32
    torch.testing.assert_close(state.targets[batch.index.long()].sum(dim=1), torch.ones(16))


@pytest.mark.parametrize(
    "objective", [SelfAdaptiveTraining(start=0), SelectiveTraining(start=0), SelfSupervisedTraining(hidden=8, size=4)]
)
def test_the_model_is_left_as_it_was(objective: Objective) -> None:
    num_outputs = NUM_CLASSES + 1 if isinstance(objective, SelectiveTraining) else NUM_CLASSES
    model, batch = make_net(residual_net, num_outputs), batches(1)[0]
    other = make_net(residual_net, num_outputs)
    objective(model, batch, objective.setup(model, NUM_SAMPLES, NUM_CLASSES))
    other(batch.images)
    assert model.training
    assert_same(dict(model.named_buffers()), dict(other.named_buffers()))
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


RECIPES = {
    "targets": replace(TINY, mix=None, objective=SelfAdaptiveTraining(start=1, reverse=0.3)),
    "selective": replace(TINY, mix=None, objective=SelectiveTraining(start=1)),
    "attacked": replace(
        TINY,
        model="preact_resnet8_w8",
        mix=None,
        objective=SelfAdaptiveTRADES(
            start=1, beta=1, attack=PGD(eps=0.03, step_size=0.01, num_steps=2, start="gaussian", project_start=False)
        ),
    ),
    "without labels": replace(TINY, mix=None, objective=SelfSupervisedTraining(hidden=16, size=8)),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_a_run_stopped_in_an_epoch_goes_on_exactly_with_its_table(recipe: Any) -> None:
    whole, resumed = run_steps(recipe, 12), run_steps(recipe, 12, stop=6)
    assert_same(weights(resumed.state), weights(whole.state))
    assert_same(resumed.state.objective.state_dict(), whole.state.objective.state_dict())
    assert any(bool(value.any()) for value in whole.state.objective.buffers())


def test_stopping_by_the_loop_keeps_the_table_too() -> None:
    recipe = replace(RECIPES["targets"], num_epochs=3)
    whole, stopped, resumed = (new_training(recipe) for _ in range(3))
    saved: list[dict[str, Any]] = []
    stopped.stop = StopAt(stopped.state, 7)
    fit(whole, lambda best: None, lambda row: None)
    fit(stopped, lambda best: saved.append(stopped.state.to_checkpoint(stopped.train, ALONE)), lambda row: None)
    resumed.state.load_checkpoint(saved[-1], resumed.train, ALONE)
    fit(resumed, lambda best: None, lambda row: None)
    assert_same(resumed.state.objective.state_dict(), whole.state.objective.state_dict())
    assert_same(weights(resumed.state), weights(whole.state))


@pytest.mark.parametrize("name", ["targets", "selective", "attacked"])
def test_it_overfits_sixty_four_images(name: str) -> None:
    recipe = replace(RECIPES[name], augment=False, num_epochs=25, ema_decay=None, lr=0.1, optimizer=SGD(nesterov=True))
    training = run_steps(recipe, 100)
    state, hits = training.state, []
    state.model.train()
    for raw in training.train:
        hits.append((state.model(raw.images)[:, :4].argmax(dim=1) == raw.targets.argmax(dim=1)).float().mean())
    assert float(torch.stack(hits).mean()) > 0.95


def test_a_wrong_setting_is_one_line() -> None:
    with pytest.raises(ValueError, match="SelfAdaptiveTraining: momentum must be a number from 0 to 1, got 2"):
        SelfAdaptiveTraining(momentum=2)
    with pytest.raises(ValueError, match="SelfAdaptiveTraining: reverse must not be negative, got -1"):
        SelfAdaptiveTraining(reverse=-1)
    with pytest.raises(ValueError, match="SelfAdaptiveTRADES: beta must not be negative, got -6"):
        SelfAdaptiveTRADES(beta=-6)
    with pytest.raises(ValueError, match="SelectiveTraining: start must be a whole number"):
        SelectiveTraining(start=-1)
    with pytest.raises(ValueError, match="views must be one of 1, 2, got 3"):
        SelfSupervisedTraining(views=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mix must be None: SelfAdaptiveTraining keeps a target for each image"):
        replace(TINY, mix=MixUp(), objective=SelfAdaptiveTraining())
    with pytest.raises(ValueError, match="one output more than the 5 classes, got 5"):
        SelectiveTraining()(make_net(plain_net), batches(1)[0], nn.Module())
    objective, model = SelfAdaptiveTraining(start=0), make_net(plain_net)
    state = objective.setup(model, NUM_SAMPLES, NUM_CLASSES)
    with pytest.raises(ValueError, match="must have an index"):
        objective(model, replace(batches(1)[0], index=None), state)
