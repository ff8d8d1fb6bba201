"""MultiMix and its dense form: their equations as slow loops, their draws, their teacher, and their memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.nets import NUM_CLASSES, assert_agrees, count_hooks, make_batch, plain, preact, seeded
from train.objectives import MultiMix
from train.objectives.batch import Batch
from train.objectives.cross_entropy import cross_entropy

PARTNER = torch.tensor([3, 1, 0, 5, 2, 4])
WEIGHTS = torch.rand(7, 6, generator=seeded(4), dtype=torch.float64).pow(3)
WEIGHTS = WEIGHTS / WEIGHTS.sum(dim=1, keepdim=True)


def last_map(model: Any, images: Tensor) -> Tensor:
    """(N, C, R): what is averaged over its R positions and classified."""
    net = model[1]
    return F.relu(net.norm(net.blocks(net.stem(model[0](images))))).flatten(2)


def by_equations(model: Any, batch: Batch, weights: Tensor) -> Tensor:
    """Embeddings are mixed, then classified: one tuple after the other."""
    embeddings = last_map(model, batch.images).mean(dim=2)
    total = torch.zeros((), dtype=torch.float64)
    for row in weights:
        embedding = sum(row[k] * embeddings[k] for k in range(len(row)))
        target = sum(row[k] * batch.targets[k] for k in range(len(row)))
        total = total - (target * torch.log_softmax(model[1].head(embedding), dim=0)).sum()
    return total / len(weights)


def by_dense_equations(model: Any, batch: Batch, weights: Tensor, attention: str) -> Tensor:
    maps = last_map(model, batch.images)
    head, (count, _, positions) = model[1].head, maps.shape
    attentions = []
    for k in range(count):
        towards = maps[k].mean(dim=1) if attention == "gap" else head.weight.T @ batch.targets[k]
        a = F.relu(towards @ maps[k])
        attentions.append(a / a.sum() if float(a.sum().detach()) > 0 else a)
    total = torch.zeros((), dtype=torch.float64)
    for row in weights:
        for j in range(positions):
            shares = torch.stack([row[k] * attentions[k][j] for k in range(count)])
            if float(shares.sum().detach()) == 0:
                continue
            shares = shares / shares.sum()
            embedding = sum(shares[k] * maps[k, :, j] for k in range(count))
            target = sum(shares[k] * batch.targets[k] for k in range(count))
            total = total - (target * torch.log_softmax(head(embedding), dim=0)).sum()
    return total / len(weights) / positions


@pytest.mark.parametrize("net", [preact, lambda: preact("preact_resnet18_w4"), lambda: preact().eval()])
@pytest.mark.parametrize("chunk_size", [16384, 3])
def test_mixing_embeddings_gives_the_loss_and_gradients_of_the_equations(net: Any, chunk_size: int) -> None:
    batch = make_batch()
    objective = MultiMix(chunk_size=chunk_size)
    assert_agrees(objective, net(), batch, {"weights": WEIGHTS}, lambda model: by_equations(model, batch, WEIGHTS))


@pytest.mark.parametrize("attention", ["gap", "cam"])
@pytest.mark.parametrize("chunk_size", [16384, 10])
def test_the_dense_form_gives_the_loss_and_gradients_of_its_equations(attention: Any, chunk_size: int) -> None:
    batch = make_batch()
    assert_agrees(
        MultiMix(dense=True, attention=attention, chunk_size=chunk_size),
        preact(),
        batch,
        {"weights": WEIGHTS},
        lambda model: by_dense_equations(model, batch, WEIGHTS, attention),
    )


def test_one_hot_weights_give_the_plain_cross_entropy() -> None:
    model, batch = plain(norm=True), make_batch()
    assert_agrees(
        MultiMix(),
        model,
        batch,
        {"weights": torch.eye(6, dtype=torch.float64)},
        lambda m: F.cross_entropy(m(batch.images), batch.targets),
    )


def test_input_mixup_is_mixup() -> None:
    batch = make_batch()
    draws = {"lam": torch.tensor(0.3, dtype=torch.float64), "partner": PARTNER}
    mixed, targets = (0.3 * rows + 0.7 * rows[PARTNER] for rows in (batch.images, batch.targets))
    assert_agrees(MultiMix(), preact(), batch, draws, lambda model: F.cross_entropy(model(mixed), targets))


def test_positions_that_nobody_attends_to_count_nothing_and_break_nothing() -> None:
    model, batch = preact(), make_batch()
    with torch.no_grad():
        model[1].norm.bias.fill_(-100)  # type: ignore[union-attr,operator,index]
    loss, _ = MultiMix(dense=True)(model, batch, nn.Module(), {"weights": WEIGHTS})
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters() if parameter.grad is not None)


def test_the_accuracy_is_that_of_the_images_as_they_went_in() -> None:
    model, batch = preact().eval(), make_batch()
    _, metrics = MultiMix()(model, batch, nn.Module(), {"weights": WEIGHTS})
    hits = model(batch.images).argmax(dim=1) == batch.labels
    torch.testing.assert_close(metrics["accuracy"], hits.double().mean())


def test_more_tuples_take_no_more_memory_for_the_gradient() -> None:
    """What autograd keeps for the backward pass grows as the weights do, not as tuples x positions x classes."""

    def kept(num_tuples: int, chunk_size: int) -> int:
        weights = torch.full((num_tuples, 6), 1 / 6, dtype=torch.float64)
        sizes: dict[int, int] = {}
        alive = []

        def pack(tensor: Tensor) -> Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.numel()
            alive.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            MultiMix(dense=True, chunk_size=chunk_size)(model, make_batch(), nn.Module(), {"weights": weights})
        return sum(sizes.values())

    model = preact()
    few = kept(8, 64)
    assert kept(512, 64) < few + 10 * 512
    assert kept(512, 10**9) > few + 100 * 512


def test_draws_follow_their_laws() -> None:
    batch, generator = make_batch(), seeded()
    objective = MultiMix(num_tuples=4000, alpha=(1.0, 1.0), input_prob=0)
    draws = objective.draw(batch, generator)
    assert draws.keys() == {"weights"}
    assert draws["weights"].shape == (4000, 6)
    torch.testing.assert_close(draws["weights"].sum(dim=1), torch.ones(4000, dtype=torch.float64))
    # With parameter 1 a weight's variance is (1/6) (5/6) / 7.
    assert float(draws["weights"].var(dim=0).mean()) == pytest.approx(5 / 36 / 7, rel=0.05)
    spread = replace(objective, alpha=(0.01, 100.0)).draw(batch, generator)["weights"].max(dim=1).values
    assert float(spread.min()) < 0.21
    assert (
        float(replace(objective, alpha=(0.01, 0.02)).draw(batch, generator)["weights"].max(dim=1).values.mean()) > 0.9
    )
    kinds = [tuple(replace(objective, num_tuples=1, input_prob=0.3).draw(batch, generator)) for _ in range(1000)]
    assert set(kinds) == {("weights",), ("lam", "partner")}
    assert kinds.count(("lam", "partner")) == pytest.approx(300, abs=50)


@pytest.mark.parametrize("group_size", [2, 4])
def test_a_tuple_of_a_group_has_dirichlet_weights_on_images_drawn_anew(group_size: int) -> None:
    objective = MultiMix(num_tuples=6000, alpha=(1.0, 1.0), input_prob=0, group_size=group_size)
    weights = objective.draw(make_batch(), seeded())["weights"]
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(6000, dtype=torch.float64))
    chosen = weights > 0
    assert set(chosen.sum(dim=1).tolist()) == {group_size}
    assert chosen.double().mean(dim=0).tolist() == pytest.approx([group_size / 6] * 6, abs=0.03)
    # Pairs of images are drawn as often as each other.
    together = (chosen[:, :1] & chosen[:, 1:]).double().mean(dim=0)
    assert together.tolist() == pytest.approx([group_size * (group_size - 1) / 30] * 5, abs=0.03)
    variance = (group_size - 1) / group_size**2 / (group_size + 1)
    assert float(weights[chosen].var()) == pytest.approx(variance, rel=0.08)
    assert (replace(objective, group_size=6).draw(make_batch(), seeded())["weights"] > 0).all()


@pytest.mark.parametrize("dense", [False, True])
def test_a_share_of_the_loss_is_that_of_the_images_as_they_are(dense: bool) -> None:
    batch, model = make_batch(), preact().eval()
    draws = {"weights": WEIGHTS}
    mixed, _ = MultiMix(dense=dense)(model, batch, nn.Module(), draws)
    both, _ = MultiMix(dense=dense, clean_share=0.3)(model, batch, nn.Module(), draws)
    clean = cross_entropy(model(batch.images), batch.targets).mean()
    torch.testing.assert_close(both, 0.7 * mixed + 0.3 * clean)


def test_the_teacher_follows_the_model_and_softens_the_targets() -> None:
    model, batch = preact(), make_batch()
    objective = MultiMix(teacher_weight=0.25, teacher_decay=0.9)
    state = objective.setup(model, 100, NUM_CLASSES)
    before = {name: value.clone() for name, value in state.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    objective.after_step(model, batch, state)
    for name, parameter in model.named_parameters():
        expected = 0.9 * before[f"teacher.{name}"] + 0.1 * parameter.detach()
        torch.testing.assert_close(state.state_dict()[f"teacher.{name}"], expected)
    predicted = state.teacher(batch.images).softmax(dim=1)
    softened = Batch(**{**vars(batch), "targets": 0.75 * batch.targets + 0.25 * predicted})
    for draws in ({"weights": WEIGHTS}, {"lam": torch.tensor(0.3, dtype=torch.float64), "partner": PARTNER}):
        found, _ = objective(model, batch, state, draws)
        expected, _ = MultiMix()(model, softened, nn.Module(), draws)
        torch.testing.assert_close(found, expected)
    found.backward()
    assert all(parameter.grad is None for parameter in state.parameters())
    assert len(list(MultiMix().setup(model, 100, NUM_CLASSES).state_dict())) == 0


@pytest.mark.parametrize("dense", [False, True])
def test_under_autocast_the_mixing_keeps_its_precision(dense: bool) -> None:
    model, batch = preact().float().eval(), make_batch(size=16)
    batch = Batch(**{**vars(batch), "images": batch.images.float(), "targets": batch.targets.float()})
    objective = MultiMix(dense=dense)
    exact, _ = objective(model, batch, nn.Module(), {"weights": WEIGHTS})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = objective(model, batch, nn.Module(), {"weights": WEIGHTS})
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=0.02, atol=0)
    assert count_hooks(model) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_tuples": 0}, "MultiMix: num_tuples must be 1 or more, got 0"),
        ({"alpha": (0.0, 2.0)}, r"MultiMix: alpha must be two numbers above 0, the lower first, got \(0\.0, 2\.0\)"),
        ({"alpha": (2.0, 0.5)}, "alpha must be two numbers above 0, the lower first"),
        ({"attention": "max"}, "MultiMix: attention must be one of 'gap', 'cam', got 'max'"),
        ({"input_prob": 1.2}, r"MultiMix: input_prob must be in \[0, 1\], got 1.2"),
        ({"input_alpha": 0}, "MultiMix: input_alpha must be above 0, got 0"),
        ({"teacher_weight": -0.1}, r"MultiMix: teacher_weight must be in \[0, 1\]"),
        ({"teacher_decay": 1.0}, r"MultiMix: teacher_decay must be in \[0, 1\), got 1.0"),
        ({"group_size": 1}, "MultiMix: group_size must be 2 or more, or None for all, got 1"),
        ({"clean_share": 1.5}, r"MultiMix: clean_share must be in \[0, 1\], got 1.5"),
        ({"chunk_size": 0}, "MultiMix: chunk_size must be 1 or more, got 0"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiMix(**change)


def test_a_model_without_a_last_map_is_refused_for_the_dense_form() -> None:
    with pytest.raises(ValueError, match="Sequential has no pooling layer"):
        MultiMix(dense=True).setup(plain(), 100, NUM_CLASSES)
    pooled = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4), nn.Linear(4, NUM_CLASSES)
    ).double()
    with pytest.raises(ValueError, match=r"needs a last map \(N, 4, H, W\).*found \(6, 8, 10, 10\); pass dense=False"):
        MultiMix(dense=True)(pooled, make_batch(), nn.Module(), {"weights": WEIGHTS})
