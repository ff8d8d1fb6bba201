"""What the authors' training scripts and timm do to a batch, from the generator's draws on, in their order.

images (N, C, H, W) float, labels (N,), rng a numpy RandomState, which is what the scripts' np.random is. Each function
returns the batch and its draws, by mixdali's names and in its form: places as shares of the image.
"""

from dataclasses import dataclass

import numpy as np
import torch

Draws = dict[str, np.ndarray]


@dataclass(frozen=True)
class Mixed:
    """images, and both labels of each with the weight of the first."""

    images: np.ndarray
    first: np.ndarray
    second: np.ndarray
    lam: float
    draws: Draws
    box: tuple[int, int, int, int] | None = None  # y0, x0, y1, x1


def mixup(
    images: np.ndarray, labels: np.ndarray, alpha: float, rng: np.random.RandomState, generator: torch.Generator
) -> Mixed:
    """facebookresearch/mixup-cifar10, mixup_data: numpy's beta, then torch's randperm."""
    lam = rng.beta(alpha, alpha)
    index = torch.randperm(len(images), generator=generator).numpy()
    mixed = lam * images + (1 - lam) * images[index]
    return Mixed(mixed, labels, labels[index], lam, {"lam": np.full(len(images), lam), "partner": index})


def cutmix(
    images: np.ndarray,
    labels: np.ndarray,
    beta: float,
    prob: float,
    rng: np.random.RandomState,
    generator: torch.Generator,
    corrected: bool = True,
) -> Mixed:
    """clovaai/CutMix-PyTorch, train: a coin, beta, randperm, centre row, centre column; one box for all."""
    number, _, height, width = images.shape
    coin = rng.rand(1)
    nothing = {"coin": coin.repeat(number), "lam": np.ones(number), "partner": np.arange(number)}
    if not coin[0] < prob:
        return Mixed(images, labels, labels, 1.0, nothing | {"cy": np.zeros(number), "cx": np.zeros(number)})
    lam = rng.beta(beta, beta)
    index = torch.randperm(number, generator=generator).numpy()
    cut = np.sqrt(1.0 - lam)
    rows, columns = int(height * cut), int(width * cut)
    row, column = rng.randint(height), rng.randint(width)
    y0, y1 = np.clip(row - rows // 2, 0, height), np.clip(row + rows // 2, 0, height)
    x0, x1 = np.clip(column - columns // 2, 0, width), np.clip(column + columns // 2, 0, width)
    mixed = images.copy()
    mixed[:, :, y0:y1, x0:x1] = images[index, :, y0:y1, x0:x1]
    draws = {"coin": coin.repeat(number), "lam": np.full(number, lam), "partner": index}
    draws |= {"cy": np.full(number, (row + 0.5) / height), "cx": np.full(number, (column + 0.5) / width)}
    weight = 1 - ((y1 - y0) * (x1 - x0) / (height * width)) if corrected else lam
    return Mixed(mixed, labels, labels[index], weight, draws, (y0, x0, y1, x1))


@dataclass(frozen=True)
class Timm:
    """timm.data.Mixup in its modes batch, pair and elem, both alphas above 0."""

    mode: str
    mixup_alpha: float = 0.8
    cutmix_alpha: float = 1.0
    minmax: tuple[float, float] | None = None
    prob: float = 0.6
    switch_prob: float = 0.5
    correct_lam: bool = True

    def __call__(self, images: np.ndarray, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray, Draws]:
        """-> images, lam (N,), draws. The partner is the image at the mirrored place."""
        number, _, height, width = images.shape
        sets = {"batch": 1, "pair": number // 2, "elem": number}[self.mode]
        drawn = self._one_set(rng) if self.mode == "batch" else self._sets(sets, rng)
        lam, use_cutmix = drawn.pop("weight"), drawn.pop("use_cutmix")
        mixed = images.copy()
        draws = {name: np.full(sets, 0.5) for name in ("cy", "cx", "height", "width")} | drawn
        for i in range(sets):
            if lam[i] == 1:
                continue
            members = {"batch": range(number), "pair": (i, number - 1 - i), "elem": (i,)}[self.mode]
            if not use_cutmix[i]:
                for n in members:
                    mixed[n] = images[n] * lam[i] + images[number - 1 - n] * (1 - lam[i])
                continue
            y0, y1, x0, x1 = self._box(lam[i], height, width, rng, draws, i)
            for n in members:
                mixed[n, :, y0:y1, x0:x1] = images[number - 1 - n, :, y0:y1, x0:x1]
            if self.correct_lam or self.minmax is not None:
                lam[i] = 1.0 - (y1 - y0) * (x1 - x0) / float(height * width)
        of_image = {"batch": [0] * number, "pair": [min(n, number - 1 - n) for n in range(number)]}
        places = of_image.get(self.mode, list(range(number)))
        return mixed, lam[places], {name: values[places] for name, values in draws.items()}

    def _one_set(self, rng: np.random.RandomState) -> Draws:
        """rand for prob, rand for the switch, beta; none of the later ones if nothing is mixed."""
        drawn = {"coin": rng.rand(1), "pick": np.zeros(1), "lam": np.ones(1)}
        use_cutmix = False
        if drawn["coin"][0] < self.prob:
            drawn["pick"] = rng.rand(1)
            use_cutmix = drawn["pick"][0] < self.switch_prob
            alpha = self.cutmix_alpha if use_cutmix else self.mixup_alpha
            drawn["lam"] = np.array([rng.beta(alpha, alpha)])
        return drawn | {"weight": drawn["lam"].copy(), "use_cutmix": np.array([use_cutmix])}

    def _sets(self, sets: int, rng: np.random.RandomState) -> Draws:
        """For all sets at once: rand for the switch, beta for cutmix, beta for mixup, rand for prob."""
        pick = rng.rand(sets)
        use_cutmix = pick < self.switch_prob
        cutmix_lam = rng.beta(self.cutmix_alpha, self.cutmix_alpha, size=sets)
        mixup_lam = rng.beta(self.mixup_alpha, self.mixup_alpha, size=sets)
        lam = np.where(use_cutmix, cutmix_lam, mixup_lam)
        coin = rng.rand(sets)
        weight = np.where(coin < self.prob, lam.astype(np.float32), 1.0)
        return {"coin": coin, "pick": pick, "lam": lam.astype(np.float32), "weight": weight, "use_cutmix": use_cutmix}

    def _box(
        self, lam: float, height: int, width: int, rng: np.random.RandomState, draws: Draws, i: int
    ) -> tuple[int, int, int, int]:
        if self.minmax is not None:
            (low_y, high_y), (low_x, high_x) = (
                [int(side * share) for share in self.minmax] for side in (height, width)
            )
            cut_height, cut_width = rng.randint(low_y, high_y), rng.randint(low_x, high_x)
            y0, x0 = rng.randint(0, height - cut_height), rng.randint(0, width - cut_width)
            draws["height"][i] = (cut_height - low_y + 0.5) / (high_y - low_y)
            draws["width"][i] = (cut_width - low_x + 0.5) / (high_x - low_x)
            draws["cy"][i], draws["cx"][i] = (y0 + 0.5) / (height - cut_height), (x0 + 0.5) / (width - cut_width)
            return y0, y0 + cut_height, x0, x0 + cut_width
        ratio = np.sqrt(1 - lam)
        cut_height, cut_width = int(height * ratio), int(width * ratio)
        row, column = rng.randint(0, height), rng.randint(0, width)
        draws["cy"][i], draws["cx"][i] = (row + 0.5) / height, (column + 0.5) / width
        y0, y1 = np.clip(row - cut_height // 2, 0, height), np.clip(row + cut_height // 2, 0, height)
        x0, x1 = np.clip(column - cut_width // 2, 0, width), np.clip(column + cut_width // 2, 0, width)
        return y0, y1, x0, x1


def timm_targets(labels: np.ndarray, num_classes: int, lam: np.ndarray, smoothing: float) -> np.ndarray:
    """mixup_target: both one-hot rows are smoothed, and then mixed."""
    off = smoothing / num_classes
    on = 1.0 - smoothing + off
    targets = np.empty((len(labels), num_classes))
    for n in range(len(labels)):
        for k in range(num_classes):
            first = on if labels[n] == k else off
            second = on if labels[len(labels) - 1 - n] == k else off
            targets[n, k] = first * lam[n] + second * (1.0 - lam[n])
    return targets
