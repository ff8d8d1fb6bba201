"""Losses and accuracy of mixed images whose labels were left as class indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mixdali.plan import Plan

if TYPE_CHECKING:
    from torch import Tensor


def mixed_loss(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, labels: Tensor, plan: Plan) -> Tensor:
    """lam * loss(logits, labels) + (1 - lam) * loss(logits, the partners' labels), for any plan.

    Of a plan with further images (`plan.more`, as of `Mosaic` and `DirichletMixUp`) the loss with each one's labels has
    its share, and the first partner gets what is left; without a partner, as of `Cutout`, the loss is that of the own
    labels. For cross-entropy that is the loss of the soft targets, without a tensor of (N, num_classes); for any other
    loss of class indices (focal, margin, ...) it is what its mixed form is taken to be.

    loss    called as `loss(logits, labels)`, once for each parent. With reduction="none" it returns one number an
            image, (N,) or (N, ...), and so does this: take the mean. A loss that is one number for the batch can only
            be weighed if the weights are the same for every image (per="batch"); asking costs a GPU one
            synchronisation.
    logits  (N, num_classes), of the mixed images.
    labels  (N,) integers, of the images before the mix.
    plan    the plan of the mix.

    ValueError for a loss of one number with weights that vary, and where N differs.
    """
    weighed = []
    for weight, of_parent in _parents(logits, labels, plan):
        value = loss(logits, of_parent)
        if value.ndim and len(value) != len(labels):
            got = f"{tuple(value.shape)} for {len(labels)} images"
            raise ValueError(f"the loss must return one number an image, got {got}")
        weighed.append(_weight(weight, value) * value)
    return sum(weighed[1:], weighed[0])


def mixed_accuracy(logits: Tensor, labels: Tensor, plan: Plan) -> Tensor:
    """Share in [0, 1] of the images' weight that was predicted: a tensor of one number.

    An image counts lam where the largest logit is its own label's, 1 - lam where it is the partner's, and a further
    image's share where it is that one's; added up where they are of one class. Arguments and errors as in `mixed_loss`.
    With different labels nobody reaches 1 on mixed images: the best that can be had is the mean of the largest weight,
    with two parents max(lam, 1 - lam).
    """
    guess = logits.argmax(-1)
    hits = [weight.to(logits.device) * (guess == own) for weight, own in _parents(logits, labels, plan)]
    return sum(hits[1:], hits[0]).mean()


def _weight(weight: Tensor, value: Tensor) -> Tensor:
    """(N,) weights, as they meet a loss of each image or of the batch."""
    weight = weight.to(value.device, value.dtype)
    if value.ndim == 0:
        if not bool((weight == weight[0]).all()):
            raise ValueError(
                "the loss is one number for the batch, but every image has its own lam; give it reduction='none' and "
                'take the mean, or mix with per="batch"'
            )
        return weight[0]
    return weight.reshape(weight.shape + (1,) * (value.ndim - weight.ndim))


def _parents(logits: Tensor, labels: Tensor, plan: Plan) -> list[tuple[Tensor, Tensor]]:
    """Of each parent the weight (N,) and the labels (N,)."""
    if labels.ndim != 1 or labels.is_floating_point():
        raise TypeError(f"labels must be class indices (N,), got {labels.dtype} {tuple(labels.shape)}")
    in_plan = len(labels) if plan.partner is None else len(plan.partner)
    if not len(logits) == len(labels) == in_plan:
        raise ValueError(
            f"logits, labels and plan must be of one batch, got {len(logits)}, {len(labels)} and {in_plan}"
        )
    if plan.partner is None:
        return [(plan.lam * 0.0 + 1.0, labels)]
    rest = 1.0 - plan.lam
    further = []
    for layer in plan.more:
        rest = rest - layer.share
        further.append((layer.share, _labels_of(layer.partner, labels)))
    return [(plan.lam, labels), (rest, _labels_of(plan.partner, labels)), *further]


def _labels_of(partner: Any, labels: Tensor) -> Tensor:
    return labels if partner is None else labels[partner.to(labels.device).long()]
