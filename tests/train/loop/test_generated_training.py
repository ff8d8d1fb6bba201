"""Training on generated images and CutMix: the step of the authors' code, whole and in parts, and their recipes."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdali import CutMix
from tests.helpers.adversarial import adam_attack, drawn, of_recipe
from tests.helpers.nets import NUM_CLASSES, assert_agrees, make_batch, plain, preact
from tests.helpers.processes import in_parallel
from tests.helpers.training import ALONE, assert_same, coloured_sources, new_training, run_steps, weights
from train.attacks import PGD
from train.cli.main import find_recipe, recipe_outline
from train.loop.epochs import fit, train_step
from train.loop.epochs import make_batch as to_batch
from train.objectives import BatchTRADES
from train.optim.schedules import OneCycle, Steps
from train.recipe import Recipe

EPS = 8 / 255
NETS = [preact, lambda: plain(norm=True)]
CUTMIX = CutMix(alpha=1.0, per="batch", partner="permutation")


# The authors' step in plain words, google-deepmind/deepmind-research, adversarial_robustness/jax.


def local(model: nn.Module, images: Tensor) -> Tensor:
    """Logits by the statistics of the batch, none of which is averaged."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    return torch.func.functional_call(model, {**dict(model.named_parameters()), **buffers}, (images,))


def joined(images: Tensor, labels: Tensor, num_generated: int) -> Tensor:
    """Targets of a batch whose last images are generated ones: 0.9 and a tenth over all classes for these alone."""
    targets = F.one_hot(labels, NUM_CLASSES).double()
    targets[-num_generated:] = 0.9 * targets[-num_generated:] + 0.1 / NUM_CLASSES
    return targets


def cut(images: Tensor, targets: Tensor, lam: float, centre: tuple[int, int], partner: Tensor) -> tuple[Tensor, Tensor]:
    """One box for all images, int(side * sqrt(1 - lam)) a side, half of that to both sides of the centre."""
    height, width = images.shape[2:]
    tall, wide = (int(side * (1 - lam) ** 0.5) // 2 for side in (height, width))
    y, x = centre
    top, bottom = max(y - tall, 0), min(y + tall, height)
    left, right = max(x - wide, 0), min(x + wide, width)
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[partner][:, :, top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return mixed, kept * targets + (1 - kept) * targets[partner]


def step_loss(model: nn.Module, images: Tensor, targets: Tensor, start: Tensor, *, mixed: bool) -> Tensor:
    """`_train_fn` after the mixing, and `_trades_loss_fn`, without weight decay."""
    still = copy.deepcopy(model).requires_grad_(False)
    goals = targets if mixed else local(still, images).softmax(dim=1)

    class Local(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return local(still, images)

    moved = adam_attack(Local(), images, goals, start, eps=EPS).detach()
    clean = local(model, images)
    robust = model(moved)
    entropy = -(targets * clean.log_softmax(dim=1)).sum(dim=1).mean()
    probabilities = clean.softmax(dim=1)
    distance = (probabilities * (clean.log_softmax(dim=1) - robust.log_softmax(dim=1))).sum(dim=1).mean()
    return entropy + 6 * distance


@pytest.mark.parametrize("net", NETS, ids=["preact", "plain"])
@pytest.mark.parametrize("variant", ["recipe", "cutmix"])
def test_the_step_is_the_authors(net: Any, variant: str) -> None:
    objective = of_recipe("gowal2021improving", variant)
    assert isinstance(objective, BatchTRADES)
    batch = replace(make_batch(), targets=joined(make_batch().images, make_batch().labels, 4))
    draws = drawn(objective, batch)
    assert_agrees(
        objective,
        net(),
        batch,
        draws,
        lambda model: step_loss(model, batch.images, batch.targets, draws["start"], mixed=variant == "cutmix"),
    )


def test_the_two_goals_of_the_attack_are_not_the_same() -> None:
    batch, model = make_batch(), preact()
    found = [
        of_recipe("gowal2021improving", variant).perturb(
            model, batch, nn.Module(), {"start": torch.zeros_like(batch.images)}
        )
        for variant in ("recipe", "cutmix")
    ]
    assert not torch.equal(*found)
    for adversarial in found:
        assert float((adversarial - batch.images).abs().amax()) <= EPS + 1e-12


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.55, 0.9, 1.0])
@pytest.mark.parametrize("centre", [(0, 0), (6, 3), (11, 11)])
def test_cutmix_of_the_joined_batch_is_the_authors(lam: float, centre: tuple[int, int]) -> None:
    images, labels = make_batch(8).images, make_batch(8).labels
    assert labels is not None
    targets = joined(images, labels, 5)
    partner = torch.tensor([5, 1, 7, 0, 2, 3, 6, 4])
    plan = CUTMIX.draw(images, lam=lam, cy=(centre[0] + 0.5) / 12, cx=(centre[1] + 0.5) / 12, partner=partner)
    found = CUTMIX.apply(images, targets, plan)
    for ours, theirs in zip(found, cut(images, targets, lam, centre, partner), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)
    assert find_recipe("rebuffi2021data")[1].mix == CUTMIX == find_recipe("gowal2021improving", "cutmix")[1].mix


def test_the_clean_images_move_no_running_average_and_the_adversarial_ones_move_each_once() -> None:
    objective = BatchTRADES(attack=PGD(eps=EPS, step_size=0.1, num_steps=2, step="adam"))
    model, batch = preact(), make_batch()
    other = copy.deepcopy(model)
    adversarial = objective.perturb(model, batch, nn.Module(), drawn(objective, batch))
    for found, before in zip(model.buffers(), other.buffers(), strict=True):
        assert torch.equal(found, before)
    objective.loss(model, batch, adversarial)
    other(adversarial)
    for found, expected in zip(model.buffers(), other.buffers(), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.usefixtures("group")
def test_in_several_processes_the_step_is_the_same() -> None:
    objective = of_recipe("gowal2021improving")
    model, batch = preact(), make_batch()
    draws = drawn(objective, batch)
    found = []
    for net in (copy.deepcopy(model), in_parallel(copy.deepcopy(model))):
        loss, _ = objective(net, batch, nn.Module(), draws)
        loss.backward()
        gradients = [parameter.grad for parameter in net.parameters()]
        assert all(gradient is not None for gradient in gradients)
        found.append([loss.detach(), *gradients, *net.buffers()])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_in_half_precision_the_loss_is_nearly_the_same() -> None:
    objective = of_recipe("gowal2021improving", "cutmix")
    batch = replace(make_batch(), images=make_batch().images.float(), targets=make_batch().targets.float())
    losses = []
    for half in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            losses.append(objective(preact().float(), batch, nn.Module(), drawn(objective, batch))[0])
    assert losses[1].dtype == torch.float32
    torch.testing.assert_close(losses[1], losses[0], rtol=0.05, atol=0)


def test_without_a_price_it_is_the_clean_loss() -> None:
    objective = BatchTRADES(attack=PGD(eps=EPS, step_size=0.1, step="adam"), beta=0)
    model, batch = preact(), make_batch()
    loss, _ = objective(model, batch, nn.Module(), drawn(objective, batch))
    torch.testing.assert_close(loss, F.cross_entropy(local(model, batch.images), batch.labels))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"beta": -1}, "beta must not be negative"), ({"away_from": "x"}, "away_from must be one")],
)
def test_settings_that_cannot_be_right_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"BatchTRADES: {message}"):
        BatchTRADES(attack=PGD(eps=EPS, step_size=0.1), **settings)


# The recipes.


def test_the_settings_are_those_of_the_released_code() -> None:
    recipe = find_recipe("gowal2021improving")[1]
    (stream,) = recipe.streams
    assert (stream.count(256), stream.smoothing, recipe.smoothing) == (179, 0.1, 0.0)
    assert not recipe.whole_epochs
    assert recipe.mix is None
    rates = {epoch: recipe.lr * recipe.schedule.rate(epoch, recipe.num_epochs) for epoch in (0, 5, 10, 205, 400)}
    assert rates == pytest.approx({0: 0.0, 5: 0.2, 10: 0.4, 205: 0.2, 400: 0.0})
    attack = recipe.objective.attack  # type: ignore[attr-defined]
    assert (attack.eps, attack.step_size, attack.num_steps, attack.drops) == (8 / 255, 0.1, 10, (5,))
    alone = find_recipe("rebuffi2021data")[1]
    found = {epoch: alone.lr * alone.schedule.rate(epoch, alone.num_epochs) for epoch in (0, 10, 276, 277)}
    assert found == pytest.approx({0: 0.0, 10: 0.2, 276: 0.2, 277: 0.02})
    # The paper's average without further images, and the code's with them.
    assert (alone.ema_decay, recipe.ema_decay) == (0.999, 0.995)


def authors_update(model: nn.Module, average: nn.Module, moments: list[Tensor], lr: float, step: int) -> None:
    """After `backward` of the loss without weight decay: Nesterov's step, and the average of the parameters alone."""
    normed = {id(p) for module in model.modules() if isinstance(module, nn.BatchNorm2d) for p in module.parameters()}
    decay = min(0.995, (1 + step) / (10 + step))
    with torch.no_grad():
        for place, (weight, own) in enumerate(zip(model.parameters(), average.parameters(), strict=True)):
            assert weight.grad is not None
            slope = weight.grad + (0 if id(weight) in normed else 5e-4 * weight)
            moments[place] = slope + 0.9 * moments[place]
            weight -= lr * (slope + 0.9 * moments[place])
            own.copy_(decay * own + (1 - decay) * weight)
    model.zero_grad()


def test_the_update_of_weights_and_of_their_average_is_the_authors() -> None:
    recipe = tiny("rebuffi2021data", "small")
    training = new_training(recipe)
    state = training.state
    model, average = copy.deepcopy(state.model), copy.deepcopy(state.model)
    moments = [torch.zeros_like(parameter) for parameter in model.parameters()]
    for step, raw in enumerate(training.train):
        batch = to_batch(raw, 0, step, ALONE.device)
        generator = torch.Generator()
        generator.set_state(state.generator.get_state())
        lr = state.optimizer.param_groups[0]["lr"]
        step_loss(
            model, batch.images, batch.targets, recipe.objective.draw(batch, generator)["start"], mixed=True
        ).backward()
        authors_update(model, average, moments, lr, step)
        train_step(recipe, state, batch, ALONE)
        for found, expected in ((state.model, model), (state.ema.module, average)):  # type: ignore[union-attr]
            for ours, theirs in zip(found.parameters(), expected.parameters(), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-5)
        for live, kept, theirs in zip(
            state.model.buffers(),
            state.ema.module.buffers(),
            model.buffers(),
            strict=True,  # type: ignore[union-attr]
        ):
            assert torch.equal(live, kept)
            torch.testing.assert_close(live, theirs, rtol=1e-3, atol=2e-5)
        # Rounding can send an attack another way, so the next step begins from the same weights.
        model.load_state_dict(state.model.state_dict())
        average.load_state_dict(state.ema.module.state_dict())  # type: ignore[union-attr]
        moments = [state.optimizer.state[parameter]["momentum_buffer"] for parameter in state.model.parameters()]
        moments = [moment.clone() for moment in moments]
    assert step == 3


NAMES = ("rebuffi2021data", "gowal2021improving", "lee2021removing")
SMALL = [(name, variant) for name in NAMES for variant in recipe_outline(name)[1] if variant.startswith("small")]
# Others differ from these by their images or their mix alone, or attack nothing.
ALIKE = {f"small_{what}" for what in ("alone", "generated", "cutout", "mixup", "ricap", "standard")}
STEPS = [pair for pair in SMALL if pair[1] not in ALIKE]
MODELS = [f"preact_resnet{depth}_w4" for depth in (8, 14, 20, 18)] + ["mobilenet_v3_small"]


def each(pairs: list[tuple[str, str]]) -> Any:
    return pytest.mark.parametrize(("name", "variant"), pairs, ids=[" ".join(pair) for pair in pairs])


def tiny(name: str, variant: str, **more: Any) -> Recipe:
    """A small recipe on images of 16 pixels, its further ones from the Gaussian."""
    stored = find_recipe(name, variant)[1]
    streams = tuple(replace(stream, root="gaussian", share=0.5) for stream in stored.streams)
    settings = {"model": "preact_resnet8_w4", "batch_size": 16, "streams": streams, "precision": "float32", **more}
    return replace(stored, **settings)


@each(STEPS)
@pytest.mark.parametrize("model", MODELS)
def test_every_recipe_trains_every_small_network(name: str, variant: str, model: str) -> None:
    recipe = tiny(name, variant, model=model)
    training = new_training(recipe, coloured_sources(count=64))
    before = [parameter.clone() for parameter in training.state.model.parameters()]
    for raw, _ in zip(training.train, range(3), strict=False):
        train_step(recipe, training.state, to_batch(raw, 0, training.state.step, torch.device("cpu")), training.world)
    after = list(training.state.model.parameters())
    assert training.state.step == 3
    assert all(bool(parameter.isfinite().all()) for parameter in after)
    assert sum(not bool((new == old).all()) for new, old in zip(after, before, strict=True)) > len(after) / 2
    assert {"accuracy", "robust_accuracy"} <= set(training.state.sums)


@each(STEPS)
def test_a_stopped_run_of_every_recipe_goes_on_exactly(name: str, variant: str) -> None:
    recipe = tiny(name, variant)
    first, again = run_steps(recipe, 6), run_steps(recipe, 6, stop=3)
    assert_same(weights(again.state), weights(first.state))


@each(STEPS)
def test_every_recipe_learns_64_images_by_heart(name: str, variant: str) -> None:
    stored = find_recipe(name, variant)[1]
    objective: Any = stored.objective
    # What costs time and what holds the network back are made small.
    objective = replace(objective, attack=replace(objective.attack, eps=2 / 255, num_steps=1))
    recipe = tiny(
        name,
        variant,
        model="preact_resnet8_w8",
        mix=None if stored.mix is None else replace(stored.mix, prob=0.5),
        objective=replace(objective, beta=1.0) if hasattr(objective, "beta") else objective,
        augment=False,
        whole_epochs=True,
        num_epochs=10 if stored.streams else 20,  # as many steps
        schedule=OneCycle() if isinstance(stored.schedule, Steps) else stored.schedule,
        lr=0.05,
        ema_decay=None,
        evaluate_every=20,
    )
    sources = coloured_sources(count=64)
    training = new_training(recipe, replace(sources, held_out=sources.train))
    fit(training, lambda best: None, lambda row: None)
    assert training.state.history[-1]["accuracy"] > 0.98
