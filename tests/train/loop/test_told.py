"""What a person is told of a run beside its losses: time left, what mixed images allow, classes, a trace."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mixdali import Fixed, MixUp
from pipelines.augment import RandAugment
from tests.helpers.training import ALONE, TINY, assert_same, coloured_sources, new_training
from train.cli.overrides import hint_at_rate, parse_overrides
from train.files.classes import describe_hardest, write_classes
from train.loop.epochs import fit
from train.loop.held_out import evaluate
from train.loop.trace import LEFT_OUT, WARMUP, Trace
from train.machine.run import Run
from train.machine.stop import Stop
from train.optim import AdamW
from train.recipes import demo
from train.show.progress import Progress, describe_reading, describe_row, describe_time

MIXED = replace(TINY, mix=MixUp(alpha=Fixed(0.75), per="batch"), num_epochs=2, ema_decay=None)


class Listener(Progress):
    def __init__(self) -> None:
        self.readings: list[dict[str, float]] = []

    def update(self, done: int, reading: dict[str, float]) -> None:
        self.readings.append(reading)


def test_a_mixed_run_says_what_accuracy_could_be_had_and_how_long_it_takes() -> None:
    training = new_training(MIXED)
    training.progress = listener = Listener()
    assert fit(training, lambda best: None, lambda row: None)
    own = torch.tensor([row["train_attainable"] for row in training.state.history])
    # Partners of the own class make it more than 0.75.
    assert ((own >= 0.75) & (own < 0.95)).all()
    assert all(row["train_accuracy"] <= row["train_attainable"] + 1e-6 for row in training.state.history)
    last_of_first, last = listener.readings[-2:]
    assert last_of_first["left"] > 0
    assert last["left"] < last_of_first["left"]
    assert " of 8" in describe_row(training.state.history[0]) or " of 7" in describe_row(training.state.history[0])
    assert describe_reading(last).endswith(" left")


def test_a_run_that_does_not_mix_has_all_to_gain() -> None:
    training = new_training(replace(MIXED, mix=None, num_epochs=1))
    fit(training, lambda best: None, lambda row: None)
    assert "train_attainable" not in training.state.history[0]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(40, "40 s"), (720, "12 min"), (3 * 3600 + 300, "3 h 05 min"), (200_000, "2 d 7 h")],
)
def test_time_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert describe_time(seconds) == said


def test_the_accuracy_of_classes_adds_up_to_that_of_all(tmp_path: Path) -> None:
    training = new_training(MIXED, coloured_sources(held_out=22))
    by_class: list[torch.Tensor] = []
    found = evaluate(training.state.model, training.held_out, "float32", ALONE, Stop(), by_class)
    right, number = by_class[0].tolist()
    assert number == [6, 6, 5, 5]
    assert sum(right) / 22 == pytest.approx(found["accuracy"])
    write_classes(tmp_path / "classes.csv", [[3, 0, 5, 1], [6, 6, 5, 0]], "abcd")
    lines = (tmp_path / "classes.csv").read_text().splitlines()
    assert lines == ["class,images,accuracy", "a,6,0.5000", "b,6,0.0000", "c,5,1.0000", "d,0,"]
    assert describe_hardest([[3, 0, 5, 1], [6, 6, 5, 0]], "abcd", 2) == "b 0%, a 50%"


def test_a_trace_is_of_so_many_steps_and_changes_nothing(tmp_path: Path) -> None:
    recipe = replace(MIXED, num_epochs=3)
    plain, traced = new_training(recipe), new_training(recipe)
    traced.trace = Trace(tmp_path / "trace.json", 2)
    for training in (plain, traced):
        fit(training, lambda best: None, lambda row: None)
    assert traced.state.step == 12 > LEFT_OUT + WARMUP + 2
    assert "trace.json: a trace" in traced.trace.close()
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {event["name"] for event in events if "ProfilerStep" in event.get("name", "")} == {
        "ProfilerStep#7",
        "ProfilerStep#8",
    }
    assert_same(traced.state.model.state_dict(), plain.state.model.state_dict())


def test_a_run_too_short_for_a_trace_says_so(tmp_path: Path) -> None:
    assert Trace(tmp_path / "trace.json", 2).close().startswith("no trace: the first 7 steps are left out")
    assert list(tmp_path.iterdir()) == []


def test_who_changes_the_optimiser_and_not_the_rate_is_told_of_it() -> None:
    changed = replace(TINY, optimizer=AdamW())
    assert (
        hint_at_rate(TINY, changed)
        == f"note: lr {TINY.lr:g} is the recipe's for SGD, and AdamW may want another; --lr sets it"
    )
    assert hint_at_rate(TINY, replace(changed, lr=1e-3)) == hint_at_rate(TINY, TINY) == ""


def test_a_wrong_setting_of_a_part_is_told_in_the_part_s_own_words() -> None:
    with pytest.raises(ValueError, match=r"^RandAugment: magnitude must be at most 30, got 200$"):
        parse_overrides(
            "demo", "", replace(demo.recipe, auto_augment=RandAugment()), ["--auto_augment.magnitude", "200"]
        )


def test_a_number_of_steps_to_trace_is_checked() -> None:
    with pytest.raises(ValueError, match="profile must be a number of steps, got -1"):
        Run(profile=-1)
