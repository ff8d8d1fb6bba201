"""Random changes of colour."""

from nvidia.dali import fn
from nvidia.dali.data_node import DataNode

from mixdali import derive_seed
from mixdali.checks import fraction


def color_jitter(images: DataNode, strength: float, *, seed: int) -> DataNode:
    """uint8 HWC -> the same; brightness, contrast and saturation each times a number ~ U(1 - strength, 1 + strength).

    Differs from torchvision's and timm's ColorJitter: the three come in one order, saturation first, and are rounded
    once; contrast moves pixels away from the middle grey 128, not from the mean of the image.
    """
    fraction("color_jitter", strength)
    if not strength:
        return images
    amounts = {
        name: fn.random.uniform(range=(1 - strength, 1 + strength), seed=derive_seed(seed, name))
        for name in ("brightness", "contrast", "saturation")
    }
    return fn.color_twist(images, **amounts)
