"""Saving within an epoch changes nothing, and steps in parts, clipping and shared statistics do what they say."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.training import ALONE, TINY, assert_same, coloured_sources, new_training, weights
from train.attacks import PGD
from train.data.loaders import val_loader
from train.files import checkpoint
from train.loop.epochs import fit, make_batch, train_step
from train.loop.held_out import evaluate
from train.loop.runner import train_recipe
from train.loop.state import new_state
from train.machine.command import new_console
from train.machine.distributed import World
from train.machine.run import Run
from train.machine.stop import Stop
from train.objectives import AdversarialTraining, WeightPerturbation
from train.objectives.batch import Batch
from train.recipe import Recipe

TIMES = ("seconds", "images_per_second", "waiting")


def ignore(*_: Any) -> None:
    return None


def numbers(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in history]


def test_a_run_goes_on_from_any_step_to_the_same_bytes(tmp_path: Path) -> None:
    whole, often = new_training(), new_training()
    assert fit(whole, ignore, ignore)
    often.save_every = 0.0
    places = []

    def save(is_best: bool) -> None:
        places.append((often.state.epoch, often.state.epoch_step))
        checkpoint.save(tmp_path / f"{len(places)}.pt", often.state.to_checkpoint(often.train, ALONE))

    assert fit(often, save, ignore)
    # Every step of every epoch, and its end after the validation.
    assert places == [
        place for epoch in range(3) for place in [*((epoch, step) for step in (1, 2, 3, 4)), (epoch + 1, 0)]
    ]
    assert_same(weights(often.state), weights(whole.state))
    for number in (2, 4, 8):
        resumed = new_training()
        content = checkpoint.load(tmp_path / f"{number}.pt")
        assert resumed.state.load_checkpoint(content, resumed.train, ALONE)
        assert fit(resumed, ignore, ignore)
        assert_same(weights(resumed.state), weights(whole.state))
        assert numbers(resumed.state.history) == numbers(whole.state.history)


def part_of(batch: Batch, rows: slice) -> Batch:
    cut = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return replace(batch, **{name: value[rows] for name, value in cut.items() if isinstance(value, Tensor)})


def stepped(recipe: Recipe, parts: int) -> dict[str, Tensor]:
    """Weights after two steps on batches cut into parts, of a network whose images do not know of each other."""
    training = new_training(recipe)
    state = training.state
    state.parts = parts
    state.parallel.eval()
    for raw, _ in zip(training.train, range(2), strict=False):
        batch = make_batch(raw, 0, state.step, ALONE.device)
        size = len(batch.images) // parts
        for number in range(parts):
            assert state.part == number
            train_step(recipe, state, part_of(batch, slice(number * size, (number + 1) * size)), ALONE)
    assert (state.step, state.epoch_step, state.part) == (2, 2, 0)
    return {**weights(state), "loss": state.sums["loss"] / parts}


def test_a_step_in_parts_is_the_step_of_the_whole_batch() -> None:
    recipe = replace(TINY, mix=None)
    expected = stepped(recipe, 1)
    for name, value in stepped(recipe, 4).items():
        torch.testing.assert_close(
            value, expected[name], rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_what_looks_back_at_the_batch_after_a_step_takes_it_whole(tmp_path: Path) -> None:
    recipe = replace(
        TINY, mix=None, objective=WeightPerturbation(objective=AdversarialTraining(attack=PGD(eps=0.1, step_size=0.1)))
    )
    with pytest.raises(ValueError, match="parts must be 1, got 2: WeightPerturbation does something with the whole"):
        train_recipe("tiny", recipe, Run(folder=str(tmp_path), parts=2), overrides=[], console=new_console())


def test_gradients_are_clipped_to_the_norm() -> None:
    norms = {}
    for clip in (None, 0.01, 1e6):
        recipe = replace(TINY, clip_norm=clip)
        training = new_training(recipe)
        raw = next(iter(training.train))
        train_step(recipe, training.state, make_batch(raw, 0, 0, ALONE.device), ALONE)
        gradients = [parameter.grad for parameter in training.state.model.parameters()]
        norms[clip] = torch.cat([grad.flatten() for grad in gradients if grad is not None]).norm().item()
    assert norms[0.01] == pytest.approx(0.01, rel=1e-3)
    assert norms[None] == norms[1e6] > 0.1


def test_shared_statistics_are_torch_s_and_need_gpus_in_several_processes() -> None:
    recipe, sources = replace(TINY, sync_batch_norm=True), coloured_sources()
    state = new_state(recipe, sources, ALONE, 4)
    assert any(isinstance(module, nn.SyncBatchNorm) for module in state.model.modules())
    assert_same(state.model.state_dict(), new_state(TINY, sources, ALONE, 4).model.state_dict())
    with pytest.raises(ValueError, match="sync_batch_norm needs GPUs in several processes"):
        new_state(recipe, sources, World(torch.device("cpu"), 0, 2), 4)


@pytest.mark.parametrize(("width", "precision"), [(4, "float32"), (8, "float32"), (4, "bfloat16")])
def test_the_validation_is_the_same_to_the_last_digit_however_it_is_shared_out(width: int, precision: str) -> None:
    sources = coloured_sources(64, 23)
    model = new_training(replace(TINY, model=f"preact_resnet8_w{width}")).state.model
    found = []
    for size in range(1, 5):
        for batch_size in (64, 24, 7, 1):
            sums: dict[tuple[int, ...], list[Tensor]] = {}

            class Share(World):
                def sum(self, values: Tensor, sums: dict[tuple[int, ...], list[Tensor]] = sums) -> Tensor:
                    sums.setdefault(tuple(values.shape), []).append(values)
                    return torch.stack(sums[tuple(values.shape)]).sum(dim=0)

                def any(self, flag: bool) -> bool:
                    return flag

                def gather(self, value: Any) -> list[Any]:
                    return [value]

            recipe = replace(TINY, batch_size=batch_size)
            for rank in range(size):
                world = Share(torch.device("cpu"), rank, size)
                loader = val_loader(recipe, Run(num_threads=1), sources, world)
                row = evaluate(model, loader, precision, world, Stop())
            found.append(row)
    assert found[0]["images"] == 23
    assert all(row == found[0] for row in found), found
