"""GenLabel: mixed images get the label that densities of the classes give them.

Sohn, Shang, Chen, Moon, Papailiopoulos and Lee, "GenLabel: Mixup Relabeling using Generative Models", ICML 2022,
arXiv:2201.02354.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mixdali.checks import one_of, require
from train.attacks.network import in_mode, undistributed
from train.machine.gather import gather_rows
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, Objective, checked_draws
from train.objectives.parts.densities import Densities, Density, Gaussian, Kernel, take_sizes
from train.objectives.parts.draws import Expected, draw_mix, expected_mix
from train.objectives.parts.hidden import classifier, mix, recorded

GAUSSIAN = Gaussian()
FOR_GOOD = 2**62


@dataclass(frozen=True, kw_only=True)
class GenLabel(Objective):
    """gamma CE(generated label) + (1 - gamma) CE(mixed label) of mixed images, after a warm-up on clean ones.

    The generated label follows from how likely the mixed image is in each class, by densities of the classes in the
    space of the images or of the classifier's inputs. No gradient flows through it.

    The densities are fitted to the labelled features of an epoch, at the beginning of the next one: those of the last
    warm-up epoch, then again every `refit` epochs. In such an epoch the features of the clean images are remembered by
    sample index as they are seen, augmented and by the network of their step; after the warm-up that takes one more
    forward pass a step, which moves no running average of a batch norm.

    Draws: `lam` (), the weight of the image that keeps its place; `partner` (N,). The warm-up uses none. The metric
    "accuracy" is weighted by the blended label.

    Differs: the authors' code fits once, to one pass with the network of that moment, and then trains nothing but a new
    last layer (or, in the space of the images, has no warm-up). Here the whole network goes on learning, and its
    densities follow it.
    """

    needs_clean: ClassVar[str] = "mixes the images itself"

    alpha: float = 1.0
    """lam is Beta(alpha, alpha), one for the batch."""
    gamma: float = 0.4
    """Share of the generated label. The authors choose from 0, 0.2, ..., 1 by cross-validation."""
    density: Gaussian | Kernel = GAUSSIAN
    """What is fitted to the features of each class."""
    space: Literal["latent", "input"] = "latent"
    """"latent": the inputs of the last linear layer. "input": the images themselves, for data of few dimensions."""
    classes: Literal["all", "two"] = "all"
    """The generated label weighs all classes by their densities, or the two densest ones."""
    warmup: int = 20
    """Epochs of cross-entropy on clean images before the first fit."""
    refit: int = 1
    """Epochs from one fit to the next; 0 fits once."""

    def __post_init__(self) -> None:
        require(self.alpha > 0, "GenLabel: alpha", self.alpha, "must be above 0")
        require(0 <= self.gamma <= 1, "GenLabel: gamma", self.gamma, "must be in [0, 1]")
        one_of("GenLabel: space", self.space, ("latent", "input"))
        one_of("GenLabel: classes", self.classes, ("all", "two"))
        require(self.warmup >= 1, "GenLabel: warmup", self.warmup, "must be 1 or more: densities need features to fit")
        require(self.refit >= 0, "GenLabel: refit", self.refit, "must be a number of epochs, or 0 to fit once")

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("images", "targets", "labels", "index")

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        """ValueError if the features are to be latent and the model has no linear layer."""
        if self.space == "latent":
            classifier(model)
        return Memory(num_samples, num_classes)

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        return draw_mix(self.alpha, len(batch.images), generator)

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        return expected_mix(len(batch.images))

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        assert isinstance(state, Memory)
        draws = checked_draws(self, batch, draws)
        if self._fits_before(batch.epoch) and state.fitted_before < batch.epoch:
            state.fit(self.density, batch.epoch)
        remembers = self._fits_before(batch.epoch + 1) and state.fitted_before <= batch.epoch
        if not state.densities.fitted:
            logits, features = self._run(model, batch.images)
            targets = batch.targets
        else:
            lam, partner = draws["lam"], draws["partner"]
            logits, mixed_features = self._run(model, mix(batch.images, partner, lam))
            generated = generated_label(state.densities.log_prob(mixed_features), self.classes)
            mixed = mix(batch.targets, partner, lam)
            work = torch.promote_types(logits.dtype, mixed.dtype)
            targets = torch.lerp(mixed.to(work), generated.to(work), self.gamma)
            features = self._clean_features(model, batch.images) if remembers else mixed_features
        if remembers:
            state.remember(features, batch)
        loss = cross_entropy(logits, targets).mean()
        return loss, {"loss": loss.detach(), "accuracy": accuracy(logits.detach(), targets).mean()}

    def _fits_before(self, epoch: int) -> bool:
        """Whether densities are fitted before this epoch."""
        since = epoch - self.warmup
        return since == 0 or (since > 0 and self.refit > 0 and since % self.refit == 0)

    def _run(self, model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """-> logits and features (N, D) of one forward pass."""
        if self.space == "input":
            return model(images), images.flatten(1)
        with recorded(classifier(model), inputs=True) as seen:
            logits = model(images)
        return logits, seen[-1].detach().flatten(1)

    @torch.no_grad()
    def _clean_features(self, model: nn.Module, images: Tensor) -> Tensor:
        if self.space == "input":
            return images.flatten(1)
        # By the statistics of the batch, as the mixed images are seen.
        network = undistributed(model)
        with in_mode(network, "frozen"):
            return self._run(network, images)[1]


class Memory(nn.Module):
    """The densities, and the features they will be fitted to next: all of it in the checkpoint.

    In several processes each has the rows of all.
    """

    features: Tensor
    """(num_samples, D) the features of each sample when it was seen last."""
    labels: Tensor
    """(num_samples,) int64; -1 where nothing has been seen since the last fit."""
    last_fit: Tensor
    """() int64: the epoch before which the densities were fitted; -1 before the first fit."""

    def __init__(self, num_samples: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.densities = Densities()
        self.register_buffer("features", torch.zeros(num_samples, 0, dtype=torch.float32, device="cpu"))
        self.register_buffer("labels", torch.full((num_samples,), -1, device="cpu"))
        self.register_buffer("last_fit", torch.tensor(-1, device="cpu"))
        self.fitted_before = -1
        """`last_fit`, for the host."""

    def give(self, densities: Densities) -> None:
        """Label by these densities from now on, without a warm-up, and never fit others."""
        self._take(densities, FOR_GOOD)

    @torch.no_grad()
    def remember(self, features: Tensor, batch: Batch) -> None:
        """Note the features (N, D) of the batch's clean images, of all processes."""
        assert batch.index is not None
        assert batch.labels is not None
        precise = features.to(torch.promote_types(features.dtype, torch.float32))
        if self.features.shape[1] != precise.shape[1]:
            self.features = precise.new_zeros(len(self.labels), precise.shape[1])
        index = gather_rows(batch.index).long()
        self.features[index] = gather_rows(precise).to(self.features)
        self.labels[index] = gather_rows(batch.labels).long()

    def fit(self, density: Density, epoch: int) -> None:
        """Fit the densities to what is remembered, and forget it.

        Raises:
            ValueError: one line on what cannot be fitted.
        """
        seen = self.labels >= 0
        self._take(density.fit(self.features[seen], self.labels[seen], self.num_classes), epoch)
        self.labels.fill_(-1)

    def _take(self, densities: Densities, epoch: int) -> None:
        self.densities = densities.to(self.labels.device)
        self.last_fit.fill_(epoch)
        self.fitted_before = epoch

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        take_sizes(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.fitted_before = int(self.last_fit)


def generated_label(log_prob: Tensor, classes: Literal["all", "two"]) -> Tensor:
    """log_prob (N, K), the log-density of each row in each class -> label (N, K), rows summing to 1.

    All classes count as likely beforehand. Densities never leave the logarithm, so that none can underflow.
    """
    if classes == "all":
        return log_prob.softmax(dim=1)
    densest, places = log_prob.topk(2, dim=1)
    return torch.zeros_like(log_prob).scatter(1, places, densest.softmax(dim=1))
