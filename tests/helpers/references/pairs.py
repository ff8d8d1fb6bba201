"""What most methods come down to: two images, and a weight for every pixel of the one that keeps its place."""

from collections.abc import Callable

import numpy as np

Batch = tuple[np.ndarray, np.ndarray]  # images (N, C, H, W), targets (N, K)


def randint(low: int, high: int, share: float) -> int:
    """What numpy's randint(low, high) is for a draw in [0, 1)."""
    return low + int(float(share) * (high - low))


def weighed(
    images: np.ndarray, targets: np.ndarray, partner: np.ndarray, own: Callable[[int, int, int], float]
) -> Batch:
    """Pixel (y, x) of image n is its own by own(n, y, x); the target's weight is counted, pixel by pixel."""
    mixed_images, mixed_targets = np.empty_like(images), np.empty(targets.shape)
    height, width = images.shape[2:]
    for n in range(len(images)):
        kept = 0.0
        for y in range(height):
            for x in range(width):
                weight = own(n, y, x)
                other = images[partner[n], :, y, x]
                mixed_images[n, :, y, x] = weight * images[n, :, y, x] + (1 - weight) * other
                kept += weight
        lam = kept / (height * width)
        mixed_targets[n] = lam * targets[n] + (1 - lam) * targets[partner[n]]
    return mixed_images, mixed_targets


def mixup(images: np.ndarray, targets: np.ndarray, partner: np.ndarray, lam: np.ndarray) -> Batch:
    """partner (N,), lam (N,)."""
    return weighed(images, targets, partner, lambda n, y, x: float(lam[n]))


def partners_by_class(labels: np.ndarray, mate: np.ndarray, rule: str) -> list[int]:
    """One of the images that fit, in the order of the batch; who finds none is left with himself."""
    chosen = []
    for n in range(len(labels)):
        fit = [m for m in range(len(labels)) if m != n and (labels[m] == labels[n]) == (rule == "same_class")]
        chosen.append(fit[randint(0, len(fit), mate[n])] if fit else n)
    return chosen
