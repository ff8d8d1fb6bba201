"""Streams in training: where further images come from, how many there are in a batch, and what they are labelled."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mixdali import MixUp, derive_seed
from pipelines.sources.source import Source
from tests.helpers.processes import torchrun
from tests.helpers.training import (
    ALONE,
    TINY,
    StopAt,
    assert_same,
    coloured,
    coloured_sources,
    new_training,
    run_steps,
    weights,
    write_cifar,
)
from tests.train.cli.test_cli import error_of
from train.attacks import PGD
from train.cli.overrides import parse_overrides
from train.data.labels.noise import LabelNoise
from train.data.loaders import preview_batches, train_loader
from train.data.sources import Sources, prepare_sources
from train.data.streams import Stream, split_batch
from train.data.streams.samples import generate, write_samples
from train.files import checkpoint
from train.files.plain import to_plain
from train.loop.epochs import fit
from train.machine.distributed import World
from train.machine.run import Run
from train.models.generator import Generator
from train.objectives import CrossEntropy, GenLabel, OutOfDistributionTraining
from train.recipe import Recipe, from_plain

JOINED = ("images", "targets", "index", "mask", "weights")
RUN = Run(num_threads=1)


def levelled(number: int, level: int, num_classes: int = 4, size: int = 16) -> Source:
    """Images of one level each: `level`, and by one more for each image."""
    images = np.repeat(np.arange(number, dtype=np.uint8) + level, size * size * 3).reshape(-1, size, size, 3)
    return Source(images, np.arange(number) % num_classes, tuple("abcd")[:num_classes])


def recipe_with(*streams: Stream, **more: Any) -> Recipe:
    return replace(TINY, **{"mix": None, "batch_size": 16, "augment": False, "streams": streams, **more})


def batches_of(
    recipe: Recipe, sources: Sources | None = None, outputs: Any = JOINED, world: World = ALONE
) -> tuple[Sources, Any]:
    prepared = prepare_sources(recipe, sources or coloured_sources(), None)
    return prepared, train_loader(recipe, RUN, prepared, world, outputs)


def npz(folder: Path, source: Source, name: str = "samples.npz") -> str:
    write_samples(folder / name, source)
    return str(folder / name)


# How many.


@pytest.mark.parametrize(
    ("batch_size", "share", "own"),
    [
        (256, 0.7, 77),
        (15, 0.7, 4),
        (25, 0.7, 8),
        (2, 0.7, 1),
        (10, 0.99, 1),
        (10, 0.01, 9),
        (128, 0.5, 64),
        (64, 24, 40),
    ],
)
def test_training_images_are_as_many_as_in_the_code_of_gowal_et_al(batch_size: int, share: float, own: int) -> None:
    # For a share: min(max(round(batch_size * ratio), 1), batch_size - 1), where ratio is the other part.
    assert split_batch([Stream(share=share)], batch_size) == (own, batch_size - own)


def test_several_streams_leave_the_rest_to_the_training_images() -> None:
    assert split_batch([Stream(share=0.25), Stream(share=3)], 16) == (9, 4, 3)
    assert split_batch([], 16) == (16,)


def test_every_batch_has_its_counts_smoothing_and_weights(tmp_path: Path) -> None:
    root = npz(tmp_path, levelled(40, 200))
    recipe = recipe_with(
        Stream(root=root, share=0.5, smoothing=0.2, weight=0.5, augment=False),
        Stream(root=root, share=2, smoothing=1, weight=2),
    )
    sources, loader = batches_of(recipe)
    batches = [batch for _ in range(3) for batch in loader]
    assert len(batches) == 3 * (64 // 6)
    for batch in batches:
        assert batch.mask.tolist() == [0] * 6 + [1] * 8 + [2] * 2
        assert batch.weights.tolist() == [1.0] * 6 + [0.5] * 8 + [2.0] * 2
        assert set(batch.targets[:6].flatten().tolist()) == {0.0, 1.0}
        torch.testing.assert_close(batch.targets[6:14].amax(dim=1), torch.full((8,), 0.85))
        assert (batch.targets[14:] == 0.25).all()
        # The images of the first stream are whole ones of the file, with their labels.
        levels = (batch.images[6:14].mean(dim=(1, 2, 3)) * 255).round().long() - 200
        assert (batch.targets[6:14].argmax(dim=1) == levels % 4).all()
        assert (batch.index[6:14] == levels + 64).all()
    # The second one is augmented: some of its crops show the black border.
    assert any(bool((batch.images[14:] == 0).any()) for batch in batches)
    assert sources.num_samples == 64 + 40 + 40


def test_no_two_images_of_a_run_have_the_same_index(tmp_path: Path) -> None:
    recipe = recipe_with(Stream(share=4, num_images=30), Stream(share=4), num_images=40)
    sources, _ = batches_of(recipe)
    index = np.concatenate([source.index for source in (sources.train, *sources.streams)])
    assert len(set(index.tolist())) == len(index) == 40 + 30 + 40
    assert sources.num_samples > index.max()
    assert min(source.index.min() for source in sources.streams) == 64


def test_an_epoch_shows_every_training_image_once_or_has_as_many_steps_as_without_streams() -> None:
    for whole, steps in ((True, 64 // 4), (False, 64 // 16)):
        _, loader = batches_of(recipe_with(Stream(share=0.75), whole_epochs=whole))
        assert len(loader) == steps
        found = [torch.cat([batch.index[:4] for batch in loader]).tolist() for _ in range(4)]
        assert [len(order) for order in found] == [4 * steps] * 4
        if whole:
            assert all(sorted(order) == list(range(64)) for order in found)
        else:  # Four such epochs show them all.
            assert sorted(index for order in found for index in order) == list(range(64))


def test_noise_validation_and_subset_are_those_of_the_training_images_alone(tmp_path: Path) -> None:
    other = levelled(40, 100)
    plain = recipe_with(Stream(root=npz(tmp_path, other)))
    changed = replace(plain, noise=LabelNoise(rate=1.0, to="other"), validation=12, num_images=40)
    sources, loader = batches_of(changed)
    assert (len(sources.train), len(sources.held_out), len(sources.streams[0])) == (40, 12, 40)
    np.testing.assert_array_equal(sources.streams[0].labels, other.labels)
    assert (sources.train.labels != sources.train.index % 4).all()
    assert len(loader) == 40 // 8


def test_a_mix_pastes_streams_into_each_other(tmp_path: Path) -> None:
    recipe = recipe_with(Stream(root=npz(tmp_path, levelled(40, 200)), augment=False), mix=MixUp())
    _, loader = batches_of(recipe, outputs=(*JOINED, "unmixed", "plan", "labels"))
    crossed = 0
    for batch in loader:
        images, targets = MixUp().apply(batch.unmixed, torch.eye(4)[batch.labels.long()], batch.plan)
        assert torch.equal(batch.images, images)
        torch.testing.assert_close(batch.targets, targets)
        crossed += int((batch.mask != batch.mask[batch.plan.partner]).sum())
    assert crossed > 20


# From where.


def write_folder(folder: Path, sizes: tuple[tuple[int, int], ...] = ((16, 16),), classes: str = "abcd") -> Path:
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number, (width, height) in enumerate(sizes):
            Image.new("RGB", (width, height), (60 * label, 0, 10 * number)).save(folder / name / f"{number}.png")
    return folder


def streamed(root: str | Path, **more: Any) -> Source:
    (found,) = prepare_sources(recipe_with(Stream(root=str(root), **more)), coloured_sources(), None).streams
    return found


def test_a_folder_of_image_files_is_read_into_memory_at_the_size_of_the_training_images(tmp_path: Path) -> None:
    found = streamed(write_folder(tmp_path / "flat", ((16, 16), (40, 20))))
    assert isinstance(found.items, np.ndarray)
    assert found.items.shape == (8, 16, 16, 3)
    np.testing.assert_array_equal(found.labels, [0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(found.items[:, 3, 5, 0], 60 * found.labels)
    write_folder(tmp_path / "split" / "train")
    write_folder(tmp_path / "split" / "val", ((16, 16),) * 3)
    assert len(streamed(tmp_path / "split")) == 4


def test_cifars_pickles_are_read_and_labels_follow_the_names_of_the_classes(tmp_path: Path) -> None:
    found = streamed(write_cifar(tmp_path / "cifar", 40, 10))
    np.testing.assert_array_equal(found.items, coloured(40).items)
    np.testing.assert_array_equal(found.labels, coloured(40).labels)
    own = levelled(8, 0)
    turned = Source(own.items, 3 - own.labels, tuple("dcba"))
    np.testing.assert_array_equal(streamed(npz(tmp_path, turned)).labels, own.labels)


def test_images_of_no_class_need_no_labels(tmp_path: Path) -> None:
    for name in ("", "deep/er"):
        (tmp_path / "any" / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16)).save(tmp_path / "any" / name / "x.png")
    np.savez(tmp_path / "bare.npz", image=levelled(7, 0).items)
    np.savez(tmp_path / "hundred.npz", image=levelled(5, 0).items, label=np.arange(95, 100))
    strange = write_folder(tmp_path / "strange", classes="xyz")
    for root, count in (("any", 2), ("bare.npz", 7), ("hundred.npz", 5), (strange, 3)):
        found = streamed(tmp_path / root, smoothing=1)
        assert len(found) == count
        assert not found.labels.any()
    with pytest.raises(ValueError, match=r"bare\.npz has no array 'label'"):
        streamed(tmp_path / "bare.npz")
    with pytest.raises(ValueError, match="er holds images but no class folders"):
        streamed(tmp_path / "any" / "deep" / "er")


def test_a_trained_generator_draws_the_images(tmp_path: Path) -> None:
    network = {"size": 16, "num_classes": 4, "width": 2, "latent_size": 3}
    content = {"generator_network": network, "average": Generator(**network).state_dict(), "classes": list("dcba")}
    checkpoint.save(tmp_path / "last.pt", content)
    found = streamed(tmp_path / "last.pt", num_images=12)
    seed = derive_seed(0, "streams", 0)
    images, labels = generate(tmp_path / "last.pt", 12, seed)
    np.testing.assert_array_equal(found.items, images)
    np.testing.assert_array_equal(found.labels, 3 - labels)
    assert len(streamed(tmp_path / "last.pt")) == 64


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "flat")
    (folder / "b" / "0.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"b/0\.png cannot be decoded"):
        streamed(folder)
    (folder / "b" / "0.png").write_bytes(b"")
    for smoothing in (0, 1):
        with pytest.raises(ValueError, match=r"b/0\.png is empty or a broken link"):
            streamed(folder, smoothing=smoothing)
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"none holds no images: no file ends in \.jpg"):
        streamed(tmp_path / "none", smoothing=1)
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(ValueError, match=r"streams\.0: .*x\.txt is neither a folder, nor an \.npz of images, nor"):
        streamed(tmp_path / "x.txt")


def test_a_number_of_images_is_drawn_by_the_seed(tmp_path: Path) -> None:
    root = npz(tmp_path, levelled(40, 100))
    recipe = recipe_with(Stream(root=root, num_images=12))
    first, again, other = (
        prepare_sources(replace(recipe, seed=seed), coloured_sources(), None).streams[0].items for seed in (0, 0, 1)
    )
    assert len(np.unique(first)) == 12
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_images_in_memory_can_be_a_stream_beside_files(tmp_path: Path) -> None:
    sources = Sources(
        "imagenet", *[Source(write_files(tmp_path / name), np.arange(8) % 4, tuple("abcd")) for name in "xy"], 4
    )
    recipe = recipe_with(Stream(root=npz(tmp_path, levelled(40, 200))), data="imagenet", size=(24, 20), batch_size=4)
    _, loader = batches_of(recipe, sources)
    for batch in loader:
        assert batch.images.shape == (4, 3, 24, 20)
        assert batch.mask.tolist() == [0, 0, 1, 1]


def write_files(folder: Path) -> list[str]:
    folder.mkdir()
    for number in range(8):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(folder / f"{number}.png")
    return sorted(map(str, folder.iterdir()))


# Identity, resuming, several processes.


def test_what_a_stream_holds_is_part_of_what_a_run_is(tmp_path: Path) -> None:
    def identity(source: Source) -> dict[str, Any]:
        (tmp_path / "samples.npz").unlink(missing_ok=True)
        recipe = recipe_with(Stream(root=npz(tmp_path, source)))
        return prepare_sources(recipe, coloured_sources(), None).identity()

    images = levelled(40, 100)
    assert identity(images) == identity(images)
    assert identity(images) != identity(images.relabel(3 - images.labels))
    assert identity(images) != identity(levelled(40, 101))
    assert "streams" not in coloured_sources().identity()


EVERYTHING = recipe_with(
    Stream(share=0.5, num_images=44, smoothing=0.1), mix=MixUp(), augment=True, num_epochs=3, whole_epochs=False
)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("stop", [3, 5, 8])
def test_a_stopped_run_ends_with_the_same_weights(stop: int, whole: bool) -> None:
    recipe = replace(EVERYTHING, whole_epochs=whole)
    first, again = run_steps(recipe, 11), run_steps(recipe, 11, stop)
    assert_same(weights(again.state), weights(first.state))


def test_a_run_stopped_by_the_loop_goes_on_from_a_file(tmp_path: Path) -> None:
    saved: list[dict[str, Any]] = []
    stopped = new_training(EVERYTHING)
    stopped.stop = StopAt(stopped.state, 6)
    assert not fit(
        stopped, lambda best: saved.append(stopped.state.to_checkpoint(stopped.train, ALONE)), lambda row: None
    )
    resumed, whole = new_training(EVERYTHING), new_training(EVERYTHING)
    checkpoint.save(tmp_path / "last.pt", saved[-1])
    resumed.state.load_checkpoint(checkpoint.load(tmp_path / "last.pt"), resumed.train, ALONE)
    for training in (resumed, whole):
        assert fit(training, lambda best: None, lambda row: None)
    assert_same(weights(resumed.state), weights(whole.state))


def test_processes_share_each_stream() -> None:
    recipe = recipe_with(Stream(share=0.5, num_images=40))
    seen = []
    for rank in range(2):
        _, loader = batches_of(recipe, world=World(torch.device("cpu"), rank, 2))
        batches = list(loader)
        assert len(batches) == 8
        assert all(batch.mask.tolist() == [0] * 4 + [1] * 4 for batch in batches)
        seen.append(
            [set(torch.cat([batch.index[part] for batch in batches[:5]]).tolist()) for part in (slice(4), slice(4, 8))]
        )
    for first, second in zip(*seen, strict=True):
        assert len(first) == len(second) == 20
        assert not first & second


def test_processes_mix_by_draws_of_their_own() -> None:
    recipe = recipe_with(Stream(num_images=40), mix=MixUp())
    lams = []
    for rank in range(2):
        _, loader = batches_of(recipe, outputs=(*JOINED, "plan"), world=World(torch.device("cpu"), rank, 2))
        lams.append([lam for batch in loader for lam in batch.plan.lam.tolist()])
    assert not set(lams[0]) & set(lams[1])


def test_counts_that_do_not_divide_are_refused() -> None:
    for share, parts in ((3, "13 [+] 3"), (5, "11 [+] 5")):
        with pytest.raises(ValueError, match=f"batch_size 16 is {parts}, which do not divide among 2 processes"):
            batches_of(recipe_with(Stream(share=share)), world=World(torch.device("cpu"), 0, 2))


def test_the_command_trains_with_a_stream_in_two_processes(tmp_path: Path) -> None:
    data = write_cifar(tmp_path / "data", 80, 23)
    words = ["-m", "train", "demo", "--root", str(data), "--folder", str(tmp_path), "--model", "preact_resnet8_w4"]
    words += ["--device", "cpu", "--num_threads", "1", "--num_epochs", "2", "--batch_size", "16"]
    done = torchrun(*words, "--streams.0.root", npz(tmp_path, levelled(40, 100)), "--streams.0.share", "0.25")
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"4 images of a batch of 16 from {tmp_path}/samples.npz, 40 images" in done.stdout.replace("\n", "")
    rows = [json.loads(line) for line in (tmp_path / "demo" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "step" in row] == [80 // 12, 2 * (80 // 12)]
    assert (tmp_path / "demo" / "mixed.png").exists()


def test_the_picture_shows_images_of_all_streams() -> None:
    recipe = recipe_with(Stream(share=0.5), Stream(share=4, smoothing=1), mix=MixUp())
    sources, _ = batches_of(recipe)
    for batch in preview_batches(recipe, RUN, sources, ALONE):
        assert batch.mask.tolist() == [0] * 2 + [1] * 4 + [2] * 2
        assert (batch.labels[:6] < 4).all()
        assert (batch.labels[6:] == 4).all()


# The command line, and mistakes.


def test_streams_can_be_set_and_added_on_the_command_line() -> None:
    flags = ["--streams.0.root", "x", "--streams.1.share", "3", "--streams.1.smoothing=1", "--no-whole_epochs"]
    found, _ = parse_overrides("tiny", "", recipe_with(), flags)
    assert found.streams == (Stream(root="x"), Stream(share=3, smoothing=1))
    assert not found.whole_epochs
    found, _ = parse_overrides("tiny", "", recipe_with(Stream(share=0.9)), ["--streams.1.share", "1"])
    assert found.streams == (Stream(share=0.9), Stream(share=1))
    assert from_plain(json.loads(json.dumps(to_plain(found)))) == found


def test_help_shows_the_fields_of_streams(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_overrides("tiny", "", recipe_with(Stream()), ["--help"])
    assert "--streams.0.smoothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--streams.0.root", "no-such"], "streams.0: there is no no-such; pass --streams.0.root"),
        (["--streams.0.share", "1.5"], "share must be a share of the batch below 1 or a number of images, got 1.5"),
        (["--streams.0.share", "0"], "share must be a share of the batch"),
        (["--streams.0.share", "64"], "streams take 64 images of a batch of 64, which leaves none"),
        (["--streams.0.smoothing", "1.1"], r"smoothing must be in \[0, 1\]"),
        (["--streams.0.weight", "-1"], "weight must not be negative"),
        (["--streams.0.num_images", "0"], "num_images must be above 0"),
        (["--streams.0.weight", "2"], "streams.0.weight is 2, but CrossEntropy does not weigh images"),
        (["--streams.0.num_images", "7"], "streams.0 holds 7 images, a batch takes 32 of it"),
        (["--streams.1.share", "2"], "--streams.1.share is no field of the recipe or the run; nearest: streams.0.root"),
        (["--streams.0.shape", "2"], "--streams.0.shape is no field .* nearest: streams.0.share"),
        (["--streams.0.share", "20", "--num_images", "40"], "40 images an epoch do not fill one batch of 44"),
        (
            ["--streams.0.share", "32", "--num_images", "40", "--no-whole_epochs"],
            "40 training images do not fill a batch of 64",
        ),
    ],
)
def test_wrong_settings_are_one_clear_line(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    start = ["demo", "--folder", str(tmp_path), "--device", "cpu", "--num_threads", "1", "--batch_size", "64"]
    assert re.search(message, error_of(capsys, *start, *flags))


def test_a_stream_with_other_classes_or_too_few_images_is_refused(tmp_path: Path) -> None:
    other = levelled(8, 0)
    with pytest.raises(ValueError, match=r"strange\.npz has the class 'x'"):
        streamed(npz(tmp_path, Source(other.items, other.labels, ("a", "b", "c", "x")), "strange.npz"))
    with pytest.raises(ValueError, match="label 4, outside 0 to 3"):
        streamed(npz(tmp_path, Source(other.items, other.labels + 1), "unnamed.npz"))
    with pytest.raises(ValueError, match=r"few\.npz holds 8 images, --streams\.0\.num_images asks for 9"):
        streamed(npz(tmp_path, other, "few.npz"), num_images=9)


def test_an_objective_and_streams_that_do_not_go_together_are_refused() -> None:
    needing = OutOfDistributionTraining(attack=PGD(eps=0.1, step_size=0.1))
    with pytest.raises(
        ValueError, match=r"OutOfDistributionTraining needs a stream of further images; pass --streams\.0"
    ):
        new_training(recipe_with(objective=needing))
    with pytest.raises(
        ValueError, match=r"streams\.0 has images of no class, but GenLabel reads the labels of all images"
    ):
        new_training(recipe_with(Stream(smoothing=1), objective=GenLabel()))
    assert new_training(recipe_with(Stream(smoothing=1), objective=CrossEntropy()))
