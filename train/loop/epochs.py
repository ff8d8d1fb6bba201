"""The training loop: epochs, steps, and what is measured on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from train.data.batches import Loader, Releasable
from train.data.loaders import skipped_files
from train.loop.finite import are_finite, is_finite_step, kept_buffers, put_back, steps_taken
from train.loop.held_out import evaluate, to_device
from train.loop.state import SKIPPED, State, UnderWay, add_up
from train.loop.trace import Trace
from train.loop.under_attack import Fixed, measure_robust
from train.machine.clock import Clock
from train.machine.distributed import World
from train.machine.precision import autocast
from train.machine.stop import Stop, Stopped
from train.objectives.batch import Batch
from train.objectives.objective import step_draws
from train.recipe import Recipe
from train.show.progress import Progress

ATTAINABLE = "attainable"
"""The training accuracy that a network would have that always names the greatest part of a mixed image."""


@dataclass
class Training:
    """What a run needs to train: its recipe (precision resolved), its data, and where it stands."""

    recipe: Recipe
    state: State
    train: Loader
    held_out: Releasable
    world: World
    progress: Progress = field(default_factory=Progress)
    stop: Stop = field(default_factory=Stop)
    also: Mapping[str, Releasable] = field(default_factory=dict)
    """What else is measured after every epoch, by name; it decides nothing."""
    fixed: Fixed = field(default_factory=dict)
    """The images that accuracy under attack is measured on, where the recipe wants that."""
    save_every: float = math.inf
    """Seconds from one checkpoint to the next within an epoch."""
    saved: float = field(default_factory=time.monotonic)
    """When the last one was written."""
    trace: Trace | None = None
    """Looks at some steps."""
    measuring: float = 0.0
    """Seconds that the last measurement of the held-out images took."""
    by_class: Tensor | None = None
    """(2, num_classes): how many held-out images of each class the network that decides got right, and how many there
    are, at the last measurement."""
    skipped: dict[str, str] = field(default_factory=dict)
    """What is wrong with each image file that was skipped so far, in any process, by its path."""

    @property
    def num_steps(self) -> int:
        """Steps of an epoch; a last batch of the loader that is only a part of a step is left out."""
        return len(self.train) // self.state.parts


def fit(training: Training, save: Callable[[bool], None], record: Callable[[dict[str, float]], None]) -> bool:
    """Train to the last epoch, until nothing gets better any more, or until the run is asked to stop.

    Args:
        training: moved on in place.
        save: called with whether this is the best epoch so far: after every epoch, every `save_every` seconds within
            one, and when asked to stop.
        record: called with what was measured in an epoch, after `save`.

    Returns:
        True if the run is finished.

    Raises:
        ValueError: the loss is no longer a number. Nothing is saved then.
    """
    state = training.state

    def save_now(is_best: bool) -> None:
        save(is_best)
        training.saved = time.monotonic()
        state.clock.leave_out()

    try:
        while not is_finished(training.recipe, state):
            row = _train_epoch(training, save_now)
            is_best = False
            if _is_measured(training.recipe, state.epoch + 1):
                row |= _evaluate_epoch(training) | _attack_epoch(training)
                score = row[score_name(training.recipe)]
                is_best = score > state.best or not any("accuracy" in earlier for earlier in state.history)
                state.best = max(state.best, score)
            row |= _skip_files(training)
            state.history.append(row)
            state.epoch, state.epoch_step, state.sums = state.epoch + 1, 0, {}
            state.clock = Clock(state.clock.total)
            save_now(is_best)
            record(row)
            if not is_finished(training.recipe, state) and training.world.any(training.stop.requested):
                return False
    except Stopped:
        save_now(False)
        return False
    return True


def is_finished(recipe: Recipe, state: State) -> bool:
    """Whether all epochs are done, or `patience` measurements have come after the best one."""
    if state.epoch >= recipe.num_epochs or recipe.patience is None:
        return state.epoch >= recipe.num_epochs
    scores = [row[score_name(recipe)] for row in state.history if score_name(recipe) in row]
    return bool(scores) and len(scores) - 1 - scores.index(max(scores)) >= recipe.patience


def score_name(recipe: Recipe) -> str:
    """Which number of a measured epoch tells how good it is."""
    average = "" if recipe.ema_decay is None else "ema_"
    return f"{average}accuracy" if recipe.robust is None else f"{average}robust_accuracy"


def _is_measured(recipe: Recipe, epoch: int) -> bool:
    return epoch % recipe.evaluate_every == 0 or epoch == recipe.num_epochs


def _train_epoch(training: Training, save: Callable[[bool], None]) -> dict[str, float]:
    """The rest of the current epoch. -> its averages over all steps and processes."""
    recipe, state, world, num_steps = training.recipe, training.state, training.world, training.num_steps
    training.progress.start_epoch(state.epoch, recipe.num_epochs, num_steps, state.epoch_step)
    state.parallel.train()
    if state.epoch_step < num_steps:
        for raw in state.clock.watch(training.train):
            if state.epoch_step == num_steps:  # a part of a step that is left over
                continue
            train_step(recipe, state, make_batch(raw, state.epoch, state.step, world.device), world)
            if state.part:
                continue
            if training.trace is not None:
                training.trace.step()
            if state.clock.tick() and world.is_main:
                _check(state)
                training.progress.update(state.epoch_step, _reading(training))
            # After the last batch the loader still has to end its epoch.
            if state.epoch_step < num_steps:
                _save_if_asked(training, save)
    if state.epoch_step != num_steps:
        raise RuntimeError(f"the training loader gave {state.epoch_step} steps instead of {num_steps}")
    world.copy_buffers(state.model, *([] if state.ema is None else [state.ema.module]))
    _check(state)
    reading = _reading(training)
    training.progress.update(num_steps, reading)
    _save_if_asked(training, save)
    names, taken = [name for name in state.sums if name != SKIPPED], steps_taken(state, num_steps)
    totals = world.sum(torch.stack([state.sums[name] for name in names])).tolist()
    batches = taken * state.parts * world.size
    means = {f"train_{name}": total / batches for name, total in zip(names, totals, strict=True)}
    if taken < num_steps:
        means[SKIPPED] = num_steps - taken
    speed = {name: round(reading[name], 4) for name in ("lr", "images_per_second", "waiting")}
    return {"epoch": state.epoch + 1, "step": state.step, **means, **speed, "seconds": round(state.clock.total, 3)}


def _save_if_asked(training: Training, save: Callable[[bool], None]) -> None:
    """Save if it is time to; `Stopped`, whoever catches it saves, if the run is asked to stop."""
    is_due = training.world.is_main and time.monotonic() - training.saved >= training.save_every
    stops, saves = training.world.any_of(training.stop.requested, is_due)
    if stops or saves:
        _check(training.state)
    if stops:
        raise Stopped
    if saves:
        save(False)


def train_step(recipe: Recipe, state: State, batch: Batch, world: World) -> None:
    """One step of the optimiser, or one of its `state.parts` parts, of which the last one takes the step. Reads nothing
    back from the device."""
    objective = recipe.objective
    is_last = state.part == state.parts - 1
    if state.part == 0:
        world.copy_buffers(state.model)
        state.under_way = UnderWay(kept_buffers(state.model) if recipe.nonfinite == "skip" else None)
    draws = step_draws(objective, batch, state.generator)
    # Only the last part's gradients are averaged over the processes, together with those before.
    with nullcontext() if is_last or world.size == 1 else state.parallel.no_sync():  # type: ignore[operator]
        with autocast(recipe.precision, world.device):
            loss, metrics = objective(state.parallel, batch, state.objective, draws)
        if state.part == 0:
            state.optimizer.zero_grad(set_to_none=True)
        state.scaler.scale(loss if state.parts == 1 else loss / state.parts).backward()
    if recipe.mix is not None:
        metrics = metrics | {ATTAINABLE: batch.targets.amax(dim=1).mean().detach()}
    state.under_way.add(loss.detach(), metrics)
    state.part = 0 if is_last else state.part + 1
    if not is_last:
        return
    skipped = _take_step(recipe, state, world)
    state.schedule.step()
    with autocast(recipe.precision, world.device):
        objective.after_step(state.model, batch, state.objective)
    if state.ema is not None and not skipped:
        state.ema.update(state.model)
    state.step += 1
    state.epoch_step += 1


def _take_step(recipe: Recipe, state: State, world: World) -> bool:
    """Move the weights by the gradients of all parts, unless they or the losses are no finite numbers and such steps
    are to be left out. -> whether it was."""
    kept, sums = state.under_way.kept, state.under_way.sums
    skipped = kept is not None and not is_finite_step(state.under_way.loss, state, world)
    if kept is not None and skipped:
        put_back(state.model, kept)
        sums = {SKIPPED: torch.ones((), device=world.device)}
    # Of a scaler every step must be asked for; it leaves such ones out itself.
    if not skipped or state.scaler.is_enabled():
        if recipe.clip_norm is not None:
            state.scaler.unscale_(state.optimizer)
            nn.utils.clip_grad_norm_(_parameters(state.optimizer), recipe.clip_norm)
        state.scaler.step(state.optimizer)
    state.scaler.update()
    add_up(state.sums, sums)
    return skipped


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def make_batch(raw: Any, epoch: int, step: int, device: torch.device) -> Batch:
    """What a loader yields -> `Batch` on `device`."""
    moved: dict[str, Any] = {
        name: to_device(value, device) if isinstance(value, torch.Tensor) else value
        for name, value in raw._asdict().items()
    }
    return Batch(epoch=epoch, step=step, **moved)


def _evaluate_epoch(training: Training) -> dict[str, float]:
    """Loss and accuracy on the held-out images and on what else is measured, of the weights and of their average.

    A pipeline of held-out images is there while it is needed: its threads and memory are training's in between.
    """
    models, started = _models(training.state), time.perf_counter()
    row: dict[str, float] = {}
    for name, loader in {"": training.held_out, **training.also}.items():
        start = f"{name}_" if name else ""
        for average, model in models.items():
            by_class: list[Tensor] = []
            found = evaluate(model, loader, training.recipe.precision, training.world, training.stop, by_class)
            if not name:
                training.by_class = by_class[0]
            row |= {f"{start}{average}loss": found["loss"], f"{start}{average}accuracy": found["accuracy"]}
        row[f"{name or 'held_out'}_images"] = found["images"]
        loader.release()
    training.measuring = time.perf_counter() - started
    return row


def _skip_files(training: Training) -> dict[str, float]:
    """How many image files were skipped so far; nothing where there was none."""
    loaders = (training.train, training.held_out, *training.also.values())
    own = {path: why for loader in loaders for path, why in skipped_files(loader).items()}
    for part in training.world.gather(own):
        training.skipped |= part
    return {"skipped_files": len(training.skipped)} if training.skipped else {}


def _attack_epoch(training: Training) -> dict[str, float]:
    """Accuracy under attack, of the weights and of their average; for the training images that without attack too."""
    recipe, started, row = training.recipe, time.perf_counter(), dict[str, float]()
    if recipe.robust is None:
        return row
    for name, batches in training.fixed.items():
        for average, model in _models(training.state).items():
            found = measure_robust(
                model, batches, recipe.robust.attack, recipe.precision, training.world, training.stop
            )
            start = f"{name}_{average}" if name else average
            row |= {f"{start}{key}": value for key, value in found.items() if key.startswith("robust_")}
            if name == "training":
                row[f"{start}accuracy"] = found["accuracy"]
    return row | {"robust_seconds": round(time.perf_counter() - started, 3)}


def _models(state: State) -> dict[str, nn.Module]:
    """What is measured, by the start of its numbers' names."""
    return {"": state.model} | ({} if state.ema is None else {"ema_": state.ema.module})


def _reading(training: Training) -> dict[str, float]:
    """The averages of this epoch so far in this process. Waits for the device, so not once a step."""
    recipe, state = training.recipe, training.state
    taken = steps_taken(state, state.epoch_step)
    return {
        **{name: float(value) / (1 if name == SKIPPED else taken * state.parts) for name, value in state.sums.items()},
        "images_per_second": state.epoch_step * recipe.batch_size / state.clock.seconds,
        "waiting": state.clock.waited / state.clock.seconds,
        "lr": recipe.lr * recipe.schedule.rate((state.step - 1) / training.num_steps, recipe.num_epochs),
        "left": _seconds_left(training),
    }


def _seconds_left(training: Training) -> float:
    """Until the last epoch is done, if all goes on as in this epoch and at the last measurement."""
    recipe, state = training.recipe, training.state
    steps = (recipe.num_epochs - state.epoch) * training.num_steps - state.epoch_step
    measurements = (recipe.num_epochs - state.epoch) / recipe.evaluate_every
    return steps * state.clock.seconds / state.epoch_step + measurements * training.measuring


def _check(state: State) -> None:
    weights = [parameter.detach() for parameter in state.model.parameters()]
    if all(math.isfinite(float(total)) for total in state.sums.values()) and are_finite(weights):
        return
    raise ValueError(
        f"the loss is no longer a number in epoch {state.epoch + 1}, step {state.epoch_step}; the last checkpoint is "
        "kept. Try a smaller --lr"
    )
