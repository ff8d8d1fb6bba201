"""The network during an attack and after it, what an attack reads from the device, and streams that are refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers.attack_cases import EPS, L2, LINF, Reads, every_attack, uniform
from tests.helpers.nets import count_hooks, make_batch, preact, seeded
from train.attacks import FGSM, Attack, attacked
from train.attacks.images import check_images, check_stream
from train.attacks.network import counted
from train.objectives.cross_entropy import cross_entropy


def snapshot(model: nn.Module) -> dict[str, Any]:
    found: dict[str, Any] = {name: value.clone() for name, value in model.state_dict().items()}
    for name, module in model.named_modules():
        found[f"{name} mode"] = module.training
        found[f"{name} norm"] = (getattr(module, "track_running_stats", None), getattr(module, "momentum", None))
    for name, parameter in model.named_parameters():
        found[f"{name} learns"] = parameter.requires_grad
        assert parameter.grad is None
    return found


def changed_buffers(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    assert before.keys() == after.keys()
    return {
        name
        for name, old in before.items()
        if not (torch.equal(old, after[name]) if isinstance(old, Tensor) else old == after[name])
    }


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mode", ["eval", "frozen", "train"])
def test_the_network_is_left_as_it_was_but_for_averages_that_are_to_move(mode: Any, training: bool) -> None:
    batch, model = make_batch(), preact().train(training)
    model[1].blocks[0].norm1.eval()
    model[1].stem.weight.requires_grad_(False)
    before = snapshot(model)
    with attacked(model, mode) as network:
        LINF(batch.images, lambda x: cross_entropy(network(x), batch.targets), generator=seeded())
        assert not any(parameter.requires_grad for parameter in network.parameters())
    changed = changed_buffers(before, snapshot(model))
    if mode == "train":
        assert changed
        assert all(
            name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked") for name in changed
        )
        assert int(model[1].norm.num_batches_tracked) == LINF.num_steps
    else:
        assert not changed
    assert count_hooks(model) == 0


@pytest.mark.parametrize("mode", ["eval", "frozen", "train"])
def test_it_is_left_so_also_after_an_exception(mode: Any) -> None:
    model = preact()
    before = snapshot(model)
    with pytest.raises(ZeroDivisionError), attacked(model, mode):
        raise ZeroDivisionError
    assert not changed_buffers(before, snapshot(model))


def test_what_normalises_during_an_attack_is_what_was_chosen() -> None:
    batch, model = make_batch(), preact()
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(6, 3, 12, 12, generator=seeded(8), dtype=torch.float64))
        reference = copy.deepcopy(model)
        by_batch, by_averages = reference.train()(batch.images), reference.eval()(batch.images)
        for mode, expected in (("eval", by_averages), ("frozen", by_batch), ("train", by_batch)):
            with attacked(copy.deepcopy(model), mode) as network:  # type: ignore[arg-type]
                found = network(batch.images)
            # The averages that reference.train() moved are not those of the copy.
            if mode != "eval":
                torch.testing.assert_close(found, expected)
        with attacked(model, "eval") as network:
            torch.testing.assert_close(network(batch.images), model(batch.images))


def test_frozen_averages_stay_in_instance_norms_too() -> None:
    model = nn.Sequential(nn.InstanceNorm2d(3, track_running_stats=True), nn.Flatten(), nn.Linear(432, 5)).double()
    before = snapshot(model)
    with attacked(model, "frozen") as network:
        network(make_batch().images)
    assert not changed_buffers(before, snapshot(model))


def test_one_pass_counts_as_two_of_the_same_images() -> None:
    once, twice = preact(), preact()
    images = make_batch().images
    with counted(once, 3):
        once(images)
    for _ in range(3):
        twice(images)
    for (name, found), expected in zip(once.named_buffers(), twice.buffers(), strict=True):
        torch.testing.assert_close(found, expected, msg=lambda text, name=name: f"{name}: {text}")
    assert once[1].norm.momentum == twice[1].norm.momentum


@every_attack
def test_nothing_is_read_back_from_the_device(attack: Attack) -> None:
    batch, model = make_batch(), preact()
    with Reads() as reads:
        bool(batch.images.sum() > 0)
    assert reads.found
    with attacked(model, "frozen") as network, Reads() as reads:
        attack.search(batch.images, lambda x: cross_entropy(network(x), batch.targets), generator=seeded())
    assert reads.found == []


def test_in_half_precision_the_images_keep_single_precision_and_the_attack_its_strength() -> None:
    batch, model = make_batch(count=16, size=16), preact().float().eval()
    images = batch.images.float()
    start = LINF.draw(images, seeded())
    exact = LINF(images, lambda x: cross_entropy(model(x), batch.targets), start=start)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = LINF(images, lambda x: cross_entropy(model(x), batch.targets), start=start)
        coarse = LINF(images.bfloat16(), lambda x: cross_entropy(model(x), batch.targets), start=start)
    assert found.dtype == coarse.dtype == torch.float32
    with torch.no_grad():
        clean, strong, weak = (cross_entropy(model(x), batch.targets).mean() for x in (images, exact, found))
    assert float(weak - clean) > 0.8 * float(strong - clean) > 0


def test_a_gradient_that_is_not_finite_moves_nothing() -> None:
    images = torch.full((2, 1, 2, 2), 0.5)

    def loss(x: Tensor) -> Tensor:
        return (x * torch.tensor([[torch.inf], [1.0]]).view(2, 1, 1, 1) * 0).flatten(1).sum(1)

    for attack in (LINF, L2, FGSM(eps=EPS, step_size=EPS)):
        found = attack(images, loss, start=torch.zeros_like(images))
        assert torch.equal(found, images)


def test_a_compiled_network_is_attacked_alike() -> None:
    batch, model = make_batch(), preact()
    compiled: Any = torch.compile(copy.deepcopy(model), backend="aot_eager")
    start = uniform(6, 3, 12, 12)
    results = []
    for net in (model, compiled):
        with attacked(net, "frozen") as network:
            results.append(LINF(batch.images, lambda x, n=network: cross_entropy(n(x), batch.targets), start=start))
        assert all(parameter.requires_grad for parameter in net.parameters())
    torch.testing.assert_close(*results, rtol=0, atol=1e-8)


def test_a_stream_is_looked_at_once_in_a_while_and_nothing_is_forgotten() -> None:
    good, bad, state = torch.rand(2, 3, 4, 4), torch.full((2, 3, 4, 4), 1.5), nn.Module()
    with pytest.raises(ValueError, match=r"from 1\.5 to 1\.5"):
        check_stream(bad, state, every=4)
    state = nn.Module()
    with Reads() as reads:
        for images in (good, good, bad, good):
            check_stream(images, state, every=4)
    assert reads.found.count("_local_scalar_dense") <= 4
    with pytest.raises(ValueError, match=r"to 1\.5"):
        check_stream(good, state, every=4)
    assert state.state_dict() == {}
    check_images(good)
