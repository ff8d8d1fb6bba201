"""Mixing for any iterable of torch batches."""

import copy
import dataclasses
import pickle
from collections import OrderedDict, namedtuple
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import mixdali
from mixdali import MixUp
from tests.helpers.batches import MIX, K, data_loader, dataset, equal, painted, same, whole


@dataclasses.dataclass
class Fields:
    images: Tensor
    targets: Tensor
    index: Tensor


Named = namedtuple("Named", ("images", "targets", "index"))

FORMS = {
    "tuple": (tuple, {}),
    "list": (list, {}),
    "named tuple": (lambda entries: Named(*entries), {}),
    "named tuple by name": (lambda entries: Named(*entries), {"images": "images", "targets": "targets"}),
    "dict": (lambda entries: dict(zip("xyz", entries, strict=True)), {"images": "x", "targets": "y"}),
    "ordered dict": (lambda entries: OrderedDict(zip("xyz", entries, strict=True)), {"images": "x", "targets": "y"}),
    "dataclass": (lambda entries: Fields(*entries), {"images": "images", "targets": "targets"}),
    "other order": (lambda entries: (entries[2], entries[1], entries[0]), {"images": 2, "targets": 1}),
}


def entries(batch: Any) -> list[Any]:
    if dataclasses.is_dataclass(batch):
        return [getattr(batch, field.name) for field in dataclasses.fields(batch)]
    return list(batch.values()) if isinstance(batch, dict) else list(batch)


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_keeps_its_form_and_its_further_entries(form: str) -> None:
    make, names = FORMS[form]
    batch = make(painted())
    before = [entry.clone() for entry in entries(batch)]
    (mixed,) = mixdali.mixed([batch], MIX, num_classes=K, **names)
    assert type(mixed) is type(batch)
    assert all(torch.equal(a, b) for a, b in zip(entries(batch), before, strict=True))
    assert getattr(mixed, "_fields", None) == getattr(batch, "_fields", None)
    if isinstance(batch, dict):
        assert list(mixed) == list(batch)
    changed = [a is not b for a, b in zip(entries(batch), entries(mixed), strict=True)]
    assert changed == ([False, True, True] if form == "other order" else [True, True, False])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 11, 20])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_targets_follow_the_pixels_also_in_the_last_batch(batch_size: int, dtype: torch.dtype) -> None:
    loader = DataLoader(TensorDataset(*painted(dtype=dtype)), batch_size=batch_size)
    mixed = mixdali.mixed(loader, MIX, num_classes=K)
    assert len(mixed) == len(loader) == len(list(mixed))
    for images, targets, _ in mixed:
        assert images.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
        assert targets.dtype == torch.float32
        torch.testing.assert_close(images.mean((2, 3)).float(), targets, atol=1e-6, rtol=0)
        torch.testing.assert_close(targets.sum(1), torch.ones(len(targets)))


def test_lam_is_the_weight_of_the_image_whose_index_stays_in_place() -> None:
    originals, _, _ = painted()
    loader = mixdali.mixed(data_loader(shuffle=True), MixUp(), num_classes=K, with_plan=True)
    for (images, _, index), plan in loader:
        lam = plan.lam.reshape(-1, 1, 1, 1)
        partner = index[plan.partner]
        torch.testing.assert_close(images, lam * originals[index] + (1 - lam) * originals[partner])
        assert not (partner == index).any()


def test_labels_left_alone_come_with_the_plan_and_mean_the_same() -> None:
    full = list(mixdali.mixed(data_loader(), MIX, num_classes=K))
    compact = list(mixdali.mixed(data_loader(), MIX, num_classes=None))
    for (images, targets, _), ((same_images, labels, _), plan) in zip(full, compact, strict=True):
        assert torch.equal(images, same_images)
        assert labels.dtype == torch.int64
        lam, hot = plan.lam.unsqueeze(1), F.one_hot(labels, K)
        torch.testing.assert_close(lam * hot + (1 - lam) * hot[plan.partner], targets)


@pytest.mark.usefixtures("forking")
def test_the_draws_are_the_seeds_and_nothing_elses() -> None:
    """Neither workers nor the global generator matter; seed, rank, epoch and batch do."""

    def batches(seed: int = 0, rank: int = 0, **settings: Any) -> list[list]:
        loader = mixdali.mixed(data_loader(batch_size=3, **settings), MIX, num_classes=K, seed=seed, rank=rank)
        return [list(loader), list(loader)]

    torch.manual_seed(0)
    first, second = batches()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert same(
        list(mixdali.mixed([painted()], MIX, num_classes=K)), list(mixdali.mixed([painted()], MIX, num_classes=K))
    )
    assert torch.equal(torch.get_rng_state(), before)
    again = batches(num_workers=2, multiprocessing_context="fork")
    assert same(first, again[0])
    assert same(second, again[1])
    assert not any(equal(a, b) for a, b in zip(first, second, strict=True))
    for others in (batches(seed=1)[0], batches(rank=1)[0]):
        assert not any(equal(a, b) for a, b in zip(first, others, strict=True))
    repeated = list(mixdali.mixed([painted()] * 4, MIX, num_classes=K))
    assert not any(torch.equal(repeated[0][0], other[0]) for other in repeated[1:])


def test_soft_and_multi_hot_targets_are_taken_as_they_are() -> None:
    images, labels, _ = painted()
    soft = 0.7 * F.one_hot(labels, K) + 0.06
    many = torch.cat([F.one_hot(labels, K), torch.ones(len(labels), 1)], 1).double()
    for targets in (soft, many):
        width = targets.shape[1]
        (((_, mixed), plan),) = mixdali.mixed([(images, targets)], MIX, num_classes=width, with_plan=True)
        assert mixed.dtype == targets.dtype
        lam = plan.lam.to(targets.dtype).unsqueeze(1)
        torch.testing.assert_close(mixed, lam * targets + (1 - lam) * targets[plan.partner])
    smoothed = next(iter(mixdali.mixed([(images, labels)], MIX, num_classes=K, smoothing=0.1)))[1]
    torch.testing.assert_close(smoothed.min(1).values, torch.full((len(labels),), 0.1 / K))


def test_mixing_normalised_images_is_normalising_mixed_ones() -> None:
    images, labels, _ = painted()

    def normalised(pixels: Tensor) -> Tensor:
        return (pixels - 0.4) / 0.2

    (ours,) = mixdali.mixed([(normalised(images), labels)], MIX, num_classes=K)
    (theirs,) = mixdali.mixed([(images, labels)], MIX, num_classes=K)
    torch.testing.assert_close(ours[0], normalised(theirs[0]), atol=1e-5, rtol=0)
    assert torch.equal(ours[1], theirs[1])


def test_the_epoch_is_told_to_the_sampler_and_repeats_its_draws() -> None:
    sampler = DistributedSampler(dataset(), num_replicas=1, rank=0)
    loader = mixdali.mixed(data_loader(sampler=sampler), MIX, num_classes=K)
    epochs = [list(loader)]
    for epoch in (1, 0):
        loader.set_epoch(epoch)
        assert sampler.epoch == loader.epoch == epoch
        epochs.append(list(loader))
    assert same(epochs[0], epochs[2])
    orders = [torch.cat([batch[2] for batch in epoch]) for epoch in epochs]
    assert not torch.equal(orders[0], orders[1])


def test_an_epoch_left_early_is_over() -> None:
    loader, whole = (mixdali.mixed(data_loader(), MIX, num_classes=K) for _ in range(2))
    next(iter(loader))
    assert loader.epoch == 0
    list(whole)
    assert same(list(loader), list(whole))
    assert loader.epoch == whole.epoch == 2


def test_two_passes_at_once_do_not_disturb_each_other() -> None:
    loader = whole()
    first, second = iter(loader), iter(loader)
    assert same(list(first), list(second))
    assert loader.epoch == 1


def test_what_the_loader_has_is_still_there() -> None:
    wrapped = data_loader()
    loader = mixdali.mixed(wrapped, MIX, num_classes=K)
    assert loader.dataset is wrapped.dataset
    assert loader.batch_size == 4
    assert list(loader.sampler) == list(wrapped.sampler)
    assert not hasattr(loader, "no_such_thing")
    assert same(list(copy.deepcopy(loader)), list(loader))
    assert same(list(pickle.loads(pickle.dumps(mixdali.mixed(wrapped, MIX, num_classes=K)))), list(copy.copy(whole())))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_batch_stays_on_its_device() -> None:
    images, labels, index = (entry.cuda() for entry in painted())
    (on_gpu,) = mixdali.mixed([(images, labels, index)], MIX, num_classes=K)
    assert all(entry.is_cuda for entry in on_gpu)
    (on_cpu,) = mixdali.mixed([painted()], MIX, num_classes=K)
    for ours, theirs in zip(on_gpu, on_cpu, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, atol=1e-6, rtol=0)


IMAGES, LABELS, INDEX = painted()


@pytest.mark.parametrize(
    ("batch", "settings", "error", "message"),
    [
        ({"image": IMAGES, "label": LABELS}, {}, ValueError, "images=0 is no key of a batch; it has 'image', 'label'"),
        ((IMAGES, LABELS), {"targets": 2}, ValueError, "targets=2 is no place of a batch of 2 entries"),
        ((IMAGES, LABELS), {"images": "x"}, ValueError, "images='x' is no field of a batch, which is a tuple"),
        (Fields(IMAGES, LABELS, INDEX), {}, TypeError, "got Fields; dicts and dataclasses need names"),
        (IMAGES, {}, TypeError, "a batch must be a tuple, a list, a dict or a dataclass, got Tensor"),
        ((IMAGES, [1, 2]), {}, TypeError, "entry 1 of a batch, its targets, must be a torch tensor, got list"),
        ((IMAGES, LABELS[:5]), {}, ValueError, r"11 images, but targets of the shape \(5,\)"),
        ((IMAGES, LABELS), {"num_classes": 3}, ValueError, "labels must be from 0 to num_classes - 1 = 2"),
        ((IMAGES, LABELS.reshape(-1, 1)), {}, TypeError, r"labels must be integers \(N,\)"),
        ((IMAGES, LABELS.float()), {}, ValueError, r"float targets must be .* = \(11, 5\), got \(11,\)"),
        ((IMAGES, torch.ones(11, 5)), {"smoothing": 0.1}, ValueError, "smooth them before"),
        ((IMAGES[0], LABELS[:5]), {}, TypeError, r"float tensor \(N, C, H, W\)"),
        ((torch.zeros(11, 7, 9, 3, dtype=torch.uint8), LABELS), {}, ValueError, r"permute\(0, 3, 1, 2\)"),
    ],
)
def test_a_wrong_batch_gets_one_clear_line(batch: Any, settings: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        list(mixdali.mixed([batch], MIX, **({"num_classes": K} | settings)))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"mix": "mixup"}, TypeError, "mix must be a method such as"),
        ({"num_classes": 0}, ValueError, "num_classes must be a whole number above 0"),
        ({"num_classes": None, "smoothing": 0.1}, ValueError, "smoothing needs num_classes"),
        ({"smoothing": 2.0}, ValueError, "smoothing must be a number from 0 to 1"),
        ({"seed": "a"}, TypeError, "seed must be an int"),
        ({"rank": -1}, ValueError, "rank must be a whole number from 0 up"),
        ({"images": 1}, ValueError, "two entries of a batch, got 1 for both"),
        ({"loader": iter([])}, TypeError, "that can be gone through again, got list_iterator"),
        ({"loader": 3}, TypeError, "that can be gone through again, got int"),
    ],
)
def test_wrong_settings_are_refused_at_the_door(settings: dict, error: type, message: str) -> None:
    arguments = {"loader": [], "mix": MIX, "num_classes": K} | settings
    with pytest.raises(error, match=message):
        mixdali.mixed(arguments.pop("loader"), arguments.pop("mix"), **arguments)
    with pytest.raises(ValueError, match="epoch must be a whole number from 0 up"):
        whole().set_epoch(-1)
