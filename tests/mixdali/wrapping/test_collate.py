"""Mixing in the workers of a DataLoader."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

import mixdali
from mixdali import Choose, CutMix, MixUp

pytestmark = pytest.mark.usefixtures("forking")

K = 5
MIX = Choose([MixUp(), CutMix()])


class Painted(Dataset):
    """Images of K channels that show their own label; all of one batch are the same, so that only draws differ."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        label = i % 3
        image = torch.zeros(K, 7, 9)
        image[label] = 1
        return image, label


def loader(workers: int, start: str = "fork", seed: int = 0, **settings: Any) -> DataLoader:
    mixing = {name: settings.pop(name) for name in ("rank", "with_plan", "collate_fn") if name in settings}
    return DataLoader(
        Painted(),
        batch_size=3,
        num_workers=workers,
        multiprocessing_context=start if workers else None,
        generator=torch.Generator().manual_seed(seed),
        collate_fn=mixdali.collate(MIX, num_classes=K, **mixing),
        **settings,
    )


def targets(batches: Any) -> list[Tensor]:
    return [batch[1] for batch in batches]


def all_differ(tensors: list[Tensor]) -> bool:
    return not any(torch.equal(a, b) for i, a in enumerate(tensors) for b in tensors[:i])


WAYS = [(0, "fork"), (1, "fork"), (2, "fork")]


@pytest.mark.parametrize(("workers", "start"), WAYS)
def test_every_batch_of_every_epoch_has_draws_of_its_own(workers: int, start: str) -> None:
    both = loader(workers, start)
    drawn = []
    for _ in range(2):
        for images, soft in both:
            torch.testing.assert_close(images.mean((2, 3)), soft, atol=1e-6, rtol=0)
            drawn.append(soft)
    assert len(drawn) == 8
    assert all_differ(drawn)


@pytest.mark.parametrize(("workers", "start"), WAYS)
def test_the_same_generator_and_workers_repeat_a_run(workers: int, start: str) -> None:
    first, again = (loader(workers, start) for _ in range(2))
    for _ in range(2):
        assert all(torch.equal(a, b) for a, b in zip(targets(first), targets(again), strict=True))
    assert all_differ([*targets(loader(workers, start)), *targets(loader(workers, start, rank=1))])


def test_spawned_workers_draw_as_forked_ones() -> None:
    forked, spawned = targets(loader(1)), targets(loader(1, "spawn"))
    assert all(torch.equal(a, b) for a, b in zip(forked, spawned, strict=True))


def test_workers_follow_the_generator_of_the_data_loader() -> None:
    assert all_differ([*targets(loader(1)), *targets(loader(1, seed=1))])


def test_workers_that_live_on_do_not_repeat_their_first_epoch() -> None:
    kept = loader(2, persistent_workers=True)
    assert all_differ([*targets(kept), *targets(kept)])


def test_calls_in_the_main_process_do_not_move_the_workers() -> None:
    used = loader(1)
    used.collate_fn([Painted()[i] for i in range(3)])
    assert all(torch.equal(a, b) for a, b in zip(targets(used), targets(loader(1)), strict=True))


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    mixdali.collate(MIX, num_classes=K)([Painted()[i] for i in range(3)])
    assert torch.equal(torch.get_rng_state(), before)


def as_dict(samples: list[Any]) -> dict[str, Any]:
    images, labels = default_collate(samples)
    return {"pixels": images, "name": labels}


def test_a_collate_function_of_ones_own_and_the_plan() -> None:
    collate = mixdali.collate(
        MIX, num_classes=K, with_plan=True, collate_fn=as_dict, images="pixels", targets="name", seed=3
    )
    for batch, plan in DataLoader(Painted(), batch_size=3, num_workers=1, collate_fn=collate):
        assert list(batch) == ["pixels", "name"]
        torch.testing.assert_close(batch["name"].max(1).values, torch.maximum(plan.lam, 1 - plan.lam))


def test_wrong_settings_are_refused_before_a_worker_starts() -> None:
    with pytest.raises(TypeError, match="mix must be a method"):
        mixdali.collate(CutMix, num_classes=K)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rank must be a whole number"):
        mixdali.collate(MIX, num_classes=K, rank=-1)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_is_resumed_at_an_epoch_that_is_told(workers: int) -> None:
    straight, resumed = loader(workers), loader(workers, seed=5)
    epochs = []
    for epoch in range(3):
        straight.collate_fn.set_epoch(epoch)
        epochs.append(targets(straight))
    resumed.collate_fn.set_epoch(2)
    assert all(torch.equal(a, b) for a, b in zip(targets(resumed), epochs[2], strict=True))
    assert all_differ([soft for epoch in epochs for soft in epoch])
