"""Mixing in other people's loops: which epoch, which rank, what may be made of a mixed loader."""

import subprocess
import sys
import textwrap
import warnings
from typing import Any

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, SequentialSampler

import mixdali
from mixdali import Joined, MixUp
from mixdali.ranks import find_ranks, share_of
from tests.helpers.batches import MIX, K, data_loader, dataset, painted, same
from tests.helpers.processes import ROOT, torchrun


def sharded(rank: int = 0, ranks: int = 2) -> DataLoader:
    return data_loader(sampler=DistributedSampler(dataset(), num_replicas=ranks, rank=rank))


def mixed(loader: Any, **settings: Any) -> Any:
    return mixdali.mixed(loader, MIX, num_classes=K, **settings)


def test_a_framework_that_tells_the_sampler_tells_the_mixing() -> None:
    """As Lightning does, after it has begun to iterate; also where torch's own sampler knows of no epoch."""
    for make in (data_loader, sharded):
        loader, straight = mixed(make()), mixed(make())
        for epoch in range(3):
            straight.set_epoch(epoch)
            last = list(straight)
        iterator = iter(loader)
        loader.sampler.set_epoch(2)
        assert loader.epoch == 2
        assert same(list(iterator), last)


def test_a_loop_that_tells_its_own_distributed_sampler_tells_the_mixing() -> None:
    """As PyTorch's ImageNet example and torchvision's references do."""
    straight, wrapped = mixed(sharded()), sharded()
    for epoch in range(4):
        straight.set_epoch(epoch)
        last = list(straight)
    loader = mixed(wrapped)
    for epoch in (3, 1, 2, 3):
        wrapped.sampler.set_epoch(epoch)
        found = list(loader)
    assert same(found, last)
    wrapped.sampler.set_epoch(3)
    assert loader.epoch == 4  # told nothing new: the next one


def test_after_the_last_batch_the_place_is_between_epochs() -> None:
    loader = mixed(data_loader())
    iterator = iter(loader)
    for _ in range(len(loader)):
        next(iterator)
    assert loader.epoch == 1
    assert next(iterator, None) is None
    assert loader.epoch == 1


def test_settings_go_to_the_loader_they_are_read_from() -> None:
    wrapped = data_loader()
    loader = mixed(wrapped)
    loader.worker_init_fn = print
    assert wrapped.worker_init_fn is print


def test_nobody_makes_an_unmixed_loader_of_a_mixed_one() -> None:
    """As accelerate's skip_first_batches does of a loader's parts."""
    loader = mixed(data_loader())
    anew = DataLoader(loader.dataset, batch_sampler=loader.batch_sampler)
    assert len(anew) == len(loader)
    with pytest.raises(TypeError, match="it would not mix"):
        next(iter(anew))
    assert not hasattr(loader, "collate_fn")
    assert not hasattr(mixed([painted()]), "batch_sampler")
    loader.batch_sampler.sampler.set_epoch(3)
    assert loader.epoch == 3


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, (0, 1)),
        ({"RANK": "3", "WORLD_SIZE": "4"}, (3, 4)),
        ({"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "8"}, (2, 8)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, (0, 1)),  # in a batch script there is one process
        ({"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "0"}, (1, 2)),
    ],
)
def test_the_rank_is_found(environment: dict, found: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_ranks() == share_of(None) == found
    assert share_of((1, 5)) == (1, 5)


def test_a_rank_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(ValueError, match="environment's RANK must be a whole number from 0 up, got 'one'"):
        next(iter(mixed(data_loader())))


def draws(kind: str) -> Any:
    images, labels, _ = painted()
    if kind == "mixed":
        return next(iter(mixed([(images, labels)])))[1]
    if kind == "collate":
        return next(iter(data_loader(collate_fn=mixdali.collate(MIX, num_classes=K))))[1]
    if kind == "collate in a spawned worker":
        torch.manual_seed(0)
        loader = data_loader(
            num_workers=1, multiprocessing_context="spawn", collate_fn=mixdali.collate(MIX, num_classes=K)
        )
        return next(iter(loader))[1]
    batch = {"images": images, "targets": mixdali.one_hot(labels, K)}
    return next(iter(Joined([[batch], [dict(batch)]], mix=MixUp()))).targets


@pytest.mark.parametrize("kind", ["mixed", "collate", "collate in a spawned worker", "joined"])
def test_every_rank_draws_for_itself_though_nobody_told_it_its_rank(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_rank(rank: int) -> torch.Tensor:
        monkeypatch.setenv("RANK", str(rank))
        return draws(kind)

    assert torch.equal(of_rank(0), of_rank(0))
    assert not torch.equal(of_rank(0), of_rank(1))


def test_the_rank_is_looked_up_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loader may be made before the processes have found each other."""
    monkeypatch.delenv("RANK", raising=False)
    loader, told = mixed([painted()]), mixed([painted()], rank=1)
    monkeypatch.setenv("RANK", "1")
    assert same(list(loader), list(told))


def test_an_unsharded_loader_is_warned_of_once_and_only_among_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    list(mixed(data_loader()))
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    loader = mixed(data_loader(shuffle=True))
    with pytest.warns(UserWarning, match=r"not sharded.*mixdali.mixed\(accelerator.prepare\(loader\)"):
        list(loader)

    class Own(BatchSampler):
        pass

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(loader)
        list(mixed(sharded()))
        list(mixed([painted()]))
        list(mixed(DataLoader(dataset(), batch_sampler=Own(SequentialSampler(dataset()), 4, False))))


def test_torch_distributed_tells_the_rank(tmp_path: Any) -> None:
    script = tmp_path / "ranks.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, sys
            from pathlib import Path
            import torch.distributed as dist
            from mixdali.ranks import find_ranks
            early = find_ranks()
            dist.init_process_group("gloo")
            os.environ["RANK"] = "7"
            # a file each: what two processes print may be mixed up within a line
            Path(sys.argv[1], f"found{dist.get_rank()}").write_text(str([*early, *find_ranks()]))
            dist.destroy_process_group()
            """
        )
    )
    done = torchrun(str(script), str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / f"found{rank}").read_text() for rank in (0, 1)] == ["[0, 2, 0, 2]", "[1, 2, 1, 2]"]


def test_finding_the_rank_loads_no_torch() -> None:
    code = "import sys; from mixdali.ranks import find_ranks; find_ranks(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"
