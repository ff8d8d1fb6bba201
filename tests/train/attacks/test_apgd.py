"""Auto-PGD: the authors' images and losses with given starts, their losses, and their targeted form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.helpers.nets import NUM_CLASSES, make_batch, plain, preact, seeded
from train.attacks import APGD, PGD, attack_classes, dlr, draw_starts, targeted_dlr
from train.attacks.losses import runner_up
from train.objectives.cross_entropy import cross_entropy

RADII: Any = [("Linf", 8 / 255), ("L2", 0.5)]


def authors_dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """`dlr_loss` of fra31/auto-attack, autopgd_base.py."""
    order, rows = logits.sort(dim=1).values, torch.arange(len(logits))
    hit = (logits.argmax(1) == labels).to(logits)
    other = order[:, -2] * hit + order[:, -1] * (1 - hit)
    return -(logits[rows, labels] - other) / (order[:, -1] - order[:, -3] + 1e-12)


def authors_targeted_dlr(logits: Tensor, labels: Tensor, goals: Tensor) -> Tensor:
    """`dlr_loss_targeted` of the same file."""
    order, rows = logits.sort(dim=1).values, torch.arange(len(logits))
    spread = order[:, -1] - 0.5 * (order[:, -3] + order[:, -4]) + 1e-12
    return -(logits[rows, labels] - logits[rows, goals]) / spread


def authors_run(
    images: Tensor, loss: Any, begin: Tensor, *, eps: float, norm: str, steps: int
) -> tuple[Tensor, Tensor, int]:
    """`attack_single_run` of the same file: the best images, their losses, and how many step sizes were halved."""

    def unit(values: Tensor) -> Tensor:
        return values / (values.flatten(1).norm(dim=1).view(-1, 1, 1, 1) + 1e-12)

    def shrink(points: Tensor) -> Tensor:
        if norm == "Linf":
            return torch.min(torch.max(points, images - eps), images + eps).clamp(0, 1)
        length = (points - images).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        return (images + unit(points - images) * length.clamp(max=eps)).clamp(0, 1)

    def measured(points: Tensor) -> tuple[Tensor, Tensor]:
        points = points.detach().requires_grad_()
        losses = loss(points)
        return losses.detach(), torch.autograd.grad(losses.sum(), points)[0]

    current = begin.clamp(0, 1)
    best, count = current.clone(), len(images)
    history = torch.zeros(steps, count, dtype=images.dtype)
    losses, slopes = measured(current)
    best_losses, best_slopes = losses.clone(), slopes.clone()
    size = torch.full((count, 1, 1, 1), 2 * eps, dtype=images.dtype)
    previous, interval, waited, halvings = current.clone(), max(int(0.22 * steps), 1), 0, 0
    best_then, halved_then = losses.clone(), torch.ones(count, dtype=torch.bool)
    for number in range(steps):
        move = current - previous
        previous = current.clone()
        share = 0.75 if number > 0 else 1.0
        direction = slopes.sign() if norm == "Linf" else unit(slopes)
        aim = shrink(current + size * direction)
        current = shrink(current + (aim - current) * share + move * (1 - share))
        losses, slopes = measured(current)
        history[number] = losses
        for row in range(count):
            if losses[row] > best_losses[row]:
                best[row], best_slopes[row], best_losses[row] = current[row], slopes[row], losses[row]
        waited += 1
        if waited == interval:
            for row in range(count):
                rises = sum(int(history[number - i, row] > history[number - i - 1, row]) for i in range(interval))
                stuck = not halved_then[row] and best_then[row] >= best_losses[row]
                halved_then[row] = rises <= 0.75 * interval or stuck
                if halved_then[row]:
                    size[row], current[row], slopes[row] = size[row] / 2, best[row], best_slopes[row]
                    halvings += 1
            best_then, waited = best_losses.clone(), 0
            interval = max(interval - max(int(0.03 * steps), 1), max(int(0.06 * steps), 1))
    return best, best_losses, halvings


@pytest.mark.parametrize("steps", [1, 7, 30, 60])
@pytest.mark.parametrize("kind", ["ce", "dlr", "targeted"])
@pytest.mark.parametrize(("norm", "eps"), RADII)
def test_images_and_losses_are_the_authors(norm: Any, eps: float, kind: str, steps: int) -> None:
    batch, model = make_batch(), preact().eval()
    assert batch.labels is not None
    labels, goals = batch.labels, (batch.labels + 2) % NUM_CLASSES
    ours, theirs = {
        "ce": (
            lambda x: cross_entropy(model(x), batch.targets),
            lambda x: F.cross_entropy(model(x), labels, reduction="none"),
        ),
        "dlr": (lambda x: dlr(model(x), batch.targets), lambda x: authors_dlr(model(x), labels)),
        "targeted": (
            lambda x: targeted_dlr(model(x), batch.targets, goals),
            lambda x: authors_targeted_dlr(model(x), labels, goals),
        ),
    }[kind]
    attack = APGD(norm=norm, eps=eps, num_steps=steps)
    start = attack.draw(batch.images, seeded(5))
    images, losses, halvings = authors_run(batch.images, theirs, batch.images + start, eps=eps, norm=norm, steps=steps)
    found = attack.find(batch.images, ours, start=start)
    # A DLR that is flat has a gradient of rounding errors, which L2 steps stretch to full length.
    torch.testing.assert_close(found.losses, losses, rtol=0, atol=1e-7)
    torch.testing.assert_close(found.images, images, rtol=0, atol=1e-6)
    assert torch.equal(attack(batch.images, ours, start=start), found.images)
    if steps >= 30:
        assert halvings > 5


def test_of_several_restarts_each_image_gets_its_worst() -> None:
    batch, model = make_batch(), plain()
    attack = APGD(eps=8 / 255, num_steps=5, restarts=3)
    starts = attack.draw(batch.images, seeded())
    assert starts.shape == (3, *batch.images.shape)
    loss = lambda x: cross_entropy(model(x), batch.targets)  # noqa: E731
    single = APGD(eps=8 / 255, num_steps=5)
    each = torch.stack([single.find(batch.images, loss, start=start).losses for start in starts])
    torch.testing.assert_close(attack.find(batch.images, loss, start=starts).losses, each.amax(0))


def test_it_finds_more_than_as_many_steps_of_a_fixed_size() -> None:
    batch, model = make_batch(count=12), preact().eval()
    loss = lambda x: cross_entropy(model(x), batch.targets)  # noqa: E731
    with torch.no_grad():
        auto = loss(APGD(eps=0.05, num_steps=40)(batch.images, loss, generator=seeded()))
        fixed = loss(PGD(eps=0.05, step_size=0.1, num_steps=40)(batch.images, loss, generator=seeded()))
    assert int((auto > fixed).sum()) >= 9


# The losses.


def random_logits(count: int = 50, num_classes: int = 6) -> tuple[Tensor, Tensor]:
    logits = torch.randn(count, num_classes, generator=seeded(), dtype=torch.float64)
    return logits, torch.randint(num_classes, (count,), generator=seeded(1))


def test_dlr_is_the_authors_and_so_is_its_gradient() -> None:
    logits, labels = random_logits()
    goals = (labels + 1) % 6
    targets = F.one_hot(labels, 6).double()
    for ours, theirs in (
        (lambda z: dlr(z, targets), lambda z: authors_dlr(z, labels)),
        (lambda z: targeted_dlr(z, targets, goals), lambda z: authors_targeted_dlr(z, labels, goals)),
    ):
        first, second = (logits.clone().requires_grad_() for _ in range(2))
        torch.testing.assert_close(ours(first), theirs(second), rtol=0, atol=1e-12)
        ours(first).sum().backward()
        theirs(second).sum().backward()
        torch.testing.assert_close(first.grad, second.grad, rtol=0, atol=1e-9)


def test_dlr_does_not_feel_the_scale_of_the_logits_and_is_positive_where_the_class_is_missed() -> None:
    logits, labels = random_logits()
    targets = F.one_hot(labels, 6).double()
    torch.testing.assert_close(dlr(7 * logits - 3, targets), dlr(logits, targets))
    assert torch.equal(dlr(logits, targets) > 0, logits.argmax(1) != labels)
    assert not torch.allclose(cross_entropy(7 * logits, targets), cross_entropy(logits, targets))


def test_dlr_of_a_mixed_target_is_the_mean_of_its_classes() -> None:
    logits, labels = random_logits()
    other, lam = labels.roll(1), 0.3
    targets = lam * F.one_hot(labels, 6).double() + (1 - lam) * F.one_hot(other, 6)
    expected = lam * authors_dlr(logits, labels) + (1 - lam) * authors_dlr(logits, other)
    torch.testing.assert_close(dlr(logits, targets), expected)


def test_the_runner_up_of_a_class_is_the_greatest_of_the_others() -> None:
    values, _ = random_logits(20, 5)
    expected = torch.stack(
        [torch.stack([torch.cat([row[:k], row[k + 1 :]]).max() for k in range(5)]) for row in values]
    )
    assert torch.equal(runner_up(values), expected)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_too_few_classes_are_refused(num_classes: int) -> None:
    logits, targets = torch.randn(2, num_classes, generator=seeded()), torch.eye(num_classes)[:2]
    message = f"the difference of logits ratio needs at least 4 classes, got {num_classes}; use cross-entropy"
    with pytest.raises(ValueError, match=message):
        dlr(logits, targets)
    with pytest.raises(ValueError, match=message):
        targeted_dlr(logits, targets, torch.zeros(2, dtype=torch.int64))


def test_a_targeted_attack_without_goals_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a targeted attack needs goals, \(N,\) the classes to reach, got None"):
        targeted_dlr(torch.randn(2, 5, generator=seeded()), torch.eye(5)[:2], None)


# Towards each class in turn.


def own_labels(model: nn.Module, images: Tensor) -> Tensor:
    return model(images).argmax(1)


def test_towards_all_classes_it_fools_at_least_as_often_as_towards_any_one() -> None:
    images, model = make_batch(count=16).images, plain().eval()
    labels = own_labels(model, images)
    targets = F.one_hot(labels, NUM_CLASSES).double()
    attack = APGD(eps=0.02, num_steps=20)
    found = attack_classes(attack, images, model, targets, generator=seeded())
    one = attack_classes(attack, images, model, targets, num_goals=1, generator=seeded())
    fooled, by_one = own_labels(model, found) != labels, own_labels(model, one) != labels
    assert bool((fooled | ~by_one).all())
    assert 0 < int(by_one.sum()) <= int(fooled.sum()) < 16
    assert float((found - images).abs().max()) <= 0.02 + 1e-9
    assert torch.equal(found[~fooled], images[~fooled])
    order = model(images).argsort(1, descending=True)
    assert torch.equal(own_labels(model, one)[by_one], order[by_one, 1])


def authors_targeted(
    model: nn.Module, images: Tensor, labels: Tensor, starts: Tensor, *, eps: float, norm: str, steps: int
) -> tuple[Tensor, Tensor]:
    """`APGDAttack_targeted` of fra31/auto-attack with one restart: for each goal the images that are left, in turn.

    -> the images at the end, and which were missed somewhere on the way.
    """
    found, missed = images.clone(), own_labels(model, images) != labels
    for number in range(len(starts)):
        rows = (~missed).nonzero().squeeze(1)
        if not len(rows):
            break
        clean, begin = images[rows], images[rows] + starts[number][rows]
        goals = model(clean).sort(dim=1).indices[:, -number - 2]
        seen: list[tuple[Tensor, Tensor]] = []

        def loss(
            points: Tensor, rows: Tensor = rows, goals: Tensor = goals, seen: list[tuple[Tensor, Tensor]] = seen
        ) -> Tensor:
            logits = model(points)
            seen.append((points.detach().clone(), logits.argmax(1) != labels[rows]))
            return authors_targeted_dlr(logits, labels[rows], goals)

        authors_run(clean, loss, begin, eps=eps, norm=norm, steps=steps)
        for points, wrong in seen:
            found[rows[wrong]], missed[rows[wrong]] = points[wrong], True
    return found, missed


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.02), ("L2", 0.25)])
def test_towards_each_class_from_given_starts_it_finds_the_authors_images(norm: Any, eps: float) -> None:
    images, model = make_batch(count=16).images, plain().eval()
    labels = own_labels(model, images)
    attack = APGD(norm=norm, eps=eps, num_steps=20)
    starts = draw_starts(attack, images, 3, seeded(3))
    targets = F.one_hot(labels, NUM_CLASSES).double()
    found = attack_classes(attack, images, model, targets, num_goals=3, starts=starts)
    expected, missed = authors_targeted(model, images, labels, starts, eps=eps, norm=norm, steps=20)
    assert 0 < int(missed.sum()) < 16
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert torch.equal(own_labels(model, found) != labels, missed)


def test_an_image_that_is_classified_wrongly_is_not_attacked() -> None:
    images, model = make_batch(count=4).images, plain().eval()
    wrong = (own_labels(model, images) + 1) % NUM_CLASSES
    calls = []

    def logits(some: Tensor) -> Tensor:
        calls.append(len(some))
        return model(some)

    found = attack_classes(APGD(eps=0.1, num_steps=3), images, logits, F.one_hot(wrong, NUM_CLASSES).double())
    assert torch.equal(found, images)
    assert calls == [4]
