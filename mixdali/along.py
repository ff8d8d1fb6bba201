"""What comes along with images, mixed by their plan: masks, label maps, and lists of boxes."""

from collections.abc import Sequence
from typing import Any, Literal

from mixdali.checks import one_of
from mixdali.plan import Plan

Blended = Literal["refuse", "heavier"]


def mix_masks(plan: Plan, masks: Any, *, blended: Blended = "refuse", erased: float | None = None) -> Any:
    """Masks of the images, mixed as the images were.

        plan = mix.draw(images)
        images, targets = mix.apply(images, targets, plan)
        masks = mixdali.mix_masks(plan, masks)

    plan     of torch tensors, as `mix.draw` makes it of tensors and as the loaders hand it out.
    masks    (N, H, W) or (N, C, H, W), the size of the images. Floats are blended by the weights of the pixels, as the
             images are; where one image is shown alone they are its own, exactly. Integers, uint8 among them, and bool
             are label maps, of which no mean can be taken: they are cut and pasted.
    blended  what label maps are where two images are blended, as by `MixUp`, in the soft spots of `GMix`, or around the
             box of `HMix`. "refuse": ValueError. "heavier": those of the image that weighs most there, of equals the
             own one's.
    erased   what masks are in the box of `Cutout` and `RandomErasing`; None: as they were.

    -> masks of the same shape and type. Noise changes no mask. Asking whether label maps are blended costs a GPU one
    synchronisation.
    """
    one_of("blended", blended, ("refuse", "heavier"))
    from mixdali.worlds.tensor_along import mixed_masks

    return mixed_masks(plan, masks, blended == "heavier", erased)


def mix_boxes(
    plan: Plan, boxes: Sequence[Any], labels: Sequence[Any], size: tuple[int, int], *, min_weight: float = 0.0
) -> tuple[list[Any], list[Any], list[Any]]:
    """The bounding boxes of all parents of each image, with their weights.

    plan        as in `mix_masks`.
    boxes       for each of the N images (M, 4) x0, y0, x1, y1 in pixels, as torchvision has them; M may be 0.
    labels      for each image (M, ...), whatever goes with its boxes.
    size        height and width of the images.
    min_weight  boxes of this weight and below are left out.

    A box of another image is moved with the part that is shown of it (by `ResizeMix` it is made smaller too) and cut to
    where that is shown; one of the own image stays as it is, also where it is covered in part. The weight is the mean
    over the pixels of the box, as it was cut, of what its image weighs there: lam and 1 - lam for `MixUp`; for `CutMix`
    1 for the partner's, and for the own ones the share that is not covered. `Cutout` and `RandomErasing` cover too.

    -> for each image boxes (M, 4) float32, labels (M, ...), weights (M,) float32: first the own image's, then the
    partner's, then those of `plan.more` in their order. On the CPU.
    """
    from mixdali.worlds.tensor_along import mixed_boxes

    return mixed_boxes(plan, boxes, labels, size, min_weight)
