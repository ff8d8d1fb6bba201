"""The generator: it resumes exactly, draws what its seed and labels say, and learns to tell its classes apart."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

from tests.helpers.training import TINY, assert_same, coloured, write_cifar
from train.data.sources import STATISTICS
from train.data.streams.samples import draw_images, write_samples
from train.files import checkpoint
from train.files.checkpoint import save
from train.files.plain import to_plain
from train.generator import draw, generate, generated_source, read_samples, run
from train.generator.augment import augment
from train.generator.run import train_generator
from train.generator.settings import Settings
from train.generator.training import Images, State, _steepness, new_state, train_step
from train.machine.run import Place

SMALL = Settings(num_steps=6, batch_size=8, width=2, latent_size=4, precision="float32")
CPU = torch.device("cpu")


def coloured_images(count: int = 40) -> Images:
    source = coloured(count)
    assert isinstance(source.items, np.ndarray)
    pixels = torch.from_numpy(source.items).permute(0, 3, 1, 2).contiguous()
    return Images(pixels, torch.from_numpy(source.labels.astype(np.int64)))


def state_after(settings: Settings, steps: int, images: Images) -> State:
    state = new_state(settings, 16, 4, CPU)
    for _ in range(steps):
        train_step(settings, state, images)
    return state


def flat(state: State) -> dict[str, Tensor]:
    nets = {"generator": state.generator, "average": state.average.module, "discriminator": state.discriminator}
    return {f"{name}.{key}": value for name, net in nets.items() for key, value in net.state_dict().items()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_cifar(tmp_path_factory.mktemp("generator") / "data", 40, 10))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: str) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    assert train_quietly(SMALL, Place(root=data, folder=str(folder), device="cpu")) == 0
    return folder / "generator" / "last.pt"


def train_quietly(settings: Settings, place: Place) -> int:
    with open(os.devnull, "w") as nowhere:
        return train_generator(settings, place, Console(file=nowhere))


@pytest.mark.parametrize("changes", [{}, {"mixup": 0.2, "flip": True}, {"augment": False}], ids=str)
def test_a_training_that_was_stopped_ends_with_the_same_weights(changes: dict[str, Any], tmp_path: Path) -> None:
    settings, images = replace(SMALL, **changes), coloured_images()
    whole = state_after(settings, 6, images)
    save(tmp_path / "last.pt", state_after(settings, 2, images).to_checkpoint())
    resumed = new_state(settings, 16, 4, CPU)
    resumed.load_checkpoint(checkpoint.load(tmp_path / "last.pt"))
    for _ in range(4):
        train_step(settings, resumed, images)
    assert_same(flat(resumed), flat(whole))


def test_the_seed_decides_and_torch_s_own_generator_is_left_alone() -> None:
    images, before = coloured_images(), torch.get_rng_state()
    first, again = (flat(state_after(SMALL, 2, images)) for _ in range(2))
    other = flat(state_after(replace(SMALL, seed=1), 2, images))
    assert_same(first, again)
    assert not torch.equal(first["generator.first.weight"], other["generator.first.weight"])
    assert torch.equal(torch.get_rng_state(), before)


def test_an_epoch_shows_every_image_once_and_the_next_one_in_another_order() -> None:
    images = coloured_images()
    numbered = Images(torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1).expand(40, 3, 8, 8), images.labels)
    epochs = []
    for epoch in range(2):
        batches = [numbered.batch(SMALL, 5 * epoch + step) for step in range(5)]
        epochs.append([round(float(level)) for shown, _ in batches for level in (shown[:, 0, 0, 0] + 1) * 127.5])
        for shown, labels in batches:
            assert torch.equal(labels, images.labels[((shown[:, 0, 0, 0] + 1) * 127.5).round().long()])
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(40))
    assert epochs[0] != epochs[1]


def test_the_command_goes_on_where_a_signal_stopped_it(
    tmp_path: Path, data: str, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(root=data, folder=str(tmp_path), device="cpu")

    def interrupted(settings: Settings, state: State, images: Images) -> dict[str, Tensor]:
        if state.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return train_step(settings, state, images)

    with monkeypatch.context() as patch:
        patch.setattr(run, "train_step", interrupted)
        assert train_quietly(SMALL, place) == 128 + signal.SIGTERM
    assert checkpoint.load(tmp_path / "generator" / "last.pt")["step"] == 4
    assert train_quietly(SMALL, place) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["generator"]
    found, expected = (checkpoint.load(path) for path in (tmp_path / "generator" / "last.pt", trained))
    for name in ("generator", "average", "discriminator"):
        assert_same(found[name], expected[name])
    rows = [json.loads(line) for line in (tmp_path / "generator" / "metrics.jsonl").read_text().splitlines()[1:]]
    assert [row["step"] for row in rows] == [4, 6]


def test_a_finished_training_is_never_written_again(tmp_path: Path, data: str, trained: Path) -> None:
    place = Place(root=data, folder=str(trained.parent.parent), device="cpu")
    before = trained.read_bytes()
    assert train_quietly(replace(SMALL, num_steps=1), place) == 0
    assert trained.read_bytes() == before
    assert (trained.parent.parent / "generator-2" / "last.pt").exists()


def test_the_picture_has_a_row_for_each_class(trained: Path) -> None:
    with Image.open(trained.parent / "samples.png") as picture:
        width, height = picture.size
    assert width > height > 100


def test_images_follow_from_the_seed_and_not_from_how_many_are_drawn(trained: Path) -> None:
    images, labels = generate(trained, 300, seed=4)
    assert images.shape == (300, 16, 16, 3)
    assert images.dtype == np.uint8
    assert labels.tolist() == [number % 4 for number in range(300)]
    few, their_labels = generate(trained, 7, seed=4)
    assert np.array_equal(few, images[:7])
    assert np.array_equal(their_labels, labels[:7])
    assert not np.array_equal(generate(trained, 7, seed=5)[0], few)


def test_a_source_has_the_names_of_the_classes(trained: Path) -> None:
    source = generated_source(trained, 8, seed=1)
    assert source.classes == tuple("abcd")
    assert np.array_equal(source.items, generate(trained, 8, seed=1)[0])


def test_the_draw_command_writes_a_file_once(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw.main([str(trained), "--num_images", "20", "--seed", "3"]) == 0
    file = trained.parent / "samples-3.npz"
    assert "20 images of 4 classes" in capsys.readouterr().out
    images, labels = generate(trained, 20, seed=3)
    with np.load(file) as content:
        assert np.array_equal(content["image"], images)
        assert np.array_equal(content["label"], labels)
    source = read_samples(file)
    assert np.array_equal(source.items, images)
    assert (source.labels.tolist(), source.classes) == (labels.tolist(), tuple("abcd"))
    with pytest.raises(FileExistsError, match=r"samples-3\.npz exists already; pass another --file"):
        draw.main([str(trained), "--seed", "3"])
    with pytest.raises(FileExistsError, match="exists already"):
        write_samples(file, source)


def test_it_learns_to_draw_the_class_it_is_asked_for() -> None:
    """Four colours tell the classes apart; a generator that ignored its labels would hit a quarter of them."""
    source, images = coloured(400), coloured_images(400)
    settings = Settings(batch_size=32, width=4, latent_size=8, lr=2e-3, ema_decay=0.9, precision="float32")
    state = state_after(settings, 250, images)
    drawn, labels = draw_images(state.averaged(), 200, seed=0)
    assert isinstance(source.items, np.ndarray)
    means = np.stack([source.items[source.labels == label].mean((0, 1, 2)) for label in range(4)])
    nearest = ((drawn.mean((1, 2))[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == labels).mean() > 0.9


class Recorder(nn.Module):
    """A discriminator that cannot tell, and notes what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(()))
        self.shown: list[tuple[Tensor, Tensor]] = []

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        self.shown.append((images.detach(), labels))
        return self.level + 0 * images.mean(dim=(1, 2, 3))


def shown_to(settings: Settings) -> tuple[Recorder, dict[str, Tensor]]:
    state = new_state(settings, 16, 4, CPU)
    recorder = Recorder()
    state.discriminator = recorder  # type: ignore[assignment]
    state.optimizers = (state.optimizers[0], torch.optim.Adam(recorder.parameters(), 1e-3))
    return recorder, train_step(settings, state, coloured_images())


def test_without_mixup_the_discriminator_sees_real_images_and_drawn_ones_of_the_same_classes() -> None:
    settings = replace(SMALL, augment=False, r1=0.0)
    recorder, losses = shown_to(settings)
    (images, labels), _ = recorder.shown
    real, of_class = coloured_images().batch(settings, 0)
    assert torch.equal(images[:8], real)
    assert labels.tolist() == 2 * of_class.tolist()
    assert float(losses["discriminator"]) == pytest.approx(np.log(2))


def test_with_mixup_it_sees_mixtures_and_has_to_tell_how_much_of_them_is_real() -> None:
    settings = replace(SMALL, augment=False, r1=0.0, mixup=0.7, batch_size=32)
    plain, _ = shown_to(replace(settings, mixup=0.0))
    drawn = plain.shown[0][0][32:]
    recorder, _ = shown_to(settings)
    (images, labels), (fooling, _) = recorder.shown
    real, of_class = coloured_images().batch(settings, 0)
    assert torch.equal(labels, of_class)
    shares = ((images - drawn) / (real - drawn)).flatten(1)
    lam = shares.median(dim=1).values
    torch.testing.assert_close(images, drawn + lam[:, None, None, None] * (real - drawn), rtol=1e-3, atol=1e-3)
    assert lam.std() > 0.1
    # The discriminator starts at 1/2, so the sign of its first step says which way the mean of lam lies.
    assert (float(recorder.level.detach()) > 0) == (float(lam.mean()) > 0.5)
    assert fooling.shape == (32, 3, 16, 16)


def test_the_penalty_is_the_squared_slope_at_each_image() -> None:
    slopes = torch.tensor([[1.0, 2.0, 2.0], [0.0, 3.0, 0.0]])

    def linear(images: Tensor, labels: Tensor) -> Tensor:
        return (slopes[labels][:, :, None, None] * images).sum(dim=(1, 2, 3))

    found = _steepness(linear, torch.ones(3, 3, 2, 2), torch.tensor([0, 1, 1]))  # type: ignore[arg-type]
    # Nine for each of the four pixels, whichever the class.
    torch.testing.assert_close(found, torch.tensor(36.0))


def test_the_penalty_makes_the_discriminator_less_steep() -> None:
    images = coloured_images()
    steepness = []
    for r1 in (0.0, 30.0):
        state = state_after(replace(SMALL, r1=r1, width=4), 40, images)
        real, labels = images.batch(SMALL, 0)
        steepness.append(float(_steepness(state.discriminator, real, labels).detach()))
    assert steepness[1] < 0.5 * steepness[0]


def test_augmenting_changes_every_image_its_own_way_and_lets_the_gradient_through() -> None:
    one = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images = one.repeat(6, 1, 1, 1).requires_grad_()
    changed = augment(images, torch.Generator().manual_seed(1))
    assert changed.shape == images.shape
    assert len({round(float(value), 6) for value in changed.detach().mean(dim=(1, 2, 3))}) == 6
    again = augment(images, torch.Generator().manual_seed(1))
    assert torch.equal(changed, again)
    (gradient,) = torch.autograd.grad(changed.sum(), images)
    assert bool((gradient != 0).flatten(1).any(dim=1).all())


def test_an_image_moves_an_eighth_at_most_and_loses_a_quarter_at_most() -> None:
    marked = torch.zeros(400, 3, 16, 16)
    marked[:, :, 8, 8] = 1e4
    changed = augment(marked, torch.Generator().manual_seed(2)).abs().mean(dim=1)
    there = changed.flatten(1).max(dim=1).values > 1e3
    places = changed[there].flatten(1).argmax(dim=1)
    rows, columns = places // 16, places % 16
    for found in (rows, columns):
        assert set(found.tolist()) == {6, 7, 8, 9, 10}
    assert 0.6 < float(there.float().mean()) < 0.9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": 0}, "num_steps must be above 0, got 0"),
        ({"batch_size": 1}, "batch_size must be 2 or more, for the batch norms, got 1"),
        ({"mixup": -1}, "mixup must not be negative, got -1"),
        ({"r1": -0.1}, "r1 must not be negative, got -0.1"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \(0, 1\), got 1.0"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**settings)


def test_data_that_do_not_fit_are_refused(tmp_path: Path, data: str) -> None:
    with pytest.raises(ValueError, match="40 images do not fill a batch; pass a smaller --batch_size"):
        train_quietly(replace(SMALL, batch_size=64), Place(root=data, folder=str(tmp_path), device="cpu"))
    with pytest.raises(ValueError, match="a multiple of 8, the data have 12"):
        new_state(SMALL, 12, 4, CPU)
    with pytest.raises(ValueError, match="name must be the name of one folder, got 'a/b'"):
        Place(name="a/b")


def test_the_command_line_names_what_it_does_not_know() -> None:
    with pytest.raises(
        ValueError, match=r"--num_step is no argument of python -m train\.generator; nearest: num_steps"
    ):
        run.main(["--num_step", "3"])
    with pytest.raises(ValueError, match="num_steps"):
        run.main(["--num_steps", "many"])


def test_other_files_are_told_from_a_generator(tmp_path: Path, trained: Path) -> None:
    network = {"name": TINY.model, "num_classes": 4, "mean": STATISTICS["cifar"][0], "std": STATISTICS["cifar"][1]}
    save(tmp_path / "classifier.pt", {"network": network, "recipe": to_plain(TINY)})
    with pytest.raises(ValueError, match="holds a classifier, not a generator"):
        generate(tmp_path / "classifier.pt", 4)
    with pytest.raises(FileNotFoundError, match=r"none\.pt does not exist"):
        generate(tmp_path / "none.pt", 4)
    with pytest.raises(ValueError, match="num_images must be 1 or more, got 0"):
        generate(trained, 0)


def test_files_of_images_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    with pytest.raises(FileNotFoundError, match=r"images\.npz does not exist"):
        read_samples(path)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"images\.npz is no readable \.npz of images"):
        read_samples(path)
    np.savez(path, image=np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match=r"images\.npz has no array 'label'"):
        read_samples(path)
    np.savez(path, image=np.zeros((2, 8, 8, 3), np.float32), label=np.zeros(2, int))
    with pytest.raises(ValueError, match=r"images\.npz: items must be uint8 images"):
        read_samples(path)
    np.savez(path, image=np.zeros((2, 8, 8, 3), np.uint8), label=np.array([0, None]))
    with pytest.raises(ValueError, match=r"images\.npz is no readable \.npz of images"):
        read_samples(path)
