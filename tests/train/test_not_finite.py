"""Logits of nan or infinity are an error, or wrong and said: they never count as a class."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipelines.sources.source import Source
from tests.helpers.evaluations import ALONE, classifier, held_out
from tests.helpers.training import coloured_sources, new_training
from train.attacks import APGD, PGD, Misses, Robust, attack_classes
from train.certify.votes import Voters
from train.evaluate.available import PARTS, Setup, why_not
from train.evaluate.parts.attacks import Ascent, predict
from train.evaluate.parts.auto import Ensemble
from train.evaluate.parts.shifts import forget
from train.loop.held_out import evaluate
from train.loop.under_attack import Attacked, measure_robust
from train.machine.stop import Stop
from train.models import finite, predicted
from train.objectives.cross_entropy import accuracy
from train.selective.run import score_images
from train.show.table import result_table

NOT_FINITE = "must return finite logits, got nan or infinity"
VALUES = (torch.nan, torch.inf, -torch.inf)
Raw = namedtuple("Raw", ("images", "targets"))


class Broken(nn.Module):
    """Logits that are a value and no number: of all images, or only of such as no file of bytes can hold.

    The others are in class 0, whose logit an `argmax` of nan finds too.
    """

    def __init__(self, value: float, *, whole: bool, num_classes: int = 4) -> None:
        super().__init__()
        self.value, self.whole, self.num_classes = value, whole, num_classes
        self.weight = nn.Parameter(torch.ones(()))
        self.given = 0

    def forward(self, images: Tensor) -> Tensor:
        # A slope for attacks to follow.
        level = self.weight * images.mean(dim=(1, 2, 3))
        logits = torch.stack([2 - level, *[level * (number + 1) for number in range(self.num_classes - 1)]], dim=1)
        moved = (images * 255 - (images * 255).round()).abs().amax(dim=(1, 2, 3)) > 1e-3
        broken = torch.ones_like(moved) if self.whole else moved
        self.given += int(broken.sum())
        return torch.where(broken.unsqueeze(1), self.value, logits)


def dark(count: int = 2, side: int = 32) -> Source:
    pixels = np.random.default_rng(0).integers(20, 60, (count, side, side, 3)).astype(np.uint8)
    return Source(pixels, np.zeros(count, dtype=np.int64))


def setup_of(network: nn.Module) -> Setup:
    asked, images, eps = classifier(network), held_out(dark()), 4.3 / 255
    return Setup(
        networks={"n": asked},
        images=images,
        classes=tuple("abcd"),
        ascents={name: Ascent(eps=eps) for name in ("pgd", "pgd20", "pgd50", "doubts")},
        ensemble=Ensemble(eps=eps),
        seed=0,
        source=asked,
        source_name="n",
        real=[frozenset({0})] * len(images),
    )


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", PARTS)
def test_no_part_of_an_evaluation_reports_on_logits_that_are_not_finite(name: str, whole: bool) -> None:
    for value in VALUES[: 3 if name in ("clean", "pgd20") else 1]:
        network = Broken(value, whole=whole)
        setup = setup_of(network)
        if why := why_not(name, setup):
            pytest.skip(why)
        try:
            PARTS[name](setup, forget)
            said = ""
        except ValueError as error:
            said = str(error)
        assert "finite" in said or network.given == 0, f"{name} was silent on {network.given} answers of {value}"


@pytest.mark.parametrize("value", VALUES)
def test_such_an_image_has_no_class(value: float) -> None:
    logits = torch.tensor([[value, 0.0, 0.0], [0.0, value, 0.0], [3.0, 1.0, 2.0]])
    assert predicted(logits).tolist() == [-1, -1, 0]
    assert accuracy(logits, torch.tensor([[1.0, 0.0, 0.0]] * 3)).tolist() == [0, 0, 1]
    assert torch.equal(finite(logits[2:]), logits[2:])
    for ask in (finite, lambda rows: predict(lambda images: images, rows)):
        with pytest.raises(ValueError, match=NOT_FINITE):
            ask(logits)


@pytest.mark.parametrize("value", VALUES)
def test_nothing_is_certified_and_nothing_is_answered(value: float) -> None:
    network = Broken(value, whole=True)
    image = torch.full((3, 8, 8), 0.2)
    with pytest.raises(ValueError, match=rf"{NOT_FINITE}.*\(image 7 under noise of 0.25\)"):
        Voters(network, 4, 0.25, 0, 100, "float32").count(image, 7, "select", 100, Stop())
    batch = Raw(image.unsqueeze(0), torch.eye(4)[:1])
    with pytest.raises(ValueError, match=NOT_FINITE):
        score_images(network, [batch])
    with pytest.raises(ValueError, match=NOT_FINITE):
        evaluate(network, [batch], "float32", ALONE, Stop())


def test_one_vote_that_is_none_is_enough() -> None:
    # Noise leaves no image as it was, so all votes are none; without noise all are for class 0.
    image = torch.full((3, 8, 8), 51 / 255)
    votes = Voters(Broken(torch.nan, whole=False), 4, 0.0, 0, 100, "float32").count(image, 0, "select", 50, Stop())
    assert votes.tolist() == [50, 0, 0, 0]


@pytest.mark.parametrize("value", VALUES)
def test_under_attack_in_training_they_are_wrong_and_the_table_says_how_many(value: float) -> None:
    images = torch.full((5, 3, 8, 8), 51 / 255)
    attack = PGD(eps=0.01, step_size=0.0042, num_steps=2)
    batch = Attacked(images, torch.eye(4)[:1].expand(5, 4), torch.full_like(images, 0.0031))
    found = measure_robust(Broken(value, whole=False), [batch], attack, "float32", ALONE, Stop())
    assert found == {"robust_accuracy": 0, "accuracy": 1, "robust_not_finite": 5}
    fine = {"epoch": 1, "loss": 0.5, "accuracy": 1.0, "robust_accuracy": 0.0, "robust_not_finite": 5}
    recipe = new_training().recipe
    table = result_table("t", [fine], replace(recipe, ema_decay=None, robust=Robust()), coloured_sources())
    texts = [cell for column in table.columns for cell in column.cells]
    assert any("5 attacked images gave no finite logits, and count as wrong" in str(text) for text in texts)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("value", VALUES)
def test_an_attack_that_meets_them_has_found_an_error(norm: Any, value: float) -> None:
    images, labels = torch.full((4, 3, 8, 8), 51 / 255), torch.zeros(4, dtype=torch.int64)
    network = Broken(value, whole=False)
    misses = Misses(images, labels)
    attack = PGD(norm=norm, eps=0.01, step_size=0.0042, num_steps=3)
    reached = attack(
        images, lambda some: -misses.seen(some, network(some))[:, 0], start=torch.full_like(images, 0.0002)
    )
    assert bool(misses.found.all())
    assert bool(reached.isfinite().all())
    assert bool(misses.images.isfinite().all())
    found = attack_classes(APGD(norm=norm, eps=0.01, num_steps=2), images, network, torch.eye(4)[labels])
    assert predicted(network(found)).tolist() == [-1] * 4
