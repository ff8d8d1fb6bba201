"""Loaders joined: how many images of each, in which order, mixed with each other, and resumed."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import mixdali
from mixdali import CutMix, Joined, MixUp
from pipelines import cifar, imagenet
from pipelines.sources.source import Source

K = 4
OUTPUTS = ("images", "targets", "index")
MIX = CutMix()


def painted(number: int, first: int, channel: int, size: int = 8) -> Source:
    """Images in one channel alone, all pixels of a level that is the image's own index."""
    images = np.zeros((number, size, size, 3), np.uint8)
    index = np.arange(number) + first
    images[..., channel] = index[:, None, None]
    return Source(images, np.arange(number) % K, tuple("abcd"), index)


OWN, OTHER = painted(17, 1, channel=0), painted(11, 101, channel=2)


def loader(source: Source, batch_size: int, **settings: Any) -> mixdali.Loader:
    given = {"num_classes": K, "outputs": OUTPUTS, "augment": False, "num_threads": 1, "device": "cpu", **settings}
    return cifar.train_loader(source, batch_size=batch_size, **given)


def joined(own: Any = None, other: Any = None, **settings: Any) -> Joined:
    """5 of 17 and 3 of 11 in a batch: epochs of 3 batches, in which the other loader ends an epoch of its own."""
    return Joined([loader(OWN, 5) if own is None else own, other or loader(OTHER, 3, seed=1)], **settings)


class Batches:
    """A loader of anything."""

    def __init__(self, *batches: Any) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def parts(batch: Any) -> dict[str, Any]:
    """All tensors of a batch by name."""
    fields = batch._asdict()
    plan = fields.pop("plan", None)
    return fields | ({} if plan is None else {f"plan.{name}": value for name, value in plan.parts().items()})


def assert_same(ours: Any, theirs: Any) -> None:
    assert parts(ours).keys() == parts(theirs).keys()
    for name, value in parts(ours).items():
        assert torch.equal(value, parts(theirs)[name]), name


def test_every_batch_has_exactly_so_many_of_each_and_in_order() -> None:
    batches = [batch for _ in range(4) for batch in joined()]
    assert len(batches) == 12
    for batch in batches:
        assert batch._fields == ("images", "targets", "index", "mask")
        assert batch.mask.tolist() == [0] * 5 + [1] * 3
        assert batch.mask.dtype == torch.int64
        assert ((batch.index > 100).long() == batch.mask).all()
        # The image is the one of that index, and its target that of its label.
        channel = 2 * batch.mask
        levels = batch.images[torch.arange(8), channel].mean(dim=(1, 2)) * 255
        torch.testing.assert_close(levels.round().int(), batch.index)
        first = torch.where(batch.mask == 0, 1, 101)
        torch.testing.assert_close(batch.targets, mixdali.one_hot((batch.index - first) % K, K))


def test_an_epoch_is_the_first_loaders_and_the_other_runs_on_through_its_own() -> None:
    both = joined()
    assert len(both) == 3
    epochs = [list(both) for _ in range(6)]
    assert both.epoch == 6
    orders = [torch.cat([batch.index[:5] for batch in epoch]).tolist() for epoch in epochs]
    assert all(len(order) == len(set(order)) == 15 for order in orders)
    assert len({tuple(order) for order in orders}) == 6
    # 3 of 11 in a batch: three batches an epoch of its own, without its last two images.
    others = torch.cat([batch.index[5:] for epoch in epochs for batch in epoch]).reshape(-1, 9).tolist()
    alone = loader(OTHER, 3, seed=1)
    assert others == [torch.cat([batch.index for batch in alone]).tolist() for _ in range(6)]
    assert all(len(set(order)) == 9 for order in others)
    assert len({tuple(order) for order in others}) == 6


def test_the_other_loader_is_not_reset_by_the_end_of_an_epoch() -> None:
    both = joined(other=loader(OTHER, 2, seed=1))
    found = torch.cat([batch.index[5:] for _ in range(4) for batch in both]).tolist()
    alone = loader(OTHER, 2, seed=1)
    assert found == [index for _ in range(3) for batch in alone for index in batch.index.tolist()][: len(found)]


def test_after_an_epoch_that_was_left_the_first_begins_anew_and_the_other_goes_on() -> None:
    both, own = joined(), loader(OWN, 5)
    left = next(iter(both))
    rest = list(both)
    assert both.epoch == 2
    next(iter(own))
    assert [batch.index[:5].tolist() for batch in rest] == [batch.index.tolist() for batch in own]
    others = torch.cat([left.index[5:], *(batch.index[5:] for batch in rest[:2])])
    assert len(set(others.tolist())) == 9


def test_an_iterator_that_was_left_cannot_go_on() -> None:
    both = joined()
    earlier = iter(both)
    next(earlier)
    next(iter(both))
    with pytest.raises(RuntimeError, match="this iterator's epoch was left"):
        next(earlier)


def test_with_a_number_of_batches_the_first_loader_too_runs_on() -> None:
    both = joined(num_batches=2)
    assert len(both) == 2
    epochs = [list(both) for _ in range(6)]
    assert [len(epoch) for epoch in epochs] == [2] * 6
    found = torch.cat([batch.index[:5] for epoch in epochs for batch in epoch]).reshape(4, 15).tolist()
    assert all(len(set(order)) == 15 for order in found)
    assert both.epoch == 6


def test_each_image_has_the_weight_of_its_loader() -> None:
    (batch, *_) = joined(weights=[1, 0.25])
    assert batch.weights.tolist() == [1.0] * 5 + [0.25] * 3
    assert batch.weights.dtype == torch.float32


def test_three_loaders_with_augmentation_and_smoothing_of_their_own() -> None:
    still = loader(OTHER, 3, smoothing=1.0)
    moved = loader(painted(9, 201, channel=1), 2, smoothing=0.1, augment=True)
    for batch in Joined([loader(OWN, 4), still, moved]):
        assert batch.mask.tolist() == [0] * 4 + [1] * 3 + [2] * 2
        assert set(batch.targets[:4].flatten().tolist()) == {0.0, 1.0}
        assert (batch.targets[4:7] == 1 / K).all()
        torch.testing.assert_close(batch.targets[7:].amax(dim=1), torch.full((2,), 0.9 + 0.1 / K))
        assert (batch.images[4:7, 2] > 0).all()
    # A crop shows the black padding sooner or later.
    assert any(bool((batch.images[7:, 1] == 0).any()) for batch in Joined([loader(OWN, 4), still, moved]))


def test_fields_that_not_all_have_are_left_out_and_lists_are_joined() -> None:
    images = torch.zeros(2, 3, 4, 4)
    first = Batches({"images": images, "labels": torch.tensor([1, 2]), "path": ["a", "b"]})
    second = Batches({"path": ["c"], "images": images[:1]})
    (batch,) = Joined([first, second])
    assert batch._fields == ("images", "path", "mask")
    assert batch.path == ["a", "b", "c"]


def test_image_files_and_images_in_memory_are_joined(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("RGB", (20, 24), (0, 40 + number, 0)).save(tmp_path / name / f"{number}.png")
    files = imagenet.train_loader(tmp_path, batch_size=2, num_classes=K, size=8, outputs=OUTPUTS, num_threads=1)
    for batch in Joined([files, loader(OWN, 3)], mix=MixUp()):
        assert batch.images.shape == (5, 3, 8, 8)
        assert batch.targets.shape == (5, K)


# Mixing.


@pytest.mark.parametrize("mix", [MIX, MixUp(), CutMix(per="batch", partner="permutation")])
def test_images_of_all_loaders_are_mixed_with_each_other(mix: mixdali.Mix) -> None:
    both, crossed = joined(mix=mix, with_unmixed=True, with_plan=True), 0
    for batch in [batch for _ in range(8) for batch in both]:
        mask, partner = batch.mask, batch.plan.partner
        crossed += int((mask != mask[partner]).sum())
        # Every pixel is the own image's or the partner's, in the shares of the target.
        own, other = batch.unmixed, batch.unmixed[partner]
        low, high = torch.minimum(own, other), torch.maximum(own, other)
        assert ((batch.images >= low - 1e-6) & (batch.images <= high + 1e-6)).all()
        lam = batch.plan.lam.reshape(-1, 1)
        mean = batch.images.mean(dim=(2, 3))
        torch.testing.assert_close(mean, lam * own.mean((2, 3)) + (1 - lam) * other.mean((2, 3)), atol=1e-6, rtol=0)
        plain = mixdali.one_hot((batch.index - torch.where(mask == 0, 1, 101)) % K, K)
        torch.testing.assert_close(batch.targets, lam * plain + (1 - lam) * plain[partner])
    assert crossed > 24


def test_what_is_mixed_is_the_joined_batch_of_the_same_loaders() -> None:
    plain, both = joined(weights=[1, 2]), joined(weights=[1, 2], mix=MIX, with_unmixed=True, with_plan=True)
    for _ in range(2):
        for before, after in zip(plain, both, strict=True):
            for name in ("index", "mask", "weights"):
                assert torch.equal(getattr(before, name), getattr(after, name))
            assert torch.equal(after.unmixed, before.images)
            images, targets = MIX.apply(before.images, before.targets, after.plan)
            assert torch.equal(after.images, images)
            assert torch.equal(after.targets, targets)


def test_the_draws_follow_from_seed_rank_epoch_and_batch() -> None:
    def lams(**settings: Any) -> list[float]:
        both = joined(mix=MixUp(), with_plan=True, **settings)
        return [lam for _ in range(2) for batch in both for lam in batch.plan.lam.tolist()]

    assert lams() == lams()
    found = lams()
    assert len(set(found)) == 48
    assert found not in (lams(seed=1), lams(rank=1))


def test_a_mix_can_ask_for_classes_and_for_the_epoch() -> None:
    both = joined(mix=MixUp(partner="same_class", start_epoch=1), with_unmixed=True, with_plan=True)
    assert all(torch.equal(batch.images, batch.unmixed) for batch in both)
    for batch in both:
        labels = batch.targets.argmax(dim=1)
        mixed = batch.plan.lam < 1
        assert (labels == labels[batch.plan.partner])[mixed].all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_a_gpu_batches_stay_there_and_are_resumed() -> None:
    def new() -> Joined:
        loaders = [loader(OWN, 5, device="gpu", augment=True), loader(OTHER, 3, seed=1, device="gpu")]
        return Joined(loaders, weights=[1, 2], mix=MIX, with_plan=True, with_unmixed=True)

    both = new()
    seen = [batch for _ in range(2) for batch in both]
    assert all(value.is_cuda for batch in seen for value in parts(batch).values())
    resumed, stopped = new(), new()
    for _ in zip(range(2), stopped, strict=False):
        pass
    resumed.load_state_dict(stopped.state_dict())
    for ours, theirs in zip([batch for _ in range(2) for batch in resumed], seen[2:], strict=False):
        assert_same(ours, theirs)


# Resuming.


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4, 8, 9])
@pytest.mark.parametrize("num_batches", [None, 4])
def test_resuming_gives_the_same_bytes(steps: int, num_batches: int | None) -> None:
    def stream(both: Joined) -> Iterator[Any]:
        while True:
            yield from both

    def new() -> Joined:
        return joined(
            other=loader(OTHER, 2, seed=1, augment=True),
            weights=[1, 3],
            mix=MIX,
            with_unmixed=True,
            with_plan=True,
            num_batches=num_batches,
        )

    both = new()
    going_on = stream(both)
    for _ in range(steps):
        next(going_on)
    state = pickle.loads(pickle.dumps(both.state_dict()))
    resumed = new()
    next(iter(resumed))
    resumed.load_state_dict(state)
    assert resumed.epoch == both.epoch
    for ours, theirs, _ in zip(going_on, stream(resumed), range(9), strict=False):
        assert_same(ours, theirs)


def test_a_state_of_other_loaders_is_refused() -> None:
    state = joined(mix=MIX).state_dict()
    with pytest.raises(ValueError, match="the state is of 2 joined loaders, here are 3"):
        Joined([loader(OWN, 5), loader(OTHER, 3), loader(OTHER, 3)]).load_state_dict(state)
    with pytest.raises(ValueError, match="the state is of no joined loaders, here are 2"):
        joined().load_state_dict(loader(OWN, 5).state_dict())
    for settings in ({"seed": 1}, {"rank": 1}, {"num_batches": 3}):
        with pytest.raises(ValueError, match="of joined loaders with another seed, rank or num_batches"):
            joined(**settings).load_state_dict(state)
    with pytest.raises(ValueError, match="the state is of another loader: its mix is"):
        joined().load_state_dict(state)
    with pytest.raises(ValueError, match="loader 1: the state is of another loader: its batch_size is 3, here 4"):
        joined(other=loader(OTHER, 4), mix=MIX).load_state_dict(state)


def test_a_state_of_another_version_gives_the_places_of_all_loaders() -> None:
    before, resumed = joined(mix=MIX), joined(mix=MIX)
    batches = iter(before)
    next(batches)
    state = before.state_dict()
    for own in state["loaders"]:
        own["dali"] = "0.1"
    with pytest.raises(ValueError, match="loader 0: the state is of another loader: its dali"):
        resumed.load_state_dict(state)
    resumed.load_state_dict(state, exact=False)
    rest = list(resumed)
    assert [len(rest), len(list(resumed))] == [2, 3]
    assert all(batch.mask.tolist() == [0] * 5 + [1] * 3 for batch in rest)


# Mistakes.


def images(number: int = 2, **more: Any) -> dict[str, Any]:
    return {"images": torch.zeros(number, 3, 4, 4), **more}


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (
            [images(), {"images": torch.zeros(2, 3, 8, 8)}],
            r"'images' .* \(N, 3, 4, 4\) .*, loader 1 gives \(N, 3, 8, 8\)",
        ),
        ([images(targets=torch.ones(2, 4)), images(targets=torch.ones(2, 5))], r"\(N, 4\) .* \(N, 5\) float32 on cpu"),
        ([images(), {"images": torch.zeros(2, 3, 4, 4).double()}], r"float32 on cpu, loader 1 gives .* float64 on cpu"),
        ([images(), {"labels": torch.zeros(2)}], "all loaders must give images, they have in common nothing"),
        ([images(mask=torch.ones(2)), images(mask=torch.ones(2))], "must not give 'mask' themselves"),
        ([images(plan=torch.ones(2)), images(plan=torch.ones(2))], "must not give 'plan' themselves"),
    ],
)
def test_batches_that_do_not_fit_together_are_refused(batches: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(Joined([Batches(batch) for batch in batches]))


def test_a_smaller_last_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="loader 1 gave a batch of 1 images where others have 2"):
        list(Joined([Batches(*[images()] * 3), Batches(images(), images(1))]))


def test_a_loader_without_a_full_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="loader 1 gives no batches; its images do not fill one"):
        list(Joined([Batches(images()), Batches()]))
    with pytest.raises(ValueError, match="11 images an epoch do not fill one batch of 12"):
        list(joined(other=loader(OTHER, 12)))


def test_batches_without_names_are_refused() -> None:
    with pytest.raises(TypeError, match="loader 0 must give named tuples or dicts, got a batch that is a list"):
        list(Joined([Batches([torch.zeros(2)]), Batches(images())]))
    with pytest.raises(TypeError, match="'labels' must be a tensor in the batches of all loaders, got int"):
        list(Joined([Batches(images(labels=3)), Batches(images(labels=3))]))


TWO = (Batches(images()), Batches(images()))


@pytest.mark.parametrize(
    ("loaders", "settings", "message"),
    [
        (TWO[:1], {}, "loaders must be two or more, got 1"),
        ((TWO[0], TWO[0]), {}, "got one of them twice"),
        ((TWO[0], iter(TWO[1])), {}, "loader 1 must have a length and be iterable again, got tuple_iterator"),
        ((TWO[0], 3), {}, "loader 1 must have a length"),
        (TWO, {"mix": "cutmix"}, "mix must be a method such as mixdali.CutMix"),
        (TWO, {"with_plan": True}, "with_plan needs a mix, got mix=None"),
        (TWO, {"with_unmixed": True}, "with_unmixed needs a mix"),
        (TWO, {"weights": [1.0]}, "weights must be one for each of the 2 loaders, got 1"),
        (TWO, {"weights": [1.0, -1.0]}, "weights must be numbers from 0 up"),
        (TWO, {"weights": [0, 0]}, "not all of them 0"),
        (TWO, {"weights": [1.0, float("nan")]}, "weights must be numbers from 0 up"),
        (TWO, {"num_batches": 0}, "num_batches must be a whole number above 0"),
        (TWO, {"rank": -1}, "rank must be a whole number from 0 up"),
    ],
)
def test_arguments_that_cannot_be_right_are_refused(loaders: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Joined(loaders, **settings)
