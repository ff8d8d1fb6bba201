"""Batches, epochs, lengths and resuming, for pipelines of one's own."""

import gc
import re
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import fn, pipeline_def, types
from PIL import Image

import mixdali
from mixdali import Choose, CutMix, Loader, MixUp, Mosaic, Plan, SmoothMix, one_hot
from mixdali.worlds.graph.world import GraphWorld
from mixdali.worlds.operators import OperatorWorld
from tests.helpers.readers import NAMES, indices, reading, shuffling
from tests.helpers.threads import threads


def test_the_simplest_use(files: list[str]) -> None:
    loader = Loader(reading(files, batch_size=4), NAMES)
    for images, targets, index in loader:
        assert images.shape == (4, 3, 6, 8)
        assert images.dtype == targets.dtype == torch.float32
        assert (images * 255).mean((1, 2, 3)).round().tolist() == index.tolist() == targets.argmax(1).tolist()


@pytest.mark.parametrize("batch_size", range(1, 12))
@pytest.mark.parametrize("shards", [1, 2, 3])
def test_training_drops_the_last_partial_batch_and_shows_no_image_twice(
    files: list[str], batch_size: int, shards: int
) -> None:
    if batch_size > 11 // shards:
        with pytest.raises(ValueError, match=f"do not fill one batch of {batch_size}"):
            len(shuffling(files, batch_size, (0, shards)))
        return
    loaders = [shuffling(files, batch_size, (rank, shards)) for rank in range(shards)]
    for _ in range(3):
        epochs = [indices(loader) for loader in loaders]
        assert {len(epoch) for epoch in epochs} == {len(loader) for loader in loaders} == {11 // shards // batch_size}
        seen = [index for epoch in epochs for batch in epoch for index in batch]
        assert len(seen) == len(set(seen))
        assert {len(batch) for epoch in epochs for batch in epoch} == {batch_size}


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 5, 11, 20])
@pytest.mark.parametrize("shards", [1, 2, 3, 5])
def test_validation_shows_every_image_once(files: list[str], batch_size: int, shards: int) -> None:
    loaders = [
        Loader(
            reading(files, batch_size=batch_size, shard_id=rank, num_shards=shards, stick_to_shard=True),
            NAMES,
            last_batch="partial",
        )
        for rank in range(shards)
    ]
    for _ in range(2):
        epochs = [indices(loader) for loader in loaders]
        assert [len(epoch) for epoch in epochs] == [len(loader) for loader in loaders]
        assert sorted(index for epoch in epochs for batch in epoch for index in batch) == list(range(11))


def test_an_epoch_left_early_is_over(files: list[str]) -> None:
    """Made from a function the next epoch starts at once, from a bare pipeline after the rest was run unseen."""
    for loader in (shuffling(files, 2), Loader(reading(files, batch_size=2), NAMES)):
        first = iter(loader)
        next(first)
        assert loader.epoch == 0
        epoch = indices(loader)
        assert len(epoch) == 5
        assert len({index for batch in epoch for index in batch}) == 10
        assert loader.epoch == 2
        with pytest.raises(RuntimeError, match="left"):
            next(first)
    assert epoch == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def test_a_loader_left_in_mid_epoch_frees_its_pipeline_at_once(files: list[str]) -> None:
    """Without waiting for the garbage collector, which in a forked process would meet the pipeline's threads."""
    gc.disable()
    try:
        loader = Loader(reading(files, batch_size=2), NAMES)
        for _ in loader:
            break
        pipeline = weakref.ref(loader._runs.pipeline)
        del loader
        assert pipeline() is None
    finally:
        gc.enable()


def test_a_loader_that_is_released_has_no_threads_and_goes_on_as_if_nothing_had_been(files: list[str]) -> None:
    before = threads()
    straight, released = shuffling(files, 2), shuffling(files, 2)
    for _ in range(3):
        epoch = [batch.images for batch in straight]
        for images, batch in zip(epoch, released, strict=True):
            assert torch.equal(images, batch.images)
        del batch
        released.release()
        assert released._runs is None
        assert len(released) == 5
        assert threads() > before
    straight.release()
    assert threads() <= before
    released.release()  # twice does no harm
    straight.set_epoch(5)
    released.set_epoch(5)
    assert indices(straight) == indices(released)


def test_an_epoch_is_left_when_its_loader_is_released(files: list[str]) -> None:
    loader, straight = shuffling(files, 2), shuffling(files, 2)
    first = iter(loader)
    next(first)
    loader.release()
    with pytest.raises(RuntimeError, match="left"):
        next(first)
    straight.set_epoch(1)
    assert indices(loader) == indices(straight)
    loader.release()
    assert loader.state_dict()["epoch"] == 2


def test_what_could_not_go_on_is_not_released(files: list[str]) -> None:
    bare = Loader(reading(files, batch_size=2), NAMES)
    next(iter(bare))
    with pytest.raises(RuntimeError, match="cannot be released: make the loader with a function"):
        bare.release()
    loader = shuffling(files, 2)
    next(iter(loader))
    resumed = shuffling(files, 2)
    resumed.load_state_dict(loader.state_dict())
    with pytest.raises(RuntimeError, match="cannot be released before it went on"):
        resumed.release()
    assert len(list(resumed)) == 4


def test_epochs_differ_and_an_iterator_that_ended_stays_ended(files: list[str]) -> None:
    loader = shuffling(files, 5)
    iterator = iter(loader)
    first = indices(iterator)
    assert list(iterator) == []
    assert first != indices(loader)


@pytest.mark.parametrize("steps", [0, 1, 3, 5, 6, 10, 13])
@pytest.mark.parametrize("mixed", [True, False])
def test_resuming_gives_the_same_bytes(files: list[str], steps: int, mixed: bool) -> None:
    """Stopped within an epoch, at its end, and in later epochs; the rest of three epochs is compared."""

    def stream(loader: Loader) -> Iterator[tuple]:
        while True:
            yield from loader

    loader = shuffling(files, 2)
    going_on = stream(loader)
    for _ in range(steps):
        next(going_on)
    state = loader.state_dict()
    resumed = shuffling(files, 2, num_threads=1) if mixed else loader_that_ran_already(files)
    resumed.load_state_dict(state)
    assert resumed.epoch == loader.epoch
    for ours, theirs, _ in zip(going_on, stream(resumed), range(17 - steps), strict=False):
        for name in NAMES:
            assert torch.equal(getattr(ours, name), getattr(theirs, name))


def loader_that_ran_already(files: list[str]) -> Loader:
    loader = shuffling(files, 2)
    next(iter(loader))
    return loader


def test_the_rest_of_a_resumed_epoch_comes_first(files: list[str]) -> None:
    loader = shuffling(files, 2)
    iterator = iter(loader)
    next(iterator), next(iterator)
    state = loader.state_dict()
    resumed = shuffling(files, 2)
    resumed.load_state_dict(state)
    assert len(list(resumed)) == 3
    assert len(list(resumed)) == 5


def test_a_state_can_be_saved_safely(files: list[str], tmp_path: Path) -> None:
    loader = shuffling(files, 2)
    next(iter(loader))
    torch.save(loader.state_dict(), tmp_path / "state.pt")
    shuffling(files, 2).load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))


def test_a_state_of_another_loader_is_refused(files: list[str]) -> None:
    state = shuffling(files, 2).state_dict()
    with pytest.raises(ValueError, match="batch_size is 2, here 3"):
        shuffling(files, 3).load_state_dict(state)
    with pytest.raises(ValueError, match=r"files is '11 values .*', here '8 values"):
        shuffling(files[:8], 2).load_state_dict(state)
    with pytest.raises(ValueError, match="its seed is"):
        shuffling(files, 2, seed_of=4).load_state_dict(state)
    with pytest.raises(ValueError, match="its outputs is"):
        Loader(lambda epoch, checkpoint: reading(files, batch_size=2, checkpoint=checkpoint)).load_state_dict(state)
    with pytest.raises(AttributeError, match="function"):
        Loader(reading(files, batch_size=2), NAMES).load_state_dict(state)


@pytest.mark.parametrize("taken", [0, 2, 5])
def test_a_state_of_another_version_gives_its_place_where_that_is_enough(files: list[str], taken: int) -> None:
    loader = shuffling(files, 2)
    list(loader)
    iterator = iter(loader)
    for _ in range(taken):
        next(iterator)
    state = loader.state_dict() | {"dali": "0.1", "pipeline": torch.zeros(3, dtype=torch.uint8)}
    resumed = shuffling(files, 2)
    with pytest.raises(ValueError, match="the state is of another"):
        resumed.load_state_dict(state)
    resumed.load_state_dict(state, exact=False)
    # After its last batch a loader is in the next epoch.
    assert resumed.epoch == 1 + taken // 5
    rest, whole = indices(resumed), indices(resumed)
    # What is left is of one epoch, and so is what follows.
    assert [len(rest), len(whole)] == [5 - taken % 5, 5]
    for epoch in (rest, whole):
        seen = [index for batch in epoch for index in batch]
        assert len(seen) == len(set(seen)) == 2 * len(epoch)
    with pytest.raises(ValueError, match="batch_size is 2, here 3"):
        shuffling(files, 3).load_state_dict(state, exact=False)


def test_a_loader_that_refuses_a_state_goes_on_as_before(files: list[str]) -> None:
    loader, same = shuffling(files, 2), shuffling(files, 2)
    iterator = iter(loader)
    first = next(iterator).index.tolist()
    with pytest.raises(ValueError, match="batch_size is 3, here 2"):
        loader.load_state_dict(shuffling(files, 3).state_dict())
    assert [first, *indices(iterator)] == indices(same)


def test_a_pipeline_that_gives_too_few_images_is_no_endless_wait() -> None:
    @pipeline_def(num_threads=1, device_id=None, batch_size=4)
    def pipeline():
        return fn.external_source(source=lambda i: np.zeros((3, 2), np.float32), batch=True)

    for last_batch in ("drop", "partial"):
        with pytest.raises(RuntimeError, match="gave 3 images for batch 0 instead of 4"):
            next(iter(Loader(pipeline(), ("zeros",), num_samples=8, last_batch=last_batch)))


def test_what_cannot_be_resumed_is_refused(files: list[str]) -> None:
    @pipeline_def(num_threads=1, device_id=None, batch_size=2, enable_checkpointing=True)
    def from_generator():
        def numbers():
            while True:
                yield np.zeros((2, 3), np.float32)

        return fn.external_source(source=numbers(), batch=True), fn.random.uniform(range=(0.0, 1.0), shape=3)

    loader = Loader(lambda epoch, checkpoint: from_generator(), ("a", "b"), num_samples=4)
    next(iter(loader))
    with pytest.raises(RuntimeError, match="cannot be rewound"):
        loader.state_dict()
    loader = shuffling(files, 2, enable_checkpointing=False)
    next(iter(loader))
    with pytest.raises(RuntimeError, match="enable_checkpointing=True"):
        loader.state_dict()


def test_a_source_that_ends_its_epochs_itself() -> None:
    def batches(iteration: int) -> np.ndarray:
        if iteration == 3:
            raise StopIteration
        return np.arange(4 * iteration, min(4 * iteration + 4, 10), dtype=np.int32)

    @pipeline_def(num_threads=1, device_id=None, batch_size=4)
    def pipeline():
        return fn.external_source(source=batches, batch=True)

    dropping = Loader(pipeline(), ("index",), num_samples=10)
    keeping = Loader(pipeline(), ("index",), num_samples=10, last_batch="partial")
    for _ in range(3):
        assert indices(dropping) == [[0, 1, 2, 3], [4, 5, 6, 7]]
        assert indices(keeping) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    too_many = Loader(pipeline(), ("index",), num_samples=40)
    with pytest.raises(RuntimeError, match="num_samples is 40"):
        list(too_many)


def counting(batches_per_run: int, batch_size: int = 2, **settings) -> Loader:
    """Endless numbers and a draw for each, seven an epoch; an epoch begins with 100 times its number."""

    @pipeline_def(num_threads=1, device_id=None, batch_size=batch_size * batches_per_run)
    def pipeline(first: int):
        def numbers(run: int) -> np.ndarray:
            start = batch_size * batches_per_run * run
            return np.arange(first + start, first + start + batch_size * batches_per_run, dtype=np.int32)

        return fn.external_source(source=numbers, batch=True), fn.random.uniform(range=(0.0, 1.0), seed=1)

    def make(epoch: int, checkpoint: bytes | None):
        return pipeline(100 * epoch, checkpoint=checkpoint, **{"enable_checkpointing": True} | settings)

    return Loader(make, ("index", "draw"), num_samples=7, batches_per_run=batches_per_run, continuous=True)


@pytest.mark.parametrize("batches_per_run", [1, 2, 5])
def test_runs_of_several_batches_go_on_through_the_epochs(batches_per_run: int) -> None:
    loader = counting(batches_per_run)
    assert (len(loader), loader.batch_size) == (3, 2)
    assert indices(loader) == [[0, 1], [2, 3], [4, 5]]
    assert indices(loader) == [[6, 7], [8, 9], [10, 11]]
    for batch in loader:
        assert batch.index.tolist() == [12, 13]
        break
    assert indices(loader) == [[300, 301], [302, 303], [304, 305]]
    without_states = counting(batches_per_run, enable_checkpointing=False)
    assert indices(without_states) == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(RuntimeError, match="enable_checkpointing=True"):
        without_states.state_dict()


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 5, 8, 127, 128, 131, 190])
def test_runs_of_several_batches_are_resumed_to_the_byte(steps: int) -> None:
    def stream(loader: Loader) -> Iterator[tuple]:
        while True:
            yield from loader

    loader, resumed = counting(4), counting(4)
    going_on = stream(loader)
    for _ in range(steps):
        next(going_on)
    state = loader.state_dict()
    for _ in range(2):  # a loader that is told where to go on stands there
        resumed.load_state_dict(state)
        state = resumed.state_dict()
    for ours, theirs, _ in zip(going_on, stream(resumed), range(20), strict=False):
        assert torch.equal(ours.index, theirs.index)
        assert torch.equal(ours.draw, theirs.draw)
    with pytest.raises(ValueError, match="another"):
        counting(2, batch_size=4).load_state_dict(state)


def test_plan_outputs_are_gathered(files: list[str]) -> None:
    @pipeline_def(num_threads=1, device_id=None, batch_size=3, seed=1)
    def pipeline():
        encoded, labels = fn.readers.file(files=files, labels=list(range(len(files))), pad_last_batch=True)
        images = fn.decoders.image(encoded, output_type=types.RGB)
        plan = MixUp().draw(images)
        return *MixUp().apply(images, one_hot(labels, 11), plan), plan.partner, plan.lam

    batch = next(iter(Loader(pipeline(), ("images", "targets", "plan.partner", "plan.lam"))))
    assert batch._fields == ("images", "targets", "plan")
    assert isinstance(batch.plan, Plan)
    torch.testing.assert_close(batch.targets.amax(1), torch.maximum(batch.plan.lam, 1 - batch.plan.lam))


def test_two_mixes_of_one_pipeline_draw_apart(files: list[str]) -> None:
    @pipeline_def(num_threads=1, device_id=None, batch_size=8, seed=1)
    def pipeline():
        encoded, _ = fn.readers.file(files=files)
        images = fn.decoders.image(encoded, output_type=types.RGB)
        return MixUp().draw(images).lam, MixUp().draw(images).lam, MixUp().draw(images, rng=4).lam

    first, second, third = (torch.from_dlpack(out.as_tensor()) for out in pipeline().run())
    assert not torch.isclose(first, second).any()
    assert not torch.isclose(first, third).any()
    again = torch.from_dlpack(pipeline().run()[0].as_tensor())
    assert torch.equal(first, again)


def test_other_outputs_do_not_move_the_draws(files: list[str]) -> None:
    @pipeline_def(num_threads=1, device_id=None, batch_size=8, seed=1)
    def pipeline(extra: bool):
        encoded, labels = fn.readers.file(files=files)
        images = fn.decoders.image(encoded, output_type=types.RGB)
        noise = [fn.random.normal(shape=2)] if extra else []
        return *noise, *CutMix()(images, one_hot(labels, 11))

    without, with_noise = pipeline(False).run(), pipeline(True).run()
    np.testing.assert_array_equal(without[0].as_array(), with_noise[1].as_array())


def test_float_images_stop_with_an_error_rather_than_come_out_black(files: list[str]) -> None:
    @pipeline_def(num_threads=1, device_id=None, batch_size=2)
    def pipeline(layout: str | None):
        images = fn.decoders.image(fn.readers.file(files=files)[0], output_type=types.RGB)
        images = fn.crop_mirror_normalize(images, std=[255.0], output_layout=layout or "HWC")
        return MixUp()(images, fn.constant(fdata=[0.5, 0.5]), layout=layout)

    with pytest.raises(TypeError, match=r'takes uint8 HWC images, got floats.*layout="CHW"'):
        next(iter(Loader(pipeline(None))))
    images, _ = next(iter(Loader(pipeline("CHW"))))
    assert images.shape == (2, 3, 6, 8)
    assert 0 < images.max() <= 1 / 255


def test_the_operators_refuse_float_images_as_the_kernel_does(files: list[str]) -> None:
    @pipeline_def(num_threads=1, device_id=None, batch_size=2)
    def pipeline(mixed: bool):
        images = fn.constant(fdata=[0.5] * 12, shape=[2, 2, 3])
        world = GraphWorld(images)
        if not mixed:
            return OperatorWorld.to_float(world, images)
        return OperatorWorld.blend(world, images, MixUp().draw(images))

    for mixed in (True, False):
        with pytest.raises(TypeError, match="takes uint8 HWC images"):
            next(iter(Loader(pipeline(mixed), ("images",), num_samples=2)))


def test_a_damaged_file_is_named_where_dali_names_it(tmp_path: Path) -> None:
    half = tmp_path / "half.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(half)
    whole = half.read_bytes()

    def reading_half() -> Any:
        @pipeline_def(num_threads=1, device_id=None, batch_size=1)
        def pipeline():
            encoded, labels = fn.readers.file(files=[str(half)])
            return mixdali.to_float(fn.decoders.image(encoded)), one_hot(labels, 2)

        return Loader(pipeline())

    half.write_bytes(whole[: len(whole) // 2])
    cause = rf"^an image cannot be decoded: Failed to decode sample #0 : {re.escape(str(half))}; replace the file"
    with pytest.raises(ValueError, match=cause) as caught:
        next(iter(reading_half()))
    assert "\n" not in str(caught.value)


def test_a_label_outside_its_classes_is_refused(files: list[str]) -> None:
    @pipeline_def(num_threads=1, device_id=None, batch_size=11)
    def pipeline():
        encoded, labels = fn.readers.file(files=files, labels=list(range(len(files))))
        return mixdali.to_float(fn.decoders.image(encoded)), one_hot(labels, 10)

    with pytest.raises(ValueError, match="a label is outside 0 to num_classes - 1"):
        next(iter(Loader(pipeline())))


SCALARS = np.array([0.0, 1.0], np.float32)


@pytest.mark.parametrize(
    ("targets", "compiled"),
    [(np.array([0, 1], np.int32), True), (np.eye(2), True), (SCALARS, True), (SCALARS, False)],
)
def test_targets_that_are_no_targets_are_refused(
    targets: np.ndarray, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr("mixdali.worlds.graph.world.find_spec", lambda name: None)

    @pipeline_def(num_threads=1, device_id=None, batch_size=2)
    def pipeline():
        images = fn.constant(idata=[7] * 12, shape=[2, 2, 3], dtype=types.UINT8)
        return MixUp()(images, fn.external_source(source=lambda i: targets, batch=True))

    with pytest.raises(TypeError, match=r"targets of a mix must be float32 .* mixdali\.one_hot"):
        next(iter(Loader(pipeline(), num_samples=2)))


def test_mistakes_get_one_clear_line(files: list[str]) -> None:
    with pytest.raises(TypeError, match="pipeline must be a DALI Pipeline or a function"):
        Loader(files)
    with pytest.raises(ValueError, match="last_batch must be one of"):
        Loader(reading(files, batch_size=2), last_batch="pad")
    with pytest.raises(ValueError, match="num_samples must be a whole number"):
        Loader(reading(files, batch_size=2), num_samples=0)
    for few in ({"num_samples": None}, {"num_samples": 4, "last_batch": "partial"}):
        with pytest.raises(ValueError, match='batches_per_run=2 needs num_samples and last_batch="drop", got'):
            Loader(reading(files, batch_size=2), batches_per_run=2, **few)
    with pytest.raises(ValueError, match="batch size must be that of batches_per_run=2 equal batches, got 3"):
        len(Loader(reading(files, batch_size=3), num_samples=4, batches_per_run=2))
    with pytest.raises(ValueError, match="batches_per_run must be a whole number"):
        Loader(reading(files, batch_size=2), num_samples=4, batches_per_run=0)
    with pytest.raises(ValueError, match="3 outputs, the loader names images, targets"):
        next(iter(Loader(reading(files, batch_size=2))))
    with pytest.raises(ValueError, match="pad_last_batch=True"):
        len(Loader(reading(files, batch_size=2, pad_last_batch=False), NAMES, last_batch="partial"))
    with pytest.raises(ValueError, match="stick_to_shard=True"):
        len(shard_that_moves(files))

    @pipeline_def(num_threads=1, device_id=None, batch_size=2)
    def labels_for_targets():
        images = fn.constant(idata=[7] * 12, shape=[2, 2, 3], dtype=types.UINT8)
        return mixdali.to_float(images), fn.constant(idata=3)

    with pytest.raises(ValueError, match="num_samples must be given"):
        len(Loader(labels_for_targets()))
    with pytest.raises(ValueError, match=r"use mixdali\.one_hot"):
        next(iter(Loader(labels_for_targets(), num_samples=4)))

    @pipeline_def(num_threads=1, device_id=None, batch_size=2)
    def ragged():
        return fn.external_source(source=lambda i: [np.zeros(1), np.zeros(2)], batch=True)

    with pytest.raises(ValueError, match="'sizes' has samples of different shapes"):
        next(iter(Loader(ragged(), ("sizes",), num_samples=4)))


def shard_that_moves(files: list[str]) -> Loader:
    pipeline = reading(files, batch_size=2, num_shards=2, shard_id=0, stick_to_shard=False)
    return Loader(pipeline, NAMES, last_batch="partial")


def test_a_mix_works_in_a_pipeline_with_conditions() -> None:
    """DALI rewrites the functions of such a pipeline, and everything they call."""

    @pipeline_def(batch_size=4, num_threads=1, device_id=None, enable_conditionals=True)
    def pipeline():
        images = fn.random.uniform(range=(0, 255), shape=[8, 8, 3], dtype=types.UINT8, seed=1)
        images = fn.reshape(images, layout="HWC")
        if fn.random.coin_flip(seed=2):
            images = fn.flip(images)
        mix = Choose([MixUp(), CutMix(prob=0.5), Mosaic(), SmoothMix()])
        return mix(images, mixdali.one_hot(fn.random.uniform(values=[0, 1], dtype=types.INT32, seed=3), 2))

    images, targets = next(iter(mixdali.Loader(pipeline(), num_samples=8)))
    assert images.shape == (4, 3, 8, 8)
    torch.testing.assert_close(targets.sum(1), torch.ones(4))
