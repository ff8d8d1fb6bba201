"""Label noise: its law, whose label it changes, and the splits and records of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.helpers.training import ALONE, TINY, coloured, coloured_sources, run_steps
from train.data.labels.noise import LabelNoise
from train.data.loaders import train_loader
from train.data.sources import MEASURED, Sources, prepare_sources
from train.machine.run import Run
from train.objectives import SelfAdaptiveTraining
from train.recipe import Recipe
from train.recipes import zhang2017mixup

COUNT, NUM_CLASSES = 20_000, 10
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LABELS = np.arange(COUNT, dtype=np.int32) % NUM_CLASSES
INDEX = np.arange(COUNT, dtype=np.int32)


def apply(noise: LabelNoise, labels: np.ndarray = LABELS, index: np.ndarray = INDEX, seed: int = 0) -> np.ndarray:
    return noise.apply(labels, index, CIFAR10, seed)


@pytest.mark.parametrize("rate", [0.2, 0.4, 0.8, 1.0])
@pytest.mark.parametrize(("to", "wrong"), [("any", 0.9), ("other", 1.0), ("next", 1.0), ("similar", 0.5)])
def test_as_many_labels_are_wrong_as_it_says(rate: float, to: Any, wrong: float) -> None:
    changed = apply(LabelNoise(rate=rate, to=to)) != LABELS
    spread = (rate * wrong * (1 - rate * wrong) / COUNT) ** 0.5
    assert abs(changed.mean() - rate * wrong) <= 5 * spread


def test_a_redrawn_label_is_any_class_alike() -> None:
    drawn = apply(LabelNoise(rate=1.0, to="any"))
    assert stats.chisquare(np.bincount(drawn, minlength=NUM_CLASSES)).pvalue > 1e-4
    other = apply(LabelNoise(rate=1.0, to="other"))
    assert not (other == LABELS).any()
    steps = np.bincount((other - LABELS) % NUM_CLASSES, minlength=NUM_CLASSES)[1:]
    assert stats.chisquare(steps).pvalue > 1e-4


def test_what_is_redrawn_does_not_depend_on_the_label_or_its_neighbours() -> None:
    changed = apply(LabelNoise(rate=0.3, to="other")) != LABELS
    by_class = np.bincount(LABELS[changed], minlength=NUM_CLASSES)
    assert stats.chisquare(by_class).pvalue > 1e-4
    assert abs(np.corrcoef(changed[1:], changed[:-1])[0, 1]) < 0.04


def test_classes_are_taken_for_the_one_that_is_like_them() -> None:
    found = apply(LabelNoise(rate=1.0, to="similar"))
    pairs = {CIFAR10[before]: CIFAR10[after] for before, after in zip(LABELS, found, strict=True)}
    changed = {before: after for before, after in pairs.items() if before != after}
    assert changed == {"truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat"}
    assert (apply(LabelNoise(rate=1.0, to="next")) == (LABELS + 1) % NUM_CLASSES).all()


@pytest.mark.parametrize("to", ["any", "other", "next", "similar"])
def test_a_subset_and_a_shard_have_the_labels_of_the_whole(to: Any) -> None:
    noise = LabelNoise(rate=0.4, to=to)
    whole = apply(noise)
    for chosen in (np.arange(100), np.arange(COUNT)[3::7], np.random.default_rng(0).permutation(COUNT)[:50]):
        assert (apply(noise, LABELS[chosen], INDEX[chosen]) == whole[chosen]).all()


def test_a_higher_rate_changes_what_a_lower_one_does_and_more() -> None:
    low, high = (apply(LabelNoise(rate=rate, to="other")) for rate in (0.2, 0.5))
    changed = low != LABELS
    assert (high[changed] == low[changed]).all()


def test_another_seed_changes_other_labels_and_the_same_one_the_same() -> None:
    noise = LabelNoise(rate=0.5, to="other")
    first, same, other = apply(noise), apply(noise), apply(noise, seed=1)
    assert (first == same).all()
    assert abs(((first != LABELS) & (other != LABELS)).mean() - 0.25) < 0.02


def test_no_noise_leaves_the_labels_alone() -> None:
    assert apply(LabelNoise()) is LABELS
    assert len(apply(LabelNoise(rate=0.5), LABELS[:0], INDEX[:0])) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 1.5}, r"noise\.rate must be a number from 0 to 1, got 1\.5"),
        ({"rate": -0.1}, r"noise\.rate must be a number from 0 to 1"),
        ({"rate": float("nan")}, r"noise\.rate must be a number from 0 to 1"),
        ({"to": "nearby"}, r"noise\.to must be one of 'any', 'other', 'next', 'similar', got 'nearby'"),
    ],
)
def test_a_wrong_setting_is_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelNoise(**settings)


def test_the_classes_of_other_data_have_no_similar_ones() -> None:
    with pytest.raises(ValueError, match="made for the classes of CIFAR-10, the data has no 'airplane'; take 'next'"):
        LabelNoise(rate=0.1, to="similar").apply(LABELS[:4], INDEX[:4], tuple("abcd"), 0)


# Sources as a recipe wants them.


def prepared(count: int = 200, **changes: Any) -> Sources:
    return prepare_sources(replace(TINY, **changes), coloured_sources(count), None)


def test_only_training_labels_are_changed_and_all_of_it_is_recorded() -> None:
    plain, noisy = coloured_sources(200), prepared(noise=LabelNoise(rate=0.5, to="other"))
    assert (noisy.held_out.labels == plain.held_out.labels).all()
    assert noisy.changes is not None
    assert (noisy.changes.original == plain.train.labels).all()
    assert (noisy.changes.given == noisy.train.labels).all()
    assert 0.35 < (noisy.train.labels != plain.train.labels).mean() < 0.65
    assert noisy.identity() != prepared().identity()
    assert prepared().changes is None


def test_a_validation_split_is_disjoint_and_keeps_the_test_images_for_the_end() -> None:
    plain, noise = coloured_sources(200), LabelNoise(rate=0.5, to="other")
    split = prepared(validation=30, noise=noise)
    assert (len(split.train), len(split.held_out)) == (170, 30)
    assert sorted([*split.train.index, *split.held_out.index]) == list(range(200))
    assert (split.also["test"].items == plain.held_out.items).all()
    # The labels that are validated on are those that there are: wrong ones too.
    whole = prepared(noise=noise)
    assert (split.held_out.labels == whole.train.labels[split.held_out.index]).all()
    assert (split.train.items == plain.train.items[split.train.index]).all()
    assert "test" not in whole.also
    assert len(prepared(validation=0.25).held_out) == 50
    assert split.num_samples <= 200


def test_a_split_and_a_subset_follow_from_the_seed() -> None:
    first, same, other = (prepared(validation=30, num_images=40, seed=seed) for seed in (0, 0, 1))
    assert (first.train.index == same.train.index).all()
    assert (first.held_out.index == same.held_out.index).all()
    assert len(set(first.held_out.index) & set(other.held_out.index)) < 20
    assert len(first.train) == 40
    assert not set(first.train.index) & set(first.held_out.index)


def test_images_with_real_and_with_corrupted_labels_are_measured_apart() -> None:
    noisy = prepared(noise=LabelNoise(rate=0.5, to="other"), num_images=150)
    assert noisy.changes is not None
    changed = noisy.changes.original != noisy.changes.given
    for name, wanted in (("real", ~changed), ("corrupted", changed)):
        index = noisy.also[name].index
        assert wanted[index].all()
        assert (noisy.also[name].labels == noisy.changes.given[index]).all()
        assert set(index) == set(noisy.train.index[wanted[noisy.train.index]])
    assert set(prepared().also) == set()
    large = prepare_sources(
        replace(TINY, noise=LabelNoise(rate=0.5)), Sources("cifar", coloured(8000), coloured(8), 4), None
    )
    assert [len(source) for source in large.also.values()] == [MEASURED, MEASURED]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": 200}, "validation 200 holds out 200 of 200 training images, too few are left"),
        ({"validation": 100, "num_images": 101}, "holds out 100 of 200 training images, too few .* num_images 101"),
        ({"validation": 1.5}, r"validation must be a share below 1 or a number of images, got 1\.5"),
        ({"validation": -1}, "validation must be a share"),
        ({"num_images": 0}, "num_images must be above 0, or None for all, got 0"),
    ],
)
def test_a_split_that_cannot_be_is_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepared(**changes)


def test_the_batches_carry_the_noisy_labels_by_index() -> None:
    recipe = replace(TINY, mix=None, noise=LabelNoise(rate=0.5, to="other"), num_images=60)
    sources = prepare_sources(recipe, coloured_sources(200), None)
    assert sources.changes is not None
    loaders = [
        train_loader(
            recipe, Run(num_threads=1), sources, replace(ALONE, rank=rank, size=2), ("images", "targets", "index")
        )
        for rank in (0, 1)
    ]
    seen = []
    for loader in loaders:
        for batch in loader:
            assert (batch.targets.argmax(dim=1).numpy() == sources.changes.given[batch.index.numpy()]).all()
            seen += batch.index.tolist()
    assert len(seen) == len(set(seen)) == 48


def test_a_recipe_with_noise_does_not_train_on_sources_without() -> None:
    recipe = replace(TINY, noise=LabelNoise(rate=0.5))
    with pytest.raises(AssertionError, match="prepare_sources"):
        train_loader(recipe, Run(num_threads=1), coloured_sources(), ALONE, ("images", "targets"))


def test_the_table_of_an_objective_has_a_place_for_every_index_of_a_split() -> None:
    recipe = replace(TINY, validation=16, mix=None, objective=SelfAdaptiveTraining(start=0))
    sources = prepare_sources(recipe, coloured_sources(64), None)
    state = run_steps(recipe, 3).state.objective
    assert sources.train.index.max() > len(sources.train)
    assert set(state.moved.nonzero().squeeze(1).tolist()) == set(sources.train.index)


@pytest.mark.parametrize("variant", ["corrupt20", "corrupt50", "corrupt80"])
def test_the_corrupt_labels_of_mixup_are_those_of_the_paper(variant: str) -> None:
    recipe = getattr(zhang2017mixup, variant)
    assert isinstance(recipe, Recipe)
    assert (recipe.noise.rate, recipe.noise.to) == (int(variant[-2:]) / 100, "any")
    assert recipe.num_epochs == 200
