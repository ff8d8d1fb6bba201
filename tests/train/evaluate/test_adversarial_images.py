"""Adversarial images: none that breaks a rule counts, and what is saved gives the accuracy again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers.evaluations import Linear, classifier, grey_images, held_out, weaken
from tests.helpers.shifts import memory
from train.attacks import PGD
from train.evaluate.parts import attacks, auto
from train.evaluate.parts.adversarial import (
    Saved,
    check_adversarial,
    measure_saved,
    read_adversarial,
    write_adversarial,
)
from train.evaluate.parts.attacks import Ascent, measure_pgd
from train.evaluate.parts.auto import Ensemble

IMAGES = torch.full((3, 3, 8, 8), 0.5)


def moved(by: float, pixel: int = 0) -> Tensor:
    reached = IMAGES.clone().flatten(1)
    reached[1, pixel] += by
    return reached.view_as(IMAGES)


@pytest.mark.parametrize(
    ("reached", "norm", "eps", "message"),
    [
        (moved(0.0321), "Linf", 0.031, "left the ball: an image moved by 0.0321 in Linf, eps is 0.031"),
        (moved(0.51), "Linf", 0.6, r"left \[0, 1\]: its images hold values from 0.5 to 1.01"),
        (moved(torch.nan), "Linf", 0.5, "made images that are not finite"),
        (moved(torch.inf), "Linf", 0.5, "made images that are not finite"),
        (IMAGES + 0.1, "L2", 1.0, "left the ball: an image moved by 1.38"),
        (IMAGES + 0.1, "L1", 12.0, "left the ball: an image moved by 19.2 in L1"),
        (IMAGES[:2], "L2", 1.0, "made images of the shape"),
    ],
)
def test_what_an_attack_must_not_make_is_an_error(reached: Tensor, norm: str, eps: float, message: str) -> None:
    with pytest.raises(ValueError, match=f"PGD {message}"):
        check_adversarial(reached, IMAGES, eps, norm, "PGD")


@pytest.mark.parametrize(("by", "norm", "eps"), [(0.031, "Linf", 0.031), (0.4, "L2", 0.4), (0.3, "L1", 0.3)])
def test_what_is_on_the_edge_of_the_ball_is_in(by: float, norm: str, eps: float) -> None:
    check_adversarial(moved(by), IMAGES, eps, norm, "PGD")


def test_an_attack_of_ours_that_leaves_the_ball_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(self: PGD, images: Tensor, loss: Any, **others: Any) -> Tensor:
        return images + 0.2

    monkeypatch.setattr(attacks.PGD, "search", search)
    with pytest.raises(ValueError, match="PGD-20 left the ball"):
        measure_pgd({"n": classifier(Linear())}, held_out(grey_images()), Ascent(eps=0.01, iterate="last"), seed=0)


def test_an_attack_of_the_package_that_leaves_the_ball_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyautoattack", reason="needs pyautoattack")
    make = auto.make_autoattack

    def leave(*arguments: Any) -> Any:
        attack = make(*arguments)
        attack.apgd.perturb = lambda images, labels: (images + 0.3 * torch.randn_like(images)).clamp(0, 1)
        return attack

    monkeypatch.setattr(auto, "make_autoattack", leave)
    with torch.random.fork_rng(), pytest.raises(ValueError, match="pyautoattack's apgd-ce left the ball"):
        auto.measure_autoattack({"n": classifier(Linear())}, held_out(grey_images()), Ensemble(eps=0.01), seed=3)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, Any]]:
    """A file of two attacks, and what was reported."""
    pytest.importorskip("pyautoattack", reason="needs pyautoattack")
    make = auto.make_autoattack
    monkeypatch.setattr(auto, "make_autoattack", lambda *arguments: weaken(make(*arguments)))
    networks, images = {"a": classifier(Linear()), "b": classifier(Linear(seed=1))}, held_out(grey_images())
    kept: dict[str, dict[str, Tensor]] = {"pgd": {}, "autoattack": {}}
    ascent, ensemble = Ascent(eps=0.5 / 255, num_steps=4, restarts=2), Ensemble(eps=0.025, norm="L2")
    found = {
        "pgd": measure_pgd(networks, images, ascent, seed=0, keep=kept["pgd"].__setitem__),
        "autoattack": auto.measure_autoattack(networks, images, ensemble, seed=3, keep=kept["autoattack"].__setitem__),
    }
    arrays = {(part, name): own.numpy() for part, one in kept.items() for name, own in one.items()}
    index, labels = np.array(images.source.index), np.array(images.source.labels)
    settings = {"pgd": ascent.plain(), "autoattack": ensemble.plain()}
    write_adversarial(Saved(tmp_path / "adversarial.npz", index, labels, settings, arrays))
    return tmp_path / "adversarial.npz", found


def test_saved_images_pass_a_check_of_somebody_else_and_give_the_accuracy_again(
    file: tuple[Path, dict[str, Any]],
) -> None:
    path, reported = file
    clean = np.asarray(grey_images().items, dtype=np.float64).transpose(0, 3, 1, 2) / 255
    with np.load(path, allow_pickle=False) as content:
        for part, order, eps in (("pgd", np.inf, 0.5 / 255), ("autoattack", 2, 0.025)):
            for name, seed in (("a", 0), ("b", 1)):
                images = content[f"{part}/{name}"].astype(np.float64)
                moves = np.linalg.norm((images - clean).reshape(len(images), -1), ord=order, axis=1)
                assert np.isfinite(images).all()
                assert images.min() >= 0
                assert images.max() <= 1
                assert 0 < moves.max() <= eps * (1 + 1e-5) + 1e-7
                guesses = Linear(seed=seed)(torch.from_numpy(content[f"{part}/{name}"])).argmax(dim=1).numpy()
                assert (guesses == content["labels"]).mean() == reported[part][name]["accuracy"]


@pytest.mark.parametrize("batch_size", [16, 7])
def test_read_back_they_give_the_accuracy_again_in_any_batches(
    file: tuple[Path, dict[str, Any]], batch_size: int
) -> None:
    path, reported = file
    known, remember = memory()
    networks, images = {"a": classifier(Linear())}, held_out(grey_images(), batch_size=batch_size)
    found = measure_saved(networks, images, read_adversarial(path), remember=remember)
    for part in ("pgd", "autoattack"):
        assert found["a"][f"{part}/a"] == reported[part]["a"]["accuracy"]
        # Images made for another network are weaker than its own.
        assert found["a"][f"{part}/b"] > found["a"][f"{part}/a"]
    assert measure_saved(networks, images, read_adversarial(path), remember=remember) == found
    assert len(known) == 4 * -(-40 // batch_size)


def test_a_file_that_was_changed_or_is_of_other_images_is_refused(file: tuple[Path, dict[str, Any]]) -> None:
    path, _ = file
    saved, networks = read_adversarial(path), {"a": classifier(Linear())}
    far = {**saved.images, ("pgd", "a"): saved.images["pgd", "a"] + np.float32(0.1)}
    with pytest.raises(ValueError, match=r"adversarial\.npz: pgd left the ball"):
        measure_saved(networks, held_out(grey_images()), replace(saved, images=far))
    with pytest.raises(ValueError, match="holds adversarial images of other images"):
        measure_saved(networks, held_out(grey_images().select(np.arange(39, -1, -1))), saved)
    with pytest.raises(ValueError, match="holds 40 images, 16 are evaluated"):
        measure_saved(networks, held_out(grey_images().select(np.arange(16))), saved)
    with pytest.raises(ValueError, match="was made with other labels"):
        measure_saved(networks, held_out(grey_images().relabel(np.zeros(40, dtype=np.int64))), saved)


def test_what_is_no_file_of_adversarial_images_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--save_adversarial writes one"):
        read_adversarial(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no array")
    np.savez(tmp_path / "others.npz", images=np.zeros(3))
    for name in ("text.npz", "others.npz"):
        with pytest.raises(ValueError, match="is no file of adversarial images"):
            read_adversarial(tmp_path / name)
