"""GenLabel: densities as the libraries have them, the loss of the authors' code, and a memory that resumes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn.covariance import EmpiricalCovariance
from torch import Tensor, nn

from tests.helpers.training import ALONE, TINY, StopAt, assert_same, new_training, weights
from train.loop.epochs import Training, fit, make_batch, train_step
from train.models import build_model
from train.objectives.batch import Batch
from train.objectives.cross_entropy import cross_entropy
from train.objectives.genlabel import GenLabel, Memory, generated_label
from train.objectives.parts.densities import Density, Gaussian, Kernel

ROOT = Path(__file__).parents[3]
NUM_CLASSES = 3
RECIPE = replace(TINY, mix=None, objective=GenLabel(alpha=0.5, warmup=1))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes_of(count: int) -> Tensor:
    return torch.arange(count) % NUM_CLASSES


@pytest.fixture(params=[1, 5], ids="in {} dimensions".format)
def features(request: pytest.FixtureRequest) -> Tensor:
    """(60, D) correlated, each class somewhere else."""
    size = request.param
    return random(60, size) @ random(size, size, seed=1) + classes_of(60).unsqueeze(1)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 7), nn.Tanh(), nn.Linear(7, 5), nn.Linear(5, NUM_CLASSES))


def conv() -> nn.Module:
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, NUM_CLASSES))
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), head)


def resnet() -> nn.Module:
    return build_model("preact_resnet8_w4", num_classes=NUM_CLASSES, mean=[0.5] * 3, std=[0.3] * 3, seed=0)


def new_net(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return make().double()


def new_batch(epoch: int = 0, count: int = 12) -> Batch:
    images = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    labels = classes_of(count)
    targets = F.one_hot(labels, NUM_CLASSES).double()
    return Batch(epoch=epoch, step=epoch, images=images, targets=targets, labels=labels, index=torch.arange(count))


DRAWS = {"lam": torch.tensor(0.35, dtype=torch.float64), "partner": torch.randperm(12, generator=torch.Generator())}


def test_the_gaussians_are_those_of_scikit_learn_and_scipy(features: Tensor) -> None:
    labels, points = classes_of(60), random(8, features.shape[1], seed=2)
    found = Gaussian(ridge=1e-3).fit(features, labels, NUM_CLASSES).log_prob(points)
    for label in range(NUM_CLASSES):
        own = EmpiricalCovariance().fit(features[labels == label].numpy())
        law = stats.multivariate_normal(own.location_, own.covariance_ + 1e-3 * np.eye(len(own.location_)))
        torch.testing.assert_close(found[:, label], torch.as_tensor(law.logpdf(points.numpy())))


@pytest.mark.parametrize("bandwidth", [None, 0.3])
def test_the_kernels_are_those_of_scipy(features: Tensor, bandwidth: float | None) -> None:
    labels, points = classes_of(60), random(8, features.shape[1], seed=2)
    found = Kernel(bandwidth=bandwidth, ridge=0).fit(features, labels, NUM_CLASSES).log_prob(points)
    for label in range(NUM_CLASSES):
        law = stats.gaussian_kde(features[labels == label].T.numpy(), bw_method=bandwidth)
        torch.testing.assert_close(found[:, label], torch.as_tensor(law.logpdf(points.T.numpy())))


def test_identity_covariance_makes_the_nearest_mean_the_densest(features: Tensor) -> None:
    labels, points = classes_of(60), random(8, features.shape[1], seed=2)
    found = Gaussian(covariance="identity").fit(features, labels, NUM_CLASSES).log_prob(points)
    means = torch.stack([features[labels == label].mean(0) for label in range(NUM_CLASSES)])
    torch.testing.assert_close(found.softmax(1), (-0.5 * torch.cdist(points, means) ** 2).softmax(1))


@pytest.mark.parametrize("density", [Gaussian(), Kernel()])
def test_a_label_is_a_label_however_far_away_the_mixture_is(density: Density) -> None:
    densities = density.fit(random(60, 5), classes_of(60), NUM_CLASSES)
    for classes in ("all", "two"):
        label = generated_label(densities.log_prob(1e5 * random(4, 5, seed=1)), classes)  # type: ignore[arg-type]
        torch.testing.assert_close(label.sum(1), torch.ones(4, dtype=torch.float64))


def test_two_classes_share_the_label_by_their_densities() -> None:
    log_prob = torch.tensor([[-3.0, -1.0, -2.0]], dtype=torch.float64)
    lam = 1 / (1 + np.exp(-2.0 - -1.0))
    torch.testing.assert_close(generated_label(log_prob, "two"), torch.tensor([[0, lam, 1 - lam]], dtype=torch.float64))


def test_a_mixture_that_lies_in_a_third_class_gets_the_label_of_that_class() -> None:
    """The paper's motive: half way between classes 0 and 2 lies class 1."""
    points = torch.cat([random(30, 2, seed=label) * 0.1 + 2 * label for label in range(3)])
    labels = torch.arange(3).repeat_interleave(30)
    memory = Memory(90, 3)
    memory.give(Gaussian().fit(points, labels, 3))
    images = torch.tensor([[0.0, 0.0], [4.0, 4.0]], dtype=torch.float64)
    targets = F.one_hot(torch.tensor([0, 2]), 3).double()
    batch = Batch(epoch=0, step=0, images=images, targets=targets)
    model = new_net(lambda: nn.Linear(2, 3))
    draws = {"lam": torch.tensor(0.5, dtype=torch.float64), "partner": torch.tensor([1, 0])}
    loss, _ = GenLabel(gamma=1.0, space="input")(model, batch, memory, draws)
    middle = model(torch.tensor([[2.0, 2.0]], dtype=torch.float64))
    torch.testing.assert_close(loss, F.cross_entropy(middle, torch.tensor([1])))


def reference_log_prob(density: Density, features: np.ndarray, labels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Class by class as the authors' two fitting functions have it."""
    columns = []
    for label in range(NUM_CLASSES):
        own = features[labels == label]
        if isinstance(density, Gaussian):
            fitted = EmpiricalCovariance().fit(own)
            covariance = fitted.covariance_ + density.ridge * np.eye(own.shape[1])
            columns.append(stats.multivariate_normal(fitted.location_, covariance).logpdf(points))
        else:
            assert isinstance(density, Kernel)
            factor = density.bandwidth or len(own) ** (-1 / (own.shape[1] + 4))
            covariance = (np.cov(own.T) + density.ridge * np.eye(own.shape[1])) * factor**2
            kernels = [stats.multivariate_normal(centre, covariance).logpdf(points) for centre in own]
            columns.append(np.logaddexp.reduce(kernels, axis=0) - np.log(len(own)))
    return np.stack(columns, axis=1)


def reference_loss(
    model: nn.Module, batch: Batch, objective: GenLabel, features: Tensor, labels: Tensor, latent: Callable[..., Any]
) -> Tensor:
    """The authors' step on given draws, image by image where theirs is a batch."""
    lam, partner = float(DRAWS["lam"]), DRAWS["partner"]
    mixed = lam * batch.images + (1 - lam) * batch.images[partner]
    output = model(mixed)
    log_prob = reference_log_prob(objective.density, features.numpy(), labels.numpy(), latent(mixed).numpy())
    total = torch.zeros((), dtype=torch.float64)
    for row, values in enumerate(log_prob):
        own, other = int(batch.labels[row]), int(batch.labels[partner[row]])
        log_probability = output[row].log_softmax(0)
        plain = -lam * log_probability[own] - (1 - lam) * log_probability[other]
        if objective.classes == "all":
            shares = np.exp(values - np.logaddexp.reduce(values))
            generated = -(torch.as_tensor(shares) * log_probability).sum()
        else:
            second, first = np.argsort(values)[-2:]
            share = 1 / (1 + np.exp(values[second] - values[first]))
            generated = -share * log_probability[first] - (1 - share) * log_probability[second]
        total = total + objective.gamma * generated + (1 - objective.gamma) * plain
    return total / len(log_prob)


@pytest.mark.parametrize("make", [mlp, conv, resnet])
@pytest.mark.parametrize("density", [Gaussian(ridge=1e-2), Kernel(bandwidth=0.7, ridge=1e-2)], ids=["gaussian", "kde"])
@pytest.mark.parametrize("classes", ["all", "two"])
@pytest.mark.parametrize("space", ["latent", "input"])
def test_loss_and_gradient_are_those_of_the_authors_code(
    make: Callable[[], nn.Module], density: Any, classes: Any, space: Any
) -> None:
    objective = GenLabel(gamma=0.6, density=density, classes=classes, space=space)
    model, twin, batch = new_net(make), new_net(make), new_batch()
    layer = [module for module in twin.modules() if isinstance(module, nn.Linear)][-1]

    @torch.no_grad()
    def latent(images: Tensor) -> Tensor:
        if space == "input":
            return images.flatten(1)
        probe, seen = new_net(make), []
        target = dict(probe.named_modules())[next(name for name, m in twin.named_modules() if m is layer)]
        target.register_forward_hook(lambda module, args, output: seen.append(args[0]))
        probe(images)
        return seen[0]

    clean = torch.rand(60, 3, 6, 6, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    features, labels = latent(clean), classes_of(60)
    state = objective.setup(model, 60, NUM_CLASSES)
    assert isinstance(state, Memory)
    state.give(density.fit(features, labels, NUM_CLASSES))
    loss, metrics = objective(model, batch, state, DRAWS)
    loss.backward()

    expected = reference_loss(twin, batch, objective, features, labels, latent)
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    for found, wanted in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-7, atol=1e-9)
    assert not metrics["loss"].requires_grad
    for found, wanted in zip(model.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(found, wanted)


def test_the_warm_up_is_cross_entropy_on_clean_images() -> None:
    model, batch = new_net(conv), new_batch(epoch=3)
    objective = GenLabel(warmup=8)
    loss, _ = objective(model, batch, objective.setup(model, 12, NUM_CLASSES), DRAWS)
    torch.testing.assert_close(loss, cross_entropy(new_net(conv)(batch.images), batch.targets).mean())


def test_densities_are_fitted_to_what_the_network_made_of_the_clean_images() -> None:
    model, objective = new_net(conv).eval(), GenLabel(warmup=1)
    state = objective.setup(model, 12, NUM_CLASSES)
    objective(model, new_batch(epoch=0), state, DRAWS)
    assert isinstance(state, Memory)
    assert not state.densities.fitted
    objective(model, new_batch(epoch=1), state, DRAWS)
    clean = model[3][:2](model[:3](new_batch().images))
    expected = Gaussian().fit(clean.float(), classes_of(12), NUM_CLASSES)
    torch.testing.assert_close(state.densities.mean, expected.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(state.densities.scale, expected.scale, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("refit", "epochs"), [(0, [2]), (1, [2, 3, 4, 5]), (2, [2, 4])])
def test_they_are_fitted_again_when_the_schedule_says_so(refit: int, epochs: list[int]) -> None:
    model, objective = new_net(conv), GenLabel(warmup=2, refit=refit)
    state = objective.setup(model, 12, NUM_CLASSES)
    found, passes = [], []
    model.register_forward_hook(lambda *_: passes.append(1))
    for epoch in range(6):
        objective(model, new_batch(epoch), state, DRAWS)
        found.append(int(state.last_fit))
    assert sorted(set(found) - {-1}) == epochs
    # One pass a step, and after the warm-up one more where features are needed for the next fit.
    assert len(passes) == 6 + sum(epoch > 2 for epoch in epochs) + (refit == 1) + (refit == 2)


def test_the_model_is_left_as_one_training_pass_leaves_it() -> None:
    """Also in a step that takes a second pass for the features."""
    model, twin, objective = new_net(conv), new_net(conv), GenLabel(warmup=1)
    state = objective.setup(model, 12, NUM_CLASSES)
    objective(model, new_batch(epoch=0), state, DRAWS)
    objective(model, new_batch(epoch=1), state, DRAWS)
    images = new_batch().images
    twin(images)
    twin(torch.lerp(images[DRAWS["partner"]], images, DRAWS["lam"]))
    assert model.training
    assert_same(model.state_dict(), twin.state_dict())
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())
    assert all(module.track_running_stats for module in model.modules() if isinstance(module, nn.BatchNorm2d))


def test_the_draws_follow_their_laws_and_their_seed() -> None:
    objective, batch = GenLabel(alpha=0.4), new_batch()
    first, again = (objective.draw(batch, torch.Generator().manual_seed(1)) for _ in range(2))
    assert_same(first, again)
    generator = torch.Generator().manual_seed(2)
    draws = [objective.draw(batch, generator) for _ in range(500)]
    assert all(sorted(draw["partner"].tolist()) == list(range(12)) for draw in draws[:50])
    assert stats.kstest([float(draw["lam"]) for draw in draws], stats.beta(0.4, 0.4).cdf).pvalue > 0.01


def content(training: Training) -> dict[str, Any]:
    return training.state.to_checkpoint(training.train, ALONE)


@pytest.mark.parametrize("density", [Gaussian(), Kernel()], ids=["gaussian", "kde"])
@pytest.mark.parametrize("step", [2, 6, 8], ids=["in the warm-up", "in mid-epoch", "at an epoch's end"])
def test_a_run_that_was_stopped_ends_with_the_same_weights_and_densities(step: int, density: Any) -> None:
    recipe = replace(RECIPE, objective=replace(RECIPE.objective, density=density))
    whole, stopped, resumed = new_training(recipe), new_training(recipe), new_training(recipe)
    assert fit(whole, lambda best: None, lambda row: None)
    saved: list[dict[str, Any]] = []
    stopped.stop = StopAt(stopped.state, step)
    assert not fit(stopped, lambda best: saved.append(content(stopped)), lambda row: None)
    resumed.state.load_checkpoint(saved[-1], resumed.train, ALONE)
    assert fit(resumed, lambda best: None, lambda row: None)
    assert_same(weights(resumed.state), weights(whole.state))
    assert_same(resumed.state.objective.state_dict(), whole.state.objective.state_dict())
    assert whole.state.objective.densities.fitted


def test_a_checkpoint_with_densities_needs_no_code_to_be_read(tmp_path: Path) -> None:
    memory = Memory(60, NUM_CLASSES)
    memory.give(Kernel().fit(random(60, 5), classes_of(60), NUM_CLASSES))
    torch.save(memory.state_dict(), tmp_path / "memory.pt")
    other = Memory(60, NUM_CLASSES)
    other.load_state_dict(torch.load(tmp_path / "memory.pt", weights_only=True))
    points = random(4, 5, seed=3)
    assert torch.equal(other.densities.log_prob(points), memory.densities.log_prob(points))
    assert other.fitted_before == memory.fitted_before


def test_it_overfits_sixty_four_images() -> None:
    objective = GenLabel(alpha=0.2, warmup=4)
    recipe = replace(RECIPE, objective=objective, augment=False, num_epochs=14, ema_decay=None, lr=0.1)
    training = new_training(recipe)
    assert fit(training, lambda best: None, lambda row: None)
    assert training.state.history[-1]["accuracy"] > 0.95


def test_it_trains_in_half_precision_too() -> None:
    recipe = replace(RECIPE, precision="bfloat16")
    training = new_training(recipe)
    for epoch in range(2):
        for raw in training.train:
            train_step(recipe, training.state, make_batch(raw, epoch, training.state.step, ALONE.device), ALONE)
    assert all(bool(parameter.isfinite().all()) for parameter in training.state.model.parameters())


def test_too_few_images_of_a_class_are_named() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2])
    with pytest.raises(
        ValueError, match=r"^class 2 has 1 samples and a density needs at least 2 \(1 such classes of 3"
    ):
        Gaussian().fit(random(5, 2), labels, 3)
    with pytest.raises(
        ValueError, match="class 0 has 10 samples of 2 features, whose covariance is singular; use a ridge"
    ):
        Gaussian(ridge=0).fit(torch.ones(20, 2), torch.arange(20) % 2, 2)
    with pytest.raises(ValueError, match="some features are nan"):
        Gaussian().fit(torch.full((4, 2), torch.nan), torch.arange(4) % 2, 2)


def test_a_run_whose_data_lack_a_class_says_so_at_the_first_fit() -> None:
    objective = GenLabel(warmup=1)
    state = objective.setup(new_net(conv), 12, NUM_CLASSES + 1)
    objective(new_net(conv), new_batch(epoch=0), state, DRAWS)
    with pytest.raises(ValueError, match="class 3 has 0 samples and a density needs at least 2"):
        objective(new_net(conv), new_batch(epoch=1), state, DRAWS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 0}, "GenLabel: alpha must be above 0, got 0"),
        ({"gamma": 1.2}, r"GenLabel: gamma must be in \[0, 1\], got 1.2"),
        ({"warmup": 0}, "GenLabel: warmup must be 1 or more"),
        ({"refit": -1}, "GenLabel: refit must be a number of epochs"),
        ({"space": "pixels"}, "GenLabel: space must be one of 'latent', 'input', got 'pixels'"),
        ({"classes": "three"}, "GenLabel: classes must be one of 'all', 'two', got 'three'"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GenLabel(**settings)


def test_wrong_settings_of_the_densities_and_the_model_too() -> None:
    with pytest.raises(ValueError, match="Kernel: bandwidth must be above 0, got 0"):
        Kernel(bandwidth=0)
    with pytest.raises(ValueError, match="Gaussian: covariance must be one of 'full', 'identity', got 'tied'"):
        Gaussian(covariance="tied")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no linear layer at its end"):
        GenLabel().setup(nn.Conv2d(3, 3, 1), 12, NUM_CLASSES)
    with pytest.raises(ValueError, match="the densities are of 2 features, got 3"):
        Gaussian().fit(random(8, 2), torch.arange(8) % 2, 2).log_prob(random(4, 3))


REMEMBER = """
import sys, torch
from train.objectives.batch import Batch
from train.objectives.genlabel import Memory
rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
mine = torch.arange(12)[rank::2]
memory = Memory(12, 3)
memory.remember(10.0 * mine[:, None], Batch(epoch=0, step=0, images=mine, targets=mine, labels=mine % 3, index=mine))
torch.save(memory.state_dict(), f"{folder}/{rank}.pt")
torch.distributed.destroy_process_group()
"""


def test_every_process_remembers_the_features_of_all(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", REMEMBER]
    running = [subprocess.Popen([*command, str(rank), str(tmp_path)], cwd=ROOT) for rank in range(2)]
    assert [process.wait(timeout=100) for process in running] == [0, 0]
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found["features"].squeeze(1).tolist() == [10.0 * number for number in range(12)]
        assert found["labels"].tolist() == classes_of(12).tolist()
