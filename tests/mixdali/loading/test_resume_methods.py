"""A run that stops within an epoch goes on to the byte: every method and stock pipeline, any number of threads."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mixdali import Choose, CutMix, FMix, Loader, Mix, MixUp, Ramp
from pipelines import cifar, imagenet
from pipelines.sources.source import Source
from tests.helpers.methods import METHODS, PIXEL_METHODS

MOVING: dict[str, Mix] = {
    "ramp": MixUp(alpha=Ramp([(0, 0.1), (2, 8.0)]), prob=Ramp([(0, 0.2), (2, 0.9)])),
    "window": Choose([CutMix(start_epoch=1), FMix(per="batch", stop_epoch=2)]),
}
ALL = METHODS | PIXEL_METHODS | MOVING


@pytest.fixture(scope="module")
def source() -> Source:
    rng = np.random.default_rng(0)
    return Source(rng.integers(0, 256, (26, 12, 10, 3), dtype=np.uint8), np.arange(26) % 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("images")
    for n in range(26):
        path = folder / "train" / "abcde"[n % 5] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (14, 18, 3), dtype=np.uint8)).save(path)
    return folder / "train"


@pytest.fixture(params=["cifar", "imagenet"])
def loaders(request: pytest.FixtureRequest, source: Source, folder: Path) -> Callable[..., Loader]:
    if request.param == "cifar":
        return partial(cifar.train_loader, source, batch_size=6, num_classes=5, device="cpu")
    return partial(imagenet.train_loader, folder, batch_size=6, num_classes=5, size=(12, 10), device="cpu")


def endless(loader: Loader) -> Iterator[Any]:
    return (batch for _ in range(9) for batch in loader)


def batches(loader: Loader, number: int) -> list[Any]:
    return list(islice(endless(loader), number))


def flat(batch: Any) -> dict[str, Any]:
    fields = batch._asdict()
    plan = fields.pop("plan", None)
    return fields if plan is None else fields | {f"plan.{name}": value for name, value in plan.parts().items()}


def assert_same(ours: list[Any], theirs: list[Any]) -> None:
    for one, other in zip(map(flat, ours), map(flat, theirs), strict=True):
        assert one.keys() == other.keys()
        for name in one:
            if isinstance(one[name], list):
                assert one[name] == other[name]
            else:
                torch.testing.assert_close(one[name], other[name], rtol=0, atol=0, msg=name)


# An epoch has four batches: a stop within a later one, and for one method within the first and at its end too.
STOPS = {"mixup": (1, 4, 6)}


@pytest.mark.parametrize("method", ALL)
def test_every_method_goes_on_to_the_byte(loaders: Callable[..., Loader], method: str) -> None:
    made = partial(loaders, mix=ALL[method], outputs=("images", "targets", "index", "plan"), seed=3)
    whole = batches(made(num_threads=2), 10)
    for stop in STOPS.get(method, (6,)):
        stopped = made(num_threads=1)
        assert_same(batches(stopped, stop), whole[:stop])
        resumed = made(num_threads=2 if stop == 4 else 1)
        resumed.load_state_dict(stopped.state_dict())
        assert_same(batches(resumed, 10 - stop), whole[stop:])


def test_so_do_views_and_file_names(loaders: Callable[..., Loader]) -> None:
    names = ("images", "targets", "view1", "view2")
    made = partial(loaders, outputs=(*names, "path") if "imagenet" in loaders.func.__module__ else names, seed=3)
    # no third loader: a graph with views takes seconds to build
    stopped, resumed = made(num_threads=1), made(num_threads=2)
    going_on = endless(stopped)
    for _ in range(3):
        next(going_on)
    resumed.load_state_dict(stopped.state_dict())
    assert_same(batches(resumed, 3), list(islice(going_on, 3)))


def test_the_plan_says_what_was_done(loaders: Callable[..., Loader]) -> None:
    """Applied again, in torch, to the unmixed images it gives the batch, for every method without noise."""
    for method in METHODS:
        outputs = ("images", "targets", "labels", "unmixed", "plan")
        batch = next(iter(loaders(mix=METHODS[method], outputs=outputs, num_threads=1)))
        targets = torch.nn.functional.one_hot(batch.labels.long(), 5).float()
        images, targets = METHODS[method].apply(batch.unmixed, targets, batch.plan)
        torch.testing.assert_close(images, batch.images, rtol=0, atol=1e-6)
        torch.testing.assert_close(targets, batch.targets, rtol=0, atol=1e-6)


def test_a_ramp_moves_from_epoch_to_epoch_and_knows_the_epoch_of_a_new_pipeline(loaders: Callable[..., Loader]) -> None:
    mix = MixUp(prob=Ramp([(0, 0.0), (1, 1.0), (2, 0.0)]))
    loader = loaders(mix=mix, outputs=("images", "plan"), num_threads=1)
    mixed = [[bool((batch.plan.lam != 1).all()) for batch in loader] for _ in range(4)]
    assert mixed == [[False] * 4, [True] * 4, [False] * 4, [False] * 4]
    early = loaders(mix=mix, outputs=("images", "plan"), num_threads=1)
    next(iter(early))  # the rest of this epoch is left
    assert bool((next(iter(early)).plan.lam != 1).all())


def test_views_are_near_the_images_and_differ(loaders: Callable[..., Loader]) -> None:
    batch = next(iter(loaders(outputs=("images", "view1", "view2"), num_threads=1)))
    for one, other in ((batch.images, batch.view1), (batch.images, batch.view2), (batch.view1, batch.view2)):
        assert one.shape == other.shape
        assert 0 < (one - other).abs().mean() < 0.4
    assert min(batch.view1.min(), batch.view2.min()) >= 0
    assert max(batch.view1.max(), batch.view2.max()) <= 1


def test_paths_name_the_files_of_the_batch(folder: Path) -> None:
    outputs = ("images", "labels", "index", "path")
    loader = imagenet.train_loader(folder, batch_size=6, num_classes=5, size=8, outputs=outputs, device="cpu")
    seen = {}
    for batch in loader:
        for path, label, index in zip(batch.path, batch.labels.tolist(), batch.index.tolist(), strict=True):
            assert Path(path).parent.name == "abcde"[label]
            seen[index] = path
    assert len(set(seen.values())) == len(seen) == 24
