"""Noise, occlusion and transferred attacks, on networks whose answers are known; and the pictures of all measures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from tests.helpers.shifts import Piece, batches, brightness, memory, random_images
from train.attacks import PGD
from train.attacks.starts import starts
from train.evaluate.parts.calibration import measure_calibration
from train.evaluate.parts.corruptions import CORRUPTIONS, summary
from train.evaluate.parts.detection import measure_detection
from train.evaluate.parts.noise import LEVELS, NOISES, Noise, add_noise, measure_noise
from train.evaluate.parts.occlusion import measure_occlusion, occlude
from train.evaluate.parts.shifts import accuracies, eps_name, read_logits
from train.evaluate.parts.transfer import attacking, fgsm, measure_fgsm, measure_transfer, pgd20
from train.evaluate.pictures.measures import draw_calibration, draw_corruptions, draw_detection, draw_levels


def grey(count: int, size: tuple[int, int] = (32, 32), value: float = 0.5) -> Tensor:
    return torch.full((count, 3, *size), value)


def test_white_noise_has_the_asked_deviation_and_uniform_noise_the_asked_width() -> None:
    images, index = grey(20), torch.arange(20)
    white = add_noise(images, index, "white", 0.1, seed=0) - images
    assert white.std() == pytest.approx(0.1, abs=0.002)
    assert white.mean() == pytest.approx(0, abs=0.002)
    uniform = add_noise(images, index, "uniform", 0.3, seed=0) - images
    assert uniform.abs().max() == pytest.approx(0.3, abs=0.001)
    assert uniform.std() == pytest.approx(0.3 / 3**0.5, abs=0.002)


def test_salt_and_pepper_are_as_many_and_take_whole_pixels() -> None:
    noisy = add_noise(grey(20), torch.arange(20), "salt_and_pepper", 0.2, seed=0)
    assert torch.equal(noisy[:, 0], noisy[:, 1])
    assert torch.equal(noisy[:, 0], noisy[:, 2])
    for value in (0, 1):
        assert (noisy == value).double().mean() == pytest.approx(0.1, abs=0.01)
    assert ((noisy == 0) | (noisy == 1) | (noisy == 0.5)).all()


def test_all_salt_and_pepper_leaves_no_pixel() -> None:
    noisy = add_noise(grey(2), torch.arange(2), "salt_and_pepper", 1.0, seed=0)
    assert ((noisy == 0) | (noisy == 1)).all()


@given(st.sampled_from(NOISES), st.floats(0.001, 1), st.integers(0, 5), st.integers(1, 5))
@settings(deadline=None, max_examples=40)
def test_noise_follows_from_seed_and_index_and_stays_an_image(kind: Noise, level: float, first: int, size: int) -> None:
    images, index = random_images(8), torch.arange(10, 18)
    together = add_noise(images, index, kind, level, seed=3)
    rows = slice(first, first + size)
    assert torch.equal(together[rows], add_noise(images[rows], index[rows], kind, level, seed=3))
    assert together.min() >= 0
    assert together.max() <= 1
    assert images.shape == together.shape


@pytest.mark.parametrize("kind", NOISES)
def test_more_noise_is_the_same_noise_stronger(kind: Noise) -> None:
    images, index = grey(3), torch.arange(3)
    weak, strong = (add_noise(images, index, kind, level, seed=0) - images for level in (0.05, 0.1))
    if kind == "salt_and_pepper":
        assert torch.equal(weak[weak != 0], strong[weak != 0])
    else:
        assert (strong - 2 * weak).abs().max() < 1e-6
    assert not torch.equal(weak, add_noise(images, index, kind, 0.05, seed=1) - images)
    assert not torch.equal(weak[0], weak[1])


@pytest.mark.parametrize(
    ("kind", "level", "line"),
    [
        ("pink", 0.1, "noise must be one of 'white'"),
        ("white", 0.0, "level of white noise must be a number above 0"),
        ("salt_and_pepper", 1.5, "level of salt_and_pepper must be a number from 0 to 1"),
    ],
)
def test_noise_that_there_is_not_is_refused(kind: Any, level: float, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        measure_noise({"net": brightness}, [], seed=0, levels={kind: [level]})


@given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.integers(0, 50))
@settings(deadline=None, max_examples=60)
def test_a_square_covers_what_it_is_asked_to_and_nothing_else(
    height: int, width: int, share: float, index: int
) -> None:
    images = torch.ones(1, 3, height, width)
    side = round(share * min(height, width))
    for place in ("centre", "random"):
        black = occlude(images, torch.tensor([index]), place, share, seed=0)[0] == 0  # type: ignore[arg-type]
        assert int(black.sum()) == 3 * side**2
        rows, columns = black[0].any(dim=1).nonzero(), black[0].any(dim=0).nonzero()
        if side:
            assert int(rows.max() - rows.min()) == int(columns.max() - columns.min()) == side - 1
        if side and place == "centre":
            assert int(rows.min()) == (height - side) // 2
            assert int(columns.min()) == (width - side) // 2
    assert images.min() == 1


@given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 1))
@settings(deadline=None, max_examples=40)
def test_a_border_covers_all_but_the_middle(height: int, width: int, share: float) -> None:
    images = torch.ones(1, 3, height, width)
    taken = round(share * min(height, width))
    seen = occlude(images, torch.tensor([0]), "border", share, seed=0)[0] == 1
    assert int(seen.sum()) == 3 * (height - taken) * (width - taken)
    if taken < min(height, width):
        rows, columns = seen[0].any(dim=1).nonzero(), seen[0].any(dim=0).nonzero()
        assert (int(rows.min()), int(columns.min())) == (taken // 2, taken // 2)
        assert int(rows.max() - rows.min()) == height - taken - 1
    assert images.min() == 1


def test_random_squares_lie_everywhere_alike() -> None:
    covered = occlude(torch.ones(2000, 3, 8, 8), torch.arange(2000), "random", 0.5, seed=0)[:, 0] == 0
    corners = (covered.flatten(1).int().argmax(dim=1)).bincount(minlength=64).reshape(8, 8)[:5, :5]
    assert corners.sum() == 2000
    assert corners.min() > 45
    assert corners.max() < 120
    again = occlude(torch.ones(1, 3, 8, 8), torch.tensor([1234]), "random", 0.5, seed=0)[:, 0] == 0
    assert torch.equal(again[0], covered[1234])


def test_an_occlusion_larger_than_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="share of an occlusion must be a number from 0 to 1"):
        measure_occlusion({"net": brightness}, [], seed=0, shares=[1.5])


def light_images(count: int) -> tuple[list[Piece], Tensor]:
    """Bright, evenly grey images of label 1, from just above the middle to 0.9."""
    values = torch.linspace(0.51, 0.9, count)
    images = values.reshape(-1, 1, 1, 1).expand(-1, 3, 8, 8).clone()
    return batches(images, torch.ones(count, dtype=torch.long), size=7), values


def test_covering_half_the_side_darkens_by_a_quarter() -> None:
    images, values = light_images(40)
    found = measure_occlusion({"net": brightness}, images, seed=0, shares=[0.25, 0.5])
    for place in ("centre", "random"):
        assert found["net"][place]["0.5"] == float((values * 0.75 > 0.5).double().mean())
        assert found["net"][place]["0.25"] == float((values * (1 - 1 / 16) > 0.5).double().mean())
    assert found["net"]["border"]["0.5"] == 0
    assert found["net"]["border"]["0.25"] == float((values * 9 / 16 > 0.5).double().mean())


def test_one_step_against_a_linear_network_is_worth_eps() -> None:
    images, values = light_images(40)
    found = measure_fgsm({"net": brightness}, images, eps=(4 / 255, 16 / 255))
    assert found == {
        "net": {f"{n}/255": float((values - n / 255 > 0.5).double().mean()) for n in (4, 16)},
    }


def test_what_fools_the_source_is_shown_to_the_others() -> None:
    # The other network reads the red channel only, which the source's images darken as much as the rest; the third
    # is blind to all that the source's adversarial images change.
    images, values = light_images(40)
    networks = {
        "red": lambda x: torch.stack([0.5 - x[:, 0].mean(dim=(1, 2)), x[:, 0].mean(dim=(1, 2)) - 0.5], dim=1),
        "always": lambda x: torch.tensor([[0.0, 1.0]]).expand(len(x), 2),
    }
    found = measure_transfer(networks, images, source=brightness, eps=[16 / 255], seed=0)
    left = float((values - 16 / 255 > 0.5).double().mean())
    for attack in ("fgsm", "pgd20"):
        assert found["source"][attack] == {"0/255": 1.0, "16/255": left}
        assert found["red"][attack] == {"0/255": 1.0, "16/255": left}
        assert found["always"][attack] == {"0/255": 1.0, "16/255": 1.0}


def test_a_network_is_fooled_by_its_own_images_as_in_the_white_box() -> None:
    images = batches(random_images(60), torch.randint(2, (60,), generator=torch.Generator().manual_seed(0)), size=13)
    moved = {"net": lambda x: brightness(x * torch.linspace(0.5, 1.5, 8))}
    white = measure_fgsm(moved, images, eps=[2 / 255])
    black = measure_transfer(moved, images, source=moved["net"], eps=[2 / 255], seed=0)
    assert black["net"]["fgsm"]["2/255"] == white["net"]["2/255"]


def test_a_measured_network_must_not_be_called_source() -> None:
    with pytest.raises(ValueError, match="must not be named 'source'"):
        measure_transfer({"source": brightness}, [], source=brightness, eps=[0.1], seed=0)


def test_the_attack_on_an_image_does_not_depend_on_its_batch() -> None:
    images, labels = random_images(9), torch.arange(9) % 2
    net: Callable[[Tensor], Tensor] = lambda x: brightness(x**2)  # noqa: E731
    change = attacking(net, pgd20(8 / 255), seed=5)
    large, small = (torch.cat([change(b) for b in batches(images, labels, size)]) for size in (9, 2))
    assert torch.equal(large, small)
    assert not torch.equal(large, torch.cat([attacking(net, pgd20(8 / 255), 6)(b) for b in batches(images, labels)]))
    assert (large - images).abs().max() <= 8 / 255 + 1e-6


def test_starts_of_several_restarts_keep_their_shape() -> None:
    images, index = random_images(4), torch.arange(4)
    attack = PGD(eps=0.1, step_size=0.01, restarts=3)
    drawn = starts(attack, images, index, seed=0)
    assert drawn.shape == (3, 4, 3, 8, 8)
    assert torch.equal(drawn[:, 2:3], starts(attack, images[2:3], index[2:3], seed=0))
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[:, 0], drawn[:, 1])
    assert not starts(fgsm(0.1), images, index, seed=0).any()


@pytest.mark.parametrize(("eps", "name"), [(8 / 255, "8/255"), (0.031, "0.031"), (0, "0/255"), (1.0, "255/255")])
def test_radii_are_named_in_steps_of_a_byte(eps: float, name: str) -> None:
    assert eps_name(eps) == name


MEASURES: dict[str, Callable[..., Any]] = {
    "noise": lambda *given, **kept: measure_noise(*given, seed=0, levels={"white": [0.1, 0.2]}, **kept),
    "occlusion": lambda *given, **kept: measure_occlusion(*given, seed=0, shares=[0.5], **kept),
    "fgsm": lambda *given, **kept: measure_fgsm(*given, eps=[0.1], **kept),
    "transfer": lambda *given, **kept: measure_transfer(*given, source=brightness, eps=[0.1], seed=0, **kept),
}


@pytest.mark.parametrize("name", MEASURES)
def test_what_is_known_from_an_earlier_run_is_not_measured_again(name: str) -> None:
    images, labels = random_images(12), torch.arange(12) % 2
    known, remember = memory()
    first = MEASURES[name]({"net": brightness}, batches(images, labels), remember=remember)
    assert first == MEASURES[name]({"net": brightness}, batches(images, labels, size=5))

    def fail(images: Tensor) -> Tensor:
        raise AssertionError("measured again")

    assert MEASURES[name]({"net": fail}, batches(images, labels), remember=remember) == first
    assert len(known) == {"noise": 2, "occlusion": 3, "fgsm": 1, "transfer": 3}[name]


def test_several_networks_are_measured_on_the_same_images() -> None:
    images, labels = random_images(20), torch.arange(20) % 2
    one = {"a": brightness, "b": lambda x: -brightness(x)}
    found = measure_noise(one, batches(images, labels), seed=0, levels=LEVELS)
    alone = measure_noise({"b": one["b"]}, batches(images, labels), seed=0, levels=LEVELS)
    assert found["b"] == alone["b"]
    assert found["a"]["white"]["0.1"] == pytest.approx(1 - found["b"]["white"]["0.1"])


def test_nothing_to_measure_is_refused() -> None:
    images = batches(random_images(2), torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="no images"):
        accuracies({"net": brightness}, [])
    with pytest.raises(ValueError, match="no networks"):
        accuracies({}, images)
    with pytest.raises(ValueError, match="labels must be 0 to 1, as many as there are logits, got 2"):
        accuracies({"net": brightness}, images)
    with pytest.raises(ValueError, match="logits of net must be finite"):
        read_logits({"net": lambda x: brightness(x) / 0}, images)


def corrupted(accuracy: float) -> dict[str, Any]:
    rows = {name: [accuracy - 0.05 * severity for severity in range(5)] for name in CORRUPTIONS}
    flat = {(name, place + 1): value for name, values in rows.items() for place, value in enumerate(values)}
    return {**summary(flat, 10), "accuracies": rows}


@pytest.mark.parametrize("count", [1, 3])
def test_every_picture_is_drawn_for_one_network_and_for_several(tmp_path: Path, count: int) -> None:
    images, labels = random_images(30), torch.arange(30) % 2
    parts = batches(images, labels)
    networks = {f"network {number}": lambda x, n=number: (n + 1) * 20 * brightness(x) for number in range(count)}
    clean = {name: 0.6 for name in networks}
    noise = measure_noise(networks, parts, seed=0)
    transfer = measure_transfer(networks, parts, source=brightness, eps=[4 / 255, 8 / 255], seed=0)
    draw_calibration(tmp_path / "calibration.png", measure_calibration(networks, parts, seed=0), "a title")
    draw_corruptions(tmp_path / "corruptions.png", {name: corrupted(0.5) for name in networks}, "a title", clean, 20)
    draw_levels(tmp_path / "noise.png", noise, "a title", clean, dict.fromkeys(NOISES, "level"), 20)
    draw_levels(tmp_path / "transfer.png", transfer, "a title", {}, {"fgsm": "eps", "pgd20": "eps"}, 20)
    other = measure_detection(networks, parts, {"other": parts}, seed=0)
    draw_detection(tmp_path / "detection.png", other, "a title")
    names = ["calibration.png", "corruptions.png", "detection.png", "noise.png", "transfer.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names:
        with Image.open(tmp_path / name) as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20, name
