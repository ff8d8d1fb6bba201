"""The CIFAR pipeline: what comes out is what went in, cropped, flipped and mixed as it says."""

import itertools
import re
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

import mixdali
from mixdali import Choose, CutMix, MixUp
from pipelines import cifar
from pipelines.outputs import TRAIN, output_names
from pipelines.resident import in_runs, most_per_run
from pipelines.sources.source import Source

BOTH = Choose([MixUp(), CutMix()], prob=0.8)
EVERYTHING = ("images", "targets", "labels", "index", "unmixed", "plan")


@pytest.fixture(scope="module")
def source() -> Source:
    rng = np.random.default_rng(0)
    full = Source(rng.integers(1, 256, (70, 10, 12, 3), dtype=np.uint8), np.arange(70) % 7)
    return full.select(np.arange(5, 70))


def stacked(loader: mixdali.Loader, name: str) -> torch.Tensor:
    return torch.cat([getattr(batch, name) for batch in loader])


def test_without_augmentation_the_images_come_as_they_are(source: Source) -> None:
    loader = cifar.train_loader(source, batch_size=8, num_classes=7, outputs=EVERYTHING[:4], augment=False)
    for images, targets, labels, index in loader:
        rows = index.numpy() - 5
        np.testing.assert_array_equal((images * 255).round().permute(0, 2, 3, 1), source.items[rows])
        np.testing.assert_array_equal(labels, source.labels[rows])
        torch.testing.assert_close(targets, mixdali.one_hot(labels, 7))


def test_every_crop_and_flip_is_as_likely_and_padding_is_black() -> None:
    """One image with a different value in every pixel; each crop is looked up in the padded original."""
    pixels = np.arange(1, 82, dtype=np.uint8).reshape(9, 9)
    source = Source(np.repeat(pixels[None, :, :, None], 3, axis=3).repeat(500, axis=0), np.zeros(500, int))
    images = torch.cat(
        [stacked(cifar.train_loader(source, batch_size=100, num_classes=2, seed=seed), "images") for seed in range(4)]
    )
    padded = np.pad(pixels, 4)
    where = {}
    for flip in (False, True):
        for y, x in np.ndindex(9, 9):
            crop = padded[y : y + 9, x : x + 9]
            where[(crop[:, ::-1] if flip else crop).tobytes()] = (y, x, flip)
    found = [where[image.tobytes()] for image in (images[:, 0].numpy() * 255).round().astype(np.uint8)]
    for values in ([y for y, _, _ in found], [x for _, x, _ in found], [flip for _, _, flip in found]):
        counts = Counter(values)
        assert stats.chisquare(list(counts.values())).pvalue > 1e-3
    assert len(Counter(y for y, _, _ in found)) == len(Counter(x for _, x, _ in found)) == 9
    assert abs(np.corrcoef([(y, x) for y, x, _ in found], rowvar=False)[0, 1]) < 0.1


def test_the_mixed_batch_is_the_unmixed_one_mixed_by_its_plan(source: Source) -> None:
    loader = cifar.train_loader(
        source, batch_size=13, num_classes=7, mix=BOTH, outputs=EVERYTHING, smoothing=0.1, size=(9, 14)
    )
    for batch in loader:
        assert batch.images.shape == (13, 3, 9, 14)
        images, targets = BOTH.apply(batch.unmixed, mixdali.one_hot(batch.labels, 7, smoothing=0.1), batch.plan)
        torch.testing.assert_close(batch.images, images, rtol=0, atol=1e-6)
        torch.testing.assert_close(batch.targets, targets, rtol=0, atol=1e-6)


def test_every_epoch_is_another_order_of_all_images(source: Source) -> None:
    loader = cifar.train_loader(source, batch_size=5, num_classes=7, outputs=("images", "index"))
    epochs = [stacked(loader, "index").tolist() for _ in range(3)]
    assert all(sorted(epoch) == list(range(5, 70)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_ranks_share_an_epoch(source: Source) -> None:
    def epoch(rank: int, ranks: int) -> list[int]:
        loader = cifar.train_loader(
            source, batch_size=4, num_classes=7, outputs=("images", "index"), shard=(rank, ranks)
        )
        return stacked(loader, "index").tolist()

    parts = [epoch(rank, 3) for rank in range(3)]
    assert [len(part) for part in parts] == [20, 20, 20]
    assert len({index for part in parts for index in part}) == 60


def test_ranks_draw_apart(source: Source) -> None:
    lams = [
        stacked(cifar.train_loader(source, batch_size=8, num_classes=7, mix=MixUp(), shard=(r, 2)), "targets").amax(1)
        for r in range(2)
    ]
    assert not torch.isclose(*lams).any()


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 8, 64, 100])
def test_validation_is_every_image_once(source: Source, batch_size: int, ranks: int) -> None:
    seen = []
    for rank in range(ranks):
        loader = cifar.val_loader(
            source, batch_size=batch_size, num_classes=7, outputs=("images", "index"), shard=(rank, ranks)
        )
        first, second = stacked(loader, "index"), stacked(loader, "index")
        assert torch.equal(first, second)
        seen += first.tolist()
    assert sorted(seen) == list(range(5, 70))


@pytest.mark.parametrize("mix", [None, BOTH, CutMix(partner="flip"), MixUp(per="batch", partner="roll")])
@pytest.mark.parametrize("stop", [0, 3, 8, 11, 16, 18, 140])
def test_same_seed_same_bytes_and_resuming_continues_them(source: Source, mix: mixdali.Mix | None, stop: int) -> None:
    def loader(seed: int, num_threads: int) -> mixdali.Loader:
        return cifar.train_loader(
            source,
            batch_size=8,
            num_classes=7,
            mix=mix,
            outputs=("images", "targets", "index"),
            seed=seed,
            num_threads=num_threads,
        )

    def batches(of: mixdali.Loader, number: int) -> list:
        endless = (batch for _ in itertools.count() for batch in of)
        return [next(endless) for _ in range(number)]

    whole = batches(loader(1, 2), stop + 20)
    assert not torch.equal(whole[0].images, batches(loader(2, 1), 1)[0].images)
    stopped = loader(1, 1)
    parts = batches(stopped, stop)
    resumed = loader(1, 1)
    resumed.load_state_dict(stopped.state_dict())
    parts += batches(resumed, 20)
    for ours, theirs in zip(whole, parts, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_many_batches_in_a_run_are_those_of_runs_of_one(source: Source) -> None:
    settings = {"num_classes": 7, "mix": BOTH, "outputs": EVERYTHING}
    several = cifar.train_loader(source, batch_size=8, seed=5, device="cpu", **settings)
    assert several.batches_per_run == 16
    pipeline = cifar.train_pipeline(
        source, batch_size=8, num_threads=1, device_id=None, seed=mixdali.derive_seed(5, "epoch", 0), **settings
    )
    names = output_names(EVERYTHING, TRAIN, BOTH)
    for ours, theirs, _ in zip(several, mixdali.Loader(pipeline, names, num_samples=65), range(20), strict=False):
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.targets, theirs.targets)
        assert all(map(torch.equal, ours.plan.parts().values(), theirs.plan.parts().values()))


def test_large_batches_make_few_a_run(source: Source) -> None:
    assert [most_per_run(256, (32, 32, 3)), most_per_run(512, (224, 224, 3))] == [10, 1]
    for apart in ({"size": 20}, {"color_jitter": 0.4}, {"mix": mixdali.Noisy(MixUp())}):
        assert cifar.train_loader(source, batch_size=8, num_classes=7, **apart).batches_per_run == 1
    with pytest.raises(ValueError, match="batches_per_run must be 1 where no compiled operator makes them, got 2"):
        cifar.train_pipeline(
            source, batch_size=8, num_threads=1, device_id=None, num_classes=7, color_jitter=0.4, batches_per_run=2
        )


def test_the_stock_mixes_put_no_python_in_the_graph(source: Source, tmp_path: Path) -> None:
    def operators(mix: mixdali.Mix | None) -> Counter[str]:
        pipeline = cifar.train_pipeline(source, num_classes=7, mix=mix, batch_size=4, num_threads=1, device_id=None)
        pipeline.build()
        pipeline.save_graph_to_dot_file(str(tmp_path / "graph.dot"))
        names = set(re.findall(r"__\w+_\d+", (tmp_path / "graph.dot").read_text()))
        return Counter(name.strip("_").partition("_")[0] for name in names)

    for mix in (None, BOTH, mixdali.FMix(), mixdali.Noisy(MixUp())):
        found = operators(mix)
        assert found["ExternalSource"]
        assert not any("Python" in name or "Random" in name for name in found)


def test_the_original_cifar10_comes_out_byte_for_byte(shared_data) -> None:
    root = shared_data("cifar10/cifar-10-python.tar.xz")
    from torchvision.datasets import CIFAR10

    reference = CIFAR10(root.parent, train=False)
    loader = cifar.val_loader(root, batch_size=1000, num_classes=10, outputs=("images", "labels", "index"))
    images, labels = (stacked(loader, name) for name in ("images", "labels"))
    np.testing.assert_array_equal((images * 255).round().permute(0, 2, 3, 1).to(torch.uint8), reference.data)
    assert labels.tolist() == reference.targets


def test_mistakes_get_one_clear_line(source: Source) -> None:
    good = {"batch_size": 8, "num_classes": 7}
    for change, message in (
        ({"batch_size": 0}, "batch_size must be a whole number above 0, got 0"),
        ({"batch_size": 66}, "65 images an epoch do not fill one batch of 66"),
        ({"num_classes": 6}, "num_classes must be at least 7"),
        ({"outputs": ("images", "lam")}, "outputs must be among .* got 'lam'"),
        ({"outputs": ("targets",)}, '"images" among them'),
        ({"outputs": ("images", "plan")}, "needs a mix"),
        ({"shard": (2, 2)}, "shard must be"),
        ({"shard": (0, 99)}, "65 images cannot be shared by 99 ranks"),
        ({"device": "tpu"}, "device must be"),
        ({"num_threads": 0}, "num_threads must be a whole number above 0"),
        ({"size": 0}, "size must be a whole number above 0"),
        ({"smoothing": 2.0}, "smoothing must be a number from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            len(cifar.train_loader(source, **good | change))
    with pytest.raises(TypeError, match=r"use pipelines\.imagenet"):
        cifar.train_loader(Source(["a.jpg"], [0]), **good)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="torch sees no CUDA GPU"):
            cifar.train_loader(source, **good, device="gpu")


@pytest.mark.parametrize("asked", [[*range(40)], [7, 8, 30, 31, 31, 2, 3], [*range(15, -1, -1)]])
def test_batches_drawn_in_runs_are_those_drawn_one_by_one(asked: list[int]) -> None:
    calls: list[int] = []
    threads = set()

    def square(i: int) -> int:
        calls.append(i)
        threads.add(threading.get_ident())
        return i * i

    function = in_runs(square, length=16)
    assert [function(i) for i in asked] == [i * i for i in asked]
    if asked == [*range(40)]:
        assert calls[:48] == [*range(48)]
    assert len(threads - {threading.get_ident()}) == 1


def test_an_error_in_a_run_is_raised_where_its_batch_is_asked_for() -> None:
    def reciprocal(i: int) -> float:
        return 1 / (i - 5)

    function = in_runs(reciprocal, length=4)
    assert [function(i) for i in range(4)] == [1 / (i - 5) for i in range(4)]
    with pytest.raises(ZeroDivisionError):
        function(4)
