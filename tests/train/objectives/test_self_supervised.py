"""Self-Adaptive Training without labels: its loss, what reaches the features, and that they do not collapse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.helpers.training import ALONE, TINY, run_steps
from tests.train.objectives.test_self_adaptive import NUM_CLASSES, NUM_SAMPLES, batches, make_net, residual_net
from train.loop.epochs import make_batch
from train.objectives import SelfSupervisedTraining
from train.objectives.self_supervised import Heads


def test_without_labels_the_loss_is_the_distance_to_the_moving_target() -> None:
    objective = SelfSupervisedTraining(views=2, momentum=0.7, hidden=8, size=4)
    model = make_net(residual_net)
    state = objective.setup(model, NUM_SAMPLES, NUM_CLASSES)
    assert isinstance(state, Heads)
    memory: dict[int, Tensor] = {}
    for batch in batches(2):
        batch = replace(batch, view1=batch.images, view2=batch.images.flip(3))
        z, q, probe = [], [], 0.0
        for view in (batch.view1, batch.view2):
            hidden = model.norm(model.blocks(model.stem(view))).relu().mean(dim=(2, 3))
            z.append(F.normalize(state.projector(hidden), dim=1))
            q.append(F.normalize(state.predictor(state.projector(hidden)), dim=1))
            probe = probe + F.cross_entropy(model.head(hidden.detach()), batch.targets) / 2
        expected: Any = probe
        for row, place in enumerate(batch.index.tolist()):
            mean = ((z[0] + z[1]) / 2)[row].detach()
            memory[place] = 0.7 * memory.get(place, mean) + 0.3 * mean
            target = memory[place] / memory[place].norm()
            expected = expected + sum((one[row] - target).square().sum() for one in q) / 2 / len(batch.index)
        parameters = [*model.parameters(), *state.parameters()]
        wanted = torch.autograd.grad(expected, parameters)
        loss, _ = objective(model, batch, state)
        torch.testing.assert_close(loss, expected, rtol=0, atol=1e-9)
        found = torch.autograd.grad(loss, parameters)
        for mine, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-7, atol=1e-9)


def test_without_labels_no_label_reaches_the_features() -> None:
    objective, model, batch = SelfSupervisedTraining(hidden=8, size=4), make_net(residual_net), batches(1)[0]
    results = []
    for targets in (batch.targets, batch.targets.flip(1)):
        torch.manual_seed(0)
        state = objective.setup(model, NUM_SAMPLES, NUM_CLASSES)
        loss, _ = objective(model, replace(batch, targets=targets), state)
        results.append(torch.autograd.grad(loss, [*model.stem.parameters(), model.head.weight]))
    (first, first_head), (second, second_head) = results
    torch.testing.assert_close(first, second)
    assert not torch.allclose(first_head, second_head)


def test_without_labels_it_finds_the_colours_and_does_not_collapse() -> None:
    objective = SelfSupervisedTraining(hidden=64, size=32)
    recipe = replace(TINY, mix=None, augment=False, num_epochs=40, ema_decay=None, lr=0.1, objective=objective)
    training = run_steps(recipe, 160)
    state = training.state
    found = [
        objective(state.model, make_batch(raw, 40, 160, ALONE.device), state.objective)[1] for raw in training.train
    ]
    mean = {name: float(torch.stack([metrics[name] for metrics in found]).mean()) for name in found[0]}
    assert mean["accuracy"] > 0.7
    assert mean["distance"] < 0.15
    # 1 / sqrt(size) is the spread of directions that fill the space.
    assert mean["spread"] * 32**0.5 > 0.7
