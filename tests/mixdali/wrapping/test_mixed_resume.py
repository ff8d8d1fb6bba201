"""Going on where a mixed loader was left."""

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import mixdali
from tests.helpers.batches import MIX, K, equal, painted, same, whole


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


def test_any_loader_can_be_resumed_by_the_epoch_and_has_a_state_only_if_the_one_behind_has() -> None:
    loader, resumed = whole(), whole()
    list(loader)
    resumed.set_epoch(1)
    assert same(list(resumed), list(loader))
    assert not hasattr(loader, "state_dict")
    with pytest.raises(AttributeError, match="a mixed DataLoader has no state_dict"):
        loader.state_dict()
    assert hasattr(mixdali.mixed(Rewindable(), MIX, num_classes=K), "state_dict")


def test_batches_that_were_seen_are_left_out() -> None:
    loader, resumed = whole(), whole()
    resumed.skip_first_batches(1)
    assert same(list(resumed), list(loader)[1:])
    assert same(list(resumed), list(loader))


def test_a_state_of_another_loader_is_refused() -> None:
    def stateful(mix: mixdali.Mix = MIX, **settings: Any) -> Any:
        return mixdali.mixed(Rewindable(), mix, **{"num_classes": K} | settings)

    state = stateful().state_dict()
    for other in ({"seed": 1}, {"rank": 1}):
        with pytest.raises(ValueError, match="another seed or rank"):
            stateful(**other).load_state_dict(state)
    for other, told in (
        ({"mix": mixdali.MixUp(alpha=0.5)}, "mix is .Choose"),
        ({"smoothing": 0.1}, "smoothing is 0.0, here 0.1"),
        ({"num_classes": K + 1}, "num_classes is 5, here 6"),
    ):
        with pytest.raises(ValueError, match=told):
            stateful(**other).load_state_dict(state)
    with pytest.raises(ValueError, match="none with a state of its own, here a Rewindable"):
        stateful().load_state_dict({name: state[name] for name in ("seed", "epoch", "batch")})
    old = {name: state[name] for name in ("seed", "epoch", "batch", "loader")}
    stateful().load_state_dict(old)
