"""MixupE: the gradients of the authors' four versions. The values alone would tell nothing: they are all mixup's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.nets import NUM_CLASSES, assert_agrees, make_batch, plain, preact, seeded
from train.objectives import MixupE
from train.objectives.batch import Batch

PARTNER = torch.tensor([3, 1, 0, 5, 2, 4])
DRAWS = {"lam": torch.tensor(0.3, dtype=torch.float64), "partner": PARTNER}
ETA, ALPHA = 0.7, 2.0
MEAN_IMAGE = torch.rand(3, 12, 12, generator=seeded(9), dtype=torch.float64)


def authors(model: Any, batch: Batch, version: int, threshold: float, mean_image: Tensor) -> Tensor:
    """The authors' loss, one line after the other."""
    images, labels, count = batch.images, batch.labels, len(batch.images)
    assert labels is not None
    output = model(0.3 * images + 0.7 * images[PARTNER])
    mixup = 0.3 * F.cross_entropy(output, labels) + 0.7 * F.cross_entropy(output, labels[PARTNER])
    mean_lam = (ALPHA + 1) / (ALPHA + 1 + ALPHA)
    x = images.clone().requires_grad_(True)
    f = model(x)
    onehot = torch.zeros(count, NUM_CLASSES, dtype=torch.float64)
    onehot[range(count), labels] = 1
    if version in (1, 2):
        b = (torch.softmax(f, dim=1) - onehot).detach()
        towards = torch.autograd.grad((f * b).sum(dim=1), x, torch.ones(count).double(), create_graph=True)[0]
        r = (towards * (mean_image - images)).sum(dim=(1, 2, 3))
    else:
        b = onehot - torch.softmax(f, dim=1)
        r = (f * (b.detach() if version == 4 else b)).sum(dim=1)
    if version == 2:
        r = r.abs()
    if version in (1, 3):
        r = r[torch.tensor([place for place in range(count) if float(r[place].detach()) < threshold], dtype=torch.long)]
    regulariser = (1 - mean_lam) * r.sum() / count
    loss = mixup + ETA * regulariser if version in (1, 2) else mixup - ETA * regulariser
    return loss * (mixup.abs() / loss.abs()).detach()


def median_slope(model: Any, batch: Batch, version: int) -> float:
    """A threshold that keeps half of the images."""
    x = batch.images.clone().requires_grad_(True)
    f = model(x)
    errors = (f.softmax(1) - batch.targets).detach()
    if version == 3:
        return float(-(f * errors).sum(1).median().detach())
    towards = torch.autograd.grad((f * errors).sum(), x)[0]
    return float((towards * (MEAN_IMAGE - batch.images)).sum(dim=(1, 2, 3)).median())


@pytest.mark.parametrize("version", [1, 2, 3, 4])
@pytest.mark.parametrize("net", [plain, lambda: plain(norm=True), preact, lambda: preact("preact_resnet18_w4")])
def test_loss_gradients_and_running_averages_are_the_authors(net: Any, version: Any) -> None:
    model, batch = net(), make_batch()
    objective = MixupE(version=version, alpha=ALPHA, eta=ETA, threshold=1.0)
    assert_agrees(
        objective,
        model,
        batch,
        DRAWS | {"mean_image": MEAN_IMAGE},
        lambda m: authors(m, batch, version, 1.0, MEAN_IMAGE),
    )


@pytest.mark.parametrize("version", [1, 3])
@pytest.mark.parametrize("kept", ["half", "none", "all"])
def test_the_threshold_leaves_out_the_images_the_authors_leave_out(version: Any, kept: str) -> None:
    # In evaluation mode, so that finding the threshold moves no running average.
    model, batch = preact().eval(), make_batch()
    threshold = {"half": median_slope(model, batch, version), "none": -1e9, "all": 1e9}[kept]
    objective = MixupE(version=version, alpha=ALPHA, eta=ETA, threshold=threshold)
    draws = DRAWS | {"mean_image": MEAN_IMAGE}
    assert_agrees(objective, model, batch, draws, lambda m: authors(m, batch, version, threshold, MEAN_IMAGE))


def test_the_versions_differ_in_their_gradients_only() -> None:
    model, batch = preact().eval(), make_batch()
    losses, gradients = [], []
    for version in (1, 2, 3, 4):
        objective = MixupE(version=version, eta=ETA)  # type: ignore[arg-type]
        loss, _ = objective(model, batch, objective.setup(model, 100, NUM_CLASSES), DRAWS)
        losses.append(loss.detach())
        gradients.append(torch.autograd.grad(loss, model[1].stem.weight)[0])
    torch.testing.assert_close(torch.stack(losses), losses[0].expand(4))
    for first in range(4):
        for second in range(first):
            assert float((gradients[first] - gradients[second]).norm() / gradients[first].norm()) > 1e-3


def test_without_the_regulariser_it_is_mixup() -> None:
    model, batch = preact().eval(), make_batch()
    loss, _ = MixupE(eta=0)(model, batch, nn.Module(), DRAWS)
    mixed, targets = (0.3 * rows + 0.7 * rows[PARTNER] for rows in (batch.images, batch.targets))
    expected = F.cross_entropy(model(mixed), targets)
    torch.testing.assert_close(loss, expected)
    found, wanted = (torch.autograd.grad(value, model[1].stem.weight)[0] for value in (loss, expected))
    torch.testing.assert_close(found, wanted)


def test_the_normalisation_inside_the_model_changes_nothing() -> None:
    """The authors differentiate by normalised images; here the model normalises, and the derivative is by pixels."""
    model, batch = preact().eval(), make_batch()
    normalise = model[0]
    objective = MixupE(version=1, eta=ETA)
    inside, _ = objective(model, batch, nn.Module(), DRAWS | {"mean_image": MEAN_IMAGE})
    outside_batch = Batch(**{**vars(batch), "images": normalise(batch.images)})
    outside_draws = DRAWS | {"mean_image": normalise(MEAN_IMAGE)}
    outside, _ = objective(nn.Sequential(*model[1:]), outside_batch, nn.Module(), outside_draws)
    found, expected = (torch.autograd.grad(loss, model[1].stem.weight)[0] for loss in (inside, outside))
    torch.testing.assert_close(found, expected)


def test_the_mean_image_is_what_the_model_normalises_to_zero() -> None:
    model = preact()
    state = MixupE().setup(model, 100, NUM_CLASSES)
    assert torch.equal(model[0](state.mean_image), torch.zeros(1, 3, 1, 1, dtype=torch.float64))
    assert list(state.state_dict()) == ["mean_image"]
    assert float(MixupE().setup(plain(), 100, NUM_CLASSES).mean_image.abs().max()) == 0
    batch = make_batch()
    objective = MixupE(version=1, eta=ETA)
    losses = [objective(model.eval(), batch, state, draws)[1] for draws in (DRAWS, DRAWS | {"mean_image": MEAN_IMAGE})]
    assert not torch.equal(losses[0]["regulariser"], losses[1]["regulariser"])


def test_draws_are_those_of_mixup() -> None:
    objective, batch, generator = MixupE(alpha=0.5), make_batch(), seeded()
    drawn = [objective.draw(batch, generator) for _ in range(3000)]
    assert drawn[0].keys() == {"lam", "partner"}
    lam = torch.stack([draws["lam"] for draws in drawn])
    assert float(lam.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(lam.var()) == pytest.approx(1 / 8, abs=0.006)


@pytest.mark.parametrize("version", [1, 3])
def test_under_autocast_the_gradients_stay_close(version: Any) -> None:
    model, batch = preact().float().eval(), make_batch(size=16)
    batch = Batch(**{**vars(batch), "images": batch.images.float(), "targets": batch.targets.float()})
    objective = MixupE(version=version, eta=ETA)
    state = objective.setup(model, 100, NUM_CLASSES)
    exact = torch.autograd.grad(objective(model, batch, state, DRAWS)[0], model[1].head.weight)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = objective(model, batch, state, DRAWS)
    assert loss.dtype == torch.float32
    found = torch.autograd.grad(loss, model[1].head.weight)[0]
    assert float((found - exact).norm() / exact.norm()) < 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 5}, "MixupE: version must be 1, 2, 3 or 4, got 5"),
        ({"alpha": -0.5}, "MixupE: alpha must not be negative, got -0.5"),
        ({"eta": -1}, "MixupE: eta must not be negative, got -1"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MixupE(**change)
