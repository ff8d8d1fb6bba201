"""Each method learns by itself: with whatever helps it switched off, on images that are easy to tell apart."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.helpers.training import coloured
from train import objectives
from train.attacks import FGSM, PGD
from train.cli.main import find_recipe, recipe_names, recipe_outline
from train.files.plain import to_plain
from train.models import build_model
from train.objectives import LinearEvaluation, MultiMix, Objective
from train.objectives.batch import Batch
from train.objectives.objective import step_draws
from train.recipe import Recipe, kinds_in

CLASSES, STEPS, SIZE, BATCHES = 8, 60, 32, 16
HIDDEN = ("stage1", "stage2")
BAR = 0.6
BARS = {LinearEvaluation: 0.4}
"""Accuracy that is learning, by objective: of a network that stays as it was drawn, a linear layer tells half of the
images."""
SLOW = {"sohn2022genlabel": 100, "wang2020improving": 100}
"""Steps of those that need more: a warm-up takes the first ones, or a weight of the loss grows with confidence."""

# What is switched off, by recipe: input mixup beside mixed embeddings and hidden values, epochs of plain cross-entropy,
# batches that are not mixed. The mixed label of GenLabel is a part of its loss: a network that goes on learning cannot
# do so from its own densities alone, which is why gamma is not 1. AdA's network of trained weights makes images of 32
# pixels and more, and gives way to a filter that lets images pass nearly as they are.
# A bet that pays little is not made by a network that knows nothing, which is why Deep Gamblers begins with
# cross-entropy; one that pays much is.
ALONE: dict[str, dict[str, Any]] = {
    "venkataramanan2023multimix": {"input_prob": 0.0},
    "verma2019manifold": {"stages": HIDDEN},
    "lim2022noisy": {"stages": HIDDEN},
    "sohn2022genlabel": {"warmup": 1},
    "huang2020selfadaptive": {"start": 0},
    "iscen2022learning": {"start": 0},
    "liu2019deep": {"start": 0, "reward": 7.0},
    "debenedetti2023light": {"warmup": 0},
    "jeong2021smoothmix": {"warmup": 1},
    "calian2022defending": {"network": "tests.helpers.nets:nearly_the_same"},
}


def alone(name: str, recipe: Recipe) -> Recipe:
    """The recipe with nothing beside its method, and with short attacks."""
    own = {key: value for key, value in ALONE.get(name, {}).items() if hasattr(recipe.objective, key)}
    objective = shortened(replace(recipe.objective, **own))
    if recipe.mix is not None and hasattr(recipe.mix, "prob"):
        recipe = replace(recipe, mix=replace(recipe.mix, prob=1.0))
    return replace(recipe, objective=objective)


def shortened(part: Any) -> Any:
    """An objective, or a part of it, whose attacks take two steps."""
    if isinstance(part, PGD):
        return replace(part, num_steps=2, step_size=part.eps / 2, drops=(), step="steepest")
    if isinstance(part, FGSM) or not hasattr(part, "__dataclass_fields__"):
        return part
    changed = {key: shortened(value) for key, value in vars(part).items() if hasattr(value, "__dataclass_fields__")}
    return replace(part, **changed)


@cache
def images_and_labels(seed: int) -> tuple[Tensor, Tensor]:
    source = coloured(SIZE, CLASSES, seed=seed)
    return torch.tensor(source.items).permute(0, 3, 1, 2).float() / 255, torch.tensor(source.labels).long()


def make_batch(recipe: Recipe, step: int, generator: torch.Generator) -> Batch:
    images, labels = images_and_labels(step % BATCHES)
    targets = F.one_hot(labels, CLASSES).float()
    index = torch.arange(SIZE) + SIZE * (step % BATCHES)
    views = [(images + 0.05 * torch.randn(images.shape, generator=generator)).clamp(0, 1) for _ in range(2)]
    extra = {"view1": views[0], "view2": views[1], "labels": labels, "index": index, "unmixed": images}
    if recipe.streams and recipe.streams[0].smoothing == 1:
        others = torch.rand(images.shape, generator=generator)
        mask = (torch.arange(SIZE) >= SIZE // 2).long()
        images = torch.where(mask.view(-1, 1, 1, 1) == 1, others, images)
        targets = torch.where(mask.view(-1, 1) == 1, 1 / CLASSES, targets)
        extra |= {"mask": mask, "weights": torch.ones(SIZE)}
    if recipe.mix is not None:
        images, targets = recipe.mix(images, targets, rng=generator)
    return Batch(epoch=step // BATCHES, step=step, images=images, targets=targets, **extra)


def accuracy_after(recipe: Recipe, steps: int = STEPS) -> float:
    """On other images of the same classes, 0 to 1; chance is an eighth."""
    objective: Objective = recipe.objective
    model = build_model(
        "preact_resnet8_w4",
        num_classes=objective.num_outputs(CLASSES),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        seed=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = objective.setup(model, BATCHES * SIZE, CLASSES)
    learned = [*model.parameters(), *(parameter for parameter in state.parameters() if parameter.requires_grad)]
    optimizer = torch.optim.SGD(learned, lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        model.train()
        batch = make_batch(recipe, step, generator)
        loss, _ = objective(model, batch, state, step_draws(objective, batch, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        objective.after_step(model, batch, state)
    images, labels = images_and_labels(BATCHES)
    # By the statistics of the batch: so few steps do not settle running averages.
    with torch.no_grad():
        return float((model.train()(images)[:, :CLASSES].argmax(dim=1) == labels).float().mean())


def kind_of(name: str, variant: str) -> str:
    """What is alike in recipes that differ by numbers alone."""
    recipe = alone(name, find_recipe(name, variant)[1])
    words = {key: value for key, value in to_plain(recipe.objective).items() if isinstance(value, str | bool)}
    return repr((words, kinds_in(recipe.objective), kinds_in(recipe.mix), bool(recipe.streams)))


def objectives_in(name: str, variant: str) -> set[type]:
    return {kind for kind in kinds_in(find_recipe(name, variant)[1].objective) if issubclass(kind, Objective)}


def one_of_each() -> list[tuple[str, str]]:
    """A recipe of each file, if it is not like one before, and one more of each objective that is in none of them."""
    every = [(name, variant) for name in recipe_names() for variant in recipe_outline(name)[1]]
    first = {kind_of(*place): place for place in reversed(every)}
    places = list(
        {name: (name, variant) for name, variant in reversed([p for p in every if p in first.values()])}.values()
    )
    for place in every:
        if not objectives_in(*place) <= {kind for other in places for kind in objectives_in(*other)}:
            places.append(place)
    return places


ONE_EACH = one_of_each()


def left_out(places: list[tuple[str, str]]) -> set[str]:
    """Recipes and objectives that places do not stand for, by name."""
    kinds = {kind_of(*place) for place in places}
    tried = {kind for place in places for kind in objectives_in(*place)}
    known = {kind for kind in vars(objectives).values() if isinstance(kind, type) and not inspect.isabstract(kind)}
    names = {name for name in recipe_names() if kind_of(name, "recipe") not in kinds}
    return names | {kind.__name__ for kind in known - tried}


def test_every_recipe_and_every_objective_is_tried() -> None:
    assert left_out(ONE_EACH) == set()
    without = [place for place in ONE_EACH if place[0] != "calian2022defending"]
    assert left_out(without) == {"calian2022defending", "AdversarialAugment"}


@pytest.mark.parametrize(("name", "variant"), ONE_EACH)
def test_it_learns_with_its_helper_switched_off(name: str, variant: str) -> None:
    recipe = alone(name, find_recipe(name, variant)[1])
    assert accuracy_after(recipe, SLOW.get(name, STEPS)) > BARS.get(type(recipe.objective), BAR)


def test_a_method_that_does_not_learn_alone_is_found() -> None:
    recipe = find_recipe("venkataramanan2023multimix", "small")[1]
    assert isinstance(recipe.objective, MultiMix)
    barren = replace(recipe.objective, group_size=None, clean_share=0.0, input_prob=0.0, alpha=(2.0, 2.0))
    assert accuracy_after(replace(recipe, objective=barren)) < BAR


def test_what_is_switched_off_is_there() -> None:
    for name, changes in ALONE.items():
        kinds = [find_recipe(name, variant)[1].objective for variant in recipe_outline(name)[1]]
        assert all(any(hasattr(kind, key) for kind in kinds) for key in changes), name
