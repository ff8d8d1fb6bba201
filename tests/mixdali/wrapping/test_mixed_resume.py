"""Going on where a mixed loader was left."""

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import mixdali
from tests.helpers.batches import MIX, K, data_loader, equal, painted, same, whole


class Rewindable:
    """Batches in another order every epoch, with a state, as torchdata's StatefulDataLoader has one."""

    def __init__(self) -> None:
        self.epoch, self.batch, self.resumed = -1, 0, False

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        if not self.resumed:
            self.epoch, self.batch = self.epoch + 1, 0
        self.resumed = False
        order = torch.randperm(12, generator=torch.Generator().manual_seed(self.epoch))
        arrays = painted(12)
        while self.batch < 4:
            self.batch += 1
            rows = order[3 * self.batch - 3 : 3 * self.batch]
            yield tuple(array[rows] for array in arrays)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.resumed = 0 < self.batch < 4


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 6])
@pytest.mark.parametrize("told", [True, False])
def test_resuming_gives_the_same_bytes(steps: int, told: bool) -> None:
    def stream(loader: Any) -> Iterator[Any]:
        while True:
            if told:
                loader.set_epoch(loader.epoch)
            yield from loader

    loader = mixdali.mixed(Rewindable(), MIX, num_classes=K)
    going_on = stream(loader)
    for _ in range(steps):
        next(going_on)
    state = pickle.loads(pickle.dumps(loader.state_dict()))
    resumed = mixdali.mixed(Rewindable(), MIX, num_classes=K)
    list(resumed)
    resumed.load_state_dict(state)
    assert resumed.epoch == loader.epoch
    for ours, theirs, _ in zip(going_on, stream(resumed), range(11), strict=False):
        assert equal(ours, theirs)


def test_between_epochs_any_loader_can_be_resumed_and_within_one_only_with_a_state() -> None:
    loader = whole()
    list(loader)
    state = loader.state_dict()
    resumed = whole()
    resumed.load_state_dict(state)
    assert same(list(resumed), list(loader))
    next(iter(loader))
    with pytest.raises(RuntimeError, match="a DataLoader cannot be resumed in the middle of an epoch"):
        loader.state_dict()


def test_a_state_of_another_loader_is_refused() -> None:
    state = whole().state_dict()
    for other in ({"seed": 1}, {"rank": 1}):
        with pytest.raises(ValueError, match="another seed or rank"):
            mixdali.mixed(data_loader(), MIX, num_classes=K, **other).load_state_dict(state)
    stateful = mixdali.mixed(Rewindable(), MIX, num_classes=K)
    with pytest.raises(ValueError, match="none with a state of its own, here a Rewindable"):
        stateful.load_state_dict(state)
    with pytest.raises(ValueError, match="one with a state of its own, here a DataLoader"):
        whole().load_state_dict(stateful.state_dict())
