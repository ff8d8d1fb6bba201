"""Manifold Mixup: the authors' loss at every layer, and draws that follow their laws."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.nets import NUM_CLASSES, assert_agrees, make_batch, parts, plain, preact, seeded
from train.objectives import CrossEntropy, ManifoldMixup

PARTNER = torch.tensor([3, 1, 0, 5, 2, 4])


def authors(model: Any, images: Tensor, labels: Tensor, layer: int, lam: float, loss: str) -> Tensor:
    """The authors' forward pass and loss, one line after the other."""
    hidden, targets = images, torch.zeros(len(labels), NUM_CLASSES, dtype=torch.float64)
    for row, label in enumerate(labels.tolist()):
        targets[row, label] = 1
    for number, part in enumerate(parts(model)):
        hidden = part(hidden)
        if number == layer:
            hidden = hidden * lam + hidden[PARTNER] * (1 - lam)
            targets = targets * lam + targets[PARTNER] * (1 - lam)
    if loss == "bce":
        return nn.BCELoss()(nn.Softmax(dim=1)(hidden), targets)
    return -(targets * torch.log_softmax(hidden, dim=1)).sum() / len(labels)


@pytest.mark.parametrize("loss", ["bce", "ce"])
@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("net", [plain, lambda: plain(norm=True), preact, lambda: preact("preact_resnet18_w4")])
def test_loss_gradients_and_running_averages_are_the_authors(net: Any, layer: int, loss: Any) -> None:
    batch = make_batch()
    assert batch.labels is not None
    draws = {"layer": torch.tensor(layer), "lam": torch.tensor(0.3, dtype=torch.float64), "partner": PARTNER}
    labels = batch.labels
    assert_agrees(
        ManifoldMixup(loss=loss),
        net(),
        batch,
        draws,
        lambda model: authors(model, batch.images, labels, layer, 0.3, loss),
    )


def test_in_evaluation_mode_the_model_stays_in_it() -> None:
    batch = make_batch()
    assert batch.labels is not None
    labels = batch.labels
    draws = {"layer": torch.tensor(1), "lam": torch.tensor(0.3, dtype=torch.float64), "partner": PARTNER}
    assert_agrees(
        ManifoldMixup(), preact().eval(), batch, draws, lambda m: authors(m, batch.images, labels, 1, 0.3, "bce")
    )


def test_alpha_zero_is_the_baseline_of_the_authors() -> None:
    batch, model = make_batch(), preact()
    objective = ManifoldMixup(alpha=0, loss="ce")
    loss, _ = objective(model, batch, nn.Module(), objective.draw(batch, seeded()))
    plain_loss, _ = CrossEntropy()(model, batch, nn.Module())
    torch.testing.assert_close(loss, plain_loss)


def test_an_accuracy_counts_the_mixed_target() -> None:
    batch, model = make_batch(), preact()
    draws = {"layer": torch.tensor(0), "lam": torch.tensor(0.3, dtype=torch.float64), "partner": PARTNER}
    _, metrics = ManifoldMixup()(model, batch, nn.Module(), draws)
    with torch.no_grad():
        hits = model(0.3 * batch.images + 0.7 * batch.images[PARTNER]).argmax(1)
    targets = 0.3 * batch.targets + 0.7 * batch.targets[PARTNER]
    torch.testing.assert_close(metrics["accuracy"], targets[torch.arange(6), hits].mean())


def test_layers_lam_and_partners_follow_their_laws() -> None:
    objective, batch, generator = ManifoldMixup(alpha=2.0), make_batch(), seeded()
    drawn = [objective.draw(batch, generator) for _ in range(3000)]
    layers = Counter(int(draws["layer"]) for draws in drawn)
    assert sorted(layers) == [0, 1, 2]
    assert min(layers.values()) > 900
    lam = np.array([float(draws["lam"]) for draws in drawn])
    assert lam.mean() == pytest.approx(0.5, abs=0.02)
    assert lam.var() == pytest.approx(1 / 20, abs=0.004)
    partners = torch.stack([draws["partner"] for draws in drawn])
    assert bool((partners.sort(dim=1).values == torch.arange(6)).all())
    # A permutation with fixed points allowed has one on average.
    assert float((partners == torch.arange(6)).sum(dim=1).double().mean()) == pytest.approx(1, abs=0.07)


def test_the_same_generator_gives_the_same_draws_and_no_draws_give_those_of_the_step() -> None:
    objective, batch, model = ManifoldMixup(), make_batch(), preact().eval()
    first, again = (objective.draw(batch, seeded(7)) for _ in range(2))
    assert first.keys() == {"layer", "lam", "partner"}
    assert all(torch.equal(first[name], again[name]) for name in first)
    before = torch.get_rng_state()
    losses = {float(objective(model, batch, nn.Module())[1]["loss"]) for _ in range(3)}
    other = type(batch)(**{**vars(batch), "step": 1})
    assert len(losses) == 1
    assert float(objective(model, other, nn.Module())[1]["loss"]) not in losses
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("loss", ["bce", "ce"])
def test_under_autocast_targets_and_loss_keep_their_precision(loss: Any) -> None:
    model, batch = preact().float(), make_batch(size=16)
    batch = type(batch)(**{**vars(batch), "images": batch.images.float()})
    draws = {"layer": torch.tensor(1), "lam": torch.tensor(0.3, dtype=torch.float64), "partner": PARTNER}
    exact, _ = ManifoldMixup(loss=loss)(model.eval(), batch, nn.Module(), draws)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = ManifoldMixup(loss=loss)(model, batch, nn.Module(), draws)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=0.02, atol=0)
    found.backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters() if parameter.grad is not None)


def test_binary_cross_entropy_is_finite_where_the_network_is_sure() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 144, NUM_CLASSES)).double()
    nn.init.zeros_(net[1].weight)
    with torch.no_grad():
        net[1].bias.copy_(torch.tensor([1e4, 0, 0, 0, 0]))
    batch = make_batch()
    draws = {"layer": torch.tensor(0), "lam": torch.tensor(0.3, dtype=torch.float64), "partner": PARTNER}
    loss, _ = ManifoldMixup()(net, batch, nn.Module(), draws)
    loss.backward()
    assert bool(loss.isfinite())
    assert bool(net[1].bias.grad.isfinite().all())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": -1}, "ManifoldMixup: alpha must not be negative, got -1"),
        ({"loss": "mse"}, "ManifoldMixup: loss must be one of 'bce', 'ce', got 'mse'"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ManifoldMixup(**change)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (("input", "layer2"), "PreActResNet has no stage 'layer2'; there are: input, stage1, stage2, stage3"),
        ((), "stages must name at least one place to mix"),
    ],
)
def test_a_stage_that_is_not_there_is_refused_before_the_training(stages: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ManifoldMixup(stages=stages).setup(preact(), 10, NUM_CLASSES)
