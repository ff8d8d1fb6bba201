"""Every recipe and variant: it prints, survives storing, and trains; the papers' settings are the papers'."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from docs import recipes
from mixdali import Choose, MixUp, RandomErasing
from pipelines.augment import Progressive, RandAugment
from tests.helpers.training import ALONE, TINY, coloured, coloured_sources, new_training
from train.attacks import Robust
from train.attacks.attack import Attack
from train.cli.main import find_recipe, recipe_names, recipe_outline
from train.cli.shown import write_recipe
from train.data.known import KNOWN, Known
from train.data.labels.noise import LabelNoise
from train.data.labels.pixels import ImageNoise
from train.data.sources import Sources, fingerprint, prepare_sources, read_sources
from train.data.streams import Stream
from train.files.plain import differences, to_plain
from train.loop.epochs import make_batch, score_name, train_step
from train.objectives import CrossEntropy, LinearEvaluation
from train.optim import SGD, OneCycle, Steps
from train.recipe import FIXED, MACHINE, Claim, ClaimedData, Origin, Recipe, from_plain, kinds_in, parts, vocabulary
from train.show.table import claim_for

# Networks that take too long here, whatever their width and settings.
DEEP = ("preact_resnet18", "preact_resnet50", "cifar_resnet", "pyramidnet", "wide_resnet", "timm:")

EVERY = [(name, variant) for name in recipe_names() for variant in recipe_outline(name)[1]]


@pytest.fixture(params=EVERY, ids="-".join)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return find_recipe(*request.param)[1]


@pytest.mark.parametrize("name", recipe_names())
def test_every_field_that_decides_says_where_it_comes_from(name: str) -> None:
    origin, variants = recipes.origin_of(name), recipe_outline(name)[1]
    assert set(origin.variants) <= {variant for variant in variants[1:] if not recipes.is_small(variant)}
    for variant in variants:
        if recipes.is_small(variant):
            continue
        own = origin if variant == "recipe" else origin.variants.get(variant, Origin())
        told = [*own.from_paper, *own.from_code, *own.ours]
        assert sorted(told) == sorted(recipes.decided(name, variant)), f"{name} {variant}"
        assert all(why.strip() for why in [*own.ours.values(), *own.differs])
        assert not own.from_code or origin.code
    for code in (origin.code, *(own.code for own in origin.variants.values())):
        # A repository by its commit, or a package by its version: it can be looked at as it was.
        assert not code or re.search(r"[\w-]+/[\w.-]+ at [0-9a-f]{7}\b|, timm \d+\.\d+\.\d+:", code), code


@pytest.mark.parametrize("name", recipe_names())
def test_the_list_shows_exactly_the_variants_that_exist(name: str) -> None:
    module = __import__(f"train.recipes.{name}", fromlist=["recipe"])
    summary, listed = recipe_outline(name)
    assert summary.endswith(".")
    assert set(listed) == {key for key, value in vars(module).items() if isinstance(value, Recipe)}
    assert listed[0] == "recipe"


def test_what_is_stored_is_what_comes_back(recipe: Recipe) -> None:
    plain = json.loads(json.dumps(to_plain(recipe)))
    assert from_plain(plain) == recipe
    assert from_plain(plain).mix == recipe.mix
    assert differences(plain, to_plain(recipe)) == []


def at_a_hundredth(recipe: Recipe) -> Recipe:
    """The recipe on a small network and small images in memory."""
    ours, theirs = "preact_resnet8_w4", "mobilenet_v3_small"
    shapes = {"resnet50": theirs, "resnet18": theirs}
    return replace(
        recipe,
        data="cifar",
        model=ours if recipe.model.startswith(DEEP) else shapes.get(recipe.model, recipe.model),
        batch_size=8,
        num_images=None,
        size=None if recipe.data == "cifar" else (32, 32),
        progressive=None,
        test_size=None,
        crop_area=None,
        repeats=1,
        crop_share=None,
        precision="float32",
        streams=tuple(replace(stream, root="gaussian", share=min(stream.share, 0.5)) for stream in recipe.streams),
    )


def form(plain: Any) -> Any:
    """Plain settings in which numbers say no more than whether they are 0."""
    if isinstance(plain, dict):
        return {name: form(value) for name, value in plain.items() if name not in (*FIXED, *MACHINE)}
    if isinstance(plain, list):
        return [form(value) for value in plain]
    return bool(plain) if isinstance(plain, int | float) else plain


# How the weights move; all other fields say what the loss of a batch is.
MOVING = (
    *("model", "num_epochs", "batch_size", "lr", "optimizer", "weight_decay", "decayed", "clip_norm", "layer_decay"),
    *("schedule", "ema_decay", "ema_warmup", "ema_buffers", "nonfinite", "robust", "patience", "evaluate_every"),
)


def different() -> list[tuple[str, str]]:
    """Of recipes whose loss is alike but for numbers one, and of those whose weights move alike."""
    seen, found = set(), []
    for place in EVERY:
        plain = form(to_plain(at_a_hundredth(find_recipe(*place)[1])))
        moves = json.dumps({name: plain.pop(name) for name in MOVING})
        if {json.dumps(plain), moves} - seen:
            found.append(place)
            seen |= {json.dumps(plain), moves}
    return found


@pytest.mark.parametrize("place", different(), ids="-".join)
def test_it_trains_three_steps_at_a_hundredth_of_its_size(place: tuple[str, str]) -> None:
    small = at_a_hundredth(find_recipe(*place)[1])
    training = new_training(small, coloured_sources(count=32))
    before = [parameter.clone() for parameter in training.state.model.parameters()]
    for raw, _ in zip(training.train, range(3), strict=False):
        train_step(small, training.state, make_batch(raw, 0, training.state.step, ALONE.device), ALONE)
    assert training.state.step == 3
    after = list(training.state.model.parameters())
    assert all(bool(parameter.isfinite().all()) for parameter in after)
    least = 1 if isinstance(small.objective, LinearEvaluation) else len(after) / 2
    assert sum(not bool((new == old).all()) for new, old in zip(after, before, strict=True)) > least


def test_a_claim_belongs_to_a_paper_and_says_where_it_stands(recipe: Recipe) -> None:
    if recipe.claim is not None:
        assert recipe.paper
        assert 0 < recipe.claim.accuracy < 100
        assert recipe.claim.where


CLAIMED = {
    ("debenedetti2023light", "recipe"),
    ("debenedetti2023light", "eps8"),
    ("gowal2021improving", "recipe"),
    ("gowal2021improving", "cutmix"),
    ("gowal2021improving", "resnet18"),
    ("gowal2021improving", "l2"),
    ("gowal2021improving", "cifar100"),
    ("huang2020selfadaptive", "recipe"),
    ("lamb2022interpolated", "recipe"),
    ("leclerc2023ffcv", "recipe"),
    ("rebuffi2021data", "recipe"),
    ("rebuffi2021data", "generated"),
    ("rebuffi2021data", "generated_l2"),
    ("rebuffi2021data", "cifar100"),
    ("rebuffi2021data", "generated_cifar100"),
    ("rice2020overfitting", "recipe"),
    ("touvron2021training", "recipe"),
    ("verma2019manifold", "recipe"),
    ("wightman2021resnet", "a2"),
    ("wightman2021resnet", "recipe"),
    ("yun2019cutmix", "recipe"),
    ("yun2019cutmix", "imagenet"),
    ("zhang2017mixup", "recipe"),
    ("zhang2017mixup", "imagenet"),
    ("zhang2017mixup", "imagenet200"),
}


def test_a_variant_has_no_claim_of_the_recipe_it_is_made_of() -> None:
    assert {place for place in EVERY if find_recipe(*place)[1].own_claim is not None} == CLAIMED


CHANGES: dict[str, Any] = {
    "model": "preact_resnet8",
    "num_epochs": 3000,
    "batch_size": 7,
    "lr": 9.0,
    "optimizer": SGD(momentum=0.3),
    "weight_decay": 0.3,
    "decayed": "matrices",
    "clip_norm": 1.0,
    "layer_decay": 0.7,
    "schedule": OneCycle(warmup=0.3),
    "mix": None,
    "objective": CrossEntropy(),
    "smoothing": 0.01,
    "ema_decay": 0.9,
    "ema_warmup": True,
    "ema_buffers": "live",
    "size": (31, 31),
    "progressive": Progressive(sides=((0, 32), (9, 64))),
    "test_size": (33, 33),
    "interpolation": "bicubic",
    "repeats": 2,
    "crop_area": (0.2, 1.0),
    "crop_share": 0.9,
    "auto_augment": RandAugment(),
    "erasing": RandomErasing(),
    "sync_batch_norm": True,
    "nonfinite": "skip",
    "augment": False,
    "color_jitter": 0.1,
    "lighting": 0.1,
    "weights": "a.pt",
    "labels": "b.pt",
    "noise": LabelNoise(rate=0.1),
    "image_noise": ImageNoise(rate=0.1),
    "num_images": 50_000,
    "streams": (Stream(root="c.npz"),),
    "whole_epochs": False,
    "validation": 10.0,
    "fold": (0, 5),
    "evaluate_every": 2,
    "robust": Robust(num_images=3),
    "patience": 3,
}


def test_a_claim_is_shown_beside_no_recipe_that_differs_from_its_own_in_any_field() -> None:
    original = find_recipe("verma2019manifold")[1]
    original = replace(original, objective=replace(original.objective, loss="ce"), mix=None, claim=None)
    claimed = original.claiming(Claim(data="CIFAR-10", accuracy=50.0, where="here"))
    assert claimed.own_claim is not None
    for name in {field.name for field in fields(Recipe)} - {"data", *FIXED, *MACHINE}:
        assert name in CHANGES, f"{name} needs a change here"
        changed = {"mix": MixUp(), "objective": CrossEntropy()} if name == "mix" else {name: CHANGES[name]}
        assert replace(claimed, **changed).own_claim is None, name
    assert set(CHANGES) <= {field.name for field in fields(Recipe)}
    for same in ({"seed": 4}, {"precision": "float32"}, {"compile": True}, {"schedule": Steps(at=(500.0, 1000, 1500))}):
        assert replace(claimed, **same).own_claim == claimed.claim
    assert from_plain(json.loads(json.dumps(to_plain(claimed)))).own_claim == claimed.claim


def test_a_claim_that_does_not_say_whose_it_is_is_left_out_of_what_a_checkpoint_stored() -> None:
    plain = to_plain(find_recipe("zhang2017mixup")[1])
    older = {key: value for key, value in plain["claim"].items() if key not in ("of", "stream_images")}
    plain["claim"] = {**older, "num_images": 50_000, "num_classes": 10}
    assert from_plain(plain) == replace(find_recipe("zhang2017mixup")[1], claim=None)


def known_data(**changes: Any) -> Sources:
    """CIFAR-10, as far as `KNOWN` can be satisfied without it."""
    source, test = coloured(64), coloured(22, seed=1)
    return replace(Sources("cifar", source, test, 4, num_all=64), **changes)


def test_a_claim_is_shown_on_its_data_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = known_data()
    digest = hashlib.sha256("\n".join(sources.classes).encode()).hexdigest()
    mine = Known(num_images=64, num_test_images=22, classes=digest, test_images=fingerprint(sources.held_out))
    monkeypatch.setitem(KNOWN, "CIFAR-10", mine)
    claim = Claim(data="CIFAR-10", accuracy=50.0, where="here", stream_images=())
    recipe = TINY.claiming(claim)
    assert claim_for(recipe, sources) == recipe.claim
    split = replace(sources, held_out=coloured(5), also={"test": sources.held_out})
    assert claim_for(recipe, split) == recipe.claim
    others = [
        known_data(num_all=63),
        known_data(held_out=coloured(22, seed=2)),
        known_data(held_out=coloured(21, seed=1)),
        known_data(train=replace(coloured(64), classes=tuple("abce"))),
        known_data(streams=(coloured(9),)),
    ]
    assert [claim_for(recipe, other) for other in others] == [None] * len(others)
    assert claim_for(replace(recipe, lr=9.0), sources) is None


def test_every_data_set_that_a_claim_can_name_is_known() -> None:
    assert set(KNOWN) == set(get_args(ClaimedData))
    with pytest.raises(ValueError, match="Claim: data must be one of 'CIFAR-10', 'CIFAR-100', 'ImageNet', got 'MNIST'"):
        Claim(data="MNIST", accuracy=50.0, where="here")  # type: ignore[arg-type]


def test_real_cifar10_is_known(shared_data: Callable[[str], Path]) -> None:
    root = str(shared_data("cifar10/cifar-10-python.tar.xz"))
    sources = read_sources("cifar", root)
    assert KNOWN["CIFAR-10"].is_in(prepare_sources(find_recipe("zhang2017mixup")[1], sources, root))


# A smoothed classifier is measured by what can be certified of it, after training.
CERTIFIED = ("jeong2021smoothmix",)


def test_no_recipe_with_an_attack_takes_its_best_epoch_by_clean_accuracy() -> None:
    attacking = [
        place
        for place in EVERY
        if place[0] not in CERTIFIED
        and any(issubclass(kind, Attack) for kind in kinds_in(find_recipe(*place)[1].objective))
    ]
    assert len(attacking) > 30
    for place in attacking:
        recipe = find_recipe(*place)[1]
        assert recipe.robust is not None, place
        assert "robust" in score_name(recipe)


@pytest.mark.parametrize(
    ("name", "variant", "rates"),
    [
        # Epochs counted from 0, and the learning rate the authors' code has in them.
        ("zhang2017mixup", "recipe", {0: 0.1, 100: 0.1, 101: 0.01, 150: 0.01, 151: 0.001, 199: 0.001}),
        ("yun2019cutmix", "recipe", {0: 0.25, 149: 0.25, 150: 0.025, 224: 0.025, 225: 0.0025, 299: 0.0025}),
        ("huang2020selfadaptive", "trades", {0: 0.1, 73: 0.1, 74: 0.01, 88: 0.01, 89: 0.001, 98: 0.001, 99: 0.0001}),
        ("huang2020selfadaptive", "selective", {0: 0.1, 24: 0.1, 25: 0.05, 274: 0.1 / 1024, 275: 0.1 / 2048}),
        ("zhang2017mixup", "imagenet", {0: 0.1, 2.5: 0.25, 5: 0.4, 29: 0.4, 30: 0.04, 60: 0.004, 80: 0.0004}),
        ("debenedetti2023light", "cifar", {0: 1e-6, 5: 0.5 * (5e-6 + 1e-4) + 0.5 * (1e-4 - 5e-6) * 0.5**0.5, 21: 5e-6}),
        ("rebuffi2021data", "recipe", {0: 0, 5: 0.1, 10: 0.2, 276.5: 0.2, 276.7: 0.02, 399: 0.02}),
        ("yun2019cutmix", "imagenet", {0: 0.1, 74: 0.1, 75: 0.01, 150: 0.001, 225: 0.0001}),
    ],
)
def test_the_rate_is_that_of_the_authors(name: str, variant: str, rates: dict[float, float]) -> None:
    recipe = find_recipe(name, variant)[1]
    found = {epoch: recipe.lr * recipe.schedule.rate(epoch, recipe.num_epochs) for epoch in rates}
    assert found == pytest.approx(rates)


def test_differences_name_the_fields() -> None:
    old, new = (find_recipe(name)[1] for name in ("zhang2017mixup", "yun2019cutmix"))
    texts = differences(to_plain(old), to_plain(new))
    assert "lr 0.1, now 0.25" in texts
    assert "mix MixUp, now CutMix" in texts
    assert "schedule.at (101, 151), now (150, 225)" in texts
    assert "optimizer.nesterov False, now True" in texts
    assert not any(text.startswith("optimizer.momentum") for text in texts)


@pytest.mark.parametrize(
    "name", ["subprocess.Popen", "train.__main__.main", "train.Path", "mixdali.Plan", "own.Blend", "SGD", "", None, 3]
)
def test_a_stored_class_that_recipes_are_not_made_of_is_not_built(name: object) -> None:
    before = set(sys.modules)
    with pytest.raises(ValueError, match=f"names the class {name!r}, which no recipe is made of"):
        from_plain({"type": name, "args": "true"})
    assert set(sys.modules) == before


def test_the_parts_of_recipes_have_different_names() -> None:
    names = [kind.__name__ for kind in set(parts())]
    assert len(names) == len(set(names))
    assert set(vocabulary()) == {*names} - {"Recipe", "Claim"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mix": SGD()}, "mix must be a Mix or None, got SGD"),
        ({"optimizer": OneCycle()}, "optimizer must be an Optimizer, got OneCycle"),
        ({"batch_size": "128"}, "batch_size must be a whole number, got '128'"),
        ({"streams": Stream()}, "streams must be a list, each a Stream, got Stream"),
    ],
)
def test_a_part_of_another_kind_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(find_recipe("demo")[1], **change)


def test_what_a_command_shows_is_a_file_of_the_same_recipe(recipe: Recipe) -> None:
    text = write_recipe(recipe, ["demo"], None)
    written: dict[str, Any] = {}
    exec(text, written)
    assert written["recipe"] == recipe
    assert text.startswith("# python -m train demo\n")
    assert all(f"\n    {field.name}=" in text for field in fields(recipe))
    assert max(map(len, text.splitlines())) < 135


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_epochs": 0}, "num_epochs must be above 0, got 0"),
        ({"lr": -0.1}, "lr must be above 0"),
        ({"smoothing": 1.0}, r"smoothing must be in \[0, 1\)"),
        ({"ema_decay": 1.5}, "ema_decay must be in"),
        ({"num_epochs": 120}, r"schedule.at \(101, 151\) lies beyond the last of num_epochs=120"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(find_recipe("zhang2017mixup")[1], **change)


def test_the_demo_mixes_by_several_methods() -> None:
    mix = find_recipe("demo")[1].mix
    assert isinstance(mix, Choose)
    assert len(mix.mixes) == 2


def test_too_few_images_for_a_batch_are_refused() -> None:
    recipe = find_recipe("demo")[1]
    with pytest.raises(ValueError, match="batch"):
        new_training(recipe, Sources("cifar", coloured(8), coloured(8), 4))


MIX_THEMSELVES = ["verma2019manifold", "zou2023mixupe", "lim2022noisy", "venkataramanan2023multimix"]


@pytest.mark.parametrize("name", [*MIX_THEMSELVES, "lamb2022interpolated", "sohn2022genlabel", "huang2020selfadaptive"])
def test_what_mixes_itself_or_needs_clean_images_refuses_a_mix(name: str) -> None:
    _, recipe = find_recipe(name, "small")
    with pytest.raises(ValueError, match=rf"mix must be None: {type(recipe.objective).__name__} \w+"):
        replace(recipe, mix=MixUp())
