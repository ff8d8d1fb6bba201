"""Losses and accuracy of mixed images with hard labels."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mixdali
from mixdali import CutMix, Mix, MixUp, Mosaic, Plan
from tests.helpers.methods import METHODS, PIXEL_METHODS

N, K = 13, 7


def mixed(mix: Mix) -> tuple[Tensor, Tensor, Tensor, Plan]:
    """Logits, hard labels, the soft targets of the same mix, its plan."""
    rng = torch.Generator().manual_seed(3)
    images = torch.rand(N, 3, 8, 9, generator=rng)
    labels = torch.randint(K, (N,), generator=rng)
    plan = mix.draw(images, targets=labels, rng=rng)
    _, targets = mix.apply(images, mixdali.one_hot(labels, K), plan)
    return torch.randn(N, K, generator=rng, dtype=torch.float64) * 3, labels, targets.double(), plan


def focal(logits: Tensor, labels: Tensor) -> Tensor:
    """A loss that takes class indices only."""
    p = logits.softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1)
    return -((1 - p) ** 2) * p.log()


EVERY = METHODS | PIXEL_METHODS | {"mixup-never": MixUp(prob=0), "mosaic-some": Mosaic(prob=0.5)}


@pytest.mark.parametrize("method", EVERY)
def test_mixed_cross_entropy_is_that_of_the_soft_targets(method: str) -> None:
    logits, labels, targets, plan = mixed(EVERY[method])
    ours = mixdali.mixed_loss(nn.CrossEntropyLoss(reduction="none"), logits, labels, plan)
    torch.testing.assert_close(ours, F.cross_entropy(logits, targets, reduction="none"), atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", EVERY)
def test_accuracy_is_the_weight_of_the_predicted_class_in_the_soft_targets(method: str) -> None:
    logits, labels, targets, plan = mixed(EVERY[method])
    expected = targets.gather(1, logits.argmax(1, keepdim=True)).mean()
    torch.testing.assert_close(mixdali.mixed_accuracy(logits, labels, plan).double(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_one_number_for_the_batch_is_weighed_by_one_lam(reduction: str) -> None:
    loss = nn.CrossEntropyLoss(reduction=reduction)
    for mix in (MixUp(per="batch"), CutMix(per="batch", partner="permutation"), MixUp(prob=0), Mosaic(per="batch")):
        logits, labels, targets, plan = mixed(mix)
        ours = mixdali.mixed_loss(loss, logits, labels, plan)
        torch.testing.assert_close(ours, loss(logits, targets), atol=1e-5, rtol=0)
    logits, labels, _, plan = mixed(MixUp())
    with pytest.raises(ValueError, match="reduction='none'"):
        mixdali.mixed_loss(loss, logits, labels, plan)


def test_a_loss_of_class_indices_is_weighed_image_by_image() -> None:
    logits, labels, _, plan = mixed(CutMix())
    logits.requires_grad_()
    ours = mixdali.mixed_loss(focal, logits, labels, plan)
    for n in range(N):
        partner, lam = int(plan.partner[n]), float(plan.lam[n])
        row = logits[n : n + 1]
        by_hand = lam * focal(row, labels[n : n + 1]) + (1 - lam) * focal(row, labels[partner : partner + 1])
        torch.testing.assert_close(ours[n], by_hand[0])
    ours.mean().backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


def test_a_loss_with_a_map_for_each_image_keeps_its_map() -> None:
    logits, labels, targets, plan = mixed(MixUp())

    def by_class(logits: Tensor, labels: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, F.one_hot(labels, K).double(), reduction="none")

    ours = mixdali.mixed_loss(by_class, logits, labels, plan)
    theirs = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_accuracy_counts_each_parent_by_its_weight() -> None:
    plan = Plan(partner=torch.tensor([1, 2, 0]), lam=torch.tensor([0.75, 0.5, 0.25]))
    labels = torch.tensor([0, 1, 1])
    guesses = F.one_hot(torch.tensor([0, 1, 3]), 4).float()
    # own label: 0.75; both parents are of class 1: 1; neither: 0
    torch.testing.assert_close(mixdali.mixed_accuracy(guesses, labels, plan), torch.tensor((0.75 + 1 + 0) / 3))


def test_without_a_mix_accuracy_is_accuracy() -> None:
    logits, labels, _, plan = mixed(MixUp(prob=0))
    accuracy = (logits.argmax(1) == labels).float().mean()
    torch.testing.assert_close(mixdali.mixed_accuracy(logits, labels, plan), accuracy)


def test_the_best_accuracy_is_the_mean_of_the_larger_weights() -> None:
    _, labels, targets, plan = mixed(MixUp())
    labels = torch.arange(N)
    _, targets = MixUp().apply(torch.zeros(N, 1, 1, 1), mixdali.one_hot(labels, N), plan)
    best = torch.maximum(plan.lam, 1 - plan.lam).mean()
    torch.testing.assert_close(mixdali.mixed_accuracy(targets, labels, plan), best)


def test_what_does_not_belong_together_is_refused() -> None:
    logits, labels, targets, plan = mixed(MixUp())
    with pytest.raises(ValueError, match="got 13, 12 and 13"):
        mixdali.mixed_loss(focal, logits, labels[1:], plan)
    with pytest.raises(ValueError, match="got 12, 13 and 13"):
        mixdali.mixed_accuracy(logits[1:], labels, plan)
    with pytest.raises(TypeError, match=r"labels must be class indices \(N,\)"):
        mixdali.mixed_loss(focal, logits, targets, plan)
    with pytest.raises(ValueError, match=r"one number an image, got \(7,\) for 13 images"):
        mixdali.mixed_loss(lambda x, y: x.mean(0), logits, labels, plan)
