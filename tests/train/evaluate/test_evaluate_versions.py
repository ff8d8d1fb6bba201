"""AutoAttack's versions and PGD's settings: against the package called directly, against the papers' loops, and against
defences that fool a weaker attack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali import derive_seed
from pipelines.sources.source import Source
from tests.helpers.evaluations import Linear, classifier, grey_images, held_out, tensor_of, weaken
from train.attacks.starts import starts
from train.evaluate.parts import auto
from train.evaluate.parts.attacks import Ascent, measure_pgd
from train.evaluate.parts.auto import Ensemble
from train.evaluate.presets import PRESETS, choose_ascent
from train.evaluate.settings import Arguments

EPS: dict[Any, float] = {"Linf": 0.5 / 255, "L2": 0.025, "L1": 0.05}


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    make = auto.make_autoattack
    monkeypatch.setattr(auto, "make_autoattack", lambda *arguments: quick(make(*arguments)))


def quick(attack: Any) -> Any:
    weaken(attack, 4, 10)
    # As many restarts as there are must differ from none.
    attack.apgd.n_restarts, attack.fab.n_restarts = min(2, attack.apgd.n_restarts), min(2, attack.fab.n_restarts)
    attack.apgd.eot_iter = min(3, attack.apgd.eot_iter)
    return attack


def direct(
    network: Any, images: Tensor, labels: Tensor, ensemble: Ensemble, size: int = 16
) -> tuple[list[int], Tensor]:
    """What the package says, called as its authors call it, and its images."""
    package = pytest.importorskip("pyautoattack", reason="needs pyautoattack")
    attacks = list(ensemble.attacks) or None
    attack = quick(
        package.AutoAttack(
            network, eps=ensemble.eps, norm=ensemble.norm, seed=3, version=ensemble.version, attacks=attacks
        )
    )
    with torch.random.fork_rng():
        reached, guesses = attack.run_standard_evaluation(images, labels, batch_size=size)
    return (guesses == labels).long().tolist(), reached


CASES: dict[str, dict[str, Any]] = {
    "plus": {"version": "plus"},
    "rand": {"version": "rand"},
    "L1": {"norm": "L1"},
    "plus-L2": {"version": "plus", "norm": "L2"},
    "custom": {"version": "custom", "attacks": ("square", "apgd-dlr")},
    "fab-last": {"version": "custom", "attacks": ("fab-t", "fab")},
}


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_version_is_the_package_called_directly_and_so_are_its_images(case: dict[str, Any]) -> None:
    source, network = grey_images(24), classifier(Linear())
    images = torch.cat([batch.images for batch in held_out(source)])
    labels = torch.tensor(np.array(source.labels)).long()
    ensemble = Ensemble(eps=EPS[case.get("norm", "Linf")], **case)
    expected, reached = direct(network, images, labels, ensemble)
    kept: dict[str, Tensor] = {}
    (found,) = auto.measure_autoattack(
        {"n": network}, held_out(source), ensemble, seed=3, keep=kept.__setitem__
    ).values()
    assert found["robust"] == expected
    assert torch.equal(kept["n"], reached)
    assert list(found["after"]) == ["clean", *ensemble.names]
    assert 0 < found["accuracy"] < found["after"]["clean"]


def test_passes_of_autoattack_are_those_asked_for_and_else_the_versions() -> None:
    pytest.importorskip("pyautoattack", reason="needs pyautoattack")
    for ensemble, expected in ((Ensemble(eps=0.1), 1), (Ensemble(eps=0.1, version="rand"), 20)):
        assert auto.make_autoattack(Linear(), ensemble, 0, torch.device("cpu")).apgd.eot_iter == expected
    asked = auto.make_autoattack(Linear(), Ensemble(eps=0.1, passes=7), 0, torch.device("cpu"))
    assert (asked.apgd.eot_iter, asked.apgd_targeted.eot_iter) == (7, 7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"version": "custom"}, "attacks: version custom names its attacks, got none"),
        ({"attacks": ("fab",)}, "attacks: version standard has its own attacks; pass --version custom, got fab"),
        ({"version": "custom", "attacks": ("fab", "fab")}, "attacks must be named once, got fab fab"),
        ({"version": "standart"}, "version must be one of 'standard', 'plus', 'rand', 'custom', got 'standart'"),
    ],
)
def test_attacks_that_do_not_fit_the_version_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ensemble(eps=0.1, **settings)


class Masked(nn.Module):
    """A defence by noise: each answer sees one pixel in twelve, so that the gradient of one pass is mostly zero."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Linear()

    def forward(self, images: Tensor) -> Tensor:
        share = 1 / 12
        mask = (torch.rand(images.shape) < share).float() / share
        return self.network(0.5 + (images - 0.5) * mask)


def test_averaging_over_passes_is_stronger_against_a_defence_by_noise() -> None:
    source = grey_images(200)
    found = {}
    for passes in (1, 10):
        ascent = Ascent(eps=6 / 255, num_steps=5, losses=("cross_entropy",), iterate="last", passes=passes)
        networks = {"n": classifier(Masked())}
        (found[passes],) = measure_pgd(networks, held_out(source, batch_size=100), ascent, seed=0).values()
    assert found[10]["accuracy"] < found[1]["accuracy"] - 0.05
    assert found[10]["passes"] == 10


def test_what_a_random_network_draws_follows_from_the_seed() -> None:
    networks, before = {"n": classifier(Masked())}, torch.get_rng_state()
    ascent = Ascent(eps=6 / 255, num_steps=2, passes=2)
    first, second = (measure_pgd(networks, held_out(grey_images()), ascent, seed=4)["n"] for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), before)


def test_averaging_changes_nothing_of_a_network_that_answers_alike() -> None:
    networks, images = {"n": classifier(Linear())}, held_out(grey_images())
    once, often = (
        measure_pgd(networks, images, Ascent(eps=EPS["Linf"], num_steps=5, restarts=2, passes=passes), seed=1)["n"]
        for passes in (1, 3)
    )
    assert once["robust"] == often["robust"]


class Band(nn.Module):
    """Wrong only where the mean brightness lies in a narrow band, and less sure far behind it, where it is right."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean(dim=(1, 2, 3))
        own = 0.7 - mean
        inside = (mean > 0.53) & (mean < 0.55)
        zero, far = torch.zeros_like(mean), torch.full_like(mean, -9.0)
        wrong = torch.stack([own, own.detach() + 0.2, far, far], dim=1)
        return torch.where(inside.unsqueeze(1), wrong, torch.stack([own, zero, zero, zero], dim=1))


def test_an_image_that_is_missed_on_the_way_is_missed() -> None:
    source = Source(np.full((3, 8, 8, 3), 128, np.uint8), np.zeros(3, dtype=np.int64))
    found = {
        iterate: measure_pgd(
            {"n": classifier(Band())},
            held_out(source),
            Ascent(eps=0.15, step_size=0.0199, num_steps=7, start="none", losses=("cross_entropy",), iterate=iterate),
            seed=0,
        )["n"]["accuracy"]
        for iterate in ("last", "best", "any")
    }
    assert found == {"last": 1.0, "best": 1.0, "any": 0.0}


def trades_loop(network: Any, images: Tensor, labels: Tensor, start: Tensor) -> Tensor:
    """`_pgd_whitebox` of yaodongyu/TRADES, pgd_attack_cifar10.py, and of YisenWang/MART, train_resnet.py, which have
    other starts, at their defaults -> (N,) which are right."""
    moved = images + start
    for _ in range(20):
        moved.requires_grad_()
        (slopes,) = torch.autograd.grad(F.cross_entropy(network(moved), labels), moved)
        moved = moved.detach() + 0.003 * slopes.sign()
        moved = (images + (moved - images).clamp(-0.031, 0.031)).clamp(0, 1)
    return network(moved).argmax(dim=1) == labels


@pytest.mark.parametrize("preset", ["zhang2019theoretically", "wang2020improving"])
def test_a_preset_is_the_loop_of_its_authors(preset: str) -> None:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.25, generator=generator)
    rng = np.random.default_rng(0)
    source = Source(rng.integers(0, 256, (64, 8, 8, 3)).astype(np.uint8), np.zeros(64, dtype=np.int64))
    images = tensor_of(source.items)
    labels = network(images).argmax(dim=1)
    ascent = choose_ascent(preset, None, None, 8 / 255)
    start = starts(ascent.attack(), images, torch.arange(64), derive_seed(0, "pgd", 0))
    assert bool(start.any()) == (preset == "wang2020improving")
    own = held_out(source.relabel(labels.numpy()), batch_size=64)
    (found,) = measure_pgd({"n": classifier(network)}, own, ascent, seed=0).values()
    expected = trades_loop(network, images, labels, start)
    assert 0 < expected.float().mean() < 1
    assert found["robust"] == expected.long().tolist()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_says_where_it_stands_and_can_be_asked_for(name: str) -> None:
    assert "/" in PRESETS[name].source
    asked = Arguments(model="a:b", parts=("pgd",), preset=name)
    assert asked.norm_or_usual == PRESETS[name].ascent.norm
    assert choose_ascent(name, None, None, 0.1) == PRESETS[name].ascent
    assert choose_ascent(name, 0.02, None, 0.1, num_steps=3).num_steps == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "madry2018"}, "preset 'madry2018' is unknown; nearest: madry2018towards"),
        ({"preset": "wu2020adversarial", "parts": ("pgd20",)}, "preset is a setting of the parts pgd; add one of them"),
        ({"num_steps": 3}, "num_steps is a setting of the parts pgd"),
        ({"version": "rand"}, "version is a setting of the part autoattack"),
        ({"eot": 0, "parts": ("pgd",)}, "eot must be a whole number above 0"),
        ({"step_size": "2/0", "parts": ("pgd",)}, "step_size must be a number such as 8/255 or 0.031, got '2/0'"),
        ({"norm": "L1", "eps": 2000, "parts": ("autoattack",)}, "eps must be above 0 and below 256 in L1"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Arguments(model="a:b", **({"parts": ("clean", "pgd20")} | settings))


def test_a_setting_that_a_part_uses_is_taken() -> None:
    for part in ("pgd", "pgd20", "pgd50", "calibration_attacked"):
        assert Arguments(model="a:b", parts=(part,), eot=3, iterate="last").eot == 3
    assert Arguments(model="a:b", parts=("autoattack",), eot=3, version="rand").eot == 3


def test_a_preset_of_another_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="preset rice2020overfitting is for Linf, got --norm L2"):
        choose_ascent("rice2020overfitting", None, "L2", 0.5)
