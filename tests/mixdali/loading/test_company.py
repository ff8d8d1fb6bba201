"""A loader in other people's loops: which epoch, whose state, what may be read of it."""

import copy
import io
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import fn, pipeline_def
from torch.utils.data import DataLoader

import mixdali
from mixdali import CutMix, DatasetSource, Joined, Loader, MixUp, derive_seed, one_hot
from mixdali.loading.facts import from_their_folder, graph_facts
from tests.helpers.processes import ROOT
from tests.helpers.readers import NAMES, indices, reading, shuffling

Files = list[str]


def numbers(size: int = 12) -> list[tuple[np.ndarray, int]]:
    return [(np.full((6, 8, 3), n, np.uint8), n % 3) for n in range(size)]


def dataset_loader(shard: tuple[int, int] = (0, 1), size: int = 12, smoothing: float = 0.0, **settings: Any) -> Loader:
    @pipeline_def(batch_size=2, num_threads=1, device_id=None, enable_checkpointing=True)
    def pipeline(source: DatasetSource) -> Any:
        images, labels, index = fn.external_source(source=source, num_outputs=3, batch=True)
        return *CutMix(prob=0.5)(images, one_hot(labels, 3, smoothing)), index

    def make(epoch: int, checkpoint: bytes | None) -> Any:
        seed = derive_seed(0, epoch)
        return pipeline(
            DatasetSource(numbers(size), batch_size=2, seed=seed, shard=shard), seed=seed, checkpoint=checkpoint
        )

    return Loader(make, NAMES, **settings)


def joined(files: Files, num_batches: int | None = None) -> Joined:
    return Joined([shuffling(files, 3), shuffling(files, 2, seed_of=9)], mix=MixUp(), num_batches=num_batches)


MAKERS: dict[str, Callable[[Files], Any]] = {
    "reader": lambda files: shuffling(files, 2),
    "dataset": lambda files: dataset_loader(),
    "joined": joined,
    "joined by number": lambda files: joined(files, 4),
    "mixed": lambda files: mixdali.mixed(
        shuffling(files, 2), MixUp(), num_classes=None, images="images", targets="index"
    ),
}


def tensors(batch: Any) -> list[torch.Tensor]:
    parts = batch if isinstance(batch, tuple) else [batch]
    found = [
        tensors(part) if isinstance(part, tuple) else [part] for part in parts if not isinstance(part, mixdali.Plan)
    ]
    return [tensor for some in found for tensor in some]


def same(ours: list[Any], theirs: list[Any]) -> bool:
    return len(ours) == len(theirs) > 0 and all(
        torch.equal(a, b)
        for x, y in zip(ours, theirs, strict=True)
        for a, b in zip(tensors(x), tensors(y), strict=True)
    )


@pytest.mark.parametrize("kind", MAKERS)
def test_an_epoch_is_the_same_come_by_number_or_in_order(kind: str, files: Files) -> None:
    make = MAKERS[kind]
    straight = make(files)
    epochs = [list(straight) for _ in range(4)]
    assert not any(same(a, b) for a, b in pairwise(epochs))
    for told in (lambda loader, epoch: loader.set_epoch(epoch), lambda loader, epoch: loader.sampler.set_epoch(epoch)):
        resumed = make(files)
        told(resumed, 2)
        assert resumed.epoch == 2
        assert same(list(resumed), epochs[2])
        told(resumed, 3)
        assert same(list(resumed), epochs[3])
        told(resumed, 1)
        assert same(list(resumed), epochs[1])
        next(iter(resumed))  # of epoch 2
        told(resumed, 2)
        assert same(list(resumed), epochs[2])


@pytest.mark.parametrize("kind", MAKERS)
def test_the_epoch_may_be_told_after_the_loader_was_iterated(kind: str, files: Files) -> None:
    """As Lightning does; and it iterates more than once before it asks for a batch."""
    straight = MAKERS[kind](files)
    epochs = [list(straight) for _ in range(3)]
    loader = MAKERS[kind](files)
    iter(loader)
    iterator = iter(loader)
    loader.set_epoch(2)
    assert same(list(iterator), epochs[2])
    stopped, resumed = MAKERS[kind](files), MAKERS[kind](files)
    stopped.set_epoch(2)
    next(iter(stopped))
    resumed.load_state_dict(stopped.state_dict())
    iter(resumed)
    iterator = iter(resumed)
    resumed.set_epoch(2)
    assert same(list(iterator), epochs[2][1:])


@pytest.mark.parametrize("kind", MAKERS)
def test_after_the_last_batch_a_loader_is_between_epochs(kind: str, files: Files) -> None:
    """Also where the loop counted to len() and never asked for more."""
    loader, resumed, straight = (MAKERS[kind](files) for _ in range(3))
    iterator = iter(loader)
    for _ in range(len(loader)):
        next(iterator)
    state = loader.state_dict()
    assert (loader.epoch, state["epoch"], state["batch"]) == (1, 1, 0)
    assert next(iterator, None) is None
    list(straight)
    resumed.load_state_dict(pickle.loads(pickle.dumps(state)))
    assert same(list(resumed), second := list(straight))
    assert same(list(loader), second)


def test_a_bare_pipeline_goes_through_its_epochs_in_order_and_says_what_to_do(files: Files) -> None:
    loader = Loader(reading(files, CutMix(), batch_size=2), NAMES)
    for epoch in range(2):
        loader.set_epoch(epoch)
        list(loader)
    with pytest.raises(RuntimeError, match="make the loader with a function"):
        loader.set_epoch(5)
    with pytest.raises(RuntimeError, match="make the loader with a function"):
        loader.sampler.set_epoch(0)
    assert not hasattr(loader, "state_dict")
    assert not hasattr(loader, "load_state_dict")
    with pytest.raises(AttributeError, match="make the loader with a function"):
        loader.state_dict()


def test_where_nothing_is_random_any_epoch_will_do(files: Files) -> None:
    for made in (
        reading(files, batch_size=4),
        lambda epoch, checkpoint: reading(files, batch_size=4, checkpoint=checkpoint),
    ):
        loader = Loader(made, NAMES, last_batch="partial")
        for epoch in (0, 0, 7, 7):
            loader.set_epoch(epoch)
            assert indices(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
        next(iter(loader))
        loader.set_epoch(3)
        assert indices(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


def test_a_function_that_forgets_the_epoch_repeats_none_and_is_not_set_to_one(files: Files) -> None:
    def make(epoch: int, checkpoint: bytes | None) -> Any:
        return reading(files, CutMix(), batch_size=2, seed=1, random_shuffle=True, checkpoint=checkpoint)

    loader = Loader(make, NAMES)
    assert not same(list(loader), list(loader))
    with pytest.raises(RuntimeError, match=r"the same pipeline for all epochs .* cannot be set to 5"):
        loader.set_epoch(5)


@pytest.mark.parametrize(
    ("there", "here", "told"),
    [
        ({}, {"shard": (1, 2)}, "shard"),
        ({}, {"size": 13}, "items is '12', here '13'|images is 12, here 13"),
        ({}, {"smoothing": 0.1}, "data is"),
    ],
)
def test_a_state_of_another_shard_size_or_smoothing_is_refused(there: dict, here: dict, told: str) -> None:
    state = dataset_loader(**there).state_dict()
    with pytest.raises(ValueError, match=f"the state is of another loader: its .*({told})"):
        dataset_loader(**here).load_state_dict(state)


def test_a_state_of_another_reader_is_refused_by_name(files: Files) -> None:
    state = shuffling(files, 2, (0, 2)).state_dict()
    with pytest.raises(ValueError, match="shard_id is '0', here '1'"):
        shuffling(files, 2, (1, 2)).load_state_dict(state)
    with pytest.raises(ValueError, match=r"files is '11 values .*, here '10 values"):
        shuffling(files[:10], 2, (0, 2)).load_state_dict(state)


@pytest.mark.parametrize("exact", [True, False])
def test_a_folder_that_was_moved_holds_the_same_data(files: Files, tmp_path: Any, exact: bool) -> None:
    for place in ("here", "there"):
        shutil.copytree(Path(files[0]).parent, tmp_path / place / "train")
    here, there, less = (
        sorted(map(str, (tmp_path / place / "train").iterdir()))[: len(files) - missing]
        for place, missing in (("here", 0), ("there", 0), ("there", 1))
    )
    loader, moved = shuffling(here, 2), shuffling(there, 2)
    iterator = iter(loader)
    next(iterator)
    moved.load_state_dict(loader.state_dict(), exact=exact)
    rest, told = list(moved), list(iterator)
    assert same(rest, told) if exact else sorted(indices(rest)) == sorted(indices(told))
    with pytest.raises(ValueError, match="files is"):
        shuffling([*less, there[0]], 2).load_state_dict(loader.state_dict(), exact=exact)


@pytest.mark.parametrize(
    ("shown", "within"),
    [
        ("/data/train", "train"),
        ("[/data/b.rec, ]", "[b.rec, ]"),
        ("[/a/train/cat/1, 2.jpg, /a/train/dog/1.jpg, ]", "[cat/1, 2.jpg, dog/1.jpg, ]"),
        ("[/1.jpg, /2.jpg, ]", "[1.jpg, 2.jpg, ]"),
        ("[/ab/1.jpg, /ac/1.jpg, ]", "[ab/1.jpg, ac/1.jpg, ]"),
        ("[cat/1.jpg, dog/1.jpg, ]", "[cat/1.jpg, dog/1.jpg, ]"),
        ("[]", "[]"),
    ],
)
def test_of_paths_what_lies_below_their_common_folder_counts(shown: str, within: str) -> None:
    assert from_their_folder(shown) == within


def test_a_state_from_before_there_were_facts_fits_as_it_did(files: Files) -> None:
    loader, resumed = shuffling(files, 2), shuffling(files, 2)
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    for name in ("facts", "images"):
        del state[name]
    resumed.load_state_dict(state)
    assert same(list(resumed), list(iterator))
    with pytest.raises(ValueError, match="batch_size is 2, here 3"):
        shuffling(files, 3).load_state_dict(state)
    ended = shuffling(files, 2)
    list(ended)
    resumed.load_state_dict(state | {"epoch": 0, "batch": 5})  # where an epoch ended with its next batch
    assert resumed.epoch == 1
    assert same(list(resumed), list(ended))


def test_the_facts_of_a_pipeline_are_the_same_in_every_process() -> None:
    code = (
        "from tests.mixdali.loading.test_company import dataset_loader; from mixdali.loading.facts import graph_facts;"
        "print(sorted(graph_facts(dataset_loader()._make(0, None)).items()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == str(sorted(graph_facts(dataset_loader()._make(0, None)).items()))


def test_clients_find_what_they_read_of_a_loader(files: Files) -> None:
    loader = shuffling(files, 2, (0, 2))
    assert (loader.batch_size, len(loader.dataset), len(loader.sampler), len(loader)) == (2, 11, 4, 2)
    whole = Loader(reading(files, batch_size=4), NAMES, last_batch="partial")
    assert (len(whole.dataset), len(whole.sampler)) == (11, 11)
    with pytest.raises(TypeError, match="iterate the mixdali"):
        loader.dataset[0]
    with pytest.raises(TypeError, match="iterate the loader"):
        list(loader.sampler)
    with pytest.raises(TypeError, match="would not be the same: iterate the mixdali"):
        next(iter(DataLoader(loader.dataset, batch_sampler=loader.batch_sampler)))
    assert not hasattr(loader, "collate_fn")


def test_the_length_of_a_dataset_source_is_found_and_checked() -> None:
    assert [len(dataset_loader(shard=(k, 2))) for k in range(2)] == [3, 3]
    assert len(dataset_loader(shard=(0, 2)).dataset) == 12
    with pytest.raises(ValueError, match="num_samples is 12, but the pipeline's source has 6 in an epoch"):
        len(dataset_loader(shard=(0, 2), num_samples=12))


def test_batches_can_be_pickled_and_saved(files: Files) -> None:
    for batch in (next(iter(shuffling(files, 2))), next(iter(joined(files)))):
        stored = io.BytesIO()
        torch.save(batch, stored)
        stored.seek(0)
        for again in (
            pickle.loads(pickle.dumps(batch)),
            torch.load(stored, weights_only=False),
            copy.deepcopy(batch),
        ):
            assert type(again) is type(batch)
            assert again._fields == batch._fields
            assert same([again], [batch])


FORKED = """
import os, sys
from tests.mixdali.loading.test_company import dataset_loader
loader = dataset_loader()
next(iter(loader))
child = os.fork()
if child == 0:
    told = []
    for use in (lambda: next(iter(loader)), lambda: loader.set_epoch(4), loader.state_dict):
        try:
            use()
        except RuntimeError as error:
            told.append(str(error))
    print(*told, sep="\\n", flush=True)
    os._exit(0 if len(told) == 3 else 1)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_loader_that_was_built_before_a_fork_says_so_in_it() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert all("cannot be used in a fork" in line for line in done.stdout.splitlines())


def test_joined_loaders_have_a_state_only_if_all_have_one(files: Files) -> None:
    class Plain:
        def __iter__(self) -> Any:
            return iter([{"images": torch.zeros(2, 3, 6, 8)}])

        def __len__(self) -> int:
            return 1

    both = Joined([shuffling(files, 2), Plain()])
    assert not hasattr(both, "state_dict")
    with pytest.raises(ValueError, match="loader 1, a Plain, cannot go to epoch 2"):
        both.set_epoch(2)


def counting(batches: int, forgets: bool = False) -> Loader:
    @pipeline_def(batch_size=2, num_threads=1, device_id=None)
    def pipeline(source: DatasetSource, first: int) -> Any:
        images, labels, index = fn.external_source(source=source, num_outputs=3, batch=True)
        epoch = mixdali.epoch_counter(batches=batches, first=first)
        return *MixUp(stop_epoch=2)(images, one_hot(labels, 3), epoch=epoch), index

    def make(epoch: int, checkpoint: bytes | None) -> Any:
        source = DatasetSource(numbers(), batch_size=2, seed=epoch)
        return pipeline(source, 0 if forgets else epoch, seed=epoch)

    return Loader(make, NAMES)


def test_a_pipeline_that_miscounts_its_epochs_is_refused() -> None:
    loader = counting(6)
    mixed = [any(bool(batch.targets.max() < 1) for batch in loader) for _ in range(4)]
    assert mixed == [True, True, False, False]
    with pytest.raises(ValueError, match="batches must be those that the pipeline runs, 6, got 5"):
        list(counting(5))
    forgetful = counting(6, forgets=True)
    list(forgetful)
    with pytest.raises(ValueError, match=r"made for epoch 1 counts its epochs from 0: pass epoch_counter\(..., first"):
        list(forgetful)


def test_a_mix_in_a_graph_draws_apart_on_every_rank(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def targets(rank: int) -> torch.Tensor:
        monkeypatch.setenv("RANK", str(rank))
        return next(iter(Loader(reading(files, MixUp(), batch_size=4, seed=0), NAMES))).targets

    assert torch.equal(targets(0), targets(0))
    with pytest.warns(UserWarning, match="2 processes run, and the pipeline's reader is not sharded"):
        other = targets(1)
    assert not torch.equal(other, targets(0))
