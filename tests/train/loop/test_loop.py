"""The loop: it learns, it goes on exactly where it was, and it moves rate and average as it should."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.threads import threads
from tests.helpers.training import ALONE, TINY, StopAt, assert_same, coloured, coloured_sources, new_training, weights
from train.data.loaders import val_loader
from train.loop.epochs import Training, fit, make_batch, train_step
from train.loop.held_out import evaluate
from train.machine.run import Run
from train.machine.stop import Stop
from train.objectives import CrossEntropy, Objective
from train.objectives.batch import Batch
from train.objectives.objective import Draws, Metrics
from train.optim.schedules import Cosine, OneCycle, Steps
from train.show.progress import describe_row

STEPS_PER_EPOCH = 4


def ignore(*_: Any) -> None:
    return None


def content(training: Training) -> dict[str, Any]:
    return training.state.to_checkpoint(training.train, ALONE)


def test_it_overfits_sixty_four_images() -> None:
    recipe = replace(TINY, mix=None, augment=False, num_epochs=12, ema_decay=None, lr=0.1)
    sources = coloured_sources()
    training = new_training(recipe, sources)
    assert fit(training, ignore, ignore)
    first, last = training.state.history[0], training.state.history[-1]
    assert last["train_accuracy"] > 0.95
    assert last["train_loss"] < 0.2 < first["train_loss"]
    assert last["accuracy"] > 0.95


@pytest.mark.parametrize("step", [1, 4, 6, 11], ids=["first step", "end of an epoch", "mid-epoch", "last epoch"])
def test_a_run_that_was_stopped_ends_with_the_same_weights(step: int) -> None:
    whole = new_training()
    assert fit(whole, ignore, ignore)

    stopped = new_training()
    stopped.stop = StopAt(stopped.state, step)
    saved: list[dict[str, Any]] = []
    assert not fit(stopped, lambda best: saved.append(content(stopped)), ignore)
    assert saved[-1]["step"] == step

    resumed = new_training()
    resumed.state.load_checkpoint(saved[-1], resumed.train, ALONE)
    assert fit(resumed, ignore, ignore)
    assert_same(weights(resumed.state), weights(whole.state))
    timing = ("seconds", "images_per_second", "waiting")
    for found, expected in zip(resumed.state.history, whole.state.history, strict=True):
        assert {key: found[key] for key in found if key not in timing} == {
            key: expected[key] for key in expected if key not in timing
        }


def test_stopping_in_the_validation_repeats_only_the_validation() -> None:
    class StopsInValidation(Stop):
        def check(self) -> None:
            self.requested = True
            super().check()

    stopped = new_training()
    stopped.stop = StopsInValidation()
    saved: list[dict[str, Any]] = []
    assert not fit(stopped, lambda best: saved.append(content(stopped)), ignore)
    assert (saved[-1]["epoch"], saved[-1]["epoch_step"]) == (0, STEPS_PER_EPOCH)

    resumed, whole = new_training(), new_training()
    resumed.state.load_checkpoint(saved[-1], resumed.train, ALONE)
    assert fit(resumed, ignore, ignore)
    assert fit(whole, ignore, ignore)
    assert resumed.state.step == whole.state.step == 3 * STEPS_PER_EPOCH
    assert_same(weights(resumed.state), weights(whole.state))


def test_the_average_is_that_of_its_formula() -> None:
    training = new_training()
    state, decay = training.state, TINY.ema_decay
    assert state.ema is not None
    assert decay is not None
    name = "1.head.weight"
    expected = None
    for raw in training.train:
        train_step(TINY, state, make_batch(raw, 0, state.step, ALONE.device), ALONE)
        now = state.model.state_dict()[name].clone()
        expected = now if expected is None else decay * expected + (1 - decay) * now
    assert expected is not None
    torch.testing.assert_close(state.ema.module.state_dict()[name], expected)
    assert not torch.equal(state.ema.module.state_dict()[name], state.model.state_dict()[name])


def test_every_step_has_the_rate_of_the_schedule() -> None:
    recipe = replace(TINY, schedule=Steps(at=(1, 2), factor=0.5), lr=0.2)
    training = new_training(recipe)
    rates = []
    for _ in range(3):
        for raw in training.train:
            rates.append(training.state.optimizer.param_groups[0]["lr"])
            train_step(recipe, training.state, make_batch(raw, 0, 0, ALONE.device), ALONE)
    assert rates == pytest.approx([0.2] * 4 + [0.1] * 4 + [0.05] * 4)


def test_the_schedules_pass_through_their_corners() -> None:
    cosine, cycle = Cosine(warmup=5), OneCycle(warmup=0.25, start=0.2)
    assert [cosine.rate(epoch, 105) for epoch in (0, 2.5, 5, 55, 105)] == pytest.approx([0, 0.5, 1, 0.5, 0], abs=1e-12)
    assert [cycle.rate(epoch, 20) for epoch in (0, 2.5, 5, 12.5, 20)] == pytest.approx([0.2, 0.6, 1, 0.5, 0])
    with pytest.raises(ValueError, match=r"schedule\.warmup 5 takes all of num_epochs=5"):
        cosine.check(5)
    with pytest.raises(ValueError, match=r"schedule\.at must be rising"):
        Steps(at=(20, 10))


def test_evaluation_counts_every_image_once_and_exactly() -> None:
    training = new_training()
    model = training.state.model
    found = evaluate(model, training.held_out, "float32", ALONE, Stop())
    hits = total = 0.0
    with torch.no_grad():
        for images, targets in training.held_out:
            hits += float((model(images).argmax(1) == targets.argmax(1)).sum())
            total += float(nn.functional.cross_entropy(model(images), targets.argmax(1), reduction="sum"))
    assert found["images"] == 22
    assert found["accuracy"] == pytest.approx(hits / 22)
    assert found["loss"] == pytest.approx(total / 22, rel=1e-5)


def test_the_pipelines_of_held_out_images_are_there_while_they_are_needed() -> None:
    sources = replace(coloured_sources(), also={"test": coloured(20, seed=2)})
    training = new_training(replace(TINY, num_epochs=2), sources)
    training.also = {"test": val_loader(TINY, Run(num_threads=1), sources, ALONE, sources.also["test"])}
    loaders: list[Any] = [training.held_out, *training.also.values()]
    seen: list[set[str]] = []

    def count(row: dict[str, float]) -> None:
        assert [loader._runs for loader in loaders] == [None, None]
        seen.append(threads())

    assert all(loader._runs is None for loader in loaders)  # nothing has been measured yet
    fit(training, lambda best: None, count)
    assert seen[1] <= seen[0]
    for loader in loaders:
        before = threads()
        next(iter(loader))
        assert threads() > before
        loader.release()


def test_held_out_images_are_measured_every_so_many_epochs_and_after_the_last() -> None:
    training = new_training(replace(TINY, num_epochs=5, evaluate_every=2))
    best: list[bool] = []
    fit(training, best.append, ignore)
    rows = training.state.history
    assert [row["epoch"] for row in rows if "accuracy" in row] == [2, 4, 5]
    assert best[0] is False
    assert best[1] is True
    assert training.state.best == max(row["ema_accuracy"] for row in rows if "ema_accuracy" in row)
    every = new_training(replace(TINY, num_epochs=5))
    fit(every, lambda best: None, ignore)
    assert rows[-1]["accuracy"] == every.state.history[-1]["accuracy"]
    assert describe_row(rows[0]).count("held-out") == 0


@dataclass(frozen=True)
class Explodes(CrossEntropy):
    """Gives nan from the sixth step on."""

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        loss, metrics = super().__call__(model, batch, state, draws)
        return loss * (math.nan if batch.step >= 5 else 1), metrics


def test_a_loss_that_is_no_number_ends_the_run_and_is_never_saved() -> None:
    training = new_training(replace(TINY, objective=Explodes()))
    saved: list[dict[str, Any]] = []
    with pytest.raises(ValueError, match=r"no longer a number in epoch 2.*last checkpoint is kept"):
        fit(training, lambda best: saved.append(content(training)), ignore)
    assert [checkpoint["epoch"] for checkpoint in saved] == [1]


@dataclass(frozen=True)
class Recorder(Objective):
    """Asks for every output, draws noise, and after each step counts the images and writes the noise into a weight."""

    writes: bool = True

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("images", "targets", "labels", "index", "unmixed", "plan")

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        state = nn.Module()
        state.register_buffer("seen", torch.zeros(num_samples, dtype=torch.long))
        state.register_buffer("noise", torch.zeros(0))
        return state

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        return {"noise": torch.rand((), generator=generator)}

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        assert batch.plan is not None
        assert batch.unmixed is not None
        assert draws is not None
        state.last = draws["noise"]
        return CrossEntropy()(model, batch, state)

    def after_step(self, model: nn.Module, batch: Batch, state: nn.Module) -> None:
        state.seen[batch.index] += 1
        if not self.writes:
            return
        with torch.no_grad():
            next(model.parameters()).fill_(float(state.last))


def test_an_objective_gets_what_it_asks_for_and_the_last_word_before_the_average() -> None:
    training = new_training(replace(TINY, objective=Recorder(), num_epochs=1))
    state = training.state
    assert fit(training, ignore, ignore)
    # Each image of the epoch once, by its own index.
    assert state.objective.seen.tolist() == [1] * 64
    assert state.ema is not None
    # The first average is a copy of the weights; every one after it lies among the numbers `after_step` wrote.
    parameter = next(state.ema.module.parameters()).detach()
    assert 0 < float(parameter.min()) == float(parameter.max()) < 1


def test_the_objective_s_memory_and_randomness_go_on_too() -> None:
    recipe = replace(TINY, objective=Recorder(), num_epochs=2)
    whole = new_training(recipe)
    assert fit(whole, ignore, ignore)
    stopped = new_training(recipe)
    stopped.stop = StopAt(stopped.state, 6)
    saved: list[dict[str, Any]] = []
    fit(stopped, lambda best: saved.append(content(stopped)), ignore)
    resumed = new_training(recipe)
    resumed.state.load_checkpoint(saved[-1], resumed.train, ALONE)
    fit(resumed, ignore, ignore)
    assert torch.equal(resumed.state.objective.seen, whole.state.objective.seen)
    assert_same(weights(resumed.state), weights(whole.state))


def test_layers_that_draw_go_on_exactly_as_well() -> None:
    def with_dropout() -> Training:
        training = new_training(replace(TINY, num_epochs=2))
        training.state.model.append(nn.Dropout(0.3))
        return training

    whole, stopped, resumed = with_dropout(), with_dropout(), with_dropout()
    saved: list[dict[str, Any]] = []
    stopped.stop = StopAt(stopped.state, 3)
    for training in (whole, stopped):
        torch.manual_seed(5)
        fit(training, lambda best, training=training: saved.append(content(training)), ignore)  # type: ignore[misc]
    resumed.state.load_checkpoint(saved[-1], resumed.train, ALONE)
    fit(resumed, ignore, ignore)
    assert_same(weights(resumed.state), weights(whole.state))


def test_a_compiled_network_is_the_one_that_is_trained() -> None:
    """Here without the compiler, which takes half a minute; that it compiles is torch's affair."""
    with torch.compiler.set_stance("force_eager"):
        plain, compiled = new_training(), new_training(replace(TINY, compile=True))
        for training in (plain, compiled):
            for raw in list(training.train)[:2]:
                train_step(training.recipe, training.state, make_batch(raw, 0, 0, ALONE.device), ALONE)
    assert compiled.state.parallel is not compiled.state.model
    assert_same(weights(compiled.state), weights(plain.state))
