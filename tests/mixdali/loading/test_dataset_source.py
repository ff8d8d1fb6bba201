"""A torch Dataset as the source of a DALI pipeline."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import fn, pipeline_def, types
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

import mixdali
from mixdali import CutMix, DatasetSource, Loader, derive_seed, one_hot

NAMES = ("images", "targets", "index")
NUMBER = 11


def pixels(n: int) -> np.ndarray:
    return np.full((6, 8, 3), n, np.uint8)


def encoded(n: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(n)).save(file, "PNG")
    return file.getvalue()


KINDS: dict[str, Any] = {
    "PIL image": lambda n: Image.fromarray(pixels(n)),
    "grey PIL image": lambda n: Image.fromarray(pixels(n)[:, :, 0]),
    "array": pixels,
    "flipped array": lambda n: pixels(n)[::-1, ::-1],
    "bytes": encoded,
    "1-D array": lambda n: np.frombuffer(encoded(n), np.uint8),
    "1-D tensor": lambda n: torch.frombuffer(bytearray(encoded(n)), dtype=torch.uint8),
}


class Numbered(Dataset):
    """Image n is filled with the grey level n and has the label n."""

    def __init__(self, kind: str = "array", label: Any = int) -> None:
        self.kind, self.label = kind, label

    def __len__(self) -> int:
        return NUMBER

    def __getitem__(self, n: int) -> tuple[Any, Any]:
        return KINDS[self.kind](n), self.label(n)


@pipeline_def(num_threads=2, device_id=None, enable_checkpointing=True)
def pipeline(source: DatasetSource, decode: bool = False, mix: mixdali.Mix | None = None, parallel: bool = False):
    images, labels, index = fn.external_source(source=source, num_outputs=3, batch=True, parallel=parallel)
    if decode:
        images = fn.decoders.image(images, output_type=types.RGB)
    targets = one_hot(labels, NUMBER)
    return (*(mix(images, targets) if mix else (mixdali.to_float(images), targets)), index)


def loader(batch_size: int = 4, mix: mixdali.Mix | None = None, dataset: Any = None, **settings: Any) -> Loader:
    running = {name: settings.pop(name) for name in ("parallel", "py_num_workers", "num_threads") if name in settings}

    def source(epoch: int) -> DatasetSource:
        data = Numbered() if dataset is None else dataset
        return DatasetSource(data, batch_size=batch_size, seed=derive_seed(3, epoch), **settings)

    def make(epoch: int, checkpoint: bytes | None) -> Any:
        seed = derive_seed(3, "mix", epoch)
        return pipeline(source(epoch), mix=mix, batch_size=batch_size, seed=seed, checkpoint=checkpoint, **running)

    last = "drop" if settings.get("shuffle", True) else "partial"
    return Loader(make, NAMES, num_samples=source(0).num_samples, last_batch=last)


def indices(batches: Any) -> list[list[int]]:
    return [batch.index.tolist() for batch in batches]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_arrives_with_its_label_and_index(kind: str) -> None:
    source = DatasetSource(Numbered(kind), batch_size=4)
    decode = kind in ("bytes", "1-D array", "1-D tensor")
    batches = list(Loader(pipeline(source, decode, batch_size=4, seed=0), NAMES, num_samples=source.num_samples))
    assert len(batches) == 2
    for images, targets, index in batches:
        assert images.shape == (4, 3, 6, 8)
        assert (images * 255).mean((1, 2, 3)).round().tolist() == index.tolist() == targets.argmax(1).tolist()


@pytest.mark.parametrize("batch_size", [1, 2, 4, 11])
@pytest.mark.parametrize("shards", [1, 2, 3])
def test_an_epoch_shows_no_item_twice_and_all_ranks_get_as_many_batches(batch_size: int, shards: int) -> None:
    if batch_size > NUMBER // shards:
        with pytest.raises(ValueError, match=f"do not fill one batch of {batch_size}"):
            loader(batch_size, shard=(0, shards))
        return
    loaders = [loader(batch_size, shard=(rank, shards)) for rank in range(shards)]
    orders = []
    for _ in range(2):
        epochs = [indices(each) for each in loaders]
        assert {len(epoch) for epoch in epochs} == {NUMBER // shards // batch_size}
        seen = [index for epoch in epochs for batch in epoch for index in batch]
        assert len(seen) == len(set(seen))
        orders.append(seen)
    assert orders[0] != orders[1]


@pytest.mark.parametrize("shards", [1, 3])
def test_unshuffled_every_item_comes_once_and_in_order(shards: int) -> None:
    for rank in range(shards):
        each = loader(4, shuffle=False, shard=(rank, shards))
        for _ in range(2):
            assert [index for batch in indices(each) for index in batch] == list(range(rank, NUMBER, shards))


def test_the_index_is_the_item_of_the_dataset_given() -> None:
    part = Subset(Numbered(), [9, 4, 6, 2])
    for images, _, index in loader(2, dataset=part):
        assert (images * 255).mean((1, 2, 3)).round().tolist() == [[9, 4, 6, 2][i] for i in index.tolist()]


@pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)  # Python 3.12 on, of DALI's fork
@pytest.mark.usefixtures("forking")
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("settings", [{"num_threads": 1}, {"parallel": True, "py_num_workers": 1}])
def test_resuming_gives_the_same_bytes(steps: int, settings: dict[str, Any]) -> None:
    def stream(each: Loader) -> Iterator[Any]:
        while True:
            yield from each

    going = loader(4, CutMix(prob=0.5))
    going_on = stream(going)
    for _ in range(steps):
        next(going_on)
    resumed = loader(4, CutMix(prob=0.5), **settings)
    resumed.load_state_dict(going.state_dict())
    for ours, theirs, _ in zip(going_on, stream(resumed), range(6), strict=False):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_vectors_are_taken_as_targets() -> None:
    def multi_hot(n: int) -> np.ndarray:
        return np.array([n % 2, 1 - n % 2, 0.5])

    source = DatasetSource(Numbered(label=multi_hot), batch_size=4, shuffle=False)
    _, labels, index = source(1)
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, np.stack([multi_hot(n) for n in index]))


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter([(pixels(0), 0)])


class Broken(Numbered):
    def __getitem__(self, n: int) -> tuple[Any, Any]:
        if n == 5:
            raise OSError("no such file")
        return super().__getitem__(n)


def test_an_item_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match="item 5 of the dataset cannot be read: OSError: no such file"):
        list(loader(4, dataset=Broken()))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            (torch.zeros(3, 4, 4), 1),
            r"item 0 of the dataset: image must be .* got Tensor torch.float32 \(3, 4, 4\); a tr",
        ),
        ((torch.zeros(3, 4, 4, dtype=torch.uint8), 1), "a transform to tensors has to go"),
        ((np.zeros((4, 4, 3)), 1), r"got ndarray float64 \(4, 4, 3\)"),
        ((np.zeros((4, 4), np.uint8), 1), r"got ndarray uint8 \(4, 4\)"),
        (("a.jpg", 1), "got str"),
        ((pixels(0), "cat"), "label must be an integer or a float vector, got str"),
        ((pixels(0), [0, 1]), "label must be an integer or a float vector, got list of 2"),
        ((pixels(0), 1.5), "label must be an integer or a float vector, got float"),
        ((pixels(0), 1, "a.jpg"), r"item 0 of the dataset: must be \(image, label\), got tuple of 3"),
        (pixels(0), r"must be \(image, label\), got ndarray"),
    ],
)
def test_an_item_of_another_kind_gets_one_clear_line(item: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        DatasetSource([item], batch_size=1)(0)


def test_wrong_settings_are_refused_at_the_door() -> None:
    with pytest.raises(TypeError, match=r"dataset must have len\(\) and dataset\[i\], got Stream"):
        DatasetSource(Stream(), batch_size=1)
    with pytest.raises(ValueError, match="batch_size must be a whole number above 0"):
        DatasetSource(Numbered(), batch_size=0)
    with pytest.raises(ValueError, match=r"shard must be \(rank, number of ranks\)"):
        DatasetSource(Numbered(), batch_size=1, shard=(2, 2))
    with pytest.raises(ValueError, match="0 images cannot be shared by 1 ranks"):
        DatasetSource([], batch_size=1, shuffle=False)
    with pytest.raises(ValueError, match="labels must be of one shape"):
        DatasetSource([(pixels(0), 1), (pixels(1), np.ones(2))], batch_size=2)(0)
    with pytest.raises(TypeError, match="image must be a PIL image"):
        DatasetSource(TensorDataset(torch.zeros(2, 3, 4, 4), torch.zeros(2)), batch_size=2)(0)
