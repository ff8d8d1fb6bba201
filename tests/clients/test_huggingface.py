"""Data sets of Hugging Face's library as sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines import imagenet
from tests.helpers.broken import KINDS, jpeg

pytestmark = pytest.mark.clients
datasets = pytest.importorskip("datasets")

ALL = ("images", "labels", "index", "path")
SAMPLES = [(jpeg(n, (40 + n, 50)), n % 2) for n in range(30)]


def table(samples: list[tuple[bytes, int]], *, names: bool = True) -> Any:
    label = datasets.ClassLabel(names=["cat", "dog"]) if names else datasets.Value("int64")
    features = datasets.Features({"image": datasets.Image(), "label": label, "note": datasets.Value("string")})
    images = [{"bytes": image, "path": None} for image, _ in samples]
    return datasets.Dataset.from_dict(
        {"image": images, "label": [label for _, label in samples], "note": ["x"] * len(samples)}, features=features
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "data"
    splits = {"train": table(SAMPLES[:20]), "validation": table(SAMPLES[20:])}
    datasets.DatasetDict(splits).save_to_disk(str(folder), num_shards={"train": 3, "validation": 1})
    return folder


def loader(source: Any, **more: Any) -> Any:
    settings = {"batch_size": 4, "num_classes": 2, "size": 16, "device": "cpu", "num_threads": 2, "outputs": ALL}
    return imagenet.train_loader(source, **(settings | more))


def test_an_epoch_is_what_the_library_itself_reads_and_resumes_to_the_byte(saved: Path) -> None:
    from pipelines.sources.datasets.known import read_train

    source = read_train(saved)
    plain = datasets.load_from_disk(str(saved))["train"].cast_column("image", datasets.Image(decode=False))
    theirs = [(row["image"]["bytes"], row["label"]) for row in plain]
    assert [(source.spans.read(n), label) for n, label in enumerate(source.labels.tolist())] == theirs == SAMPLES[:20]
    assert source.classes == ("cat", "dog")
    whole, stopped, resumed = (loader(saved) for _ in range(3))
    epochs = [
        [(n.item(), k.item()) for batch in whole for n, k in zip(batch.index, batch.labels, strict=True)]
        for _ in range(2)
    ]
    assert [sorted(epoch) for epoch in epochs] == [[(n, n % 2) for n in range(20)]] * 2
    assert epochs[0] != epochs[1]
    batches = iter(stopped)
    next(batches)
    resumed.load_state_dict(stopped.state_dict())
    for ours, other in zip([*batches, *stopped], [*resumed, *resumed], strict=True):
        assert ours.path == other.path
        assert all(torch.equal(getattr(ours, name), getattr(other, name)) for name in ALL[:3])
    shares = [{n for batch in loader(saved, batch_size=5, shard=(k, 2)) for n in batch.index.tolist()} for k in (0, 1)]
    assert [len(share) for share in shares] == [10, 10]
    assert len(shares[0] | shares[1]) == 20


def test_a_data_set_in_memory_that_was_shuffled_and_bad_images_in_it() -> None:
    from pipelines.sources.records.huggingface import read_dataset

    samples = [*SAMPLES[:18], (KINDS["text"](b""), 0), (b"", 1)]
    mixed = table(samples, names=False).shuffle(seed=0)
    source = read_dataset(mixed, classes=("cat", "dog"))
    order = [row["image"]["bytes"] for row in mixed.cast_column("image", datasets.Image(decode=False))]
    assert [source.spans.read(n) for n in range(20)] == order
    skipping = loader(source, on_error="skip", batch_size=10)
    assert len(list(skipping)) == 2
    assert [order[int(path.rpartition("/")[2])] for path, _ in skipping.skipped] == [
        bad for bad in order if bad in (samples[18][0], b"")
    ]
    with pytest.raises(ValueError, match="no column of labels, only image, note; pass label"):
        read_dataset(mixed.remove_columns("label"))
    with pytest.raises(ValueError, match="several columns of images, image, other; pass image"):
        read_dataset(table(SAMPLES).add_column("other", [None] * 30).cast_column("other", datasets.Image()))
    with pytest.raises(TypeError, match=r"must be a datasets.Dataset, one split of it, got DatasetDict"):
        read_dataset(datasets.DatasetDict(train=mixed))


def test_a_run_of_one_epoch(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tyro")
    from tests.train.data.test_folders_of_files import TINY
    from train.cli.main import main

    assert main([*TINY, "--root", str(saved), "--folder", str(tmp_path), "--name", "run"]) == 0
    said = capsys.readouterr().out
    found = "20 training images in 2 classes (train), 10 to validate on (validation)"
    assert f"arrow tables (Hugging Face) in 2 folders, {found}" in said
