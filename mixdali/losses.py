"""Losses and accuracy of mixed images whose labels were left as class indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mixdali.plan import Plan

if TYPE_CHECKING:
    from torch import Tensor


def mixed_loss(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, labels: Tensor, plan: Plan) -> Tensor:
    """lam * loss(logits, labels) + (1 - lam) * loss(logits, the partners' labels).

    For cross-entropy that is the loss of the soft targets, without a tensor of (N, num_classes); for any other loss of
    class indices (focal, margin, ...) it is what its mixed form is taken to be.

    loss    called as `loss(logits, labels)`, twice. With reduction="none" it returns one number an image, (N,) or
            (N, ...), and so does this: take the mean. A loss that is one number for the batch can only be weighed if
            lam is the same for every image (per="batch"); asking costs a GPU one synchronisation.
    logits  (N, num_classes), of the mixed images.
    labels  (N,) integers, of the images before the mix.
    plan    the plan of the mix.

    ValueError for a loss of one number with a lam that varies, and where N differs.
    """
    partners = _partners(logits, labels, plan)
    own, other = loss(logits, labels), loss(logits, partners)
    lam = plan.lam.to(own.device, own.dtype)
    if own.ndim == 0:
        if not bool((lam == lam[0]).all()):
            raise ValueError(
                "the loss is one number for the batch, but every image has its own lam; give it reduction='none' and "
                'take the mean, or mix with per="batch"'
            )
        lam = lam[0]
    elif len(own) != len(labels):
        raise ValueError(f"the loss must return one number an image, got {tuple(own.shape)} for {len(labels)} images")
    lam = lam.reshape(lam.shape + (1,) * (own.ndim - lam.ndim))
    return lam * own + (1 - lam) * other


def mixed_accuracy(logits: Tensor, labels: Tensor, plan: Plan) -> Tensor:
    """Share in [0, 1] of the images' weight that was predicted: a tensor of one number.

    An image counts lam where the largest logit is its own label's, and 1 - lam where it is the partner's; both where
    they are of one class. Arguments and errors as in `mixed_loss`. With different labels nobody reaches 1 on mixed
    images: the best that can be had is the mean of max(lam, 1 - lam).
    """
    partners = _partners(logits, labels, plan)
    guess = logits.argmax(-1)
    lam = plan.lam.to(logits.device)
    return (lam * (guess == labels) + (1 - lam) * (guess == partners)).mean()


def _partners(logits: Tensor, labels: Tensor, plan: Plan) -> Tensor:
    if labels.ndim != 1 or labels.is_floating_point():
        raise TypeError(f"labels must be class indices (N,), got {labels.dtype} {tuple(labels.shape)}")
    if not len(logits) == len(labels) == len(plan.partner):
        raise ValueError(
            f"logits, labels and plan must be of one batch, got {len(logits)}, {len(labels)} and {len(plan.partner)}"
        )
    return labels[plan.partner.to(labels.device).long()]
