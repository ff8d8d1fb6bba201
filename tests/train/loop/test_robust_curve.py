"""Accuracy under attack, measured while a run trains: what it is, what it decides, and that it goes on exactly."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.image import imread
from rich.console import Console
from torch import nn

from mixdali import derive_seed
from tests.helpers.nets import seeded
from tests.helpers.training import (
    ALONE,
    TINY,
    StopAt,
    assert_same,
    coloured,
    coloured_sources,
    new_training,
    weights,
    write_cifar,
)
from train.attacks import PGD
from train.attacks.robust import Robust
from train.cli.main import main
from train.data.sources import Sources
from train.loop.epochs import Training, fit, is_finished
from train.loop.under_attack import measure_robust
from train.machine.stop import Stop
from train.objectives import AdversarialTraining
from train.show.intervals import with_interval
from train.show.pictures import draw_curves
from train.show.progress import describe_row
from train.show.table import result_table

ATTACK = PGD(eps=16 / 255, step_size=4 / 255, num_steps=3)
RECIPE = replace(
    TINY, mix=None, objective=AdversarialTraining(attack=ATTACK), robust=Robust(attack=ATTACK, num_images=20)
)
NAMES = {f"{start}robust_accuracy" for start in ("", "ema_", "training_", "training_ema_")}
TIMING = ("seconds", "images_per_second", "waiting", "robust_seconds")


def ignore(*_: Any) -> None:
    return None


def exact(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key not in TIMING} for row in history]


@pytest.fixture(scope="module")
def whole() -> Training:
    training = new_training(RECIPE)
    assert fit(training, ignore, ignore)
    return training


def test_every_epoch_has_the_accuracy_under_attack_of_weights_and_average(whole: Training) -> None:
    for row in whole.state.history:
        assert row.keys() >= NAMES
        assert {"training_accuracy", "training_ema_accuracy"} <= row.keys()
        assert row["training_robust_accuracy"] <= row["training_accuracy"]
    assert "under attack" in describe_row(whole.state.history[0])


def test_it_is_that_of_a_loop_over_single_images(whole: Training) -> None:
    sources, model = coloured_sources(), whole.state.model.eval()
    found = measure_robust(model, whole.fixed["training"], ATTACK, "float32", ALONE, Stop())
    ((batch, more),) = [whole.fixed["training"]]
    images, targets = (torch.cat([getattr(part, name) for part in (batch, more)]) for name in ("images", "targets"))
    pixels = torch.from_numpy(sources.train.items).permute(0, 3, 1, 2) / 255  # type: ignore[arg-type]
    hits = clean = 0
    for image, target in zip(images, targets, strict=True):
        (place,) = [n for n in range(64) if torch.allclose(pixels[n], image, atol=1e-6)]
        label = int(sources.train.labels[place])
        assert int(target.argmax()) == label
        seed = derive_seed(RECIPE.seed, "start", int(sources.train.index[place]))
        low, high = (image - ATTACK.eps).clamp(min=0), (image + ATTACK.eps).clamp(max=1)
        moved = (image + torch.empty(1, 3, 16, 16).uniform_(-ATTACK.eps, ATTACK.eps, generator=seeded(seed))[0]).clamp(
            low, high
        )
        for _ in range(3):
            moved.requires_grad_()
            loss = nn.functional.cross_entropy(model(moved[None]), torch.tensor([label]))
            slope = torch.autograd.grad(loss, moved)[0]
            moved = (moved.detach() + ATTACK.step_size * slope.sign()).clamp(low, high)
        with torch.no_grad():
            hits += int(model(moved[None]).argmax() == label)
            clean += int(model(image[None]).argmax() == label)
    assert len(images) == 20
    # Sums of a batch and of single images round differently, which may turn the sign of a tiny slope.
    assert found["robust_accuracy"] == pytest.approx(hits / 20, abs=0.051)
    assert found["accuracy"] == clean / 20


def test_measuring_leaves_the_run_as_it_is(whole: Training) -> None:
    plain = new_training(replace(RECIPE, robust=None))
    assert fit(plain, ignore, ignore)
    assert_same(weights(plain.state), weights(whole.state))
    assert not NAMES & plain.state.history[-1].keys()


def test_epochs_are_measured_on_the_same_images_from_the_same_starts(whole: Training) -> None:
    again = new_training(RECIPE)
    for name, batches in whole.fixed.items():
        for first, second in zip(batches, again.fixed[name], strict=True):
            assert torch.equal(first.images, second.images)
            assert torch.equal(first.start, second.start)
    twice = [
        measure_robust(whole.state.model, whole.fixed[""], ATTACK, "float32", ALONE, Stop())["robust_accuracy"]
        for _ in range(2)
    ]
    assert twice[0] == twice[1] == whole.state.history[-1]["robust_accuracy"]
    other = new_training(replace(RECIPE, seed=1))
    assert not torch.equal(other.fixed["training"][0].images, whole.fixed["training"][0].images)


def test_the_best_epoch_is_the_most_robust_one() -> None:
    training, best = new_training(RECIPE), list[bool]()
    assert fit(training, best.append, ignore)
    scores = [row["ema_robust_accuracy"] for row in training.state.history]
    assert training.state.best == max(scores)
    assert best == [score > max(scores[:n], default=-1.0) for n, score in enumerate(scores)]


@pytest.mark.parametrize("step", [5, 8])
def test_a_stopped_run_measures_and_ends_alike(whole: Training, step: int) -> None:
    stopped, saved = new_training(RECIPE), list[dict[str, Any]]()
    stopped.stop = StopAt(stopped.state, step)
    assert not fit(stopped, lambda best: saved.append(stopped.state.to_checkpoint(stopped.train, ALONE)), ignore)
    resumed = new_training(RECIPE)
    resumed.state.load_checkpoint(saved[-1], resumed.train, ALONE)
    assert fit(resumed, ignore, ignore)
    assert_same(weights(resumed.state), weights(whole.state))
    assert exact(resumed.state.history) == exact(whole.state.history)


def test_patience_ends_the_run_and_a_resumed_one_at_the_same_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(RECIPE, num_epochs=8, patience=2, ema_decay=None)
    scores, now = [0.1, 0.4, 0.3, 0.4, 0.9, 0.9, 0.9, 0.9], {"epoch": 0}

    def measured(*_: Any) -> dict[str, float]:
        return {"robust_accuracy": scores[now["epoch"]], "accuracy": 1.0}

    monkeypatch.setattr("train.loop.epochs.measure_robust", measured)

    def run(training: Training, stop: int | None = None) -> tuple[bool, list[dict[str, Any]]]:
        saved: list[dict[str, Any]] = []
        now["epoch"] = training.state.epoch
        if stop is not None:
            training.stop = StopAt(training.state, stop)

        def save(best: bool) -> None:
            saved.append(training.state.to_checkpoint(training.train, ALONE))
            now["epoch"] = training.state.epoch

        return fit(training, save, ignore), saved

    whole = new_training(recipe)
    assert run(whole)[0]
    # The fourth is as good as the second, not better, and the second in a row that is not.
    assert whole.state.epoch == 4
    assert is_finished(recipe, whole.state)
    assert not is_finished(replace(recipe, patience=3), whole.state)

    stopped = new_training(recipe)
    finished, saved = run(stopped, stop=10)
    assert not finished
    resumed = new_training(recipe)
    resumed.state.load_checkpoint(saved[-1], resumed.train, ALONE)
    assert run(resumed)[0]
    assert exact(resumed.state.history) == exact(whole.state.history)
    # Loaded once more it is still finished, and trains no further.
    steps = resumed.state.step
    assert run(resumed)[0]
    assert resumed.state.step == steps


def test_patience_counts_measurements_and_works_without_an_attack() -> None:
    recipe = replace(TINY, num_epochs=9, lr=1e-9, ema_decay=None, evaluate_every=2, patience=1)
    training = new_training(recipe)
    assert fit(training, ignore, ignore)
    measured = {row["epoch"]: row["accuracy"] for row in training.state.history if "accuracy" in row}
    assert training.state.epoch == max(measured) < 9
    *rising, last = measured.values()
    assert rising == sorted(set(rising))
    assert last <= rising[-1]


def test_with_a_validation_split_the_test_images_are_attacked_too() -> None:
    sources = Sources("cifar", coloured(64), coloured(22, seed=1), 4)
    training = new_training(replace(RECIPE, validation=16, num_epochs=1, batch_size=8), sources)
    assert fit(training, ignore, ignore)
    row = training.state.history[-1]
    assert sum(len(batch.images) for batch in training.fixed[""]) == 16
    assert {"test_robust_accuracy", "test_ema_robust_accuracy"} <= row.keys()


def test_the_table_shows_best_last_and_what_was_lost() -> None:
    history = [
        {"epoch": epoch, "accuracy": 0.5 + epoch / 10, "loss": 1.0, "robust_accuracy": robust, "training_accuracy": 0.9,
         "training_robust_accuracy": epoch / 4}
        for epoch, robust in ((1, 0.3), (2, 0.45), (3, 0.4))
    ]  # fmt: skip
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(result_table("run", history, replace(RECIPE, ema_decay=None), coloured_sources()))
    text = console.export_text()
    lines = {line.strip("│┃ ").partition("  ")[0]: line for line in text.splitlines()}
    assert "under attack" in text
    last, best = lines["weights, last epoch"], lines["weights, best epoch, 2"]
    assert f" {with_interval(0.8, 22)} " in last  # of all held-out images
    assert f" {with_interval(0.4, 20)} " in last  # of those that are attacked
    assert f" {with_interval(0.45, 20)} " in best
    own = lines["on training images"]
    assert f" {with_interval(0.9, 20)} " in own
    assert any("lost since the best epoch" in line and "5.00%" in line for line in text.splitlines())


def test_a_run_from_the_command_line_draws_and_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_cifar(tmp_path / "data", count=80, held_out=20)
    words = "madry2018towards small --model preact_resnet8_w4 --batch_size 16 --num_epochs 2 --precision float32"
    words += f" --robust.num_images 10 --robust.attack.num_steps 2 --objective.attack.num_steps 1 --root {root}"
    assert main([*words.split(), "--folder", str(tmp_path / "runs"), "--name", "run", "--num_threads", "1"]) == 0
    said = capsys.readouterr().out
    assert "accuracy under attack is measured on 10 held-out and 10 training images" in said
    assert "lost since the best epoch" in said
    assert (tmp_path / "runs" / "run" / "curves.png").stat().st_size > 5000


def test_the_picture_has_a_panel_of_its_own_for_it(tmp_path: Path, whole: Training) -> None:
    plain = [{key: row[key] for key in row if "robust" not in key} for row in whole.state.history]
    for name, history in (("robust", whole.state.history), ("plain", plain)):
        draw_curves(tmp_path / f"{name}.png", history, "run", mixed=False)
    widths = [imread(tmp_path / f"{name}.png").shape[1] for name in ("robust", "plain")]
    assert widths[0] > 1.2 * widths[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"patience": 0}, "patience must be above 0, or None"), ({"patience": -3}, "patience must be above 0")],
)
def test_a_patience_that_cannot_be_right_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change)


def test_a_number_of_images_that_cannot_be_right_is_refused() -> None:
    with pytest.raises(ValueError, match="Robust: num_images"):
        Robust(num_images=0)
