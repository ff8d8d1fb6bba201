"""Deep Gamblers: the authors' loss, and what a bet on the classes means."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.nets import NUM_CLASSES, assert_agrees, make_batch, plain
from train.objectives import GamblersLoss
from train.objectives.gamblers import gamblers_loss


def net() -> nn.Module:
    """With an output more than there are classes."""
    model = plain()
    model.head = nn.Linear(6 * 4 * 4, NUM_CLASSES + 1).double()
    return nn.Sequential(*model.children())


@pytest.mark.parametrize("epoch", [0, 3])
def test_the_loss_is_the_authors(epoch: int) -> None:
    batch = replace(make_batch(), epoch=epoch)
    assert batch.labels is not None
    labels = batch.labels

    def reference(model: nn.Module) -> Tensor:
        if epoch < 3:
            return F.cross_entropy(model(batch.images)[:, :-1], labels)
        probabilities = model(batch.images).softmax(dim=1)
        return -(probabilities[torch.arange(len(labels)), labels] + probabilities[:, -1] / 2.2).log().mean()

    assert_agrees(GamblersLoss(reward=2.2, start=3), net(), batch, {}, reference)


def test_keeping_is_worth_more_than_a_bet_whose_chance_is_below_one_in_the_reward() -> None:
    target = torch.tensor([[0.3, 0.7, 0.0]])
    bets = [torch.tensor([[chance, chance, -30.0, 0.0]]) for chance in (-9.0, 0.0)]
    for reward, keeps in ((1.5, True), (3.0, False)):
        losses = [float(gamblers_loss(bet, target, reward)) for bet in bets]
        assert (losses[0] < losses[1]) == keeps


def test_mistakes_are_one_line() -> None:
    with pytest.raises(ValueError, match="GamblersLoss: reward must be above 1, got 1"):
        GamblersLoss(reward=1.0)
    with pytest.raises(ValueError, match="reward must be at most the number of classes, 5, got 6"):
        GamblersLoss(reward=6.0).num_outputs(NUM_CLASSES)
    with pytest.raises(ValueError, match="one output more than the 5 classes, got 5 outputs"):
        GamblersLoss()(plain(), make_batch(), nn.Module())
