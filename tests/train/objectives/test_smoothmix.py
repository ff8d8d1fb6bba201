"""Training for smoothed classifiers: the authors' steps with given noises, and what each setting means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.adversarial import drawn, of_recipe
from tests.helpers.nets import NUM_CLASSES, assert_agrees, make_batch, preact, seeded
from tests.helpers.processes import in_parallel
from tests.helpers.training import assert_same, coloured_sources, run_steps, weights
from train.attacks import PGD
from train.cli.main import find_recipe
from train.objectives import GaussianTraining, SmoothAdv, SmoothMixTraining
from train.objectives.batch import Batch
from train.objectives.gaussian import Smoothed, copies, smoothed_prediction, warmed
from train.recipe import Recipe

NAME = "jeong2021smoothmix"
SMOOTHMIX = SmoothMixTraining(sigma=0.25, num_noises=2, step_size=0.5, num_steps=4, eta=5.0)


def labels_of(batch: Batch) -> Tensor:
    assert batch.labels is not None
    return batch.labels


def average_softmax(model: nn.Module, images: Tensor, noises: list[Tensor]) -> Tensor:
    return sum((F.softmax(model(images + noise), dim=1) for noise in noises), torch.zeros(())) / len(noises)


def authors_attack(
    model: nn.Module, images: Tensor, labels: Tensor, noises: list[Tensor], rate: float, mix_step: int, reach: float
) -> tuple[Tensor, Tensor]:
    """`SmoothMix_PGD.attack` of jh-jeong/smoothmix, code/train.py."""
    far, near = images.clone(), images.clone()
    for step in range(4):
        if step == mix_step:
            near = far.detach()
        far.requires_grad_()
        logs = torch.log(average_softmax(model, far, noises).clamp(min=1e-20))
        (found,) = torch.autograd.grad(F.nll_loss(logs, labels, reduction="sum"), far)
        found = found / (found.flatten(1).norm(dim=1).view(-1, 1, 1, 1) + 1e-8)
        far = (far + rate * found).clamp(0, 1).detach()
    near = (images + (near - images).renorm(p=2, dim=0, maxnorm=reach)).clamp(0, 1)
    return near, far


def authors_step(
    model: nn.Module, batch: Batch, noises: list[Tensor], lam: Tensor, rate: float, mix_step: int, warm: float
) -> Tensor:
    """The body of `train` there, for one of the parts that a batch is cut into."""
    labels, count = labels_of(batch), len(noises)
    model.eval()
    near, far = authors_attack(model, batch.images, labels, noises, rate, mix_step, warm * rate * mix_step)
    model.train()
    logits = model(torch.cat([near + noise for noise in noises]))
    average = sum((F.softmax(part, dim=1) for part in logits.chunk(count)), torch.zeros(())) / count
    cross = F.cross_entropy(logits, labels.repeat(count), reduction="none")
    mixed = (1 - lam).view(-1, 1, 1, 1) * near + lam.view(-1, 1, 1, 1) * far
    soft = (1 - lam).view(-1, 1) * average + lam.view(-1, 1) / NUM_CLASSES
    logs = F.log_softmax(model(torch.cat([mixed + noise for noise in noises])), dim=1)
    right = (average.topk(1).indices[:, 0] == labels).double().repeat(count)
    divergence = F.kl_div(logs, soft.repeat(count, 1), reduction="none").sum(1)
    return cross.mean() + 5.0 * warm * (right * divergence).mean()


def some_right(model: nn.Module, batch: Batch) -> Batch:
    """The same images, half of them under the labels that the network gives them, so that the mask is not constant."""
    model.eval()
    with torch.no_grad():
        labels = model(batch.images).argmax(dim=1)
    model.train()
    labels[::2] = (labels[::2] + 1) % NUM_CLASSES
    return replace(batch, labels=labels, targets=F.one_hot(labels, NUM_CLASSES).double())


@pytest.mark.parametrize("epoch", [0, 30])
@pytest.mark.parametrize("variant", ["recipe", "one_step", "sigma50", "sigma100"])
def test_smoothmix_is_the_authors(variant: str, epoch: int) -> None:
    objective = of_recipe(NAME, variant)
    model = preact()
    batch = some_right(model, replace(make_batch(count=8), epoch=epoch))
    draws, warm = drawn(objective, batch), min(1.0, (epoch + 1) / 10)
    assert_agrees(
        objective,
        model,
        batch,
        draws,
        lambda net: authors_step(
            net, batch, list(draws["noise"]), draws["lam"], objective.step_size, objective.mix_step, warm
        ),
    )
    assert (objective.num_steps, objective.eta, objective.step_size) == (4, 5.0, 2 * objective.sigma)


def test_the_mask_that_the_comparison_saw_leaves_some_images_out_and_others_not() -> None:
    model = preact()
    batch = some_right(model, make_batch(count=8))
    noise = drawn(SMOOTHMIX, batch)["noise"]
    with torch.no_grad():
        average = smoothed_prediction(model.train()(copies(batch.images, noise)), 2)
    assert len((average.argmax(dim=1) == batch.labels).unique()) == 2


def salman_attack(model: nn.Module, images: Tensor, labels: Tensor, noises: list[Tensor], eps: float) -> Tensor:
    """`PGD_L2` of Hadisalman/smoothing-adversarial, code/attacks.py."""
    move = torch.zeros_like(images)
    for _ in range(10):
        move.requires_grad_()
        logs = torch.log(average_softmax(model, images + move, noises).clamp(min=1e-20))
        (found,) = torch.autograd.grad(F.nll_loss(logs, labels), move)
        found = found / found.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        move = ((images + move + 2 * eps / 10 * found).clamp(0, 1) - images).detach()
        move = move.renorm(p=2, dim=0, maxnorm=eps)
    return images + move


@pytest.mark.parametrize("epoch", [0, 30])
def test_smoothadv_is_the_authors(epoch: int) -> None:
    objective = of_recipe(NAME, "smoothadv")
    batch = replace(make_batch(), epoch=epoch)
    labels, draws = labels_of(batch), drawn(objective, batch)
    noises = list(draws["noise"])

    def reference(model: nn.Module) -> Tensor:
        model.eval()
        moved = salman_attack(model, batch.images, labels, noises, 0.25 * min(1.0, (epoch + 1) / 10))
        model.train()
        return F.cross_entropy(model(torch.cat([moved + noise for noise in noises])), labels.repeat(2))

    assert_agrees(objective, preact(), batch, draws, reference)


def test_gaussian_training_is_that_of_noisy_images() -> None:
    objective, batch = of_recipe(NAME, "gaussian"), make_batch()
    draws = drawn(objective, batch)
    assert_agrees(
        objective,
        preact(),
        batch,
        draws,
        lambda model: F.cross_entropy(model(batch.images + draws["noise"][0]), labels_of(batch)),
    )


# What the parts mean.


@pytest.mark.parametrize("objective", [GaussianTraining(sigma=0.3, num_noises=3), replace(SMOOTHMIX, sigma=0.3)])
def test_the_noise_has_the_deviation_asked_for_and_is_not_cut(objective: Smoothed) -> None:
    batch = make_batch(count=64, size=16)
    noise = drawn(objective, batch)["noise"]
    assert noise.shape == (objective.num_noises, *batch.images.shape)
    assert noise.dtype == torch.float64
    assert float(noise.std()) == pytest.approx(0.3, rel=0.01)
    assert abs(float(noise.mean())) < 0.01
    assert float(copies(batch.images, noise).amax()) > 1.2


def test_mixing_weights_are_uniform_up_to_one_half() -> None:
    lam = drawn(SMOOTHMIX, make_batch(count=4000, size=2))["lam"]
    assert float(lam.amin()) >= 0
    assert 0.49 < float(lam.amax()) <= 0.5
    assert float(lam.mean()) == pytest.approx(0.25, abs=0.01)


def test_the_attack_lowers_the_smoothed_prediction_and_goes_as_far_as_its_steps() -> None:
    model, batch = preact().eval(), make_batch()
    batch = some_right(model, replace(batch, images=0.4 + 0.2 * batch.images))
    noise = drawn(SMOOTHMIX, batch)["noise"]
    near, far = replace(SMOOTHMIX, num_steps=1).ends(model, batch, noise, 1.0)
    assert torch.equal(near, batch.images)
    lengths = (far - near).flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 0.5), rtol=1e-5, atol=0)
    with torch.no_grad():
        before, after = (
            (smoothed_prediction(model(copies(images, noise)), 2) * batch.targets).sum(dim=1) for images in (near, far)
        )
    assert bool((after < before).all())


def test_without_its_price_smoothmix_is_gaussian_training() -> None:
    batch, model = make_batch(), preact().eval()
    draws = drawn(SMOOTHMIX, batch)
    loss, _ = replace(SMOOTHMIX, eta=0.0)(model, batch, nn.Module(), draws)
    expected, _ = GaussianTraining(sigma=0.25, num_noises=2)(model, batch, nn.Module(), {"noise": draws["noise"]})
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("variant", ["recipe", "one_step", "smoothadv", "gaussian"])
def test_in_half_precision_loss_and_gradients_are_nearly_the_same(variant: str) -> None:
    objective, batch = of_recipe(NAME, variant), make_batch(count=16, size=16)
    batch = replace(batch, images=batch.images.float(), targets=batch.targets.float())
    draws, found = drawn(objective, batch), []
    for half in (False, True):
        model = preact().float()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            loss, _ = objective(model, batch, nn.Module(), draws)
        assert loss.dtype == torch.float32
        loss.backward()
        found.append((loss.detach(), torch.cat([parameter.grad.flatten() for parameter in model.parameters()])))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=0.05, atol=0)
    assert float(torch.cosine_similarity(found[1][1], found[0][1], dim=0)) > 0.9


@pytest.mark.parametrize("variant", ["recipe", "one_step", "smoothadv", "gaussian"])
@pytest.mark.usefixtures("group")
def test_a_wrapped_network_has_the_same_loss_and_gradients(variant: str) -> None:
    objective, batch, model, other = of_recipe(NAME, variant), make_batch(), preact(), preact()
    draws = drawn(objective, batch)
    loss, _ = objective(in_parallel(model), batch, nn.Module(), draws)
    expected, _ = objective(other, batch, nn.Module(), draws)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    for found, wanted in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad)


def test_a_sure_network_keeps_finite_gradients() -> None:
    batch = make_batch()
    batch = replace(batch, images=batch.images.float(), targets=batch.targets.float())
    model = preact().float()
    with torch.no_grad():
        model[1].head.weight.mul_(1e5)
    draws = drawn(SMOOTHMIX, batch) | {"lam": torch.zeros(6)}
    SMOOTHMIX(model, batch, nn.Module(), draws)[0].backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters())


def test_the_strength_grows_by_epochs() -> None:
    assert [warmed(epoch, 4) for epoch in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    attack = PGD(norm="L2", eps=0.4, step_size=0.1, num_steps=2, start="none", box_first=True)
    objective, batch = SmoothAdv(attack=attack, warmup=4), make_batch()
    moved = [objective.attack_at(epoch).eps for epoch in (0, 1, 9)]
    assert moved == pytest.approx([0.1, 0.2, 0.4])
    assert not drawn(objective, batch)["start"].any()


@pytest.mark.parametrize("variant", ["recipe", "one_step", "gaussian", "smoothadv"])
class TestEveryMethod:
    def stored(self, variant: str) -> Recipe:
        return find_recipe(NAME, variant)[1]

    def test_draws_come_from_the_generator_and_else_are_those_of_the_step(self, variant: str) -> None:
        objective, batch = self.stored(variant).objective, make_batch()
        first, again = drawn(objective, batch), drawn(objective, batch)
        assert_same(first, again)
        before = torch.get_rng_state()
        losses = {float(objective(preact(), batch, nn.Module())[1]["loss"]) for _ in range(2)}
        assert len(losses) == 1
        assert torch.equal(torch.get_rng_state(), before)

    def test_mode_and_parameters_are_as_before(self, variant: str) -> None:
        objective, batch, model = self.stored(variant).objective, make_batch(), preact().train()
        model[1].norm.eval()
        modes = [module.training for module in model.modules()]
        loss, metrics = objective(model, batch, nn.Module())
        assert [module.training for module in model.modules()] == modes
        assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
        loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        assert {"loss", "accuracy"} <= metrics.keys()

    def test_a_run_that_was_stopped_ends_with_the_same_weights(self, variant: str) -> None:
        recipe = tiny(self.stored(variant))
        assert_same(weights(run_steps(recipe, 4, stop=2).state), weights(run_steps(recipe, 4).state))


def tiny(recipe: Recipe) -> Recipe:
    return replace(
        recipe, model="preact_resnet8_w4", batch_size=16, precision="float32", ema_decay=0.8, num_images=None
    )


@pytest.mark.parametrize(
    ("variant", "steps", "floor"),
    [
        ("small", 100, 0.95),
        # the noise may confuse two of the four colours, which are near to each other; chance is a quarter
        ("small_one_step", 60, 0.7),
        ("small_gaussian", 60, 0.95),
        ("small_smoothadv", 100, 0.95),
    ],
)
def test_a_network_learns_64_images(variant: str, steps: int, floor: float) -> None:
    recipe = tiny(find_recipe(NAME, variant)[1])
    recipe = replace(recipe, model="preact_resnet8_w8", augment=False, lr=0.1)
    state = run_steps(recipe, steps).state
    images = torch.from_numpy(coloured_sources().train.items).permute(0, 3, 1, 2) / 255
    labels = torch.tensor(coloured_sources().train.labels)
    noise = torch.empty(images.shape).normal_(std=0.25, generator=seeded())
    with torch.no_grad():
        found = state.model.eval()(images + noise).argmax(dim=1)
    assert float((found == labels).double().mean()) > floor


@pytest.mark.parametrize(
    ("variant", "rates"),
    [
        ("recipe", {0: 0.1, 50: 0.1, 51: 0.01, 100: 0.01, 101: 0.001, 149: 0.001}),
        ("gaussian", {0: 0.1, 29: 0.1, 30: 0.01, 60: 0.001, 89: 0.001}),
        ("smoothadv", {0: 0.1, 49: 0.1, 50: 0.01, 100: 0.001}),
    ],
)
def test_the_rate_is_that_of_the_authors(variant: str, rates: dict[int, float]) -> None:
    recipe = find_recipe(NAME, variant)[1]
    found = {epoch: recipe.lr * recipe.schedule.rate(epoch, recipe.num_epochs) for epoch in rates}
    assert found == pytest.approx(rates)


@pytest.mark.parametrize("objective", [SMOOTHMIX, of_recipe(NAME, "smoothadv")])
def test_a_normalised_stream_is_refused(objective: Any) -> None:
    batch = make_batch()
    batch = replace(batch, images=(batch.images - 0.5) / 0.25)
    with pytest.raises(ValueError, match=r"images in \[0, 1\], got values from -2 to 2"):
        objective(preact(), batch, nn.Module())


ATTACK = PGD(norm="L2", eps=0.1, step_size=0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianTraining(sigma=0.0), "GaussianTraining: sigma must be a number above 0, got 0.0"),
        (lambda: GaussianTraining(num_noises=0), "GaussianTraining: num_noises must be a whole number above 0, got 0"),
        (lambda: SmoothAdv(attack=ATTACK, warmup=0), "SmoothAdv: warmup must be a whole number above 0, got 0"),
        (lambda: SmoothMixTraining(mix_step=4), "SmoothMixTraining: mix_step must be below num_steps, 4, got 4"),
        (lambda: SmoothMixTraining(num_steps=0), "SmoothMixTraining: num_steps must be a whole number above 0, got 0"),
        (lambda: SmoothMixTraining(step_size=-1.0), "SmoothMixTraining: step_size must be a number above 0"),
        (lambda: SmoothMixTraining(eta=-1.0), "SmoothMixTraining: eta must not be negative, got -1.0"),
        (lambda: SmoothMixTraining(warmup=0), "SmoothMixTraining: warmup must be a whole number above 0, got 0"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
