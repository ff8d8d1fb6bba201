"""The methods as slow loops over pixels, written as the papers and their authors' code print them."""

import numpy as np


def mixup(images: np.ndarray, targets: np.ndarray, partner: np.ndarray, lam: np.ndarray):
    """images (N, C, H, W), targets (N, K), partner (N,), lam (N,) -> both mixed."""
    mixed_images, mixed_targets = np.empty_like(images), np.empty_like(targets)
    for n in range(len(images)):
        for place in np.ndindex(images.shape[1:]):
            mixed_images[n][place] = lam[n] * images[n][place] + (1 - lam[n]) * images[partner[n]][place]
        mixed_targets[n] = lam[n] * targets[n] + (1 - lam[n]) * targets[partner[n]]
    return mixed_images, mixed_targets


def cutmix_box(lam: float, row: int, column: int, height: int, width: int) -> tuple[int, int, int, int]:
    """The box around a centre pixel: y0, x0, y1, x1."""
    ratio = np.sqrt(1.0 - lam)
    cut_height, cut_width = int(height * ratio), int(width * ratio)
    y0, y1 = max(row - cut_height // 2, 0), min(row + cut_height // 2, height)
    x0, x1 = max(column - cut_width // 2, 0), min(column + cut_width // 2, width)
    return y0, x0, y1, x1


def cutmix(images: np.ndarray, targets: np.ndarray, partner: np.ndarray, boxes: np.ndarray):
    """boxes (N, 4): y0, x0, y1, x1. The target's weight is counted pixel by pixel."""
    mixed_images, mixed_targets = images.copy(), np.empty_like(targets)
    height, width = images.shape[2:]
    for n, (y0, x0, y1, x1) in enumerate(boxes):
        kept = height * width
        for y in range(height):
            for x in range(width):
                if y0 <= y < y1 and x0 <= x < x1:
                    mixed_images[n, :, y, x] = images[partner[n], :, y, x]
                    kept -= 1
        lam = kept / (height * width)
        mixed_targets[n] = lam * targets[n] + (1 - lam) * targets[partner[n]]
    return mixed_images, mixed_targets
