"""A warning where the first batches hold few of the classes: sorted files, in an order that is not of all images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from nvidia.dali import fn, pipeline_def, types
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import mixdali
from mixdali import Loader, MixUp
from tests.helpers.broken import jpeg
from tests.helpers.records import write_samples_as_tar

CLASSES, EACH = 10, 24


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Images sorted by class."""
    folder = tmp_path_factory.mktemp("sorted")
    for n in range(CLASSES * EACH):
        (folder / f"{n:03}.jpg").write_bytes(jpeg(0, (8, 8)))
    return sorted(map(str, folder.iterdir()))


def loader(files: list[str], last_batch: Any = "drop", **order: Any) -> Loader:
    @pipeline_def(batch_size=8, num_threads=1, device_id=None, enable_checkpointing=True, seed=0)
    def pipeline() -> Any:
        labels = [n // EACH for n in range(len(files))]
        encoded, label = fn.readers.file(files=files, labels=labels, pad_last_batch=True, name="reader", **order)
        images = fn.decoders.image(encoded, output_type=types.RGB)
        return MixUp()(images, mixdali.one_hot(label, CLASSES), rng=0)

    return Loader(pipeline(), last_batch=last_batch)


def test_sorted_files_are_warned_of_once(files: list[str]) -> None:
    batches = loader(files)
    with pytest.warns(UserWarning, match=r"the first 8 batches, 64 images, are of 3 of 10 classes, where ") as said:
        list(batches)
    assert ["the pipeline's reader does not shuffle" in str(warning.message) for warning in said] == [True]
    list(batches)


def test_so_are_sorted_tars_in_a_small_buffer_and_not_in_a_large_one(tmp_path: Path) -> None:
    samples = [(jpeg(0, (8, 8)), n // EACH) for n in range(CLASSES * EACH)]
    tar = write_samples_as_tar(tmp_path / "sorted.tar", samples)

    @pipeline_def(batch_size=8, num_threads=1, device_id=None, seed=0)
    def pipeline(fill: int) -> Any:
        encoded, digits = fn.readers.webdataset(
            paths=[str(tar)], ext=["jpg", "cls"], random_shuffle=True, initial_fill=fill, pad_last_batch=True
        )
        return fn.decoders.image(encoded, output_type=types.RGB), mixdali.one_hot(digits[0] - 48, CLASSES)

    with pytest.warns(
        UserWarning, match=r"are of [34] of 10 classes.* shuffles within a buffer of 8 images \(initial_fill\)"
    ):
        list(Loader(pipeline(8)))
    list(Loader(pipeline(CLASSES * EACH)))


def test_nobody_is_warned_of_a_shuffle_of_all_images_or_on_other_ranks_or_in_a_validation(
    files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    list(loader(files, shuffle_after_epoch=True))
    list(loader(files, random_shuffle=True, initial_fill=CLASSES * EACH))  # a buffer that is large enough
    list(loader(files, last_batch="partial"))
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    list(loader(files, num_shards=2, shard_id=1))


LABELS = torch.arange(CLASSES * EACH) // EACH
IMAGES = torch.rand(len(LABELS), 3, 2, 2)


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        return zip(IMAGES, LABELS, strict=True)


def test_so_are_loaders_of_others_that_are_mixed() -> None:
    batches = list(zip(IMAGES.split(8), LABELS.split(8), strict=True))
    data = TensorDataset(IMAGES, LABELS)
    for plain, says in (
        (batches, "the loader that is mixed gives them in this order"),
        (DataLoader(Stream(), batch_size=8), "the data set of the DataLoader gives them in this order"),
        (DataLoader(data, batch_size=8), "the DataLoader does not shuffle"),
    ):
        with pytest.warns(UserWarning, match=f"are of 3 of 10 classes, .*: {says}"):
            list(mixdali.mixed(plain, MixUp(), num_classes=CLASSES))
    list(mixdali.mixed(DataLoader(data, batch_size=8, shuffle=True), MixUp(), num_classes=CLASSES))
    list(mixdali.mixed(batches[::3], MixUp(), num_classes=CLASSES))


def test_one_class_alone_is_told_also_where_nobody_knows_how_many_there_are() -> None:
    batches = [(IMAGES[:8], torch.zeros(8, dtype=torch.int64))] * 8
    with pytest.warns(UserWarning, match="64 images, are of 1 class, where as many"):
        list(mixdali.mixed(batches, MixUp(), num_classes=None))
