"""From a divided table to a trained network and its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from mixdali import Mix, derive_seed, one_hot
from mixdali.checks import require
from train.evaluate.parts.calibration import calibration
from train.objectives import CrossEntropy, GenLabel, ManifoldMixup, MixupE, Objective
from train.objectives.batch import Batch
from train.objectives.objective import step_draws
from train.optim.optimizers import AdamW, decay_groups
from train.optim.schedules import Cosine
from train.tables.networks import build_network
from train.tables.table import Split

OBJECTIVES = (CrossEntropy, MixupE, GenLabel, ManifoldMixup)
"""Those that ask nothing of a sample but that it can be mixed; the others know images, with values in [0, 1]."""
PLAIN = CrossEntropy()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides the numbers of a set."""

    mix: Mix | None = None
    """How batches are mixed, by a method that takes any shape: MixUp or DirichletMixUp."""
    objective: Objective = PLAIN
    """What is minimised."""
    num_epochs: int = 100
    """Passes over the training samples."""
    batch_size: int = 32
    """Samples a step; the last batch of an epoch may be smaller."""
    lr: float = 3e-3
    """Rate of AdamW at the start; it falls to 0 along half a cosine."""
    weight_decay: float = 1e-4
    """Decay of the weights."""
    width: int = 128
    """Hidden units of a layer, or channels."""
    train_share: float = 0.2
    """Share of each class that is trained on, where a set does not come divided."""
    seed: int = 0
    """The one seed all randomness is derived from: which samples are trained on, the first weights, the order, the
    draws."""

    def __post_init__(self) -> None:
        for name in ("num_epochs", "batch_size", "lr", "width"):
            require(getattr(self, name) > 0, name, getattr(self, name), "must be above 0")
        for name in ("weight_decay", "seed"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "must not be negative")
        require(0 < self.train_share < 1, "train_share", self.train_share, "must be in (0, 1)")
        name, why = type(self.objective).__name__, self.objective.needs_clean
        known = ", ".join(kind.__name__ for kind in OBJECTIVES)
        require(
            isinstance(self.objective, OBJECTIVES), "objective", name, f"is for images; for tables there are {known}"
        )
        require(self.mix is None or not why, "mix", type(self.mix).__name__, f"must be None: {name} {why}")


def train_network(divided: Split, settings: Settings) -> nn.Module:
    """The network after its last epoch, in evaluation mode.

    Raises:
        ValueError: the loss is no longer a number, or a density cannot be fitted.
    """
    table, objective = divided.table, settings.objective
    model = build_network(tuple(table.features.shape[1:]), len(table.classes), settings.width, settings.seed)
    state = objective.setup(model, len(table), len(table.classes))
    learned = [parameter for parameter in state.parameters() if parameter.requires_grad]
    optimizer = AdamW().build(decay_groups(model, learned, settings.weight_decay, "all"), settings.lr)
    num_steps = math.ceil(len(divided.train) / settings.batch_size)
    rate = Cosine()
    schedule = LambdaLR(optimizer, lambda step: rate.rate(step / num_steps, settings.num_epochs))
    draws = torch.Generator().manual_seed(derive_seed(settings.seed, "objective"))
    model.train()
    for batch in batches(divided, settings):
        loss, _ = objective(model, batch, state, step_draws(objective, batch, draws))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        objective.after_step(model, batch, state)
        if not bool(loss.isfinite()):
            raise ValueError(
                f"{table.name}: the loss is no longer a number in epoch {batch.epoch + 1}; try a smaller --lr"
            )
    return model.eval()


def batches(divided: Split, settings: Settings) -> Iterator[Batch]:
    """Those of all epochs, mixed if that is wanted."""
    table, step = divided.table, 0
    targets = one_hot(table.labels, len(table.classes))
    mixing = torch.Generator().manual_seed(derive_seed(settings.seed, "mix"))
    for epoch in range(settings.num_epochs):
        generator = torch.Generator().manual_seed(derive_seed(settings.seed, "order", epoch))
        order = divided.train[torch.randperm(len(divided.train), generator=generator)]
        for index in order.split(settings.batch_size):
            images, probabilities = table.features[index], targets[index]
            if settings.mix is not None:
                images, probabilities = settings.mix(images, probabilities, rng=mixing, epoch=epoch)
            yield Batch(
                epoch=epoch, step=step, images=images, targets=probabilities, labels=table.labels[index], index=index
            )
            step += 1


@torch.no_grad()
def measure(model: nn.Module, divided: Split) -> dict[str, Any]:
    """Accuracy, NLL (nats) and calibration error on the held-out samples; accuracy on the training samples."""
    table = divided.table

    def told(index: Tensor) -> dict[str, Any]:
        return calibration(model(table.features[index]), table.labels[index])

    found = told(divided.held_out)
    return {
        **{name: found[name] for name in ("accuracy", "nll", "ece")},
        "train_accuracy": told(divided.train)["accuracy"],
        "train_samples": len(divided.train),
        "held_out_samples": len(divided.held_out),
    }
