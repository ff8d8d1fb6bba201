"""Training on images that a network with moved weights corrupts: the ball, each image's own move, and what c is."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from tests.helpers.nets import NUM_CLASSES, make_batch, preact, seeded
from tests.helpers.training import assert_same, coloured, coloured_sources, run_steps, weights, write_cifar
from train.attacks import ParameterAttack
from train.attacks.parameters import corrupt, parameters_of
from train.attacks.ssim import ssim
from train.autoencoder import Autoencoder, load_network
from train.autoencoder.run import main, train_autoencoder
from train.autoencoder.training import Settings, new_state, train_step
from train.cli.main import find_recipe
from train.files import checkpoint
from train.files.checkpoint import save
from train.machine.command import run_command
from train.machine.run import Place
from train.objectives import AdversarialAugment
from train.objectives.ada import Corruptor
from train.objectives.batch import Batch
from train.objectives.cross_entropy import cross_entropy
from train.optim.schedules import Steps
from train.recipe import Recipe

NAME = "calian2022defending"
ATTACK = ParameterAttack(eps=0.05, step_size=0.03, num_steps=3)


def filters() -> nn.Module:
    """A small image-to-image network with a batch norm and a bias of zeros, near to doing nothing."""
    net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1))
    generator = seeded(8)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.05, generator=generator)
    for conv in (net[0], net[3]):
        nn.init.dirac_(conv.weight)
        nn.init.zeros_(conv.bias)
        with torch.no_grad():
            conv.weight.add_(torch.empty_like(conv.weight).normal_(std=0.05, generator=generator))
    nn.init.ones_(net[1].weight)
    return net.double().eval()


def loss_of(model: nn.Module, batch: Batch) -> Any:
    return lambda images: cross_entropy(model(images), batch.targets)


# The attack.


def by_hand(
    attack: ParameterAttack, network: nn.Module, model: nn.Module, image: Tensor, target: Tensor, start: Tensor
) -> Tensor:
    """The corrupted image of one image (3, H, W), with a copy of the network for it alone."""
    fixed = [parameter.detach() for parameter in network.parameters()]
    sizes = [parameter.numel() for parameter in fixed]
    moves = [part.view_as(own) for part, own in zip(start.split(sizes), fixed, strict=True)]
    own = copy.deepcopy(network)

    def put() -> Tensor:
        with torch.no_grad():
            for parameter, base, move in zip(own.parameters(), fixed, moves, strict=True):
                parameter.copy_(base + move)
        return own(image[None]).clamp(0, 1)

    for step in range(attack.num_steps + 1):
        for number, (move, base) in enumerate(zip(moves, fixed, strict=True)):
            if move.norm() > attack.eps * base.norm():
                moves[number] = move * (attack.eps * base.norm() / move.norm())
        if step == attack.num_steps:
            break
        own.zero_grad()
        cross_entropy(model(put()), target[None]).sum().backward()
        for number, (parameter, base) in enumerate(zip(own.parameters(), fixed, strict=True)):
            assert parameter.grad is not None
            length = parameter.grad.norm()
            if length > 0:
                moves[number] = moves[number] + attack.step_size * base.norm() * parameter.grad / length
    return put()[0].detach()


def test_each_image_is_corrupted_as_by_a_network_of_its_own() -> None:
    batch, model, network = make_batch(), preact().eval(), filters()
    start = ATTACK.draw(network, batch.images, seeded())
    found = ATTACK.search(network, batch.images, loss_of(model, batch), start)
    for number in range(len(found)):
        expected = by_hand(ATTACK, network, model, batch.images[number], batch.targets[number], start[number])
        torch.testing.assert_close(found[number], expected, rtol=1e-6, atol=1e-9)


def test_an_image_does_not_depend_on_the_others() -> None:
    batch, model, network = make_batch(), preact().eval(), filters()
    start = ATTACK.draw(network, batch.images, seeded())
    whole = ATTACK.search(network, batch.images, loss_of(model, batch), start)
    some = replace(batch, images=batch.images[2:4], targets=batch.targets[2:4])
    part = ATTACK.search(network, some.images, loss_of(model, some), start[2:4])
    torch.testing.assert_close(part, whole[2:4], rtol=1e-9, atol=1e-12)


def test_the_loss_rises_and_the_result_is_an_image() -> None:
    batch, model, network = make_batch(count=16), preact().eval(), filters()
    start = ATTACK.draw(network, batch.images, seeded())
    with torch.no_grad():
        before = loss_of(model, batch)(replace(ATTACK, num_steps=0).search(network, batch.images, None, start))
        found = ATTACK.search(network, batch.images, loss_of(model, batch), start)
        after = loss_of(model, batch)(found)
    assert float((after > before).double().mean()) > 0.9
    assert float(after.mean()) > float(before.mean())
    assert 0 <= float(found.amin()) <= float(found.amax()) <= 1
    assert not found.requires_grad


@pytest.mark.parametrize("steps", [0, 5])
def test_every_tensor_stays_in_its_own_ball(steps: int) -> None:
    batch, model, network = make_batch(), preact().eval(), filters()
    attack = replace(ATTACK, num_steps=steps, step_size=0.2)
    far = 100 * attack.draw(network, batch.images, seeded())
    moves = attack.find(network, batch.images, loss_of(model, batch), far)
    for name, parameter in network.named_parameters():
        lengths = moves[name].flatten(1).norm(dim=1)
        assert bool((lengths <= attack.eps * parameter.norm() * (1 + 1e-9)).all())
        assert bool((lengths > 0.5 * attack.eps * parameter.norm()).all()) or not parameter.any()


def test_the_start_is_anywhere_in_the_ball() -> None:
    network, images = filters(), make_batch(count=400).images
    parts = ATTACK.draw(network, images, seeded()).split([p.numel() for p in network.parameters()], dim=1)
    for part, parameter in zip(parts, parameters_of(network, images).values(), strict=True):
        if parameter.any():
            shares = part.norm(dim=1) / (ATTACK.eps * parameter.norm())
            assert float(shares.amax()) <= 1 + 1e-9
            assert float(shares.mean()) == pytest.approx(0.5, abs=0.06)
        else:
            assert not part.any()


def test_without_a_budget_the_images_are_what_the_network_makes_of_them() -> None:
    batch, model, network = make_batch(), preact().eval(), filters()
    with torch.no_grad():
        expected = network(batch.images).clamp(0, 1)
    for attack in (replace(ATTACK, eps=0.0), replace(ATTACK, num_steps=0, start="none")):
        start = attack.draw(network, batch.images, seeded())
        torch.testing.assert_close(attack.search(network, batch.images, loss_of(model, batch), start), expected)


def test_images_are_kept_alike_by_the_greatest_share_of_the_move_that_does() -> None:
    batch, model = make_batch(size=16), preact().eval()
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, bias=False)).double()
    nn.init.dirac_(network[0].weight)
    free = replace(ATTACK, eps=0.8, step_size=0.5)
    start = free.draw(network, batch.images, seeded())
    moves = free.find(network, batch.images, loss_of(model, batch), start)
    with torch.no_grad():
        wild = ssim(corrupt(network, batch.images, moves), batch.images)
        floor = float(wild.median()) + 0.05
        found = replace(free, least_ssim=floor).search(network, batch.images, loss_of(model, batch), start)
        kept = ssim(found, batch.images)
        assert float(wild.amin()) < floor <= float(kept.amin())
        assert not torch.allclose(found, batch.images)
        for number in range(len(wild)):
            tried = [corrupt(network, batch.images, {n: k / 8 * m for n, m in moves.items()})[number] for k in range(9)]
            good = [one for one in tried if float(ssim(one[None], batch.images[number : number + 1])) >= floor]
            torch.testing.assert_close(found[number], good[-1])


def test_a_network_that_changes_the_shape_is_refused() -> None:
    batch, network = make_batch(), nn.Conv2d(3, 3, 3).double()
    start = ATTACK.draw(network, batch.images, seeded())
    with pytest.raises(ValueError, match=r"network makes \(3, 10, 10\) of \(3, 12, 12\); it must keep the shape"):
        ATTACK.search(network, batch.images, None, start)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"start must have the shape \(6, 84\), got \(6, 3\)"):
        ATTACK.search(network, batch.images, None, start[:, :3])  # type: ignore[arg-type]


def test_a_network_without_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="the image-to-image network has no parameters to move"):
        ATTACK.draw(nn.Identity(), make_batch().images, seeded())


# Structural similarity.


def slow_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """One channel (H, W), window by window."""
    places = np.arange(11) - 5
    weights = np.exp(-(places[:, None] ** 2 + places[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    found = []
    for y in range(first.shape[0] - 10):
        for x in range(first.shape[1] - 10):
            a, b = first[y : y + 11, x : x + 11], second[y : y + 11, x : x + 11]
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            both = (weights * (a - mean_a) * (b - mean_b)).sum()
            light = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
            found.append(light * (2 * both + 0.03**2) / (var_a + var_b + 0.03**2))
    return float(np.mean(found))


def test_similarity_is_that_of_the_definition() -> None:
    images = torch.rand(3, 2, 13, 17, generator=seeded(), dtype=torch.float64)
    others = (images + 0.2 * torch.randn(images.shape, generator=seeded(1), dtype=torch.float64)).clamp(0, 1)
    expected = [
        np.mean([slow_ssim(a.numpy(), b.numpy()) for a, b in zip(one, two, strict=True)])
        for one, two in zip(images, others, strict=True)
    ]
    np.testing.assert_allclose(ssim(images, others), expected, rtol=1e-9)
    torch.testing.assert_close(ssim(images, images), torch.ones(3, dtype=torch.float64))
    with pytest.raises(ValueError, match="needs images of 11 x 11 pixels or more"):
        ssim(images[..., :10], images[..., :10])


# The objective.


def of(network: nn.Module, **settings: Any) -> tuple[AdversarialAugment, Corruptor]:
    return AdversarialAugment(attack=ATTACK, **settings), Corruptor(network)


@pytest.mark.parametrize("clean", [0.0, 0.3])
def test_the_loss_is_that_of_the_corrupted_images_and_of_a_share_of_the_clean(clean: float) -> None:
    objective, state = of(filters(), clean=clean)
    batch, model, other = make_batch(), preact(), preact()
    draws = {"start": ATTACK.draw(state.network, batch.images, seeded())}
    other.eval()
    corrupted = ATTACK.search(state.network, batch.images, loss_of(other, batch), draws["start"])
    other.train()
    expected = torch.zeros(())
    if clean:
        expected = clean * cross_entropy(other(batch.images), batch.targets).mean()
    expected = expected + (1 - clean) * cross_entropy(other(corrupted), batch.targets).mean()
    expected.backward()
    loss, metrics = objective(model, batch, state, draws)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    for found, wanted in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-6, atol=1e-9)
    for found, wanted in zip(model.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(found, wanted)
    assert ("clean_accuracy" in metrics) == (clean > 0)
    assert all(parameter.grad is None for parameter in state.parameters())


def test_the_seed_of_the_start_stands_for_the_start() -> None:
    objective, state = of(filters())
    batch = make_batch()
    draws = objective.draw(batch, seeded())
    losses = [float(objective(preact(), batch, state, dict(draws))[1]["loss"]) for _ in range(2)]
    assert losses[0] == losses[1]
    other = objective.draw(batch, seeded(9))
    assert float(objective(preact(), batch, state, other)[1]["loss"]) != losses[0]


def test_what_corrupts_does_not_learn_and_is_saved_with_the_run() -> None:
    state = AdversarialAugment().setup(preact(), 10, NUM_CLASSES)
    assert not any(parameter.requires_grad for parameter in state.parameters())
    assert not state.network.training
    assert "network.first.weight" in state.state_dict()


def test_a_normalised_stream_is_refused() -> None:
    objective, state = of(filters())
    batch = make_batch()
    with pytest.raises(ValueError, match=r"images in \[0, 1\]"):
        objective(preact(), replace(batch, images=4 * batch.images - 2), state)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ParameterAttack(eps=2.0), "ParameterAttack: eps must be from 0 to 1, a share of the parameters'"),
        (lambda: ParameterAttack(step_size=-1.0), "ParameterAttack: step_size must be from 0 to 1"),
        (lambda: ParameterAttack(num_steps=-1), "ParameterAttack: num_steps must be a whole number from 0 up, got -1"),
        (lambda: ParameterAttack(least_ssim=1.5), "ParameterAttack: least_ssim must be a number from 0 to 1"),
        (lambda: AdversarialAugment(clean=1.5), "AdversarialAugment: clean must be a number from 0 to 1, got 1.5"),
        (lambda: AdversarialAugment(batch_norm="no"), "AdversarialAugment: batch_norm must be one of"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# Recipes.


def tiny(recipe: Recipe, **more: Any) -> Recipe:
    settings = {"model": "preact_resnet8_w4", "batch_size": 16, "precision": "float32", "ema_decay": 0.8}
    return replace(recipe, **(settings | more))


@pytest.mark.parametrize("variant", ["recipe", "alike", "beside_clean", "small"])
def test_a_run_that_was_stopped_ends_with_the_same_weights(variant: str) -> None:
    recipe = tiny(find_recipe(NAME, variant)[1])
    assert_same(weights(run_steps(recipe, 4, stop=2).state), weights(run_steps(recipe, 4).state))


def test_a_network_learns_64_images() -> None:
    # The classes are colours, two of them near to each other, which this attack changes, so it may move little.
    recipe = tiny(find_recipe(NAME, "beside_clean")[1], model="preact_resnet8_w8", augment=False, lr=0.05)
    weak: Any = replace(recipe.objective, attack=ParameterAttack(eps=0.001, step_size=0.001))  # type: ignore[call-arg]
    state = run_steps(replace(recipe, schedule=Steps(at=()), objective=weak), 130).state
    source = coloured_sources().train
    with torch.no_grad():
        found = state.model.eval()(torch.tensor(source.items).permute(0, 3, 1, 2) / 255).argmax(dim=1)
    assert float((found == torch.tensor(source.labels)).double().mean()) > 0.95


# The networks.


def test_the_autoencoder_that_lies_here_keeps_images_nearly_as_they_are(shared_data: Any) -> None:
    from pipelines.sources.files import read_cifar

    source = read_cifar(shared_data("cifar10/cifar-10-python.tar.xz"), "test")
    images = torch.tensor(source.items[:200]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        made = load_network("autoencoder")(images).clamp(0, 1)
    assert float((made - images).square().mean()) < 10**-3.2
    assert float(ssim(made, images).mean()) > 0.97


def make_identity() -> nn.Module:
    return nn.Identity()


def test_a_network_is_found_by_its_name(tmp_path: Path) -> None:
    assert isinstance(load_network("tests.train.objectives.test_calian:make_identity"), nn.Identity)
    state = new_state(Settings(width=3), torch.device("cpu"))
    save(tmp_path / "last.pt", state.to_checkpoint())
    assert_same(load_network(str(tmp_path / "last.pt")).state_dict(), state.network.state_dict())
    save(tmp_path / "other.pt", {"model": {}})
    for name, error, message in (
        ("somewhere", ValueError, "must be 'autoencoder', a file that ends in .pt, or MODULE:FUNCTION"),
        (
            "nowhere.pt",
            FileNotFoundError,
            "network 'nowhere.pt' does not exist; train one: python -m train.autoencoder",
        ),
        (str(tmp_path / "other.pt"), ValueError, "holds no autoencoder; train one: python -m train.autoencoder"),
        (
            "tests.train.objectives.test_calian:nothing",
            ValueError,
            "the module tests.train.objectives.test_calian has no function 'nothing'",
        ),
        ("tests.train.objectives.test_calian:tiny_number", TypeError, r"must return a torch.nn.Module, got int"),
        ("no_such_module:make", ImportError, "no_such_module:make: No module named 'no_such_module'"),
    ):
        with pytest.raises(error, match=message):
            load_network(name)


def tiny_number() -> int:
    return 3


SMALL = Settings(num_steps=6, batch_size=8, width=2)


def pixels() -> Tensor:
    return torch.tensor(coloured(40).items).permute(0, 3, 1, 2).contiguous()


def test_an_autoencoder_that_was_stopped_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, first, second = (new_state(SMALL, torch.device("cpu")) for _ in range(3))
    for _ in range(6):
        train_step(whole, pixels())
    for _ in range(2):
        train_step(first, pixels())
    save(tmp_path / "last.pt", first.to_checkpoint())
    second.load_checkpoint(checkpoint.load(tmp_path / "last.pt"))
    for _ in range(4):
        train_step(second, pixels())
    assert_same(second.network.state_dict(), whole.network.state_dict())


def test_an_autoencoder_learns() -> None:
    settings = replace(SMALL, num_steps=200, width=8, lr=5e-3)
    state, smooth = new_state(settings, torch.device("cpu")), pixels().float().mean(dim=(2, 3), keepdim=True)
    images = smooth.expand(-1, -1, 8, 8).to(torch.uint8)
    errors = [float(train_step(state, images)) for _ in range(200)]
    assert np.mean(errors[-20:]) < 0.05 * np.mean(errors[:5])


def test_the_command_leaves_a_network_that_can_be_loaded(tmp_path: Path) -> None:
    place = Place(root=str(write_cifar(tmp_path / "data", 40, 10)), folder=str(tmp_path / "runs"), device="cpu")
    with open(os.devnull, "w") as nowhere:
        assert train_autoencoder(SMALL, place, Console(file=nowhere)) == 0
    network = load_network(str(tmp_path / "runs" / "autoencoder" / "last.pt"))
    assert isinstance(network, Autoencoder)
    assert (tmp_path / "runs" / "autoencoder" / "reconstructed.png").stat().st_size > 1000
    assert len(parameters_of(network, torch.zeros(1))) == 12


def test_a_mistake_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["train.autoencoder", "--width", "0"])
    assert run_command(main) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "width must be above 0, got 0" in said
    assert said.count("\n") == 1
