"""Telling known images from others: scores, ties, and where the others come from."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from tests.helpers.shifts import batches, brightness, memory, random_images
from tests.helpers.training import write_cifar
from train.evaluate.parts.detection import (
    energy_score,
    measure_detection,
    noise_images,
    read_others,
    separation,
    softmax_score,
)

few_values = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=30)


@given(few_values, few_values)
@settings(deadline=None, max_examples=100)
def test_auroc_counts_the_pairs_in_order_and_ties_half(known: list[float], others: list[float]) -> None:
    pairs = [(one > other) + 0.5 * (one == other) for one in known for other in others]
    found = separation(np.array(known), np.array(others))
    assert found["auroc"] == pytest.approx(sum(pairs) / len(pairs))


@given(few_values, few_values)
@settings(deadline=None, max_examples=100)
def test_fpr95_is_the_least_price_of_keeping_95_percent(known: list[float], others: list[float]) -> None:
    kept = ceil(len(known) * 95 / 100)
    thresholds = [t for t in known if sum(value >= t for value in known) >= kept]
    prices = [sum(value >= t for value in others) / len(others) for t in thresholds]
    assert separation(np.array(known), np.array(others))["fpr95"] == pytest.approx(min(prices))


def test_twenty_known_images_may_lose_one() -> None:
    known = np.arange(1.0, 21.0)
    assert separation(known, np.array([1.5, 2.0, 0.0, 1.0]))["fpr95"] == 0.25


def test_scores_of_networks_that_are_very_sure_stay_apart() -> None:
    logits = torch.tensor([[40.0, 0.0], [30.0, 0.0]])
    assert logits.softmax(dim=1).amax(dim=1).tolist() == [1.0, 1.0]
    sure, less = softmax_score(logits)
    assert sure > less


def test_the_energy_is_that_of_its_formula() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    assert energy_score(logits) == pytest.approx([np.log(np.e + np.e**2 + np.e**3), np.log(3)])


@pytest.mark.parametrize(
    ("known", "others", "line"),
    [([], [1.0], "known images, got none"), ([1.0], [], "other images, got none"), ([np.nan], [1.0], "finite")],
)
def test_scores_that_say_nothing_are_refused(known: list[float], others: list[float], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        separation(np.array(known), np.array(others))


def test_a_network_sure_of_its_own_images_only_separates_all() -> None:
    # Its own images are black or white; it is the less sure the closer an image is to grey.
    own = torch.tensor([0.0, 1.0]).repeat(20).reshape(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    labels = torch.tensor([0, 1]).repeat(20)
    grey = batches(torch.full((10, 3, 8, 8), 0.5), torch.full((10,), 99))
    found = measure_detection({"net": lambda x: 10 * brightness(x)}, batches(own, labels, 7), {"grey": grey}, seed=0)
    assert list(found["net"]) == ["known", "uniform", "gaussian", "grey"]
    for other in ("uniform", "gaussian", "grey"):
        for score in ("softmax", "energy"):
            assert found["net"][other][score] == {"auroc": 1.0, "fpr95": 0.0}
        assert sum(found["net"][other]["histogram"]) == pytest.approx(1)
    assert found["net"]["known"][-1] == 1
    assert found["net"]["grey"]["histogram"][10] == 1  # exactly a half


def test_images_of_the_same_kind_cannot_be_told_apart() -> None:
    images, labels = random_images(40), torch.zeros(40, dtype=torch.long)
    same = {"same": batches(images, labels)}
    found = measure_detection({"net": brightness}, batches(images, labels), same, seed=0)
    assert found["net"]["same"]["softmax"]["auroc"] == pytest.approx(0.5)


def test_what_is_known_from_an_earlier_run_is_not_measured_again() -> None:
    images, labels = random_images(12), torch.zeros(12, dtype=torch.long)
    known, remember = memory()
    first = measure_detection({"net": brightness}, batches(images, labels), {}, seed=0, remember=remember)
    assert list(known) == ["uniform", "gaussian"]

    def fail(images: Tensor) -> Tensor:
        raise AssertionError("measured again")

    assert measure_detection({"net": fail}, batches(images, labels), {}, seed=0, remember=remember) == first


def test_a_name_of_noise_is_refused_for_other_images() -> None:
    with pytest.raises(ValueError, match="'uniform', which is a kind of noise"):
        measure_detection({"net": brightness}, [], {"uniform": []}, seed=0)


def test_noise_images_follow_their_laws_and_their_index() -> None:
    index = torch.arange(40)
    uniform, gaussian = (noise_images(kind, index, (3, 16, 16), seed=1) for kind in ("uniform", "gaussian"))
    assert uniform.mean() == pytest.approx(0.5, abs=0.01)
    assert uniform.std() == pytest.approx(1 / 12**0.5, abs=0.01)
    # Normal around 0.5 with deviation 1: 30.9 % lies below 0, as much above 1.
    for edge in (0, 1):
        assert (gaussian == edge).double().mean() == pytest.approx(0.3085, abs=0.01)
    assert torch.equal(noise_images("uniform", index[7:9], (3, 16, 16), seed=1), uniform[7:9])
    assert not torch.equal(noise_images("uniform", index[:1], (3, 16, 16), seed=2), uniform[:1])


def test_other_images_come_from_pickles_and_from_folders(tmp_path: Path) -> None:
    write_cifar(tmp_path / "cifar", 20, 8)
    pickled = read_others(tmp_path / "cifar")
    assert isinstance(pickled.items, np.ndarray)
    assert len(pickled) == 8
    for name in ("classes/cat/1.png", "classes/dog/2.png", "loose/b.PNG", "loose/a.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path, format="png")
    (tmp_path / "loose" / "notes.txt").write_text("no image")
    assert [Path(path).name for path in read_others(tmp_path / "classes").items] == ["1.png", "2.png"]
    assert [Path(path).name for path in read_others(tmp_path / "loose").items] == ["a.png", "b.PNG"]
    for source in (pickled, read_others(tmp_path / "classes"), read_others(tmp_path / "loose")):
        assert not source.labels.any()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="found nothing"):
        read_others(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read_others(tmp_path / "nowhere")
