"""The picture of a mixed batch: what the command draws, what it refuses, and that the picture says what was mixed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mixdali
from mixdali import Choose, CutMix, Fixed, Mix, MixUp, Mosaic, Noisy, Plan, Ramp
from pipelines.expressions import mix_names, parse_mix
from pipelines.preview import main, mixed_batch, read_source
from pipelines.show.parents import covered_box, parents_of
from pipelines.show.pictures import COLOURS
from tests.helpers.methods import METHODS, PIXEL_METHODS
from tests.helpers.training import write_cifar
from train.show.pictures import draw_mixed

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_cifar(tmp_path_factory.mktemp("preview") / "data", 100, 20))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Class folders whose names are hard to draw."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("photos")
    for name in ("$cost_of$ {all", "a_rather_long_name_of_a_class"):
        (root / name).mkdir()
        for number in range(5):
            Image.fromarray(rng.integers(256, size=(50, 70, 3), dtype=np.uint8)).save(root / name / f"{number}.png")
    return str(root)


def draw(out: Path, *arguments: str) -> np.ndarray:
    """What the command draws, (H, W, 3) uint8."""
    assert main([*arguments, "--out", str(out)]) == 0
    return np.asarray(Image.open(out).convert("RGB"))


def pixels_of(picture: np.ndarray, colour: str) -> int:
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((picture == wanted).all(2).sum())


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_the_command_draws_the_embedded_digits_and_says_so(tmp_path: Path) -> None:
    out = tmp_path / "digits.png"
    command = [sys.executable, "-W", "error", "-m", "pipelines.preview", "--num_images", "3", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    height, width, _ = np.asarray(Image.open(out).convert("RGB")).shape
    expected = f"wrote {out}: 3 images of epoch 0, seed 0, from the embedded digits, {width} x {height} pixels\n"
    assert done.stdout == expected
    assert [path.name for path in tmp_path.iterdir()] == ["digits.png"]


@pytest.mark.parametrize("folder", ["cifar", "photos"])
def test_both_kinds_of_folders_are_drawn(request: pytest.FixtureRequest, tmp_path: Path, folder: str) -> None:
    root = request.getfixturevalue(folder)
    words = ["--mix", "CutMix(alpha=Fixed(0.5), inside=True)", "--num_images", "4", "--size", "48", "64"]
    picture = draw(tmp_path / "a.png", root, *words)
    for colour in COLOURS[:2]:  # frames, box and bars
        assert pixels_of(picture, colour) > 4 * 200
    assert pixels_of(picture, COLOURS[2]) == 0
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_the_same_seed_draws_the_same_bytes(cifar: str, tmp_path: Path) -> None:
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        draw(tmp_path / f"{name}.png", cifar, "--seed", seed)
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c


def test_a_bar_is_as_long_as_its_share_of_the_target(cifar: str, tmp_path: Path) -> None:
    mix = 'MixUp(alpha=Fixed(0.3), partner="other_class")'
    picture = draw(tmp_path / "a.png", cifar, "--mix", mix, "--num_images", "1", "--batch_size", "8")
    below = picture[-60:]  # no frame of an image reaches down here
    own, other, rest = (pixels_of(below, colour) for colour in (*COLOURS[:2], "#eeeeee"))
    assert own / (own + other) == pytest.approx(0.3, abs=0.02)
    assert (own + other) / (own + other + rest) == pytest.approx(0.5, abs=0.02)


def test_a_mix_that_changes_is_drawn_as_of_the_epoch(cifar: str, tmp_path: Path) -> None:
    words = ["--mix", "MixUp(prob=Ramp([(0, 0), (10, 1)]))"]
    before = draw(tmp_path / "0.png", cifar, *words)
    after = draw(tmp_path / "10.png", cifar, *words, "--epoch", "10")
    assert pixels_of(before, COLOURS[1]) == 0
    assert pixels_of(after, COLOURS[1]) > 1000


def test_the_batch_is_the_one_a_training_would_begin_with(cifar: str) -> None:
    from pipelines.cifar import train_loader

    kind, source = read_source(cifar)
    mix = CutMix(start_epoch=0)
    batch = mixed_batch(kind, source, mix, size=None, batch_size=16, seed=3, epoch=0, augment=True)
    expected = next(iter(train_loader(source, batch_size=16, num_classes=4, mix=mix, seed=3, device="cpu")))
    assert torch.equal(batch.images, expected.images)
    assert torch.equal(batch.targets, expected.targets)


def test_what_is_there_already_is_not_replaced_unless_asked(
    capsys: pytest.CaptureFixture[str], cifar: str, tmp_path: Path
) -> None:
    out = tmp_path / "mine.png"
    out.write_bytes(b"mine")
    assert "mine.png is there already" in error_of(capsys, cifar, "--out", str(out))
    assert out.read_bytes() == b"mine"
    draw(out, cifar, "--force")
    assert capsys.readouterr().out.startswith(f"wrote {out}")
    (tmp_path / "folder.png").mkdir()
    assert "is there already" in error_of(capsys, cifar, "--out", str(tmp_path / "folder.png"), "--force")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mix", "CutMx(alpha=1)"], "there is no CutMx; nearest: CutMix"),
        (["--mix", "MixUp(alfa=1)"], "MixUp has no setting 'alfa'; nearest: alpha"),
        (["--mix", "MixUp(alpha=-1)"], "MixUp: alpha must be a number above 0, got -1"),
        (["--mix", "MixUp(0.2)"], "its settings are prob,"),
        (["--mix", "Choose(MixUp())"], "got MixUp(), at character 8 of Choose(MixUp())"),
        (["--mix", "MixUp("], "'MixUp(' is not written as in Python"),
        (["--mix", ""], "'' is not written as in Python"),
        (["--mix", "CutMix"], "CutMix must be called"),
        (["--mix", "Fixed(0.5)"], "got Fixed(0.5)"),
        (["--mix", "MixUp(alpha=1/0)"], "division by zero"),
        (["--mix", "open('mine').read()"], "there is no open('mine').read"),
        (["/no/such/folder"], "/no/such/folder"),
        (["--out", "preview.jpg"], "must end in .png"),
        (["--out", "/no/such/folder/a.png"], "/no/such/folder"),
        (["--epoch", "-1"], "--epoch"),
        (["--num_images", "0"], "--num_images"),
        (["--num_images", "9", "--batch_size", "8"], "raise --batch_size"),
        (["--size", "8", "9", "10"], "--size"),
        (["--seeds", "1"], "--seeds"),
    ],
)
def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str],
    cifar: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = [] if arguments[0].startswith("/") else [cifar]
    assert message in error_of(capsys, *folder, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_message_names_the_extra(cifar: str) -> None:
    code = "import sys; sys.modules['matplotlib'] = None; from pipelines.preview import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, cifar], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert "pip install 'mixdali[tools]'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("mix", [*METHODS.values(), *PIXEL_METHODS.values()], ids=[*METHODS, *PIXEL_METHODS])
def test_the_expression_of_a_mix_is_that_mix(mix: Mix) -> None:
    assert parse_mix(repr(mix)) == mix


def test_an_expression_is_made_of_the_public_methods() -> None:
    expected = {name for name, value in vars(mixdali).items() if isinstance(value, type) and issubclass(value, Mix)}
    assert set(mix_names()) == expected - {"Mix", "PairMix", "BoxMix", "MaskMix"}
    assert parse_mix("mixdali.Noisy(MixUp(alpha=Ramp([(0, .2), (9, 1)])))") == Noisy(
        MixUp(alpha=Ramp([(0, 0.2), (9, 1)]))
    )
    assert parse_mix("Choose([MixUp(alpha=Fixed(.5)), CutMix()], weights=[1, 2])") == Choose(
        [MixUp(alpha=Fixed(0.5)), CutMix()], weights=[1, 2]
    )


def planned(mix: Mix, number: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Plan]:
    """Images of noise, each of a class of its own; the mixed ones, their targets and the plan."""
    images = torch.rand(number, 3, 20, 16, generator=torch.Generator().manual_seed(0))
    targets = mixdali.one_hot(torch.arange(number) % 4, 4)
    plan = mix.draw(images, targets=targets, rng=torch.Generator().manual_seed(1))
    return images, *mix.apply(images, targets, plan), plan


@pytest.mark.parametrize("name", [*METHODS, *PIXEL_METHODS])
def test_the_shares_of_the_parents_are_the_target(name: str) -> None:
    _, _, targets, plan = planned((METHODS | PIXEL_METHODS)[name])
    for number, target in enumerate(targets):
        shares = torch.zeros(4)
        for parent in parents_of(plan, number):
            shares[parent.place % 4] += parent.share
        torch.testing.assert_close(shares, target, atol=5e-5, rtol=0)


@pytest.mark.parametrize("mix", [CutMix(), Mosaic(), Choose([CutMix(), Mosaic(), MixUp(prob=0)])], ids=repr)
def test_the_boxes_of_the_parents_hold_their_pixels(mix: Mix) -> None:
    images, mixed, _, plan = planned(mix)
    seen = 0
    for number in range(len(images)):
        for parent in parents_of(plan, number):
            if parent.box is None or parent.region is None:
                continue
            y0, x0, y1, x1 = parent.box
            top, left, bottom, right = parent.region
            assert torch.equal(mixed[number, :, y0:y1, x0:x1], images[parent.place, :, top:bottom, left:right])
            seen += 1
    assert seen >= 5


def test_a_covered_box_is_where_the_pixels_changed() -> None:
    images, mixed, _, plan = planned(mixdali.RandomErasing(prob=0.6, value=0.5))
    boxes = [covered_box(plan, number) for number in range(len(images))]
    assert None in boxes
    for box, before, after in zip(boxes, images, mixed, strict=True):
        changed = (before != after).any(0)
        assert (box is None) == (not changed.any())
        if box is not None:
            y0, x0, y1, x1 = box
            assert changed[y0:y1, x0:x1].all()
            assert changed.sum() == (y1 - y0) * (x1 - x0)


@pytest.mark.parametrize("mix", [Mosaic(), mixdali.Cutout(length=4), Noisy(Choose([MixUp(), CutMix()]))], ids=repr)
def test_the_picture_of_a_run_shows_methods_with_more_or_fewer_parents_too(
    tmp_path: Path, cifar: str, mix: Mix
) -> None:
    batch = mixed_batch(*read_source(cifar), mix, size=None, batch_size=8, seed=0, epoch=0, augment=True)
    draw_mixed(tmp_path / "mixed.png", [batch], ["$x_$y", "b", "c", "d"], "title")
    assert [path.name for path in tmp_path.iterdir()] == ["mixed.png"]
