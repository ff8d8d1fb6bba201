"""The stock loaders in other people's loops: which epoch, which shard, whose state."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import mixdali
from mixdali import CutMix, MixUp
from pipelines import cifar, imagenet
from pipelines.sources.source import Source

STOPPING = MixUp(stop_epoch=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of six small images, for training and validation."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for n in range(6):
                pixels = rng.integers(256, size=(20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{n}.png")
    return root


def in_memory(number: int = 12) -> Source:
    pixels = np.random.default_rng(0).integers(256, size=(number, 8, 8, 3), dtype=np.uint8)
    return Source(pixels, np.arange(number) % 2)


def small(folder: Path, **settings: Any) -> mixdali.Loader:
    number = settings.pop("number", 12)
    return cifar.train_loader(
        in_memory(number),
        **{"batch_size": 2, "num_classes": 2, "mix": STOPPING, "device": "cpu", "num_threads": 1} | settings,
    )


def large(folder: Path, **settings: Any) -> mixdali.Loader:
    given = {"batch_size": 2, "num_classes": 2, "mix": STOPPING, "size": 16, "device": "cpu", "num_threads": 1}
    return imagenet.train_loader(folder, **given | settings)


MAKERS: dict[str, Callable[..., mixdali.Loader]] = {
    "cifar": small,
    "cifar by DALI's operators": lambda folder, **settings: small(folder, **{"color_jitter": 0.2} | settings),
    "cifar resized": lambda folder, **settings: small(folder, **{"size": 12} | settings),
    "imagenet": large,
}


def same(ours: list[Any], theirs: list[Any]) -> bool:
    pairs = zip(ours, theirs, strict=True)
    return all(torch.equal(a, b) for x, y in pairs for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("kind", MAKERS)
def test_an_epoch_is_the_same_come_by_number_or_in_order(kind: str, folder: Path) -> None:
    make = MAKERS[kind]
    straight = make(folder, outputs=("images", "targets", "index"))
    epochs = [list(straight) for _ in range(4)]
    assert not same(epochs[0], epochs[1])
    resumed = make(folder, outputs=("images", "targets", "index"))
    resumed.set_epoch(2)
    for epoch in (2, 3):
        assert same(list(resumed), epochs[epoch])
        assert all(batch.targets.max(1).values.eq(1).all() for batch in epochs[epoch])  # the mix has stopped
    resumed.set_epoch(1)
    assert same(list(resumed), epochs[1])
    next(iter(resumed))
    assert same(list(resumed), epochs[3])


@pytest.mark.parametrize("make", [small, large])
def test_a_shard_that_nobody_told_is_found(
    make: Callable[..., mixdali.Loader], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        loader = make(folder, outputs=("images", "index"))
        assert (len(loader), len(loader.dataset), len(loader.sampler)) == (3, 12, 6)
        seen.append([index for batch in loader for index in batch.index.tolist()])
    assert sorted(seen[0] + seen[1]) == list(range(12))


@pytest.mark.parametrize("module", ["cifar", "imagenet"])
def test_validation_shows_every_image_to_every_process_and_any_epoch_is_alike(
    module: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    given: dict[str, Any] = {"batch_size": 5, "num_classes": 2, "device": "cpu", "outputs": ("images", "index")}
    loader = (
        cifar.val_loader(in_memory(), **given) if module == "cifar" else imagenet.val_loader(folder, size=16, **given)
    )
    for epoch in (0, 0, 5):
        loader.set_epoch(epoch)
        built = loader._runs
        assert [index for batch in loader for index in batch.index.tolist()] == list(range(12))
        assert built in (None, loader._runs)  # told another epoch, it goes on


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"shard": (1, 2)}, "shard"),
        ({"smoothing": 0.1}, "smoothing"),
        ({"size": 12}, "size"),
        ({"mix": CutMix()}, "mix"),
        ({"augment": False}, "augment"),
        ({"color_jitter": 0.1}, "color_jitter"),
        ({"seed": 1}, "seed"),
        ({"number": 13}, "items"),
    ],
)
@pytest.mark.parametrize("make", [small, large])
def test_a_state_of_other_settings_is_refused_by_name(
    make: Callable[..., mixdali.Loader], other: dict[str, Any], told: str, folder: Path
) -> None:
    if make is large and "number" in other:  # its images are files, which the tests of the loader speak of
        return
    state = make(folder, shard=(0, 2)).state_dict()
    with pytest.raises(ValueError, match=rf"the state is of another loader: its [\w :]*\b{told} is"):
        make(folder, **{"shard": (0, 2)} | other).load_state_dict(state)


@pytest.mark.parametrize("make", [small, large])
def test_a_state_that_need_not_go_on_to_the_byte_still_needs_its_data(
    make: Callable[..., mixdali.Loader], folder: Path
) -> None:
    loader = make(folder, shard=(0, 2))
    next(iter(loader))
    state = loader.state_dict() | {"dali": "another"}
    with pytest.raises(ValueError, match="its dali is 'another'"):
        make(folder, shard=(0, 2)).load_state_dict(state)
    others: list[dict[str, Any]] = [{"shard": (1, 2)}, {"size": 12}, {"batch_size": 3}, {"mix": CutMix()}]
    for other in others + [{"number": 13}] * (make is small):
        with pytest.raises(ValueError, match="the state is of another loader"):
            make(folder, **{"shard": (0, 2)} | other).load_state_dict(state, exact=False)
    for seed in (0, 1):
        resumed = make(folder, shard=(0, 2), seed=seed)
        resumed.load_state_dict(state, exact=False)
        assert len(list(resumed)) == len(loader) - 1
        assert (resumed.epoch, len(list(resumed))) == (1, len(loader))
