"""Noisy Feature Mixup and NoisyMix: the authors' losses with given noise, and noise that follows its laws."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.nets import NUM_CLASSES, assert_agrees, make_batch, parts, plain, preact, seeded
from train.objectives import CrossEntropy, NoisyFeatureMixup, NoisyMix
from train.objectives.batch import Batch
from train.objectives.noisymix import jensen_shannon
from train.objectives.parts.hidden import recorded

PARTNER = torch.tensor([3, 1, 0, 5, 2, 4])
NAMES = ("input", "stage1", "stage2")


def draws_at(model: Any, layer: int, images: Tensor) -> dict[str, Tensor]:
    """All draws of a step at this layer, the noise itself among them."""
    hidden = images
    with torch.no_grad():
        for part in parts(model.eval())[: layer + 1]:
            hidden = part(hidden)
    model.train()
    generator = seeded(5)
    return {
        "layer": torch.tensor(layer),
        "lam": torch.tensor(0.3, dtype=torch.float64),
        "partner": PARTNER,
        "add_scale": torch.tensor(0.4, dtype=torch.float64),
        "mult_scale": torch.tensor(0.6, dtype=torch.float64),
        "add_noise": torch.randn(hidden.shape, generator=generator, dtype=torch.float64),
        "mult_noise": torch.rand(hidden.shape, generator=generator, dtype=torch.float64),
    }


def authors(model: Any, batch: Batch, draws: dict[str, Tensor], add_level: float, mult_level: float) -> Tensor:
    """The authors' forward pass and loss, one line after the other."""
    hidden, labels = batch.images, batch.labels
    assert labels is not None
    for number, part in enumerate(parts(model)):
        hidden = part(hidden)
        if number == int(draws["layer"]):
            hidden = 0.3 * hidden + 0.7 * hidden[PARTNER]
            add_noise, mult_noise = 0, 1
            if add_level > 0:
                add_noise = add_level * 0.4 * draws["add_noise"]
            if mult_level > 0:
                mult_noise = mult_level * 0.6 * (2 * draws["mult_noise"] - 1) + 1
            hidden = mult_noise * hidden + add_noise
    return 0.3 * F.cross_entropy(hidden, labels) + 0.7 * F.cross_entropy(hidden, labels[PARTNER])


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("net", [plain, lambda: plain(norm=True), preact, lambda: preact("preact_resnet18_w4")])
def test_loss_gradients_and_running_averages_are_the_authors(net: Any, layer: int) -> None:
    model, batch = net(), make_batch()
    draws = draws_at(model, layer, batch.images)
    assert_agrees(
        NoisyFeatureMixup(stages=NAMES),
        model,
        batch,
        draws,
        lambda m: authors(m, batch, draws, add_level=0.4, mult_level=0.2),
    )


@pytest.mark.parametrize(("add", "mult"), [(0.0, 0.2), (0.4, 0.0), (0.0, 0.0)])
def test_a_level_of_zero_leaves_its_noise_out(add: float, mult: float) -> None:
    model, batch = preact(), make_batch()
    draws = draws_at(model, 1, batch.images)
    objective = NoisyFeatureMixup(stages=NAMES, add_levels=(add,), mult_levels=(mult,))
    assert_agrees(objective, model, batch, draws, lambda m: authors(m, batch, draws, add, mult))


def test_each_stage_can_have_its_own_level() -> None:
    objective = NoisyFeatureMixup(stages=NAMES, add_levels=(0.1, 0.2, 0.3), mult_levels=(0.6, 0.5, 0.4))
    batch = make_batch()
    for layer, (add, mult) in enumerate([(0.1, 0.6), (0.2, 0.5), (0.3, 0.4)]):
        model = preact()
        draws = draws_at(model, layer, batch.images)
        assert_agrees(objective, model, batch, draws, lambda m, d=draws, a=add, b=mult: authors(m, batch, d, a, b))  # type: ignore[misc]


def test_alpha_zero_switches_all_off() -> None:
    model, batch = preact(), make_batch()
    objective = NoisyFeatureMixup(alpha=0, stages=NAMES)
    assert_agrees(
        objective, model, batch, objective.draw(batch, seeded()), lambda m: CrossEntropy()(m, batch, nn.Module())[0]
    )


def test_a_tiny_alpha_leaves_the_noise_only() -> None:
    objective, batch, generator = NoisyFeatureMixup(alpha=1e-8, stages=NAMES), make_batch(), seeded()
    drawn = [objective.draw(batch, generator) for _ in range(200)]
    assert {float(draws["lam"]) for draws in drawn} == {0.0, 1.0}
    assert any(float(draws["add_scale"]) > 0.2 for draws in drawn)


def test_the_noise_that_is_not_given_follows_its_law_in_normalised_units() -> None:
    model, batch = preact().eval(), make_batch(count=64)
    objective = NoisyFeatureMixup(stages=("input",), add_levels=(0.4,), mult_levels=(0.2,))
    scales = {"add_scale": torch.tensor(0.5), "mult_scale": torch.tensor(0.5), "noise_seed": torch.tensor(3)}
    kept = {"layer": torch.tensor(0), "lam": torch.tensor(1.0), "partner": torch.arange(64)}
    clean = model[0](batch.images)
    only_add = first_seen(model, replace(objective, mult_levels=(0.0,)), batch, kept | scales) - clean
    assert float(only_add.std()) == pytest.approx(0.2, rel=0.02)
    assert float(only_add.mean()) == pytest.approx(0, abs=0.005)
    only_mult = first_seen(model, replace(objective, add_levels=(0.0,)), batch, kept | scales) / clean
    assert 0.9 <= float(only_mult.min()) < 0.905
    assert 1.095 < float(only_mult.max()) <= 1.1
    assert float(only_mult.std()) == pytest.approx(0.1 / 3**0.5, rel=0.02)


def first_seen(model: nn.Module, objective: NoisyFeatureMixup, batch: Batch, draws: dict[str, Tensor]) -> Tensor:
    """What the first layer sees."""
    with recorded(model[1].stem, inputs=True) as seen, torch.no_grad():  # type: ignore[index,union-attr]
        objective(model, batch, nn.Module(), draws)
    return seen[0]


def test_the_seed_decides_the_noise() -> None:
    model, batch, objective = preact().eval(), make_batch(), NoisyFeatureMixup(stages=NAMES)
    draws = objective.draw(batch, seeded()) | {"lam": torch.tensor(0.5)}
    before = torch.get_rng_state()
    losses = [objective(model, batch, nn.Module(), draws)[1]["loss"] for _ in range(2)]
    other = objective(model, batch, nn.Module(), draws | {"noise_seed": torch.tensor(17)})[1]["loss"]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], other)
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_follow_their_laws() -> None:
    objective, batch, generator = NoisyFeatureMixup(stages=NAMES), make_batch(), seeded()
    drawn = [objective.draw(batch, generator) for _ in range(3000)]
    for name in ("add_scale", "mult_scale"):
        assert float(torch.stack([draws[name] for draws in drawn]).mean()) == pytest.approx(2 / 7, abs=0.01)
    lam = torch.stack([draws["lam"] for draws in drawn])
    assert float(lam.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(lam.var()) == pytest.approx(1 / 12, abs=0.006)
    assert len({int(draws["noise_seed"]) for draws in drawn}) == 3000
    counts = torch.bincount(torch.stack([draws["layer"] for draws in drawn]))
    assert counts.shape == (3,)
    assert int(counts.min()) > 900


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": -1}, "NoisyFeatureMixup: alpha must not be negative, got -1"),
        ({"add_levels": (0.1, 0.2)}, r"add_levels must be one number or 4, one for each stage, got \(0\.1, 0\.2\)"),
        ({"mult_levels": ()}, r"mult_levels must be one number or 4, one for each stage, got \(\)"),
        ({"mult_levels": (-0.2,)}, r"mult_levels must not be negative, got \(-0\.2,\)"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NoisyFeatureMixup(**change)


def test_a_stage_that_is_not_there_is_refused_before_the_training() -> None:
    with pytest.raises(
        ValueError, match="PreActResNet has no stage 'stage4'; there are: input, stage1, stage2, stage3"
    ):
        NoisyFeatureMixup(stages=("input", "stage4")).setup(preact(), 10, NUM_CLASSES)


# NoisyMix


def three_views() -> Batch:
    views = [make_batch(seed=seed).images for seed in (21, 22)]
    return make_batch(view1=views[0], view2=views[1])


def noisymix_draws(model: Any, layer: int, batch: Batch) -> dict[str, Tensor]:
    assert batch.view1 is not None
    assert batch.view2 is not None
    draws = draws_at(model, layer, torch.cat([batch.images, batch.view1, batch.view2]))
    generator = seeded(6)
    keep = {
        f"{kind}_keep": torch.rand(draws["add_noise"].shape, generator=generator, dtype=torch.float64)
        for kind in ("add", "mult")
    }
    scales = {
        "add_scale": torch.tensor([0.4, 0.1, 0.3], dtype=torch.float64),
        "mult_scale": torch.tensor([0.6, 0.2, 0.5], dtype=torch.float64),
    }
    return draws | keep | scales


def authors_noisymix(model: Any, batch: Batch, draws: dict[str, Tensor]) -> Tensor:
    labels, count = batch.labels, len(batch.images)
    assert labels is not None
    assert batch.view1 is not None
    assert batch.view2 is not None
    hidden = torch.cat([batch.images, batch.view1, batch.view2])
    for number, part in enumerate(parts(model)):
        hidden = part(hidden)
        if number == int(draws["layer"]):
            views = []
            for view in range(3):
                rows = slice(view * count, (view + 1) * count)
                x = 0.3 * hidden[rows] + 0.7 * hidden[rows][PARTNER]
                add_noise = 0.5 * (view + 1) * float(draws["add_scale"][view]) * draws["add_noise"][rows]
                add_noise[draws["add_keep"][rows] < 0.65] = 0
                mult_noise = 0.5 * float(draws["mult_scale"][view]) * (2 * draws["mult_noise"][rows] - 1) + 1
                mult_noise[draws["mult_keep"][rows] < 0.65] = 1
                views.append(mult_noise * x + add_noise)
            hidden = torch.cat(views)
    logits = torch.split(hidden, count)
    loss = 0.3 * F.cross_entropy(logits[0], labels) + 0.7 * F.cross_entropy(logits[0], labels[PARTNER])
    probabilities = [F.softmax(each, dim=1) for each in logits]
    mixture = torch.clamp(sum(probabilities) / 3, 1e-7, 1).log()  # type: ignore[call-overload,arg-type]
    return loss + 12 * sum(F.kl_div(mixture, each, reduction="batchmean") for each in probabilities) / 3


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("net", [lambda: plain(norm=True), preact])
def test_noisymix_is_the_authors(net: Any, layer: int) -> None:
    model, batch = net(), three_views()
    draws = noisymix_draws(model, layer, batch)
    assert_agrees(NoisyMix(stages=NAMES), model, batch, draws, lambda m: authors_noisymix(m, batch, draws))


def test_noisymix_draws_one_scale_a_view_and_leaves_out_the_share_it_says() -> None:
    objective, batch = NoisyMix(stages=("input",)), three_views()
    draws = objective.draw(batch, seeded())
    assert draws["add_scale"].shape == draws["mult_scale"].shape == (3,)
    model = preact().eval()
    ones = {"lam": torch.tensor(1.0), "add_scale": torch.ones(3), "mult_scale": torch.zeros(3)}
    assert batch.view1 is not None
    assert batch.view2 is not None
    clean = model[0](torch.cat([batch.images, batch.view1, batch.view2]))  # type: ignore[index,operator]
    with recorded(model[1].stem, inputs=True) as seen, torch.no_grad():  # type: ignore[index,union-attr]
        objective(model, batch, nn.Module(), draws | ones)
    for view, noise in enumerate((seen[0] - clean).chunk(3), start=1):
        assert float((noise == 0).double().mean()) == pytest.approx(0.65, abs=0.02)
        assert float(noise[noise != 0].std()) == pytest.approx(0.5 * view, rel=0.06)


def test_noisymix_overfits_sixty_four_images() -> None:
    """Colours tell the classes; the views are the images, lighter and darker."""
    labels = torch.arange(64) % 4
    colours = torch.rand(4, 3, 1, 1, generator=seeded(2))
    images = (colours[labels] + 0.1 * torch.randn(64, 3, 12, 12, generator=seeded(3))).clamp(0, 1)
    targets = F.one_hot(labels, NUM_CLASSES).float()
    batch = Batch(epoch=0, step=0, images=images, targets=targets, view1=0.9 * images + 0.1, view2=0.9 * images)
    model, objective, generator = preact().float(), NoisyMix(stages=NAMES, alpha=0.2), seeded(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(100):
        loss, _ = objective(model, batch, nn.Module(), objective.draw(batch, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float((model.eval()(images).argmax(dim=1) == labels).float().mean()) > 0.95


def test_equal_predictions_have_no_divergence_and_opposite_ones_the_most() -> None:
    logits = torch.tensor([[200.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(jensen_shannon(logits, logits, logits), torch.zeros(2))
    torch.testing.assert_close(jensen_shannon(logits, -logits)[0], torch.tensor(2.0).log())


def test_noisymix_asks_for_its_views() -> None:
    assert NoisyMix().outputs == ("images", "targets", "view1", "view2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0}, "NoisyMix: alpha must be above 0, got 0"),
        ({"sparsity": 1.5}, r"NoisyMix: sparsity must be in \[0, 1\], got 1.5"),
        ({"consistency": -1}, "NoisyMix: consistency must not be negative"),
        ({"add_levels": (0.1, 0.2)}, "NoisyMix: add_levels must be one number or 4"),
    ],
)
def test_wrong_settings_of_noisymix_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NoisyMix(**change)
