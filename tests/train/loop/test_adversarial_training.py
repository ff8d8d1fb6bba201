"""Adversarial objectives in training: half precision, several processes, compiled networks, recipes, cost."""

from __future__ import annotations

import copy
import gc
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mixdali import one_hot
from tests.helpers.attack_cases import Reads
from tests.helpers.nets import NUM_CLASSES, make_batch, plain, preact, seeded
from tests.helpers.processes import in_parallel
from tests.helpers.training import ALONE, TINY, assert_same, new_training, weights
from train.attacks import PGD
from train.cli.main import find_recipe
from train.cli.overrides import parse_overrides
from train.loop.epochs import make_batch as to_batch
from train.loop.epochs import train_step
from train.machine.distributed import World, data_parallel
from train.models import Normalise
from train.objectives import (
    MART,
    TRADES,
    AdversarialTraining,
    CrossEntropy,
    InterpolatedAdversarialTraining,
    Objective,
    WeightPerturbation,
)
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import step_draws
from train.recipe import Recipe

ROOT = Path(__file__).parents[3]
ATTACK = PGD(eps=8 / 255, step_size=2 / 255, num_steps=2)
OBJECTIVES = [
    AdversarialTraining(attack=ATTACK),
    AdversarialTraining(attack=ATTACK, batch_norm="train"),
    TRADES(attack=ATTACK),
    MART(attack=ATTACK),
    InterpolatedAdversarialTraining(attack=ATTACK),
    WeightPerturbation(objective=AdversarialTraining(attack=ATTACK)),
    WeightPerturbation(objective=TRADES(attack=ATTACK, adversarial_first=True)),
]
every = pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: type(objective).__name__)


def inner_of(objective: Objective) -> Objective:
    return objective.objective if isinstance(objective, WeightPerturbation) else objective


def single(count: int = 16) -> Batch:
    batch = make_batch(count=count, size=16)
    return replace(batch, images=batch.images.float(), targets=batch.targets.float())


def gradients(objective: Objective, model: nn.Module, batch: Batch, half: bool) -> tuple[Tensor, Tensor]:
    """The loss, and all gradients in one row."""
    state = objective.setup(model, 10, NUM_CLASSES)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        loss, _ = objective(model, batch, state, objective.draw(batch, seeded()))
    assert loss.dtype == torch.float32
    loss.backward()
    found = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None for gradient in found)
    return loss.detach(), torch.cat([gradient.flatten() for gradient in found if gradient is not None])


@every
def test_in_half_precision_the_loss_and_all_gradients_are_nearly_the_same(objective: Objective) -> None:
    exact, slopes = gradients(objective, preact().float(), single(), half=False)
    loss, coarse = gradients(objective, preact().float(), single(), half=True)
    torch.testing.assert_close(loss, exact, rtol=0.05, atol=0)
    assert float(torch.cosine_similarity(coarse, slopes, dim=0)) > 0.9


def test_in_half_precision_too_the_loss_is_that_of_the_moved_weights() -> None:
    batch, inner = single(), AdversarialTraining(attack=ATTACK)
    unmoved, _ = gradients(inner, preact().float(), batch, half=True)
    exact, _ = gradients(WeightPerturbation(objective=inner, gamma=0.3), preact().float(), batch, half=False)
    found, _ = gradients(WeightPerturbation(objective=inner, gamma=0.3), preact().float(), batch, half=True)
    assert float(exact / unmoved) > 1.2
    torch.testing.assert_close(found, exact, rtol=0.05, atol=0)


def test_the_moves_of_the_weights_raise_the_loss_and_leave_biases_and_norms() -> None:
    batch, model = make_batch(), preact()
    objective = WeightPerturbation(objective=AdversarialTraining(attack=ATTACK), gamma=0.05)
    before, state = copy.deepcopy(model), objective.setup(model, 10, NUM_CLASSES)
    moved_loss, _ = objective(model, batch, state, objective.draw(batch, seeded()))
    loss, _ = objective.objective(before, batch, nn.Module(), objective.draw(batch, seeded()))
    assert float(moved_loss.detach()) > float(loss.detach())
    for (name, new), old in zip(model.named_parameters(), before.parameters(), strict=True):
        expected = 0.05 * old.norm() if old.ndim > 1 else torch.zeros_like(old.norm())
        torch.testing.assert_close((new - old).norm(), expected, msg=lambda t, n=name: f"{n}: {t}")
    objective.after_step(model, batch, state)
    for new, old in zip(model.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=1e-12)


def test_moved_weights_that_nobody_took_back_are_an_error() -> None:
    batch, model = make_batch(), preact()
    objective = WeightPerturbation(objective=AdversarialTraining(attack=ATTACK))
    state = objective.setup(model, 10, NUM_CLASSES)
    objective(model, batch, state)
    with pytest.raises(ValueError, match="the weights are still moved: call after_step after each step"):
        objective(model, batch, state)


def test_a_gradient_that_overflows_does_not_stay_in_the_weights() -> None:
    class Endless(AdversarialTraining):
        def loss(self, model: nn.Module, batch: Batch, adversarial: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            loss, metrics = super().loss(model, batch, adversarial)
            return loss * torch.inf, metrics

    batch, model = make_batch(), preact()
    before = copy.deepcopy(model)
    objective = WeightPerturbation(objective=Endless(attack=ATTACK))
    state = objective.setup(model, 10, NUM_CLASSES)
    objective(model, batch, state)
    objective.after_step(model, batch, state)
    for new, old in zip(model.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(new, old)


@every
def test_a_step_reads_nothing_back_but_whether_the_images_are_right(objective: Objective) -> None:
    batch, model = make_batch(), preact()
    state, draws = objective.setup(model, 10, NUM_CLASSES), step_draws(objective, batch, seeded())
    counts = []
    for steps in (1, 6):
        longer: Any = replace(inner_of(objective), attack=replace(ATTACK, num_steps=steps))  # type: ignore[call-arg]
        if isinstance(objective, WeightPerturbation):
            longer = replace(objective, objective=longer)
        with Reads() as reads:
            longer(model, batch, state, draws)[0].backward()
        longer.after_step(model, batch, state)
        counts.append(len(reads.found))
    # On the CPU a mix looks at its partners and at what came out.
    mixes = isinstance(objective, InterpolatedAdversarialTraining)
    assert counts[0] == counts[1] <= (5 if mixes else 3)


# Wrapped networks.


@every
@pytest.mark.usefixtures("group")
def test_processes_exchange_gradients_once_a_step_and_not_during_the_attack(objective: Objective) -> None:
    batch, model = make_batch(), preact()
    alone, _ = objective(copy.deepcopy(model), batch, nn.Module(), objective.draw(batch, seeded()))
    wrapped: Any = in_parallel(model)
    exchanged = []

    def exchange(bucket: Any) -> torch.futures.Future[Tensor]:
        exchanged.append(sum(parameter.numel() for parameter in bucket.parameters()))
        future: torch.futures.Future[Tensor] = torch.futures.Future()
        future.set_result(bucket.buffer())
        return future

    passes: list[int] = []
    wrapped.register_forward_hook(lambda module, args, output: passes.append(1))
    wrapped.register_comm_hook(None, lambda state, bucket: exchange(bucket))
    state = objective.setup(wrapped, 10, NUM_CLASSES)
    loss, _ = objective(wrapped, batch, state, objective.draw(batch, seeded()))
    assert exchanged == []
    assert len(passes) == (1 if isinstance(inner_of(objective), AdversarialTraining) else 2)
    torch.testing.assert_close(loss, alone)
    loss.backward()
    assert sum(exchanged) == sum(parameter.numel() for parameter in model.parameters())


def two_steps(world: World) -> dict[str, Tensor]:
    """The weights after two steps with moved weights, on this process's share of one batch."""
    objective = WeightPerturbation(objective=TRADES(attack=ATTACK), gamma=0.1)
    batch, model = make_batch(count=8), plain()
    start = objective.draw(batch, seeded())["start"]
    own = slice(world.rank * 8 // world.size, (world.rank + 1) * 8 // world.size)
    batch = replace(batch, images=batch.images[own], targets=batch.targets[own])
    net = data_parallel(model, world)
    state = objective.setup(model, 8, NUM_CLASSES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        objective(net, batch, state, {"start": start[own]})[0].backward()
        optimizer.step()
        objective.after_step(model, batch, state)
    return model.state_dict()


WORKER = """
import sys, torch
from tests.train.loop.test_adversarial_training import two_steps
from train.machine.distributed import open_world

with open_world("cpu") as world:
    torch.save(two_steps(world), f"{sys.argv[1]}/{world.rank}.pt")
    world.gather(None)
"""


def test_two_processes_move_their_weights_as_one_with_the_whole_batch(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(tmp_path / "worker.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for name, value in two_steps(ALONE).items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=0, atol=1e-9)


def test_a_compiled_network_has_the_same_loss_and_averages() -> None:
    batch, objective = make_batch(), TRADES(attack=ATTACK)
    model, other = preact(), preact()
    compiled: Any = torch.compile(other, backend="aot_eager")
    draws = objective.draw(batch, seeded())
    loss, _ = objective(model, batch, nn.Module(), draws)
    found, _ = objective(compiled, batch, nn.Module(), draws)
    torch.testing.assert_close(found, loss)
    for buffer, expected in zip(other.buffers(), model.buffers(), strict=True):
        torch.testing.assert_close(buffer, expected)


# In the loop.


def small(objective: Objective, **more: Any) -> Recipe:
    return replace(TINY, objective=objective, mix=None, **more)


def run(training: Any, steps: int) -> None:
    for raw, _ in zip(training.train, range(steps), strict=False):
        batch = to_batch(raw, training.state.epoch, training.state.step, ALONE.device)
        train_step(training.recipe, training.state, batch, ALONE)


def test_the_average_of_the_weights_never_sees_a_moved_one() -> None:
    objective = WeightPerturbation(objective=AdversarialTraining(attack=ATTACK), gamma=1.0)
    training = new_training(small(objective, lr=1e-12))
    before = {name: value.clone() for name, value in training.state.model.named_parameters()}
    run(training, 3)
    assert training.state.ema is not None
    for name, value in training.state.ema.module.named_parameters():
        torch.testing.assert_close(value, before[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("objective", [OBJECTIVES[0], OBJECTIVES[4], OBJECTIVES[5]], ids=["AT", "IAT", "AWP"])
def test_the_same_seed_trains_the_same(objective: Objective) -> None:
    first, again = (new_training(small(objective)) for _ in range(2))
    run(first, 3)
    run(again, 3)
    assert_same(weights(again.state), weights(first.state))


def hints(count: int) -> Batch:
    """Images of one strong pixel, which is wrong in one of ten, and of many weak ones, which together are always right
    and which an attack can turn round. Two classes."""
    generator = seeded()
    labels = torch.randint(2, (count,), generator=generator)
    sign = (2.0 * labels - 1).view(-1, 1)
    strong = torch.where(torch.rand(count, 1, generator=generator) < 0.9, sign, -sign)
    weak = 0.04 * sign + 0.04 * torch.randn(count, 255, generator=generator)
    images = 0.5 + torch.cat([0.3 * strong, weak], dim=1).view(count, 1, 16, 16)
    return Batch(epoch=0, step=0, images=images, targets=one_hot(labels, 2), labels=labels)


def test_plain_training_trusts_what_an_attack_can_turn_and_adversarial_training_does_not() -> None:
    batch, held = hints(400), {}
    attack = PGD(eps=0.1, step_size=0.04, num_steps=4)
    for name, objective in (("plain", CrossEntropy()), ("robust", AdversarialTraining(attack=attack))):
        model = nn.Sequential(Normalise((0.5,), (1.0,)), nn.Flatten(), nn.Linear(256, 2))
        nn.init.zeros_(model[2].weight)
        optimizer = torch.optim.SGD(model.parameters(), lr=2.0, momentum=0.9)
        for step in range(150):
            optimizer.zero_grad()
            objective(model, replace(batch, step=step), nn.Module())[0].backward()
            optimizer.step()
        found = attack(batch.images, lambda x, m=model: cross_entropy(m(x), batch.targets), generator=seeded())
        with torch.no_grad():
            held[name] = [float(accuracy(model(x), batch.targets).mean()) for x in (batch.images, found)]
    assert held["plain"][0] > 0.98
    assert held["plain"][1] < 0.1
    assert held["robust"][1] > 0.85


def test_an_objective_that_mixes_by_itself_refuses_mixed_targets() -> None:
    objective = find_recipe("lamb2022interpolated", "small")[1].objective
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    targets = torch.tensor([[0.6, 0.4, 0.0, 0.0]]).expand(5, 4)
    batch = Batch(epoch=0, step=0, images=torch.rand(5, 3, 8, 8), targets=targets)
    with pytest.raises(ValueError, match="mix must be None"):
        objective(model, batch, objective.setup(model, 5, 4))


@pytest.mark.parametrize(
    ("name", "variant", "flags", "read"),
    [
        ("madry2018towards", "small", ["--objective.attack.num_steps", "3"], lambda o: o.attack.num_steps == 3),
        ("zhang2019theoretically", "l2", ["--objective.beta", "1"], lambda o: o.beta == 1 and o.attack.norm == "L2"),
        ("wu2020adversarial", "trades", ["--objective.objective.beta", "2"], lambda o: o.objective.beta == 2),
        ("lamb2022interpolated", "recipe", ["--objective.mix.alpha", "0.5"], lambda o: o.mix.alpha == 0.5),
        ("wong2020fast", "n_fgsm", ["--objective.attack.noise", "1"], lambda o: o.attack.noise == 1),
        ("rice2020overfitting", "mixup", ["--objective.batch_norm", "eval"], lambda o: o.batch_norm == "eval"),
    ],
)
def test_settings_of_the_attack_can_be_set_on_the_command_line(name: str, variant: str, flags: Any, read: Any) -> None:
    title, stored = find_recipe(name, variant)
    assert read(parse_overrides(title, "", stored, flags)[0].objective)
    assert not read(stored.objective)


def test_a_radius_in_bytes_is_one_clear_line_on_the_command_line() -> None:
    title, stored = find_recipe("madry2018towards")
    with pytest.raises(ValueError, match=r"PGD: eps must be from 0 to 1, in units of images in \[0, 1\] .*, got 8"):
        parse_overrides(title, "", stored, ["--objective.attack.eps", "8"])


@pytest.mark.parametrize(
    ("name", "variant", "rates"),
    [
        # Epochs counted from 0, and the learning rate the authors' code has in them.
        ("zhang2019theoretically", "recipe", {0: 0.1, 73: 0.1, 74: 0.01, 75: 0.01}),
        ("wang2020improving", "recipe", {73: 0.01, 74: 1e-3, 89: 1e-4, 99: 1e-5, 119: 1e-5}),
        ("rice2020overfitting", "recipe", {99: 0.1, 100: 0.01, 149: 0.01, 150: 0.001}),
        ("wu2020adversarial", "trades", {98: 0.1, 99: 0.01, 148: 0.01, 149: 0.001}),
        ("lamb2022interpolated", "recipe", {99: 0.1, 100: 0.01, 150: 0.001}),
        ("wong2020fast", "recipe", {0: 0.0, 3.75: 0.1, 7.5: 0.2, 11.25: 0.1}),
    ],
)
def test_the_rate_is_that_of_the_authors(name: str, variant: str, rates: dict[float, float]) -> None:
    recipe = find_recipe(name, variant)[1]
    found = {epoch: recipe.lr * recipe.schedule.rate(epoch, recipe.num_epochs) for epoch in rates}
    assert found == pytest.approx(rates)


def test_the_cutout_of_rice_et_al_is_a_black_square_wholly_inside() -> None:
    mix = find_recipe("rice2020overfitting", "cutout")[1].mix
    assert mix is not None
    images, _ = mix(torch.ones(200, 3, 32, 32), torch.ones(200, 2), rng=seeded())
    black = images[:, 0] == 0
    assert black.sum((1, 2)).unique().tolist() == [196]
    assert {int(rows.nonzero()[0]) for rows in black.any(2)} == set(range(19))


@pytest.mark.parametrize("objective", [OBJECTIVES[2], OBJECTIVES[5]], ids=["TRADES", "AWP"])
def test_nothing_piles_up_from_step_to_step(objective: Objective) -> None:
    model, alive = preact(), []
    state = objective.setup(model, 10, NUM_CLASSES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for step in range(6):
        optimizer.zero_grad()
        objective(model, replace(make_batch(), step=step), state)[0].backward()
        optimizer.step()
        objective.after_step(model, make_batch(), state)
        if step in (2, 5):
            gc.collect()
            alive.append(sum(issubclass(type(value), Tensor) for value in gc.get_objects()))
    assert alive[0] == alive[1]
