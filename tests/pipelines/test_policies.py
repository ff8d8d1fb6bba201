"""Random operations before the mix, erasing after it, and sizes: what they do, and that they go on exactly."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import fn, pipeline_def
from PIL import Image, ImageFilter
from torchvision import transforms

import mixdali
from mixdali import Choose, CutMix, Cutout, MixUp, RandomErasing
from pipelines import cifar, imagenet
from pipelines.augment import (
    AutoAugment,
    DecoderHints,
    Policy,
    Progressive,
    RandAugment,
    ThreeAugment,
    TrivialAugment,
    operations,
)
from pipelines.sources.source import Source

N = 400
RNG = np.random.default_rng(0)
MEMORY = Source(RNG.integers(0, 256, (30, 16, 16, 3), dtype=np.uint8), np.arange(30) % 3)
POLICIES = [
    RandAugment(magnitude=90, magnitude_std=5, num_magnitude_bins=101, prob=0.5),
    AutoAugment(),
    TrivialAugment(),
    ThreeAugment(),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("files")
    for number in range(30):
        coarse = Image.fromarray(RNG.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        coarse.resize((50 + number, 60), Image.Resampling.BICUBIC).save(folder / f"{number:02}.jpg")
    return Source([str(path) for path in sorted(folder.iterdir())], np.arange(30) % 3)


def shown(policy: Policy, image: np.ndarray, count: int = N, seed: int = 3) -> np.ndarray:
    """Many draws for the same image."""

    @pipeline_def(batch_size=count, num_threads=2, device_id=None, enable_conditionals=True)
    def pipeline():
        images = fn.external_source(source=lambda i: np.tile(image, (count, 1, 1, 1)), batch=True, layout="HWC")
        return policy.graph(images, seed=seed)

    return np.array(pipeline().run()[0].as_array())


def drawn(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Place of the operation, magnitude and sign of the first operation of many images."""
    found: dict[str, Any] = {}

    def keep(images: Any, suite: Any, place: Any, magnitude: Any, bins: int, policy: Policy) -> Any:
        if not found:
            found.update(place=place, sign=magnitude.random_sign, bin=magnitude.bin)
        return images

    monkeypatch.setattr(operations, "_operated", keep)

    @pipeline_def(batch_size=4000, num_threads=2, device_id=None, enable_conditionals=True)
    def pipeline():
        blank = np.zeros((4, 4, 3), np.uint8)
        images = fn.external_source(source=lambda i: [blank] * 4000, batch=True, layout="HWC")
        policy.graph(images, seed=5)
        return tuple(found.values())

    return {name: np.array(output.as_array()).ravel() for name, output in zip(found, pipeline().run(), strict=True)}


@pytest.mark.parametrize("policy", [TrivialAugment(), replace(POLICIES[0], prob=1.0)], ids=repr)
def test_operation_magnitude_and_sign_do_not_tell_each_other(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they do where DALI draws all three from one seed: 0.87 to 0.997."""
    columns = drawn(policy, monkeypatch)
    assert len(set(columns["place"])) == 14
    assert abs(np.corrcoef(list(columns.values())) - np.eye(3)).max() < 0.06


def test_magnitudes_scatter_around_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    bins = drawn(POLICIES[0], monkeypatch)["bin"]
    assert bins.max() == 100
    assert bins[bins < 99].std() == pytest.approx(5, rel=0.15)
    assert np.median(bins) == 90


def test_half_of_the_chance_leaves_a_quarter_of_the_images_alone_and_more() -> None:
    """Two operations, each applied with 1/2, one of them in fourteen the identity: at least a quarter are as they were,
    and a photograph changes under nearly all others."""
    image = RNG.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    same = (shown(POLICIES[0], image, 1000) == image).all((1, 2, 3)).mean()
    assert 0.25 - 0.04 < same < (0.5 + 0.5 * 3 / 14) ** 2 + 0.04


def test_three_augment_is_one_of_its_three() -> None:
    image = RNG.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    grey = np.array(Image.fromarray(image).convert("L"))[..., None].repeat(3, 2).astype(int)
    solarized = np.where(image >= 128, 255 - image, image)
    kinds = np.zeros(3, int)
    for one in shown(ThreeAugment(), image, 300).astype(int):
        is_grey = abs(one - grey).max() <= 2
        is_solarized = (one == solarized).all()
        kinds[0 if is_grey else 1 if is_solarized else 2] += 1
        if not is_grey and not is_solarized:  # a blur is between the image and its strongest blur
            assert one.std() <= image.std()
    assert kinds.min() > 70
    strongest = np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(2)))
    assert strongest.std() < image.std() / 3


@pytest.mark.parametrize("learned_on", ["imagenet", "reduced_imagenet", "cifar10", "svhn"])
def test_every_learned_policy_runs_and_keeps_the_form(learned_on: Any) -> None:
    image = RNG.integers(0, 256, (20, 28, 3), dtype=np.uint8)
    found = shown(AutoAugment(learned_on=learned_on), image, 60)
    assert (found.shape, found.dtype) == ((60, 20, 28, 3), np.uint8)
    assert len(np.unique(found.reshape(60, -1), axis=0)) > 15


def loader(kind: Any, source: Source, **settings: Any) -> Any:
    given = {"batch_size": 5, "num_classes": 3, "mix": Choose([MixUp(), CutMix()]), "seed": 7, **settings}
    return kind.train_loader(source, **{"size": 24} | given)


OUTPUTS = ("images", "targets", "index", "unmixed", "plan")
ONE = RandAugment(num_ops=1, magnitude=90, magnitude_std=5, num_magnitude_bins=101, prob=0.5)
EVERYTHING = {
    "auto_augment": ONE,
    "color_jitter": 0.3,
    "lighting": 0.1,
    "erasing": RandomErasing(value="noise"),
    "interpolation": "bicubic",
}
GROWING = Progressive(sides=((0, 16), (2, 32)), multiple=8)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (imagenet, EVERYTHING),
        (imagenet, {"auto_augment": AutoAugment()}),
        (imagenet, {"auto_augment": TrivialAugment()}),
        (cifar, {"auto_augment": ThreeAugment(), "erasing": Cutout(length=6)}),
        (imagenet, {"size": GROWING}),
        (cifar, {"size": GROWING}),
    ],
    ids=["all", "auto", "trivial", "memory", "growing", "growing-memory"],
)
def test_a_loader_goes_on_to_the_byte_whatever_its_threads(kind: Any, settings: dict[str, Any], files: Source) -> None:
    source = MEMORY if kind is cifar else files
    whole = loader(kind, source, num_threads=2, **settings)
    expected = [*whole, next(iter(whole))]
    first = loader(kind, source, num_threads=1, **settings)
    batches = [batch for _, batch in zip(range(2), first, strict=False)]
    resumed = loader(kind, source, num_threads=2, **settings)
    resumed.load_state_dict(first.state_dict())
    batches += [*resumed, next(iter(resumed))]
    assert len(batches) == len(expected) == 7
    for batch, other in zip(batches, expected, strict=True):
        assert torch.equal(batch.images, other.images)
        assert torch.equal(batch.targets, other.targets)


@pytest.mark.parametrize("kind", [cifar, imagenet], ids=["memory", "files"])
def test_conditions_in_the_graph_leave_partners_and_labels_in_their_places(kind: Any, files: Source) -> None:
    source = MEMORY if kind is cifar else files
    mix = Choose([MixUp(), CutMix()])
    policy = ThreeAugment() if kind is cifar else ONE
    for batch in loader(kind, source, mix=mix, auto_augment=policy, outputs=OUTPUTS):
        labels = torch.from_numpy(np.array(source.labels))[batch.index.long()]
        images, targets = mix.apply(batch.unmixed, mixdali.one_hot(labels, 3), batch.plan)
        torch.testing.assert_close(batch.images, images, rtol=0, atol=1e-6)
        torch.testing.assert_close(batch.targets, targets, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [cifar, imagenet], ids=["memory", "files"])
def test_an_erasing_covers_boxes_of_the_mixed_image_and_nothing_else(kind: Any, files: Source) -> None:
    source = MEMORY if kind is cifar else files
    form = {"mean": 0.5, "std": 0.25}
    covered = 0
    plain = loader(kind, source, outputs=OUTPUTS)
    for batch, whole in zip(
        loader(kind, source, erasing=Cutout(length=8, value=0.0), outputs=OUTPUTS), plain, strict=True
    ):
        assert torch.equal(batch.unmixed, whole.unmixed)
        assert torch.equal(batch.targets, whole.targets)
        changed = (batch.images != whole.images).any(1)
        assert (batch.images.permute(0, 2, 3, 1)[changed] == 0).all()
        assert changed.flatten(1).sum(1).max() <= 64
        covered += int(changed.any((1, 2)).sum())
    assert covered == len(plain) * 5
    erased = next(iter(loader(kind, source, erasing=Cutout(length=8, value=0.5), **form)))
    before = next(iter(loader(kind, source, erasing=Cutout(length=8, value=0.5))))
    torch.testing.assert_close(erased.images, (before.images - 0.5) / 0.25, rtol=0, atol=1e-5)


def test_sizes_follow_the_epochs(files: Source) -> None:
    sizes = Progressive(sides=((1, 16), (3, 32)), multiple=8)
    assert [sizes.at(epoch) for epoch in range(5)] == [16, 16, 24, 32, 32]
    batches = loader(imagenet, files, size=sizes)
    assert [next(iter(batches)).images.shape[-2:] for _ in range(1)] == [(16, 16)]
    for epoch in (2, 4, 0):
        batches.set_epoch(epoch)
        assert next(iter(batches)).images.shape[-2:] == (sizes.at(epoch), sizes.at(epoch))


def test_ffcv_s_sizes_of_88_epochs_are_theirs() -> None:
    sizes = Progressive(sides=((65, 160), (76, 192)))
    theirs = [int(np.round(np.interp(epoch, [65, 76], [160, 192]) / 32)) * 32 for epoch in range(88)]
    assert [sizes.at(epoch) for epoch in range(88)] == theirs


@pytest.mark.parametrize("share", [None, 0.95])
def test_bicubic_validation_images_are_pillow_s_to_a_few_grey_levels(files: Source, share: float | None) -> None:
    settings = {"batch_size": 7, "num_classes": 3, "size": 28, "interpolation": "bicubic", "crop_share": share}
    ours = torch.cat([batch.images for batch in imagenet.val_loader(files, **settings)])
    resized = int(28 / (share or 7 / 8))  # 29, rounded down as timm does
    theirs = transforms.Compose(
        [
            transforms.Resize(resized, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(28),
            transforms.ToTensor(),
        ]
    )
    expected = torch.stack([theirs(Image.open(path).convert("RGB")) for path in files.items])
    difference = (ours - expected).abs() * 255
    assert difference.mean() < 0.6
    assert difference.max() < 8


def test_a_crop_s_area_is_the_one_asked_for(tmp_path: Path) -> None:
    ramp = np.zeros((96, 128, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(128) * 2, np.arange(96)[:, None] * 2
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    source = Source([str(tmp_path / "ramp.png")] * 200, np.zeros(200, int))
    batches = imagenet.train_loader(source, batch_size=50, num_classes=2, size=32, crop_area=(0.5, 0.6))
    images = torch.cat([batch.images for batch in batches]) * 255 / 2
    width = (images[:, 0, :, -1].mean(1) - images[:, 0, :, 0].mean(1)).abs() * 32 / 31
    height = (images[:, 1, -1].mean(1) - images[:, 1, 0].mean(1)).abs() * 32 / 31
    area = width * height / (96 * 128)
    assert area.min() > 0.47
    assert area.max() < 0.63


@pytest.mark.parametrize("ranks", [1, 3])
def test_every_image_of_an_epoch_comes_as_often_as_asked_and_to_different_ranks(ranks: int, files: Source) -> None:
    settings = {"repeats": 3, "batch_size": 10, "outputs": ("images", "index"), "mix": None}
    loaders = [loader(imagenet, files, shard=(rank, ranks), **settings) for rank in range(ranks)]
    epochs = []
    for _ in range(2):
        shares = [torch.cat([batch.index for batch in one]) for one in loaders]
        numbers, counts = torch.cat(shares).unique(return_counts=True)
        assert counts.tolist() == [3] * 10
        if ranks == 3:
            assert torch.equal(shares[0], shares[1])
            assert len(shares[0].unique()) == 10
        epochs.append(tuple(numbers.tolist()))
    assert epochs[0] != epochs[1]


def test_repeats_go_on_to_the_byte_and_differ_from_each_other(files: Source) -> None:
    settings = {"repeats": 3, "outputs": ("images", "index"), "mix": None}
    whole = list(loader(imagenet, files, **settings))
    first = loader(imagenet, files, **settings)
    next(iter(first))
    resumed = loader(imagenet, files, **settings)
    resumed.load_state_dict(first.state_dict())
    for batch, other in zip(resumed, whole[1:], strict=True):
        assert torch.equal(batch.images, other.images)
    assert whole[0].index[0] == whole[0].index[1]
    assert not torch.equal(whole[0].images[0], whole[0].images[1])


def test_batches_made_ahead_and_hints_of_the_decoder_change_no_byte_on_a_cpu(files: Source) -> None:
    hints = DecoderHints(preallocate_width_hint=500, preallocate_height_hint=400, hw_decoder_load=0.9)
    plain, hinted = loader(imagenet, files), loader(imagenet, files, decoder=hints, prefetch=4)
    for batch, other in zip(hinted, plain, strict=True):
        assert torch.equal(batch.images, other.images)


def test_the_decoder_is_told_the_hints_that_are_set(files: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    for name in ("image", "image_random_crop"):
        operator = getattr(fn.decoders, name)
        monkeypatch.setattr(fn.decoders, name, lambda *a, _of=operator, **k: told.append(k) or _of(*a, **k))
    hints = DecoderHints(preallocate_width_hint=500, host_memory_padding=1 << 20)
    settings = {"num_classes": 3, "size": 24, "batch_size": 5, "num_threads": 1, "device_id": None, "decoder": hints}
    for make in (imagenet.train_pipeline, imagenet.val_pipeline):
        make(files, **settings)
        assert (told[-1]["preallocate_width_hint"], told[-1]["host_memory_padding"]) == (500, 1 << 20)
        assert "hw_decoder_load" not in told[-1]


def test_a_loader_goes_on_with_another_number_of_batches_ahead(files: Source) -> None:
    whole = list(loader(imagenet, files))
    first = loader(imagenet, files, prefetch=1)
    next(iter(first))
    resumed = loader(imagenet, files, prefetch=3)
    resumed.load_state_dict(first.state_dict())
    for batch, other in zip(resumed, whole[1:], strict=True):
        assert torch.equal(batch.images, other.images)


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: RandAugment(magnitude=31), "RandAugment: magnitude must be at most 30, got 31"),
    (lambda: RandAugment(prob=1.5), "RandAugment: prob must be a number from 0 to 1"),
    (lambda: TrivialAugment(fill_value=256), "TrivialAugment: fill_value must be at most 255"),
    (lambda: AutoAugment(learned_on="imagenette"), "AutoAugment: learned_on must be one of 'imagenet'"),  # type: ignore[arg-type]
    (lambda: Progressive(sides=((3, 64), (3, 96))), "sides must be .epoch, side. pairs of rising epochs"),
    (lambda: Progressive(sides=((0, 8),)), "at least half of multiple=32"),
    (lambda: loader(cifar, MEMORY, crop_area=(0.3, 1)), "crop_area is of image files"),
    (lambda: cifar.val_loader(MEMORY, batch_size=2, num_classes=3, crop_share=0.9), "crop_share is of image files"),
    (
        lambda: loader(imagenet, MEMORY, decoder=DecoderHints(hw_decoder_load=2)),
        "hw_decoder_load must be a number from",
    ),
    (lambda: loader(cifar, MEMORY, decoder=DecoderHints(hw_decoder_load=0.5)), "decoder is of image files"),
    (lambda: list(loader(cifar, MEMORY, prefetch=0)), "prefetch must be a whole number above 0"),
    (lambda: loader(cifar, MEMORY, repeats=3), "repeats is of image files"),
    (lambda: loader(imagenet, MEMORY, repeats=0), "repeats must be a whole number above 0"),
    (lambda: loader(cifar, MEMORY, interpolation="cubic"), "interpolation must be one of 'bilinear', 'bicubic'"),
    (lambda: loader(cifar, MEMORY, erasing=MixUp()), "erasing must be RandomErasing"),
    (lambda: loader(cifar, MEMORY, auto_augment="ra"), "auto_augment must be one of pipelines.augment"),
    (lambda: loader(imagenet, MEMORY, crop_area=(0, 1)), "crop_area must be a number above 0"),
]


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_what_cannot_be_meant_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_pipeline_of_one_s_own_is_told_what_the_operations_need() -> None:
    with pytest.raises(ValueError, match="enable_conditionals=True"):
        cifar.train_pipeline(
            MEMORY, num_classes=3, auto_augment=RandAugment(), batch_size=5, num_threads=1, device_id=None
        )
