"""The pipeline for folders of images."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torchvision import transforms

import mixdali
from mixdali import Choose, CutMix, MixUp
from pipelines import imagenet
from pipelines.check.children import undecodable
from pipelines.sources.files import read_folder
from pipelines.sources.source import Source

BOTH = Choose([MixUp(), CutMix()], prob=0.8)
EVERYTHING = ("images", "targets", "labels", "index", "unmixed", "plan")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of smooth JPEGs of all shapes, 25 to train with and 9 to validate with."""
    root = tmp_path_factory.mktemp("folder")
    rng = np.random.default_rng(0)
    for number in range(34):
        coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
        size = tuple(int(side) for side in rng.integers(40, 140, 2))
        path = root / ("train" if number < 25 else "val") / ("ab"[number % 2]) / f"{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse.resize(size, Image.Resampling.BICUBIC).save(path, quality=95)
    return root


def stacked(loader: mixdali.Loader, name: str) -> torch.Tensor:
    return torch.cat([getattr(batch, name) for batch in loader])


def assert_like_pillow(source: Source, size: int, num_classes: int) -> None:
    """The validation images against torchvision's transforms of PIL images."""
    loader = imagenet.val_loader(source, batch_size=7, num_classes=num_classes, size=size, outputs=("images", "index"))
    batches = list(loader)
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(len(source)))
    ours = torch.cat([batch.images for batch in batches])
    theirs = transforms.Compose(
        [transforms.Resize(round(size * 8 / 7)), transforms.CenterCrop(size), transforms.ToTensor()]
    )
    expected = torch.stack([theirs(Image.open(path).convert("RGB")) for path in source.items])
    difference = (ours - expected).abs() * 255
    assert difference.max() < 3
    assert difference.mean((1, 2, 3)).max() < 0.5


@pytest.mark.parametrize("size", [28, 49, 70])
def test_validation_images_are_torchvisions_to_a_grey_level(folder: Path, size: int) -> None:
    assert_like_pillow(read_folder(folder, "val"), size, num_classes=2)


def test_real_validation_images_are_torchvisions_to_a_grey_level(shared_data) -> None:
    root = shared_data("imagenet-mini/imagenet-mini.tar")
    assert_like_pillow(read_folder(root, "val"), 224, num_classes=10)


def test_random_crops_follow_the_law_of_torchvision(tmp_path: Path) -> None:
    """A photograph whose red tells the column and whose green tells the row: crops are read off the colours."""
    ramp = np.zeros((96, 128, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(128) * 2, np.arange(96)[:, None] * 2
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    source = Source([str(tmp_path / "ramp.png")] * 800, np.zeros(800, int))
    images = stacked(imagenet.train_loader(source, batch_size=80, num_classes=2, size=32), "images") * 255 / 2
    left, right = images[:, 0, :, 0].mean(1), images[:, 0, :, -1].mean(1)
    top, bottom = images[:, 1, 0].mean(1), images[:, 1, -1].mean(1)
    flipped = left > right
    assert stats.binomtest(int(flipped.sum()), 800).pvalue > 1e-3
    # the outer columns of the output lie half a pixel of the output inside the crop
    width, height = (right - left).abs() * 32 / 31, (bottom - top) * 32 / 31
    ours = {
        "area": width * height / (96 * 128),
        "ratio": width / height,
        "x": (left + right) / 2,
        "y": (top + bottom) / 2,
    }
    boxes = np.array(
        [
            transforms.RandomResizedCrop.get_params(torch.empty(3, 96, 128), [0.08, 1.0], [3 / 4, 4 / 3])
            for _ in range(4000)
        ]
    )
    y, x, h, w = boxes.T
    theirs = {"area": h * w / (96 * 128), "ratio": w / h, "x": x + w / 2 - 0.5, "y": y + h / 2 - 0.5}
    for name, expected in theirs.items():
        assert stats.ks_2samp(ours[name].numpy(), expected).pvalue > 1e-3, name


def test_the_mixed_batch_is_the_unmixed_one_mixed_by_its_plan(folder: Path) -> None:
    loader = imagenet.train_loader(
        folder, batch_size=5, num_classes=2, mix=BOTH, outputs=EVERYTHING, smoothing=0.1, size=(20, 33)
    )
    assert len(loader) == 5
    for batch in loader:
        assert batch.images.shape == (5, 3, 20, 33)
        images, targets = BOTH.apply(batch.unmixed, mixdali.one_hot(batch.labels, 2, smoothing=0.1), batch.plan)
        torch.testing.assert_close(batch.images, images, rtol=0, atol=1e-6)
        torch.testing.assert_close(batch.targets, targets, rtol=0, atol=1e-6)


def test_labels_and_index_are_the_sources_own(folder: Path) -> None:
    full = read_folder(folder, "train")
    chosen = full.select([3, 20, 7, 11, 5]).relabel([0, 1, 2, 3, 4])
    loader = imagenet.train_loader(chosen, batch_size=1, num_classes=5, size=16, outputs=("images", "labels", "index"))
    pairs = {(int(batch.labels), int(batch.index)) for batch in loader}
    assert pairs == {(0, 3), (1, 20), (2, 7), (3, 11), (4, 5)}


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_share_an_epoch_in_a_new_order_every_time(folder: Path, ranks: int) -> None:
    loaders = [
        imagenet.train_loader(
            folder, batch_size=4, num_classes=2, size=16, outputs=("images", "index"), shard=(rank, ranks)
        )
        for rank in range(ranks)
    ]
    orders = set()
    for _ in range(3):
        epoch = [index for loader in loaders for index in stacked(loader, "index").tolist()]
        assert len(epoch) == len(set(epoch)) == ranks * (25 // ranks // 4 * 4)
        orders.add(tuple(epoch))
    assert len(orders) == 3


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_validation_is_every_image_once(folder: Path, ranks: int) -> None:
    seen = []
    for rank in range(ranks):
        loader = imagenet.val_loader(
            folder, batch_size=2, num_classes=2, size=16, outputs=("images", "index"), shard=(rank, ranks)
        )
        assert torch.equal(stacked(loader, "index"), stacked(loader, "index"))
        seen += stacked(loader, "index").tolist()
    assert sorted(seen) == list(range(9))


@pytest.mark.parametrize("mix", [None, BOTH, MixUp(per="batch", partner="flip")])
@pytest.mark.parametrize("stop", [0, 2, 5, 8])
def test_same_seed_same_bytes_and_resuming_continues_them(folder: Path, mix: mixdali.Mix | None, stop: int) -> None:
    def loader(num_threads: int) -> mixdali.Loader:
        return imagenet.train_loader(
            folder,
            batch_size=5,
            num_classes=2,
            mix=mix,
            outputs=("images", "targets", "index"),
            size=(16, 20),
            num_threads=num_threads,
        )

    def batches(of: mixdali.Loader, number: int) -> list:
        endless = (batch for _ in range(9) for batch in of)
        return [next(endless) for _ in range(number)]

    whole = batches(loader(2), 14)
    stopped = loader(1)
    parts = batches(stopped, stop)
    resumed = loader(2)
    resumed.load_state_dict(stopped.state_dict())
    parts += batches(resumed, 14 - stop)
    for ours, theirs in zip(whole, parts, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_without_augmentation_training_sees_the_validation_crop(folder: Path) -> None:
    source = read_folder(folder, "val")
    train = imagenet.train_loader(
        source, batch_size=9, num_classes=2, size=32, augment=False, outputs=("images", "index")
    )
    batch = next(iter(train))
    expected = next(iter(imagenet.val_loader(source, batch_size=9, num_classes=2, size=32)))
    assert torch.equal(batch.images, expected.images[batch.index.long()])


def test_mistakes_get_one_clear_line(folder: Path) -> None:
    with pytest.raises(ValueError, match="num_classes must be at least 2"):
        imagenet.train_loader(folder, batch_size=4, num_classes=1)
    with pytest.raises(ValueError, match="25 images an epoch do not fill one batch of 26"):
        len(imagenet.train_loader(folder, batch_size=26, num_classes=2))
    with pytest.raises(TypeError, match=r"use pipelines\.cifar"):
        imagenet.val_loader(Source(np.zeros((3, 4, 4, 3), np.uint8), [0, 1, 2]), batch_size=1, num_classes=3)


def test_data_that_are_removed_meanwhile_are_named_in_one_line(folder: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jpg" for number in range(16)]
    for path in paths:
        shutil.copy(folder / "train" / "a" / "000.jpg", path)
    batches = iter(imagenet.val_loader(Source([str(path) for path in paths], [0] * 16), batch_size=2, num_classes=1))
    next(batches)
    for path in paths:
        path.unlink()
    with pytest.raises(OSError, match=r"^the data cannot be read: [^\n]*/\d+\.jpg[^\n]*; is it still there[^\n]*$"):
        list(batches)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow grumbles about what it opens
def test_awkward_images_look_as_in_pillow_or_are_refused(shared_data) -> None:
    """CMYK, grey, palettes, alpha, EXIF, one pixel, 2400x9, wrong endings: what Pillow opens, training sees alike."""
    folder = shared_data("awkward-images/awkward-images.tar")
    with open(folder / "manifest.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    refused = {Path(path).name for path in undecodable([str(folder / row["file"]) for row in rows])}
    pillow_refuses = {row["file"] for row in rows if row["pillow_13_decode"] != "ok"}
    stricter = {"pillow_truncated_app14.jpg", "pillow_jpeg_ff00_header.jpg", "pillow_junk_jpeg_header.jpg"}
    assert pillow_refuses <= refused <= pillow_refuses | stricter
    # Pillow cuts 16 bits off where DALI scales them
    paths = [folder / row["file"] for row in rows if row["file"] not in refused | {"derived_gray16.png"}]
    assert_like_pillow(Source(list(map(str, paths)), [0] * len(paths)), 56, num_classes=2)
