"""The price for absolute values: what is counted, and that the loss beside it is the objective's own."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.helpers.adversarial import drawn, of_recipe
from tests.helpers.nets import make_batch, preact
from train.objectives import AdversarialTraining, L1Penalty


def test_the_loss_is_the_objectives_and_the_price_of_convolutions_and_linear_layers() -> None:
    objective, batch = of_recipe("rice2020overfitting", "l1"), make_batch()
    model, draws = preact(), drawn(objective, batch)
    other = copy.deepcopy(model)
    state = objective.setup(model, 100, 5)
    loss, metrics = objective(model, batch, state, draws)
    own, plain = objective.objective(other, batch, objective.objective.setup(other, 100, 5), draws)
    # Every norm of the network and every bias has one axis.
    counted = [value for name, value in model.named_parameters() if value.ndim > 1]
    price = objective.strength * sum((value.abs().sum() for value in counted), torch.zeros(()))
    torch.testing.assert_close(loss, own + price)
    torch.testing.assert_close(metrics["penalty"], price.detach())
    torch.testing.assert_close(metrics["loss"], plain["loss"])
    ours, theirs = (torch.autograd.grad(which, list(net.parameters())) for which, net in ((loss, model), (own, other)))
    for (name, value), with_price, without in zip(model.named_parameters(), ours, theirs, strict=True):
        expected = without + objective.strength * value.sign() * (value.ndim > 1)
        torch.testing.assert_close(with_price, expected, msg=lambda text, name=name: f"{name}: {text}")


def test_a_reward_for_large_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="L1Penalty: strength must not be negative, got -1"):
        L1Penalty(objective=AdversarialTraining(), strength=-1)
